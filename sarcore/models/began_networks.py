"""The networks of BEGAN: the generator, and the autoencoder that judges by how well it reconstructs."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.began_config import BEGANConfig, base_and_doublings

_SOFTPLUS_BETA = 10.0  # on [0, 1] a plain softplus is nearly flat; this one bends below 0.2 only


def _stage(channels_in: int, channels: int, convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(convs):
        layers += [nn.Conv2d(channels_in if index == 0 else channels, channels, 3, padding=1), nn.ELU()]
    return nn.Sequential(*layers)


def _xavier_(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases, as in the reference implementation."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _inverse_output(name: str, mean: float) -> float:
    if name == "softplus":
        mean = max(mean, 1e-3)
        return mean + math.log(-math.expm1(-_SOFTPLUS_BETA * mean)) / _SOFTPLUS_BETA
    return mean


class Generator(nn.Module):
    """Map latent vectors (N, latent) to patches (N, channels, size, size); also the autoencoder's decoder.

    A linear layer to (width, base, base), then stages of 3x3 convolutions with ELU, nearest upsampling by 2
    between them, each time with the first tensor h0 concatenated, then one convolution and the output activation.
    Of a model with classes, an embedding of the label (N,) as long as the latent vector is joined to it.

    >>> Generator(BEGANConfig(size=20, width=4))(torch.zeros(3, 64)).shape
    torch.Size([3, 1, 20, 20])
    """

    def __init__(self, config: BEGANConfig, *, data_mean: float = 0.5) -> None:
        super().__init__()
        self.base, doublings = base_and_doublings(config.size)
        self.output = config.output
        self.skip_h0 = config.skip_h0
        convs = 2 + config.extra_convs
        after_skip = 2 * config.width if config.skip_h0 else config.width
        self.embedding = nn.Embedding(config.classes, config.latent) if config.classes else None
        self.project = nn.Linear((2 if config.classes else 1) * config.latent, config.width * self.base**2)
        self.stages = nn.ModuleList(
            _stage(config.width if index == 0 else after_skip, config.width, convs) for index in range(doublings + 1)
        )
        self.to_image = nn.Conv2d(config.width, config.channels, 3, padding=1)
        self.apply(_xavier_)
        if config.output_bias:
            nn.init.constant_(cast(Tensor, self.to_image.bias), _inverse_output(config.output, data_mean))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            if labels is None:
                raise ValueError("This model was made for classes; give the labels (N,) of what it is to draw.")
            z = torch.cat((z, self.embedding(labels).to(z.dtype)), dim=1)
        h0 = self.project(z).unflatten(1, (-1, self.base, self.base))
        h = h0
        for index, stage in enumerate(self.stages):
            if index > 0:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
                if self.skip_h0:
                    h = torch.cat((h, F.interpolate(h0, size=h.shape[-2:], mode="nearest")), dim=1)
            h = stage(h)
        image: Tensor = self.to_image(h)
        if self.output == "relu":
            return F.relu(image)
        if self.output == "softplus":
            return F.softplus(image, beta=_SOFTPLUS_BETA)
        return image


class Autoencoder(nn.Module):
    """The discriminator: reconstruct patches (N, channels, size, size) through a linear bottleneck.

    The encoder starts with one 3x3 convolution, then has stages of 3x3 convolutions with ELU and n, 2n, 3n, ...
    filters with a stride-2 convolution between them; the decoder is built like the generator, and like it told the
    labels (N,) of a model with classes.

    >>> Autoencoder(BEGANConfig(size=20, width=4))(torch.zeros(3, 1, 20, 20)).shape
    torch.Size([3, 1, 20, 20])
    """

    def __init__(self, config: BEGANConfig, *, data_mean: float = 0.5) -> None:
        super().__init__()
        base, doublings = base_and_doublings(config.size)
        convs = 2 + config.extra_convs
        layers: list[nn.Module] = [nn.Conv2d(config.channels, config.width, 3, padding=1), nn.ELU()]
        channels = config.width
        for index in range(doublings + 1):
            filters = config.width * (index + 1)
            layers.append(_stage(channels, filters, convs))
            channels = filters
            if index < doublings:
                layers += [nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.ELU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * base**2, config.latent))
        self.encoder.apply(_xavier_)
        self.decoder = Generator(config, data_mean=data_mean)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.decoder(self.encoder(images), labels))
