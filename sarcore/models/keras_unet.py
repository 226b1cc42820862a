"""The U-Net of the Keras GANs: convolution, activation, normalisation; nearest upsampling; padding 'same'.

Source: eriklindernoren/Keras-GAN (cyclegan, pix2pix), whose graphs sorabatake's articles on SAR and optical images use.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.any_size import at_any_size, check_images
from sarcore.models.norm import NormName, keras_norm_layer


class SameConv2d(nn.Conv2d):
    """A 4x4 convolution of stride 1 or 2 whose zeros lie where TensorFlow's padding 'same' puts them.

    >>> SameConv2d(1, 1, stride=1)(torch.zeros(1, 1, 7, 8)).shape
    torch.Size([1, 1, 7, 8])

    Stride 1: one row above, two below. Stride 2: one above and one below, or two below where the side is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 4, stride=stride)

    def forward(self, input: Tensor) -> Tensor:
        below, right = (2 if self.stride[0] == 1 else 1 + side % 2 for side in input.shape[-2:])
        if below == right == 1:
            return F.conv2d(input, self.weight, self.bias, self.stride, padding=1)
        return super().forward(F.pad(input, (1, right, 1, below)))


class KerasUNet(nn.Module):
    """The generator of Keras-GAN: ``levels`` halvings by 4x4 convolutions, as many nearest doublings, skips.

    >>> generator = KerasUNet(1, 3, width=8, levels=2)
    >>> generator(torch.zeros(2, 1, 37, 80)).shape, generator.multiple
    (torch.Size([2, 3, 37, 80]), 4)

    Images (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1], H and W of any size: they are padded
    to multiples of 2^levels. Filters are width, 2, 4, 8 and 8 times width from there on. 4 levels with
    ``keras_legacy`` are the CycleGAN's, 7 with ``batch`` Pix2Pix's, which does not normalise its first layer.
    ``dropout``: 0.5 in each doubling (the articles leave it out).

    Raises ValueError for images of other channels, for sizes that are no positive numbers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        levels: int = 4,
        norm: NormName = "keras_legacy",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, width, levels) < 1:
            given = f"{in_channels}, {out_channels}, {width} and {levels}"
            raise ValueError(f"in_channels, out_channels, width and levels must be 1 or more; {given} were given.")
        self.in_channels, self.out_channels, self.multiple = in_channels, out_channels, 2**levels
        # Instance statistics of the innermost level take two pixels.
        self.minimum = 2 * self.multiple if norm == "instance" else self.multiple
        filters = [width * min(2**level, 8) for level in range(levels)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (channels, wanted) in enumerate(zip([in_channels, *filters], filters, strict=False)):
            bare = level == 0 and norm == "batch"
            # At even sides, which all have here, 'same' is a padding of one on either side.
            layers = [nn.Conv2d(channels, wanted, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            self.down.append(nn.Sequential(*layers, *([] if bare else [keras_norm_layer(norm, wanted)])))
        channels = filters[-1]
        for wanted in reversed(filters[:-1]):
            layers = [nn.Upsample(scale_factor=2.0), SameConv2d(channels, wanted), nn.ReLU(inplace=True)]
            layers += [nn.Dropout(0.5)] if dropout else []
            self.up.append(nn.Sequential(*layers, keras_norm_layer(norm, wanted)))
            channels = 2 * wanted
        self.to_image = nn.Sequential(nn.Upsample(scale_factor=2.0), SameConv2d(channels, out_channels), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return at_any_size(self._translate, x, self.multiple, self.minimum)

    def _translate(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = torch.cat((up(x), skip), dim=1)
        image: Tensor = self.to_image(x)
        return image
