"""How far the images of a batch lie apart: a generator that draws one image again and again has none of it."""

from __future__ import annotations

import math

import torch

from sarcore.ops import _checks


def pairwise_diversity(images: torch.Tensor) -> float:
    """Mean over all pairs of images of their root mean square difference, in the unit of the images.

    >>> pairwise_diversity(torch.stack([torch.zeros(1, 8, 8), torch.full((1, 8, 8), 0.5)]))
    0.5

    2 / (N (N - 1)) sum_{i < j} sqrt(mean (x_i - x_j)^2), in float64, over the pixels that neither image lacks (NaN).

    Args:
        images: (N, C, H, W), of the dtypes of `sarcore.ops.soft_histogram`.

    Returns:
        The diversity, 0 where all images are equal. NaN for fewer than two images, or where no pair shares a pixel.

    Raises:
        ValueError, TypeError: images is no such tensor.
    """
    total, pairs = pair_sums(images)
    return float(total / pairs) if pairs else math.nan


def pair_sums(images: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Sum of the distances of all pairs that share a pixel, float64, and the number of those pairs."""
    x = _checks.images(images, "images").detach().flatten(1)
    total, pairs = x.new_zeros((), dtype=torch.float64), 0
    for i in range(max(0, x.shape[0] - 1)):
        distances = (x[i + 1 :].double() - x[i].double()).square().nanmean(1).sqrt()
        total += distances.nansum()
        pairs += int((~distances.isnan()).sum())
    return total, pairs
