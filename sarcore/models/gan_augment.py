"""Adaptive augmentation of what a discriminator sees, which does not leak into what the generator makes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sarcore.models.gan_config import GANConfig

# The random numbers of an image, uniform but for the last.
_CHOSEN = slice(0, 5)  # flip along y, flip along x, transposition, shift, gain
_HALF = slice(5, 8)  # whether a chosen flip or transposition is done
_PLACE = slice(8, 10)  # shift along y and x
_NUMBERS = 11
_SHIFT = 8  # shifts go up to this part of the side
_GAIN = 0.1  # deviation of the logarithm of the amplitude
_DECAY = 0.99  # running mean of the sign of D on real images
_DECIBELS = 20.0 / math.log(10.0)


class AdaptiveAugment(nn.Module):
    """Augment images (N, C, S, S), each with probability p in each of five ways; p follows how far D overfits.

    Each way is chosen with probability p: a flip along y, along x and a transposition, which are then done in half of
    the cases; a shift of up to an eighth of the side, the border mirrored; a gain, normal on the logarithm of the
    amplitude with deviation 0.1. As images are left alone with probability 1 - p, generated images look augmented only
    where the true ones do not, and are told by it. Differentiable by the images.

    >>> augment = AdaptiveAugment(GANConfig(size=20))
    >>> x, draws = torch.rand(2, 1, 20, 20), augment.draw(2, torch.Generator())
    >>> torch.equal(augment(x, draws), x)  # p starts at 0
    True

    p <- clip(p +- 1 / ada_steps, 0, ada_max) after each step, up where the running mean (decay 0.99) of E[sign D(real)]
    lies above the target.

    Source: Karras et al., Training Generative Adversarial Networks with Limited Data, arXiv 2006.06676.
    """

    p: Tensor
    sign: Tensor

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("sign", torch.zeros(()))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """The random numbers of n images, (n, 11), uniform on [0, 1) but for the last, which is standard normal."""
        uniform = torch.rand(n, _NUMBERS - 1, generator=generator)
        return torch.cat((uniform, torch.randn(n, 1, generator=generator)), dim=1)

    def forward(self, images: Tensor, draws: Tensor) -> Tensor:
        """The images as the discriminator sees them; what happens to one follows from its row of ``draws``."""
        if not self.config.ada_target:
            return images
        chosen = draws[:, _CHOSEN] < self.p
        flip_y, flip_x, swap = (chosen[:, :3] & (draws[:, _HALF] < 0.5)).unbind(1)
        most = self.config.size // _SHIFT
        shifts = ((draws[:, _PLACE] * (2 * most + 1)).floor().long() - most) * chosen[:, 3, None]
        moved = _moved(images, flip_y, flip_x, swap, shifts)
        return self._amplified(moved, torch.where(chosen[:, 4], _GAIN * draws[:, -1], 0.0))

    def _amplified(self, images: Tensor, log: Tensor) -> Tensor:
        """Amplitudes times exp(log), per image, in the encoding of the patches; nothing is clipped."""
        low, high = self.config.limits
        log = log.to(images.dtype)[:, None, None, None]
        if self.config.domain == "db":
            return images + log * (_DECIBELS / (high - low))
        gain = ((2.0 if self.config.domain == "intensity" else 1.0) * log).exp()
        return images * gain + (gain - 1.0) * (low / (high - low))

    @torch.no_grad()
    def adapt(self, sign: Tensor) -> None:
        """Take in the mean sign of D on the real images of a step and move p."""
        if not self.config.ada_target:
            return
        self.sign.lerp_(sign.to(self.sign.dtype), 1.0 - _DECAY)
        change = torch.sign(self.sign - self.config.ada_target) / self.config.ada_steps
        self.p.add_(change).clamp_(0.0, self.config.ada_max)


def _moved(images: Tensor, flip_y: Tensor, flip_x: Tensor, swap: Tensor, shifts: Tensor) -> Tensor:
    """Shifted with mirrored borders, then transposed, then flipped, image by image: one look-up per pixel."""
    side = images.shape[-1]
    place = torch.arange(side, device=images.device).expand(len(images), -1)
    y, x = torch.where(flip_y[:, None], side - 1 - place, place), torch.where(flip_x[:, None], side - 1 - place, place)
    # The pixel at row r and column c shows the one at row y[r] and column x[c], or at x[c] and y[r] where swapped: its
    # index is the sum of one number of r and one of c.
    down, across = (_mirrored(torch.stack((y, x)) + shifts[:, k, None], side) for k in (0, 1))
    rows = torch.where(swap[:, None], across[0], down[0] * side)
    columns = torch.where(swap[:, None], down[1] * side, across[1])
    index = (rows[:, :, None] + columns[:, None, :]).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def _mirrored(place: Tensor, side: int) -> Tensor:
    place = place.abs()
    return torch.minimum(place, 2 * (side - 1) - place)
