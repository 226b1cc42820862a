"""A feature space that needs no training: what patches of radar images look like at five scales."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.experiments.patches import Patches, Scenario, ScenarioPatches
from sarcore.metrics import SARFeatures

_SCALES = 5  # means of 1, 2, 4, 8 and 16 pixels
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_AT_MOST = 512  # patches whose statistics standardise the features


class Texture(nn.Module):
    """Brightness and texture of images (N, C, H, W) as features (N, 20 C), standardised.

    At each scale of 1, 2, 4, 8 and 16 pixels that an image has twice along its sides: the deviation of the means, and
    the mean absolute differences of neighbours along y and x, as logarithms; then five quantiles of the means of 4
    pixels.

    >>> Texture(torch.rand(8, 1, 32, 32))(torch.rand(2, 1, 32, 32)).shape
    torch.Size([2, 20])

    Args:
        images: real ones, whose features become of mean 0 and deviation 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        features = self.describe(images)
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("std", features.std(dim=0, unbiased=False).clamp(min=1e-3))

    def forward(self, images: Tensor) -> Tensor:
        return (self.describe(images) - self.mean) / self.std

    @staticmethod
    def describe(images: Tensor) -> Tensor:
        """The features as they are."""
        levels = torch.tensor(_QUANTILES, device=images.device)
        found, means = [], images.float()
        for scale in range(_SCALES):
            if scale:
                means = F.avg_pool2d(means, 2) if min(means.shape[-2:]) >= 4 else means
            if scale == 2:
                found.append(torch.quantile(means.flatten(2), levels, dim=2).movedim(0, 2).flatten(1))
            spread = means.flatten(2).std(dim=2, unbiased=False)
            found += [(v + 1e-4).log() for v in (spread, *(means.diff(dim=d).abs().mean(dim=(2, 3)) for d in (2, 3)))]
        return torch.cat(found, dim=1)


def texture_features(patches: Patches, scenario: Scenario) -> SARFeatures:
    """`Texture` standardised by at most 512 patches as the scenario shows them.

    >>> from sarcore.experiments.patches import PatchTensor
    >>> from sarcore.ops import Radiometry
    >>> grey = torch.randint(256, (8, 1, 32, 32), dtype=torch.uint8)
    >>> texture_features(PatchTensor(grey, torch.zeros(8), Radiometry("digital", 0, 255)), "hard").dimension
    20
    """
    view = ScenarioPatches(patches, scenario)
    chosen = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))[:_AT_MOST].tolist()
    network = Texture(torch.stack([view[index][0] for index in chosen]))
    return SARFeatures(network, network.mean.numel(), name="texture")
