"""The histogram operators as modules."""

from __future__ import annotations

import torch

from sarcore.ops import histogram_loss, mutual_information


class HistogramLoss(torch.nn.Module):
    """`sarcore.ops.histogram_loss` with its settings kept: L = L_hist + omega L_spatial.

    >>> loss = HistogramLoss(bins=64, omega=0.001)
    >>> loss(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)).ndim
    0

    Args: as in `sarcore.ops.histogram_loss`. Called with input and target (N, C, H, W) and an optional mask, it returns
    a scalar, or (N,) with ``reduction="none"``.

    Source: Marmanis et al., arXiv:1711.02010, section 4.
    """

    def __init__(
        self,
        bins: int = 64,
        range: tuple[float, float] = (0.0, 1.0),
        *,
        omega: float = 0.001,
        distance: str = "l2",
        spatial: str = "l2",
        normalize: str = "probability",
        kernel: str = "linear",
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.bins, self.range, self.omega = bins, range, omega
        self.distance, self.spatial, self.normalize = distance, spatial, normalize
        self.kernel, self.reduction = kernel, reduction

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a batch."""
        return histogram_loss(
            input, target, self.bins, self.range, omega=self.omega, distance=self.distance, spatial=self.spatial,
            normalize=self.normalize, kernel=self.kernel, mask=mask, reduction=self.reduction,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return (
            f"bins={self.bins}, range={self.range}, omega={self.omega}, distance={self.distance!r}, "
            f"spatial={self.spatial!r}, normalize={self.normalize!r}, kernel={self.kernel!r}"
        )


class MutualInformationLoss(torch.nn.Module):
    """Minus the mutual information, averaged over the batch: smaller is better aligned.

    >>> loss = MutualInformationLoss(bins=32)
    >>> x = torch.rand(1, 1, 32, 32)
    >>> bool(loss(x, x) < loss(x, torch.rand(1, 1, 32, 32)))
    True

    Args: as in `sarcore.ops.mutual_information`.
    """

    def __init__(
        self,
        bins: int = 64,
        range: tuple[float, float] = (0.0, 1.0),
        *,
        range_y: tuple[float, float] | None = None,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.bins, self.range, self.range_y, self.normalized = bins, range, range_y, normalized

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a batch (N, C, H, W)."""
        information = mutual_information(
            input, target, self.bins, self.range, range_y=self.range_y, mask=mask, normalized=self.normalized
        )
        return -information.mean()

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"bins={self.bins}, range={self.range}, normalized={self.normalized}"
