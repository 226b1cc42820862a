"""The normalisations of translation networks, by name."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

NormName = Literal["instance", "batch", "none", "keras_legacy"]


class KerasLegacyNorm(nn.Module):
    """What keras_contrib calls instance normalisation and is a layer norm: over channels, rows and columns at once.

    >>> x = torch.rand(2, 3, 8, 8)
    >>> y = KerasLegacyNorm()(x)
    >>> bool((y.mean(dim=(1, 2, 3)).abs() < 1e-5).all()), y[0, 0].mean().abs().item() > 1e-5
    (True, True)

    y = gamma (x - mean) / (std + eps) + beta, with gamma and beta numbers and ``eps`` added to the standard deviation
    (of all values, not of all but one) instead of to the variance. x is (N, C, H, W) of any floating type; the
    arithmetic is float32 at least. The gradient of a constant image is finite.

    Source: keras_contrib, ``InstanceNormalization(axis=None)``.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = wide - wide.mean(dim=(1, 2, 3), keepdim=True)
        # A norm, not the root of a variance: where all values are equal its gradient is 0 and the root's infinite.
        length = torch.linalg.vector_norm(centred, dim=(1, 2, 3), keepdim=True)
        std = length / (x.shape[1] * x.shape[2] * x.shape[3]) ** 0.5
        normal: Tensor = centred * (self.weight / (std + self.eps)) + self.bias
        return normal.to(x.dtype)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"eps={self.eps:g}"


def norm_layer(name: NormName, channels: int) -> nn.Module:
    """Return a normalisation of ``channels`` channels as PyTorch's GANs have it.

    >>> norm_layer("instance", 8)
    InstanceNorm2d(8, eps=1e-05, ..., affine=False, ...)

    ``instance``: over rows and columns, without weights and running statistics; ``batch``: eps 1e-5, momentum 0.1;
    ``keras_legacy``: `KerasLegacyNorm`; ``none``: nothing.

    Raises ValueError for another name.
    """
    if name == "instance":
        return nn.InstanceNorm2d(channels)
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "keras_legacy":
        return KerasLegacyNorm()
    if name == "none":
        return nn.Identity()
    raise ValueError(f"norm must be one of {', '.join(get_args(NormName))}; {name!r} was given.")


def keras_norm_layer(name: NormName, channels: int) -> nn.Module:
    """Return a normalisation with the numbers of Keras: batch normalisation of eps 1e-3 and momentum 0.8 (torch: 0.2).

    >>> keras_norm_layer("batch", 8)
    BatchNorm2d(8, eps=0.001, momentum=0.2, affine=True, ...)

    All others as in `norm_layer`. 0.8 is what the Keras GANs write; Keras' own default is 0.99.
    """
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2) if name == "batch" else norm_layer(name, channels)


def needs_bias(name: NormName) -> bool:
    """Whether a convolution in front of the normalisation has a bias: the rule of junyanz's networks.

    Batch normalisation takes a bias out again; without normalisation that project has none either.
    """
    return name in ("instance", "keras_legacy")
