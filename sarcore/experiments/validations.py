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
from sarcore.models import BEGAN, BEGANConfig


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


class Convergence(Metric):
    """BEGAN's measure of convergence over all patches, M = L(x) + |gamma L(x) - L(G(z))|; lower is better.

    Source: Berthelot, Schumm and Metz, arXiv 1703.10717, section 3.4.1.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.set_dtype(torch.float64)
        self.gamma = gamma
        # L(x) and L(G(z)) times the patches, and the patches
        self.add_state("sums", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, loss_real: Tensor, loss_fake: Tensor, count: int) -> None:
        """Add the mean losses of ``count`` patches."""
        losses = torch.stack((loss_real, loss_fake)).double() * count
        self.sums += torch.cat((losses, losses.new_tensor([count]))).to(self.sums)

    def compute(self) -> Tensor:
        """M, of the mean losses."""
        real, fake = (self.sums[:2] / self.sums[2]).unbind()
        return real + (self.gamma * real - fake).abs()


def generator_validation(held_out: Patches, scenario: Scenario, config: BEGANConfig) -> Validation:
    """As many generated patches as held-out ones, set against set; the lowest M is the best.

    ``M`` is the measure that BEGAN's authors follow, on held-out patches. Beside it: ``emd``, the earth mover's
    distance of the grey values, ``spectrum``, the distance of the radial power spectra in decibels, ``diversity``,
    that of the generated patches by that of the real ones. None of these three tells which weights are good: noise of
    an untrained network is nearer to the grey values of speckle than what it draws for a long time afterwards.
    """
    metrics: dict[str, Metric] = {
        "M": Convergence(config.gamma),
        "emd": HistogramEMD(),
        "spectrum": SpectralDistance(),
        "diversity": DiversityRatio(),
    }
    return Validation(HeldOut(held_out, scenario, config.latent), metrics, _generate, "M", "min")


def _generate(model: nn.Module, batch: Any, metrics: Mapping[str, Metric]) -> None:
    real, latents = batch
    began = cast(BEGAN, model)
    losses = began.reconstruction_loss(real), began.reconstruction_loss(began.generator(latents))
    metrics["M"].update(*losses, count=real.shape[0])
    generated = began.generate(latents).float()
    for name in ("emd", "spectrum", "diversity"):
        metrics[name].update(real, real=True)
        metrics[name].update(generated, real=False)
