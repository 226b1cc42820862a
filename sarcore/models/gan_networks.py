"""The generator of the GAN: latent vectors and classes, as styles, shape noise into reflectivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.began_config import base_and_doublings
from sarcore.models.gan_config import GANConfig
from sarcore.ops import speckle_field

_STYLE = 128
_CLASS = 32  # numbers that say the class to the generator
_START = 32  # channels of noise that the generator begins with
_SLOPE = 0.2
_NOISE = 0x9E3779B97F4A7C15  # tells the noise of a seed from its speckle
_DECIBELS = 20.0 / math.log(10.0)  # of a factor e of the amplitude
_RANGE = (-6.0, 2.0)  # natural logarithm of the amplitude, relative to white


class Generator(nn.Module):
    """Make reflectivity (N, channels, size, size) of latent vectors (N, latent), classes (N,) and numbers (N,).

    z, on the sphere of radius sqrt(latent), but for its first number, and the embedding of the class give a style w by
    two layers. The stages start from white noise of 32 channels at the coarsest side: patches are cut anywhere, so the
    network has no place to learn a layout by. Each stage has two 3x3 convolutions, between stages the nearest pixel is
    repeated; each convolution adds noise of a learned strength, then leaky ReLU, normalises each pixel over the
    channels, and is scaled and shifted by w. A last convolution and a pixel shuffle give the logarithm of an amplitude.
    To it the level of the patch is added, which is that of the class and its deviation times the first number of z.
    The network does not know that number, and cannot take it back: how bright a whole patch is, by incidence angle,
    soil or season, is right by construction, as speckle is. Of speckled images the logarithm is smoothed by
    [1 2 1] / 4, which removes the grid of the pixel shuffle, and interpolated by two where the sensor resolves no more
    (`GANConfig.coarse`).

    >>> generator = Generator(GANConfig(size=20, width=4, classes=3))
    >>> generator(torch.zeros(2, 64), torch.tensor([0, 2]), torch.tensor([0, 1])).shape
    torch.Size([2, 1, 20, 20])

    Source: Karras et al., arXiv 1812.04948 (styles, noise), 1710.10196 (pixel norm).
    """

    deviation: Tensor

    def __init__(
        self, config: GANConfig, means: Sequence[float] = (0.5,), deviations: Sequence[float] = (0.0,)
    ) -> None:
        """Take the mean and standard deviation of patch means in [0, 1], of each class or a single one."""
        super().__init__()
        self.config = config
        self.base = base_and_doublings(config.size)[0]
        filters = config.generator_filters
        self.classes = nn.Embedding(config.classes, _CLASS) if config.classes else None
        self.style = nn.Sequential(
            nn.Linear(config.latent - 1 + (_CLASS if config.classes else 0), _STYLE),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(_STYLE, _STYLE),
            nn.LeakyReLU(_SLOPE),
        )
        self.start = nn.Conv2d(_START, filters[0], 1)
        pairs = [(before, after) for before, after in zip((filters[0], *filters), filters, strict=False)]
        self.stages = nn.ModuleList(
            nn.ModuleList((_Styled(before, after), _Styled(after, after))) for before, after in pairs
        )
        self.to_log = convolution(filters[-1], config.channels * (4 if config.shuffled else 1))
        nn.init.normal_(self.to_log.weight, 0.0, 0.06)
        logs = torch.tensor([self._log(mean) for mean in _of_each(means, config.classes)])
        self.brightness = nn.Parameter(logs[:, None].repeat(1, config.channels))
        given = zip(_of_each(means, config.classes), _of_each(deviations, config.classes), strict=True)
        found = [self._log(mean + deviation) - self._log(mean) for mean, deviation in given]
        self.register_buffer("deviation", torch.tensor(found)[:, None])

    def forward(self, z: Tensor, labels: Tensor | None, index: Tensor, *, seed: int = 0) -> Tensor:
        """Reflectivity as the patches are encoded, float32 at least; bright ones go beyond 1.

        The noise of image i follows from ``seed`` and ``index[i]``.
        """
        given = F.normalize(z, dim=1) * self.config.latent**0.5
        level, given = given[:, :1], given[:, 1:]
        if self.classes is not None:
            given = torch.cat((given, self.classes(labels)), dim=1)
        w = self.style(given)
        first, *rest = self._noise(index, seed, w)
        h, noises = self.start(first), iter(rest)
        for number, stage in enumerate(self.stages):
            if number:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            for layer in cast(nn.ModuleList, stage):
                h = layer(h, w, next(noises))
        log = self.to_log(h)
        log = log.to(torch.promote_types(log.dtype, torch.float32))
        log = F.pixel_shuffle(log, 2) if self.config.shuffled else log
        of = torch.zeros_like(index) if labels is None or self.classes is None else labels
        log = log + (self.brightness[of] + self.deviation[of] * level)[:, :, None, None]
        if self.config.shuffled and self.config.speckle != "none":
            log = smoothed(log)
        if self.config.coarse:
            log = F.interpolate(log, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self._encoded(log.clamp(*_RANGE))

    def _noise(self, index: Tensor, seed: int, like: Tensor) -> list[Tensor]:
        """Standard normal noise, 32 channels to start from and one for each convolution: halves of circular numbers."""
        sides = [self.base << number for number in range(len(self.stages)) for _ in range(2)]
        shapes = [(_START, self.base, self.base), *((1, side, side) for side in sides)]
        counts = [math.prod(shape) for shape in shapes]
        whole = (len(index), 1, 1, (sum(counts) + 1) // 2)
        field = speckle_field(whole, seed=seed ^ _NOISE, domain="complex", index=index, device=like.device)
        normal = torch.view_as_real(field).reshape(len(index), -1)[:, : sum(counts)] * math.sqrt(2.0)
        parts = normal.to(like.dtype).split(counts, dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def _encoded(self, log: Tensor) -> Tensor:
        """Log-amplitude, 0 for white, in the encoding of the patches."""
        low, high = self.config.limits
        if self.config.domain == "db":
            return 1.0 + log * (_DECIBELS / (high - low))
        power = 2.0 if self.config.domain == "intensity" else 1.0
        return (high * (power * log).exp() - low) / (high - low)

    def _log(self, encoded: float) -> float:
        """Inverse of `_encoded`."""
        low, high = self.config.limits
        if self.config.domain == "db":
            return (encoded - 1.0) * (high - low) / _DECIBELS
        share = max(low + encoded * (high - low), 1e-3 * high) / high
        return math.log(share) / (2.0 if self.config.domain == "intensity" else 1.0)


class _Styled(nn.Module):
    """3x3 convolution, noise, leaky ReLU, pixel norm, scale and shift by the style."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = convolution(before, after)
        self.strength = nn.Parameter(torch.full((after, 1, 1), 0.2))
        self.affine = nn.Linear(_STYLE, 2 * after)
        nn.init.normal_(self.affine.weight, 0.0, 0.05)
        nn.init.zeros_(self.affine.bias)

    def forward(self, h: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        h = self.conv(h)
        h = F.leaky_relu(torch.addcmul(h, self.strength.to(h.dtype), noise), _SLOPE)
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        h = h * torch.rsqrt(h.square().mean(dim=1, keepdim=True) + 1e-6)
        return torch.addcmul(shift, h, 1.0 + scale)


def _of_each(values: Sequence[float], classes: int) -> list[float]:
    return list(values) * max(1, classes) if len(values) == 1 else list(values)


def smoothed(images: Tensor) -> Tensor:
    """Images (N, C, H, W) smoothed by [1 2 1] / 4 along both axes, the border repeated.

    >>> smoothed(torch.tensor([[[[0.0, 1.0, 0.0, 1.0]]]]))
    tensor([[[[0.2500, 0.5000, 0.5000, 0.7500]]]])
    """
    images = F.pad(images, (1, 1, 1, 1), mode="replicate")
    images = (images[..., :-2, :] + 2.0 * images[..., 1:-1, :] + images[..., 2:, :]) / 4.0
    return (images[..., :-2] + 2.0 * images[..., 1:-1] + images[..., 2:]) / 4.0


def convolution(before: int, after: int) -> nn.Conv2d:
    """A 3x3 convolution with repeated borders, its weights normal for leaky ReLUs (He et al.), its bias 0."""
    layer = nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")
    nn.init.kaiming_normal_(layer.weight, _SLOPE)
    nn.init.zeros_(cast(Tensor, layer.bias))
    return layer
