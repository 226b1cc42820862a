"""Translations of test pairs against their partners, image by image, and set against set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcore.data import PairedFolder
from sarcore.errors import DataError
from sarcore.experiments.features import classifier_features
from sarcore.experiments.summary import plain
from sarcore.experiments.translation_validation import EncodedENLError, Translating
from sarcore.metrics import (
    HistogramEMD,
    SARFeatures,
    SpectralDistance,
    kernel_distance,
    mean_absolute_error,
    psnr,
    ssim,
)
from sarcore.models.translation import Direction
from sarcore.ops import Radiometry

PER_IMAGE = {"mae": mean_absolute_error, "psnr": psnr, "ssim": ssim}
HIGHER_IS_BETTER = ("psnr", "ssim")


@dataclass(frozen=True)
class Judged:
    """What is known of the translations of a set of pairs."""

    scores: dict[str, float | None]
    """Means over the images, and distances of the sets; None where there is no number."""
    images: dict[str, list[float]]
    """Of every image."""
    made: list[Tensor] = field(default_factory=list)
    """The translations (C, H, W) in [0, 1]."""


@dataclass(frozen=True)
class FeatureSpace:
    """The feature space of a classifier, and the side of the patches that it takes."""

    features: SARFeatures
    side: int

    @classmethod
    def open(cls, run: Path, pairs: PairedFolder) -> FeatureSpace:
        """That of a classifier run; ``DataError`` where it was trained on other radar images."""
        features, meta = classifier_features(run)
        known, given = Radiometry.from_dict(meta["radiometry"]), pairs.radiometry_a
        if meta["shape"][0] != pairs.channels[0] or known.to_dict() != given.to_dict():
            raise DataError(
                f"{run} was trained on images of {meta['shape'][0]} channels and {known}, and {pairs.root} has SAR "
                f"images of {pairs.channels[0]} channels and {given}: features of both cannot be compared"
            )
        if min(min(size) for size in pairs.sizes) < meta["shape"][-1]:
            raise DataError(f"{pairs.root} has SAR images smaller than the {meta['shape'][-1]} pixels of {run}")
        return cls(features, int(meta["shape"][-1]))

    def distance(self, real: Sequence[Tensor], made: Sequence[Tensor]) -> float:
        """SAR-KID of images (C, H, W), each cut into patches side by side."""
        sets = [self.features.embed(self._patches(images)) for images in (real, made)]
        return kernel_distance(*sets)

    def _patches(self, images: Sequence[Tensor]) -> Iterator[Tensor]:
        for image in images:
            rows = image.unfold(1, self.side, self.side).unfold(2, self.side, self.side)
            yield rows.permute(1, 2, 0, 3, 4).flatten(0, 1)


@torch.no_grad()
def judge(model: Translating, pairs: PairedFolder, direction: Direction, space: FeatureSpace | None = None) -> Judged:
    """Translate all whole images of a direction and compare them with their partners.

    Images: ``mae``, ``psnr``, ``ssim``. Sets: ``spectrum``, ``emd``; of SAR images also ``enl_error``, and in the
    feature ``space`` of a classifier ``sar_kid``.
    """
    sets: dict[str, Any] = {"spectrum": SpectralDistance(), "emd": HistogramEMD()}
    if direction == "BtoA":
        sets["enl_error"] = EncodedENLError(pairs.radiometry_a)
    images: dict[str, list[float]] = {name: [] for name in PER_IMAGE}
    made: list[Tensor] = []
    targets: list[Tensor] = []
    for i in range(len(pairs)):
        source, target = pairs[i] if direction == "AtoB" else pairs[i][::-1]
        found = model.translate(source[None], direction, index=torch.tensor([i])).float().cpu()
        for name, function in PER_IMAGE.items():
            images[name].append(float(function(found, target[None])))
        for metric in sets.values():
            metric.update(target[None], real=True)
            metric.update(found, real=False)
        made.append(found[0])
        targets.append(target)
    scores = {name: sum(values) / len(values) for name, values in images.items()}
    scores |= {name: float(metric.compute()) for name, metric in sets.items()}
    if direction == "BtoA" and space is not None:
        scores["sar_kid"] = space.distance(targets, made)
    return Judged({name: plain(value) for name, value in scores.items()}, images, made)
