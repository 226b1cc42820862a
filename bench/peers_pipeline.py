"""The peers of a training step on a scene: the same five steps from packages, and from the best PyTorch ops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import peers_histogram
import peers_patches
import peers_speckle
import torch
import torch.nn.functional as F

Cut = Callable[[torch.Tensor], torch.Tensor]  # scene (H, W) -> patches (P, 1, h, w)
Loss = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]  # patches, targets, number of the first patch


@dataclass(frozen=True)
class Settings:
    """One pipeline: `size` to `large` pixels a side, speckle of `looks`, the loss of `bins` and `omega`."""

    size: int
    large: int
    looks: float
    bins: int
    omega: float


def composed_loss(settings: Settings, histogram: peers_histogram.Histogram, speckle: peers_speckle.Speckle) -> Loss:
    """Speckle, `F.interpolate`, `clamp`, and the histogram loss around somebody's histogram."""

    def call(x: torch.Tensor, target: torch.Tensor, first: int) -> torch.Tensor:  # noqa: ARG001
        field = speckle(torch.ones_like(x))  # it has no gradient
        size = (settings.large, settings.large)
        large = F.interpolate(x * field, size=size, mode="bicubic", align_corners=False).clamp(0, 1)
        return peers_histogram.loss_of(histogram, large, target, settings.bins, settings.omega)

    return call


def gradients(cut: Cut, loss: Loss, scene: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of all batches, and the gradients at the patches: what a training step does, batch by batch."""
    patches, losses, results = cut(scene), [], []
    for first in range(0, len(patches), len(targets)):
        x = patches[first : first + len(targets)].detach().requires_grad_()
        value = loss(x, targets[: len(x)], first)
        results.append(torch.autograd.grad(value, x)[0])
        losses.append(value.detach())
    return torch.stack(losses), torch.cat(results)


def contestants(settings: Settings, finish: peers_patches.Finish) -> tuple[list[tuple[str, Cut, Loss]], list[str]]:
    """(name, how it cuts, its loss) of every peer, and what is missing."""
    size = settings.size

    def gamma(x: torch.Tensor) -> torch.Tensor:
        return peers_speckle.standard_gamma(x, settings.looks)

    def distribution(x: torch.Tensor) -> torch.Tensor:
        return peers_speckle.gamma_distribution(x, settings.looks)

    unfold = peers_patches.unfold_extract(finish, size, size)
    found = [("PyTorch", unfold, composed_loss(settings, peers_histogram.scatter_histogram, gamma))]
    found.append(("PyTorch, tuned Function", unfold, composed_loss(settings, peers_histogram.tuned_histogram, gamma)))
    histogram, cut = peers_histogram.kornia_histogram(), peers_patches.kornia_extract(finish, size, size)
    if histogram is None or cut is None:
        return found, ["kornia is not installed"]
    return [("kornia and torch.distributions", cut, composed_loss(settings, histogram, distribution)), *found], []
