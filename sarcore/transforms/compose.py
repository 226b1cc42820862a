"""A chain of transforms that hands the numbers of the samples on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sarcore.transforms._random import Index, RandomTransform


class Compose(nn.ModuleList):
    """Apply transforms one after the other, with the samples' numbers for those that draw.

    >>> from sarcore.transforms import RandomFlip, RandomSpeckle, ToDecibel
    >>> augment = Compose([RandomFlip(seed=1), RandomSpeckle((4, 16), seed=2), ToDecibel(floor=-40)])
    >>> batch = torch.rand(6, 1, 16, 16)
    >>> torch.equal(augment(batch, index=10)[2], augment(batch[2], index=12))
    True

    torchvision's Compose, torch.nn.Sequential and kornia's AugmentationSequential run the same transforms; what they do
    not do is to pass ``index`` on, so that the transforms count the samples themselves (see `RandomTransform`).

    Args:
        transforms: modules, ours or others; a `Compose` may hold another.

    Called with x, (C, H, W) or (N, C, H, W), and an optional ``index``, as `RandomTransform` is.

    Raises:
        TypeError: a transform is no torch.nn.Module.
    """

    def __init__(self, transforms: Iterable[nn.Module]) -> None:
        super().__init__(transforms)

    def set_epoch(self, epoch: int) -> None:
        """`RandomTransform.set_epoch` of all transforms that draw."""
        for transform in self:
            if isinstance(transform, (RandomTransform, Compose)):
                transform.set_epoch(epoch)

    def forward(self, x: torch.Tensor, index: Index = None) -> torch.Tensor:
        """Transform (C, H, W) or (N, C, H, W)."""
        for transform in self:
            x = transform(x, index) if isinstance(transform, (RandomTransform, Compose)) else transform(x)
        return x
