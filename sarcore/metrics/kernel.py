"""Kernel distance of two sets of features: the arithmetic of KID, unbiased for any number of images."""

from __future__ import annotations

import torch
from torch import Tensor

from sarcore.metrics.features import FeatureSet, checked_features

_BLOCK = 1024  # rows of the kernel matrix in memory at a time


def kernel_distance(
    real: Tensor | FeatureSet, generated: Tensor | FeatureSet, *, degree: int = 3, coefficient: float = 1.0
) -> float:
    """Squared maximum mean discrepancy of two feature sets under a polynomial kernel; the unbiased estimate.

    >>> real = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> kernel_distance(real, 2 * real)  # (1 + 1) / 2 of 1, and 1, less 2 * (8 + 1) / 2
    -7.0

        mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j),
        k(x, y) = (x y / d + c)^degree

    All pairs are used, in blocks, so that memory grows with the images and not with their square. The mean over many
    samples is 0 for equal distributions whatever the number of images, so single values are negative about half of
    the time; subtract nothing.

    Args:
        real, generated: (N, d), (M, d), of one feature space.
        degree, coefficient: of the kernel; 3 and 1 are those of KID.

    Raises:
        ValueError: fewer than 2 images, NaN or infinite features, different dimensions or feature spaces, degree < 1.
        TypeError: features are not floating.

    Source: Binkowski et al., Demystifying MMD GANs, arXiv 1801.01401.
    """
    if degree < 1:
        raise ValueError(f"degree must be at least 1, got {degree}")
    first, second = checked_features(2, real=real, generated=generated)
    return float(_unbiased(first, second, degree, coefficient))


def kernel_distance_subsets(
    real: Tensor | FeatureSet,
    generated: Tensor | FeatureSet,
    *,
    subsets: int = 100,
    size: int = 1000,
    degree: int = 3,
    coefficient: float = 1.0,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation of `kernel_distance` over random subsets, as KID is reported in papers.

    >>> mean, deviation = kernel_distance_subsets(torch.rand(40, 4), torch.rand(40, 4), subsets=5, size=20)
    >>> abs(mean) < 0.5, deviation < 0.5
    (True, True)

    Every subset holds `size` real and `size` generated images, drawn without replacement from `seed`; the deviation
    (over subsets - 1) is that of one subset, not of the mean.

    Raises:
        ValueError: as `kernel_distance`; a subset is larger than a set; fewer than 2 subsets or images in one.
        TypeError: features are not floating.
    """
    if subsets < 2 or size < 2 or degree < 1:
        raise ValueError(f"subsets and size must be at least 2, degree 1, got {subsets}, {size} and {degree}")
    first, second = checked_features(2, real=real, generated=generated)
    if size > min(len(first), len(second)):
        raise ValueError(
            f"a subset of {size} images needs as many of each, got {len(first)} and {len(second)}; "
            "give a smaller size, or use kernel_distance, which takes all"
        )
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        x, y = (every[_some(len(every), size, generator).to(every.device)] for every in (first, second))
        values.append(_unbiased(x, y, degree, coefficient))
    found = torch.stack(values)
    return float(found.mean()), float(found.std())


def _some(count: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator)[:size]


def _unbiased(x: Tensor, y: Tensor, degree: int, coefficient: float) -> Tensor:
    n, m = len(x), len(y)
    within_x = _kernel_sum(x, x, degree, coefficient) - _kernel_diagonal(x, degree, coefficient)
    within_y = _kernel_sum(y, y, degree, coefficient) - _kernel_diagonal(y, degree, coefficient)
    between = _kernel_sum(x, y, degree, coefficient)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)


def _kernel_sum(x: Tensor, y: Tensor, degree: int, coefficient: float) -> Tensor:
    sums = [((rows @ y.T) / x.shape[1]).add_(coefficient).pow_(degree).sum() for rows in x.split(_BLOCK)]
    return torch.stack(sums).sum()


def _kernel_diagonal(x: Tensor, degree: int, coefficient: float) -> Tensor:
    return (x.square().sum(1) / x.shape[1] + coefficient).pow(degree).sum()
