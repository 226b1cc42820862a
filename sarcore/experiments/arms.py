"""The arms of the studies of classifiers: what they are, and the training that they share.

All arms of a study take the same number of steps of the same size at the same rates, start from the same weights for
the same seed, are normalised by the same real patches and meet the same classes in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from sarcore.engine import FitConfig
from sarcore.engine.distributed import is_main_process
from sarcore.experiments.classification import predict, scores, train_on
from sarcore.experiments.mixture import Mixture
from sarcore.experiments.patches import Patches, PatchTensor, Precision
from sarcore.experiments.progress import Progress
from sarcore.experiments.train_kinds import TrainClassifier
from sarcore.models import ClassifierConfig, check_depth
from sarcore.models.classifier import Augment

ArmResult: TypeAlias = dict[str, Any]
"""JSON of one training: seed, augment, balanced_accuracy, overall_accuracy, macro_f1, recall, confusion, predicted,
items {real, generated: per class}, patches {real, generated: per class}, steps, images_per_second."""


@dataclass(frozen=True)
class Arm:
    """One way to train a classifier."""

    name: str
    augment: Augment
    generated: bool = False
    """Whether generated patches are added."""
    real: bool = True
    """Whether it learns from real patches."""


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("none", "none"),
        Arm("flips", "flips"),
        Arm("speckle", "speckle"),
        Arm("gan", "flips", generated=True),
        Arm("both", "speckle", generated=True),
        Arm("synthetic_only", "flips", generated=True, real=False),
    )
}
"""Speckle comes on top of flips, and generated patches are flipped as the real ones are."""


@dataclass(frozen=True)
class ArmTraining:
    """What all arms of a study have in common."""

    depth: int = 18
    """ResNet layers: 18, 34 or 50."""
    width: int = 64
    """Filters of the first stage; 16 trains about ten times as fast."""
    size: int = 0
    """Side to which patches are reduced by area means before the network; 0 leaves them."""
    steps: int = 2000
    batch_size: int = 32
    lr: float = 1e-3
    """Highest learning rate of the schedule."""
    balance: float = 0.5
    """How far the classes are evened out: 0 as they are, 0.5 by the root of their frequency, 1 all alike."""
    share: float = 0.5
    """Largest share that generated patches take of the items of a class with real ones."""
    speckle_looks: tuple[float, float] = (8.0, 32.0)
    """Looks of the speckle that the arms with speckle multiply."""
    speckle_p: float = 0.5
    """Probability of it, for each patch anew."""
    speckle_oversampling: float = 0.0
    """Width of its gaussian point spread, pixels; 0: white."""
    init: str = "random"
    """"random", a file of ImageNet weights (.safetensors or .pth), or a sarcore run."""
    precision: Precision = "32-true"
    channels_last: bool = False

    def __post_init__(self) -> None:
        check_depth(self.depth)  # before anything is written
        for name, least in (("width", 1), ("size", 0), ("steps", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("balance", "share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        low, high = self.speckle_looks
        if not 0.0 < low <= high:
            raise ValueError(f"speckle_looks must be 0 < low <= high, got {self.speckle_looks}")

    def of(self, augment: Augment, data: Path, seed: int, steps: int) -> TrainClassifier:
        """The settings of one training. The last weights count: nothing is chosen on other patches."""
        model = ClassifierConfig(
            depth=self.depth,
            width=self.width,
            size=self.size,
            lr=self.lr,
            warmup_steps=min(50, steps // 10),
            augment=augment,
            speckle_looks=self.speckle_looks,
            speckle_p=self.speckle_p,
            speckle_oversampling=self.speckle_oversampling,
        )
        fit = FitConfig(
            steps=steps,
            batch_size=self.batch_size,
            seed=seed,
            precision=self.precision,
            channels_last=self.channels_last,
            log_every=min(10, max(1, steps // 50)),
            checkpoint_every=max(25, min(500, steps // 2)),
            keep_last=1,  # a ResNet-50 with its optimizer is 280 MB; a new one is whole before the old one goes
        )
        return TrainClassifier(data, None, self.init, 0.0, 0.0, model, fit)


def train_arm(
    arm: Arm,
    train: Patches,
    generated: PatchTensor | None,
    test: Patches,
    classes: list[str],
    training: ArmTraining,
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    seed: int,
    steps: int | None = None,
    reference: Patches | None = None,
    title: str = "",
) -> ArmResult:
    """Train one classifier in ``folder`` and score it on ``test``; the last weights count.

    ``train`` are the real patches (those with chosen labels), ``generated`` what is added in arms with
    ``arm.generated``, None otherwise. ``data`` is the folder that they are of, for the record. ``steps`` replaces those
    of the settings (`sarcore.experiments.budget`). ``reference`` gives mean and deviation of the normalisation,
    ``train`` without it. Processes other than the main one get an empty result. Continues an interrupted training.

    Raises ``ValueError`` where ``generated`` is missing or not wanted, and what `Mixture` and `train_on` raise.
    """
    if (generated is not None) != arm.generated:
        wanted = "needs generated patches" if arm.generated else "takes no generated patches"
        raise ValueError(f"arm '{arm.name}' {wanted}; {'none' if generated is None else len(generated)} were given")
    config = training.of(arm.augment, data, seed, training.steps if steps is None else steps)
    items = Mixture(
        train,
        generated,
        config.fit.steps * config.fit.batch_size,
        balance=training.balance,
        share=training.share,
        synthetic_only=not arm.real,
        seed=seed,
    )
    normalised_by = train if reference is None else reference
    model, facts = train_on(items, normalised_by, classes, config, folder, progress, title=title or arm.name)
    if not is_main_process():
        return {}
    predicted = predict(model, test)
    made = torch.zeros(0, dtype=torch.int64) if generated is None else generated.labels
    return {
        "seed": seed,
        "augment": arm.augment,
        **facts,
        **scores(test.labels, predicted, len(classes)),
        "predicted": predicted.tolist(),
        "items": items.counts(len(classes)),
        "patches": {
            "real": torch.bincount(train.labels, minlength=len(classes)).tolist() if arm.real else [0] * len(classes),
            "generated": torch.bincount(made, minlength=len(classes)).tolist(),
        },
    }
