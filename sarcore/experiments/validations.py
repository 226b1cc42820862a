"""What a training is judged by while it runs: a classifier by held-out labels, a generator by held-out patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics import MeanMetric, Metric

from sarcore.engine import Validation
from sarcore.experiments.patches import Patches, Scenario, ScenarioPatches
from sarcore.experiments.texture import texture_features
from sarcore.metrics import (
    BalancedAccuracy,
    CalibrationError,
    ConfusionMatrix,
    DiversityRatio,
    HistogramEMD,
    KernelDistance,
    MacroF1,
    OverallAccuracy,
    PerClassRecall,
    SpectralDistance,
)
from sarcore.models import BEGAN, GAN, BEGANConfig, Contrastive, GANConfig


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


class HeldOut(Dataset[tuple[Tensor, Tensor, int, int]]):
    """Real patches as the scenario shows them, each with a latent vector, its label and its number, always the same.

    They are in an order drawn once, because diversity is that of the patches of a batch. ``latent`` draws n vectors
    from a generator.
    """

    def __init__(self, patches: Patches, scenario: Scenario, latent: Callable[[int, torch.Generator], Tensor]) -> None:
        source = torch.Generator().manual_seed(0)
        self._patches = ScenarioPatches(patches, scenario)
        self._order = torch.randperm(len(patches), generator=source).tolist()
        self._latents = latent(len(patches), source)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int, int]:
        image, label = self._patches[self._order[index]]
        return image, self._latents[index], label, index


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


def contrastive_validation(held_out: Patches) -> Validation:
    """NT-Xent loss of two fixed views of each held-out patch, the lowest the best, and the share of partners found."""
    metrics: dict[str, Metric] = {"loss": MeanMetric(), "top1": MeanMetric()}
    return Validation(held_out, metrics, _compare_views, "loss", "min")


def _compare_views(model: nn.Module, batch: Any, metrics: Mapping[str, Metric]) -> None:
    images = batch[0]
    numbers = torch.arange(2 * len(images), device=images.device).reshape(2, -1).T
    for metric, value in zip(metrics.values(), cast(Contrastive, model).compare(images, numbers), strict=True):
        metric.update(value, len(images))


def generator_validation(held_out: Patches, scenario: Scenario, config: BEGANConfig) -> Validation:
    """As many generated patches as held-out ones, set against set; the lowest M is the best.

    ``M`` is the measure that BEGAN's authors follow, on held-out patches. Beside it: ``emd``, the earth mover's
    distance of the grey values, ``spectrum``, the distance of the radial power spectra in decibels, ``diversity``,
    that of the generated patches by that of the real ones. None of these three tells which weights are good: noise of
    an untrained network is nearer to the grey values of speckle than what it draws for a long time afterwards.
    """
    metrics = {"M": Convergence(config.gamma), **_set_metrics()}
    patches = HeldOut(held_out, scenario, lambda n, source: 2.0 * torch.rand(n, config.latent, generator=source) - 1.0)
    return Validation(patches, metrics, _generate_began, "M", "min")


def _set_metrics() -> dict[str, Metric]:
    return {"emd": HistogramEMD(), "spectrum": SpectralDistance(), "diversity": DiversityRatio()}


def _generate_began(model: nn.Module, batch: Any, metrics: Mapping[str, Metric]) -> None:
    real, latents, labels, numbers = batch
    began = cast(BEGAN, model)
    told = labels if began.config.classes else None
    painted = began.paint(latents, told, index=numbers)
    losses = began.reconstruction_loss(real, told), began.reconstruction_loss(painted, told)
    metrics["M"].update(*losses, count=real.shape[0])
    _count(real, painted.clamp(0.0, 1.0).float(), [metrics[name] for name in _set_metrics()])


def gan_validation(held_out: Patches, scenario: Scenario, config: GANConfig) -> Validation:
    """As many generated patches as held-out ones, of their classes, set against set; the lowest texture is the best.

    ``texture`` is the kernel distance of `sarcore.experiments.texture`, features of brightness and texture at five
    scales that need no training. Beside it ``emd``, ``spectrum`` and ``diversity``, as for BEGAN.
    """
    metrics: dict[str, Metric] = {"texture": KernelDistance(texture_features(held_out, scenario)), **_set_metrics()}
    patches = HeldOut(held_out, scenario, lambda n, source: torch.randn(n, config.latent, generator=source))
    return Validation(patches, metrics, _generate_gan, "texture", "min")


def _generate_gan(model: nn.Module, batch: Any, metrics: Mapping[str, Metric]) -> None:
    real, latents, labels, numbers = batch
    gan = cast(GAN, model)
    generated = gan.generate(latents, labels if gan.config.classes else None, index=numbers).float()
    _count(real, generated, list(metrics.values()))


def _count(real: Tensor, generated: Tensor, metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        metric.update(real, real=True)
        metric.update(generated, real=False)
