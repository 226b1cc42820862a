"""Fidelity and diversity apart: precision, recall, density and coverage of generated images in a feature space."""

from __future__ import annotations

import torch
from torch import Tensor

from sarcore.metrics._neighbours import kth_neighbour, squared_distances
from sarcore.metrics.features import FeatureSet, checked_features

_BLOCK = 1024
_TIE = 1e-9  # relative: squared distances this close are equal, which matters for copies alone


def precision_recall(
    real: Tensor | FeatureSet, generated: Tensor | FeatureSet, *, neighbours: int = 3
) -> tuple[float, float]:
    """Share of generated images that look real, and share of real images that could have been generated.

    >>> x = torch.rand(20, 4)
    >>> precision_recall(x, x), precision_recall(x, x + 100.0)
    ((1.0, 1.0), (0.0, 0.0))

    Precision is the share of generated features inside the union of the balls about the real ones, whose radii are
    the distances to their `neighbours`-th nearest real one; recall is the same with the roles exchanged. One real
    outlier with a huge ball raises precision: see `density_coverage`. Both depend on the number of images; compare
    equal numbers.

    Raises:
        ValueError: not more images than neighbours, neighbours < 1, NaN or infinite features, different dimensions or
            feature spaces.
        TypeError: features are not floating.

    Source: Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, arXiv 1904.06991.
    """
    first, second = _checked(real, generated, neighbours)
    return _share_inside(second, first, neighbours), _share_inside(first, second, neighbours)


def density_coverage(
    real: Tensor | FeatureSet, generated: Tensor | FeatureSet, *, neighbours: int = 5
) -> tuple[float, float]:
    """How densely generated images sit where real ones are, and the share of real images with a generated one near.

    >>> x = torch.rand(20, 4)
    >>> density_coverage(x, x), density_coverage(x, x + 100.0)
    ((1.0, 1.0), (0.0, 0.0))

        density  = 1 / (k M) sum_i sum_j [|y_i - x_j| < r_j]
        coverage = 1 / N sum_j [min_i |y_i - x_j| < r_j],      r_j: distance of x_j to its k-th nearest real one

    Density is about 1 for equal distributions and may exceed 1 where generated images crowd in the middle; coverage
    of equal distributions and equal numbers is about 1 - 2^-k. All balls are about real images, so that no generated
    outlier counts.

    Raises:
        ValueError: not more images than neighbours, neighbours < 1, NaN or infinite features, different dimensions or
            feature spaces.
        TypeError: features are not floating.

    Source: Naeem et al., Reliable fidelity and diversity metrics for generative models, arXiv 2002.09797.
    """
    first, second = _checked(real, generated, neighbours)
    radii = kth_neighbour(first, neighbours) * (1 - _TIE)
    inside, covered = 0, torch.zeros(len(first), dtype=torch.bool, device=first.device)
    for rows in second.split(_BLOCK):
        hits = squared_distances(rows, first) < radii
        inside += int(hits.sum())
        covered |= hits.any(0)
    return inside / (neighbours * len(second)), float(covered.double().mean())


def _checked(real: Tensor | FeatureSet, generated: Tensor | FeatureSet, neighbours: int) -> list[Tensor]:
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    return checked_features(neighbours + 1, real=real, generated=generated)


def _share_inside(points: Tensor, centres: Tensor, neighbours: int) -> float:
    radii = kth_neighbour(centres, neighbours) * (1 + _TIE)
    inside = [(squared_distances(rows, centres) <= radii).any(1) for rows in points.split(_BLOCK)]
    return float(torch.cat(inside).double().mean())
