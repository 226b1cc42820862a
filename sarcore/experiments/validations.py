"""What a training is judged by while it runs: a classifier by held-out labels, a generator by held-out patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics import Metric

from sarcore.engine import Validation
from sarcore.experiments.patches import Patches, Scenario, ScenarioPatches
from sarcore.metrics import (
    BalancedAccuracy,
    CalibrationError,
    ConfusionMatrix,
    DiversityRatio,
    HistogramEMD,
    MacroF1,
    OverallAccuracy,
    PerClassRecall,
    SpectralDistance,
)
from sarcore.models import BEGAN


def classifier_validation(held_out: Patches, classes: int) -> Validation:
    """Accuracies, calibration, confusion and recalls; the best checkpoint is that of the highest balanced accuracy."""
    metrics: dict[str, Metric] = {
        "balanced_accuracy": BalancedAccuracy(classes),
        "overall_accuracy": OverallAccuracy(classes),
        "macro_f1": MacroF1(classes),
        "calibration_error": CalibrationError(classes),
        "recall": PerClassRecall(classes),
        "confusion": ConfusionMatrix(classes),
    }
    return Validation(held_out, metrics, _classify, "balanced_accuracy", "max")


def _classify(model: nn.Module, batch: Any, metrics: Mapping[str, Metric]) -> None:
    images, labels = batch
    logits = model(images).float()
    for metric in metrics.values():
        metric.update(logits, labels)


class HeldOut(Dataset[tuple[Tensor, Tensor]]):
    """Real patches as the scenario shows them, each with a latent vector: the same ones in every validation.

    They are in an order drawn once, because diversity is that of the patches of a batch.
    """

    def __init__(self, patches: Patches, scenario: Scenario, latent: int) -> None:
        source = torch.Generator().manual_seed(0)
        self._patches = ScenarioPatches(patches, scenario)
        self._order = torch.randperm(len(patches), generator=source).tolist()
        self._latents = 2.0 * torch.rand(len(patches), latent, generator=source) - 1.0

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._patches[self._order[index]][0], self._latents[index]


def generator_validation(held_out: Patches, scenario: Scenario, latent: int) -> Validation:
    """As many generated patches as held-out ones, set against set; the lowest distance of the histograms is the best.

    ``emd`` is the earth mover's distance of the grey values, ``spectrum`` the distance of the radial power spectra in
    decibels, ``diversity`` that of the generated patches by that of the real ones.
    """
    metrics: dict[str, Metric] = {
        "emd": HistogramEMD(),
        "spectrum": SpectralDistance(),
        "diversity": DiversityRatio(),
    }
    return Validation(HeldOut(held_out, scenario, latent), metrics, _generate, "emd", "min")


def _generate(model: nn.Module, batch: Any, metrics: Mapping[str, Metric]) -> None:
    real, latents = batch
    generated = cast(BEGAN, model).generate(latents).float()
    for metric in metrics.values():
        metric.update(real, real=True)
        metric.update(generated, real=False)
