"""One set of images against another, by every measure of distributions: features, grey values, spectra, looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sarcore.metrics import (
    AutocorrelationDistance,
    ENLError,
    HistogramEMD,
    SpectralDistance,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from sarcore.models import ClassifierConfig

LEAST = 6  # images on each side: density and coverage ask for five neighbours
BETTER = {
    "fid": "lower",
    "kid": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "histogram_emd": "lower",
    "spectrum_db": "lower",
    "autocorrelation": "lower",
    "enl_error": "lower",
}
"""Every score, and which way is better."""


@dataclass(frozen=True)
class ImageSet:
    """Images in [0, 1] in batches (n, C, H, W), read once, and their features (N, d) in the same order."""

    features: Tensor
    batches: Iterable[Tensor]


def score_sets(real: ImageSet, generated: ImageSet, config: ClassifierConfig) -> dict[str, float]:
    """Every score of `BETTER`, NaN where one does not exist; ``config`` says what 0 and 1 of the images stand for.

    >>> import torch
    >>> sets = [ImageSet(torch.rand(8, 4), [torch.rand(8, 1, 32, 32)]) for _ in range(2)]
    >>> list(score_sets(*sets, ClassifierConfig())) == list(BETTER)
    True

    Scores of sets depend on how many images there are: compare those of equally many. Raises what the measures raise.
    """
    found = feature_scores(real.features, generated.features)
    return found | pixel_scores(real.batches, generated.batches, config)


def feature_scores(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Every measure of two sets of features (N, d), (M, d).

    >>> import torch
    >>> sorted(feature_scores(torch.rand(9, 4), torch.rand(9, 4)))
    ['coverage', 'density', 'fid', 'kid', 'precision', 'recall']

    The features of a classifier have no natural size, and where they are large the cubic kernel of KID is ruled by
    single images. So they are counted in the root mean square of the real ones: x y / d is of the order of its
    constant 1, and FID and KID of networks that differ by a factor alone are the same.
    """
    unit = real.double().square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)
    real, generated = real.double() / unit, generated.double() / unit
    scores = {"fid": frechet_distance(real, generated), "kid": kernel_distance(real, generated)}
    scores["precision"], scores["recall"] = precision_recall(real, generated)
    scores["density"], scores["coverage"] = density_coverage(real, generated)
    return scores


def pixel_scores(real: Iterable[Tensor], generated: Iterable[Tensor], config: ClassifierConfig) -> dict[str, float]:
    """Grey values, spectra, neighbours and looks of two sets of batches (N, C, H, W) in [0, 1]; NaN where unknown.

    Looks are those of the values that the patches stand for, which the settings of the classifier say.
    """
    looks = ENLError(domain=config.domain)
    metrics = {
        "histogram_emd": HistogramEMD(),
        "spectrum_db": SpectralDistance(),
        "autocorrelation": AutocorrelationDistance(),
    }
    low, high = config.limits
    for batches, is_real in ((real, True), (generated, False)):
        for images in batches:
            for metric in metrics.values():
                metric.update(images, real=is_real)
            looks.update(images * (high - low) + low, real=is_real)
    return {name: float(metric.compute()) for name, metric in (metrics | {"enl_error": looks}).items()}
