"""Does a generator repeat its training images? Distances to the nearest of them, beside those of unseen real images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sarcore.metrics._neighbours import nearest
from sarcore.metrics.features import FeatureSet, checked_features

_QUANTILE = 0.01


@dataclass(frozen=True)
class MemorisationScores:
    """Distances of generated images to the nearest training image, compared with those of held-out real images."""

    ratio: float
    """Median distance of the generated over that of the held-out: about 1 where nothing is repeated, towards 0."""
    closer_share: float
    """Share of the generated that are closer than the 1 % quantile of the held-out: about 0.01 by chance."""
    p_value: float
    """Of the hypothesis that generated images are no closer than held-out ones (one-sided Mann-Whitney test)."""
    pairs: tuple[tuple[int, int, float], ...]
    """(generated, training, distance) of the closest pairs, closest first: look at them side by side."""


def memorisation(
    train: Tensor | FeatureSet,
    held_out: Tensor | FeatureSet,
    generated: Tensor | FeatureSet,
    *,
    pairs: int = 16,
) -> MemorisationScores:
    """Test whether generated images are closer to training images than real images that were never trained on.

    >>> train, held_out = torch.rand(50, 8), torch.rand(50, 8)
    >>> memorisation(train, held_out, train[:40] + 1e-3).closer_share
    1.0

    A generator that has learnt a distribution is as far from its training images as new real images are. The held-out
    images must be of the same kind: of other scenes and other classes they are farther away by themselves. The p-value
    is the normal approximation with ties and continuity correction, and takes images as independent, which patches
    of one scene are not: read it beside the ratio.

    Args:
        train, held_out, generated: (N, d) each, of one feature space; raw pixels, flattened, find exact copies only.
        pairs: how many closest pairs to return.

    Raises:
        ValueError: fewer than 2 images, NaN or infinite features, different dimensions or feature spaces; at least half
            of the held-out images are copies of training images; pairs < 0.
        TypeError: features are not floating.
    """
    if pairs < 0:
        raise ValueError(f"pairs must be at least 0, got {pairs}")
    known, unseen, made = checked_features(2, train=train, held_out=held_out, generated=generated)
    baseline = nearest(unseen, known)[0].sqrt()
    squared, neighbour = nearest(made, known)
    distance = squared.sqrt()
    usual = _quantile(baseline, 0.5)
    if usual == 0:
        raise ValueError("half of the held_out images are copies of training images; hold out others")
    order = distance.argsort(stable=True)[:pairs].tolist()
    return MemorisationScores(
        ratio=_quantile(distance, 0.5) / usual,
        closer_share=float((distance < _quantile(baseline, _QUANTILE)).double().mean()),
        p_value=_closer(distance, baseline),
        pairs=tuple((i, int(neighbour[i]), float(distance[i])) for i in order),
    )


def _quantile(values: Tensor, share: float) -> float:
    """Linear between order statistics, as NumPy's; torch.quantile refuses more than 2^24 values."""
    ordered = values.sort().values
    place = share * (len(ordered) - 1)
    low, high = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    return low + (high - low) * (place - math.floor(place))


def _closer(first: Tensor, second: Tensor) -> float:
    """One-sided p-value of Mann and Whitney's test that values of `first` are smaller than those of `second`."""
    n, m = len(first), len(second)
    _, place, counts = torch.cat([first, second]).unique(return_inverse=True, return_counts=True)
    counts = counts.double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place]  # ties share their mean rank
    wins = float(ranks[:n].sum()) - n * (n + 1) / 2
    ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - ties)
    if variance <= 0:
        return 1.0  # all distances are equal: nothing speaks for it
    z = (wins - n * m / 2 + 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(-z / math.sqrt(2))
