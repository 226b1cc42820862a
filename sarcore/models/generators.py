"""The generators of CycleGAN and Pix2Pix, with the parameter names of junyanz/pytorch-CycleGAN-and-pix2pix.

A state dict that one of that project's networks saved loads here (``load_junyanz``) and the other way round
(``state_dict()``), and the outputs are the same.

Source: Johnson et al., arXiv 1603.08155 and Zhu et al., arXiv 1703.10593 (ResNet); Ronneberger et al., arXiv 1505.04597
and Isola et al., arXiv 1611.07004 (U-Net).
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from sarcore.models.any_size import at_any_size, check_images
from sarcore.models.keras_unet import KerasUNet
from sarcore.models.norm import NormName, needs_bias, norm_layer

GeneratorName = Literal["resnet", "unet", "keras_unet"]


class _ResidualBlock(nn.Module):
    """x plus two reflected 3x3 convolutions of x."""

    def __init__(self, channels: int, norm: NormName, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_reflected_conv(channels, norm), nn.ReLU(inplace=True)]
        if dropout:
            layers.append(nn.Dropout(0.5))
        self.conv_block = nn.Sequential(*layers, *_reflected_conv(channels, norm))

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.conv_block(x))


def _reflected_conv(channels: int, norm: NormName) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, channels, 3, bias=needs_bias(norm))
    return nn.ReflectionPad2d(1), conv, norm_layer(norm, channels)


class ResNetGenerator(nn.Module):
    """CycleGAN's generator: two halvings, residual blocks, two doublings.

    >>> generator = ResNetGenerator(1, 3, width=8, blocks=2)
    >>> generator(torch.zeros(2, 1, 37, 80)).shape, generator.multiple
    (torch.Size([2, 3, 37, 80]), 4)

    Images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1], H and W of any size (see
    `sarcore.models.any_size`). ``width`` filters in the first layer, four times as many in the ``blocks``; 9 is
    resnet_9blocks, 6 resnet_6blocks.

    Raises ValueError for images of other channels, and for sizes that are no positive numbers.
    """

    multiple = 4
    minimum = 8  # the blocks reflect at a quarter of the size, for which it takes two pixels

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        blocks: int = 9,
        norm: NormName = "instance",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width)
        if blocks < 0:
            raise ValueError(f"blocks must be 0 or more; {blocks} was given.")
        self.in_channels, self.out_channels = in_channels, out_channels
        bias, relu = needs_bias(norm), nn.ReLU(inplace=True)
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7, bias=bias), norm_layer(norm, width), relu]
        for filters in (width, 2 * width):
            conv = nn.Conv2d(filters, 2 * filters, 3, stride=2, padding=1, bias=bias)
            layers += [conv, norm_layer(norm, 2 * filters), relu]
        layers += [_ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for filters in (2 * width, width):
            up = nn.ConvTranspose2d(2 * filters, filters, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += [up, norm_layer(norm, filters), relu]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return at_any_size(self.model, x, self.multiple, self.minimum)


class _SkipBlock(nn.Module):
    """A halving, what lies below it, a doubling; beside it the image as it came (but not around the outermost)."""

    def __init__(self, layers: list[nn.Module], outermost: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.model(x)
        # The first layer was a leaky ReLU in place, so x is its output, as in the original: after the ReLU that
        # follows the concatenation both are the same.
        return result if self.outermost else torch.cat((x, result), dim=1)


class UNetGenerator(nn.Module):
    """Pix2Pix's generator: ``levels`` halvings and doublings with skip connections.

    >>> generator = UNetGenerator(1, 3, width=8, levels=3)
    >>> generator(torch.zeros(2, 1, 37, 80)).shape, generator.multiple
    (torch.Size([2, 3, 37, 80]), 8)

    Images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1], H and W of any size: they are
    padded to multiples of 2^levels. Filters are width, 2, 4, 8 and 8 times width from there on; 8 levels are unet_256,
    7 unet_128. ``dropout``: 0.5 in the doublings of 8 to 8 times width but the innermost.

    Raises ValueError for images of other channels, for sizes that are no positive numbers and less than two levels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        levels: int = 8,
        norm: NormName = "batch",
        dropout: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width)
        if levels < 2:
            raise ValueError(f"levels must be 2 or more; {levels} was given.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.multiple = self.minimum = 2**levels
        filters = [width * min(2**level, 8) for level in range(levels)]
        block = _SkipBlock(_skip_layers(filters[-2], filters[-1], norm, None, False), outermost=False)
        for level in range(levels - 2, 0, -1):
            layers = _skip_layers(filters[level - 1], filters[level], norm, block, dropout and level >= 4)
            block = _SkipBlock(layers, outermost=False)
        down = nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=needs_bias(norm))
        up = nn.ConvTranspose2d(2 * width, out_channels, 4, stride=2, padding=1)
        self.model = _SkipBlock([down, block, nn.ReLU(inplace=True), up, nn.Tanh()], outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return at_any_size(self.model, x, self.multiple, self.minimum)


def _skip_layers(outer: int, inner: int, norm: NormName, within: nn.Module | None, dropout: bool) -> list[nn.Module]:
    bias = needs_bias(norm)
    layers = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
    if within is not None:
        layers += [norm_layer(norm, inner), within]
    inputs = inner if within is None else 2 * inner
    up = nn.ConvTranspose2d(inputs, outer, 4, stride=2, padding=1, bias=bias)
    layers += [nn.ReLU(inplace=True), up, norm_layer(norm, outer)]
    return [*layers, nn.Dropout(0.5)] if dropout else layers


def check_sizes(**sizes: int) -> None:
    """Raise ``ValueError`` naming the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be 1 or more; {size} was given.")


def generator(
    name: GeneratorName, in_channels: int, out_channels: int, *, width: int, depth: int, norm: NormName, dropout: bool
) -> nn.Module:
    """Return the generator of a name; ``depth`` is the number of its residual blocks or levels.

    >>> generator("unet", 1, 3, width=8, depth=4, norm="batch", dropout=True).multiple
    16

    Raises ValueError for another name.
    """
    if name == "resnet":
        return ResNetGenerator(in_channels, out_channels, width, depth, norm, dropout)
    if name == "unet":
        return UNetGenerator(in_channels, out_channels, width, depth, norm, dropout)
    if name == "keras_unet":
        return KerasUNet(in_channels, out_channels, width, depth, norm, dropout)
    raise ValueError(f"generator must be one of {', '.join(get_args(GeneratorName))}; {name!r} was given.")
