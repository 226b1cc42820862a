"""Discriminators that judge patches: a map of verdicts, one per patch of the size of the receptive field.

Source: Isola et al., arXiv 1611.07004 (``patch``, ``pixel``: parameter names and outputs of
junyanz/pytorch-CycleGAN-and-pix2pix); eriklindernoren/Keras-GAN (``keras_patch``).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from sarcore.models.any_size import check_images
from sarcore.models.keras_unet import SameConv2d
from sarcore.models.norm import NormName, keras_norm_layer, needs_bias, norm_layer
from sarcore.models.receptive_field import receptive_field

__all__ = [
    "DiscriminatorName",
    "KerasPatchDiscriminator",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "discriminator",
    "receptive_field",
]

DiscriminatorName = Literal["patch", "keras_patch", "pixel"]


class _Discriminator(nn.Module):
    """What the three have in common: channels, and the smallest image that they can judge."""

    def __init__(self, channels: int, width: int, minimum: int) -> None:
        super().__init__()
        if min(channels, width) < 1:
            raise ValueError(f"channels and width must be 1 or more; {channels} and {width} were given.")
        self.channels, self.minimum = channels, minimum

    def check(self, x: torch.Tensor) -> None:
        """Raise ``ValueError`` for images of other channels or too small ones."""
        check_images(x, self.channels)
        if min(x.shape[-2:]) < self.minimum:
            height, width = x.shape[-2:]
            raise ValueError(
                f"images of {height} x {width} pixels are too small for this discriminator, which needs "
                f"{self.minimum} x {self.minimum}; take larger crops or a discriminator of fewer layers."
            )


class PatchDiscriminator(_Discriminator):
    """The PatchGAN of Pix2Pix and CycleGAN: ``layers`` halvings, then two 4x4 convolutions of stride 1.

    >>> discriminator = PatchDiscriminator(3, width=8)
    >>> discriminator(torch.zeros(2, 3, 256, 256)).shape, receptive_field(discriminator)
    (torch.Size([2, 1, 30, 30]), 70)

    Images (N, channels, H, W) to verdicts (N, 1, h, w) without a sigmoid.

    Raises ValueError for images of other channels or of sides below ``minimum``.
    """

    def __init__(self, channels: int, width: int = 64, layers: int = 3, norm: NormName = "instance") -> None:
        if layers < 1:
            raise ValueError(f"layers must be 1 or more; {layers} was given.")
        # The verdicts are 2 pixels smaller than the image halved; instance statistics take more than one pixel.
        super().__init__(channels, width, minimum=3 * 2**layers)
        model: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        filters = [width * min(2**layer, 8) for layer in range(layers + 1)]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            conv = nn.Conv2d(filters[layer - 1], filters[layer], 4, stride, padding=1, bias=needs_bias(norm))
            model += [conv, norm_layer(norm, filters[layer]), nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*model, nn.Conv2d(filters[-1], 1, 4, stride=1, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        verdicts: torch.Tensor = self.model(x)
        return verdicts


class KerasPatchDiscriminator(_Discriminator):
    """The PatchGAN of Keras-GAN: ``layers`` halvings, then one 4x4 convolution; 256 x 256 to 16 x 16.

    >>> discriminator = KerasPatchDiscriminator(3, width=8)
    >>> discriminator(torch.zeros(2, 3, 256, 256)).shape, receptive_field(discriminator)
    (torch.Size([2, 1, 16, 16]), 94)

    Convolution, leaky ReLU, normalisation (not in the first layer); padding 'same'. Images (N, channels, H, W) to
    verdicts (N, 1, h, w).

    Raises ValueError for images of other channels or of sides below ``minimum``.
    """

    def __init__(self, channels: int, width: int = 64, layers: int = 4, norm: NormName = "keras_legacy") -> None:
        if layers < 1:
            raise ValueError(f"layers must be 1 or more; {layers} was given.")
        super().__init__(channels, width, minimum=2**layers + 1 if norm == "instance" else 1)
        model: list[nn.Module] = []
        for layer in range(layers):
            wanted = width * min(2**layer, 8)
            model += [SameConv2d(channels, wanted, stride=2), nn.LeakyReLU(0.2, inplace=True)]
            model += [keras_norm_layer(norm, wanted)] if layer > 0 else []
            channels = wanted
        self.model = nn.Sequential(*model, SameConv2d(channels, 1, stride=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        verdicts: torch.Tensor = self.model(x)
        return verdicts


class PixelDiscriminator(_Discriminator):
    """Judges each pixel alone: 1x1 convolutions.

    >>> PixelDiscriminator(3, width=8)(torch.zeros(2, 3, 20, 20)).shape
    torch.Size([2, 1, 20, 20])

    Raises ValueError for images of other channels or of sides below ``minimum``.
    """

    def __init__(self, channels: int, width: int = 64, norm: NormName = "instance") -> None:
        super().__init__(channels, width, minimum=2 if norm == "instance" else 1)
        bias = needs_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=bias), norm_layer(norm, 2 * width), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        verdicts: torch.Tensor = self.net(x)
        return verdicts


def discriminator(name: DiscriminatorName, channels: int, *, width: int, layers: int, norm: NormName) -> nn.Module:
    """Return the discriminator of a name; ``layers`` is the number of its halvings (``pixel`` has none and ignores it).

    >>> receptive_field(discriminator("patch", 3, width=8, layers=2, norm="batch"))
    34

    Raises ValueError for another name.
    """
    if name == "patch":
        return PatchDiscriminator(channels, width, layers, norm)
    if name == "keras_patch":
        return KerasPatchDiscriminator(channels, width, layers, norm)
    if name == "pixel":
        return PixelDiscriminator(channels, width, norm)
    raise ValueError(f"discriminator must be one of {', '.join(get_args(DiscriminatorName))}; {name!r} was given.")
