"""The GANs of the studies of classifiers: one pre-training of features for all, and the settings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from sarcore.data import PatchFolder
from sarcore.engine import FitConfig
from sarcore.engine.distributed import from_main
from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.gan import network
from sarcore.experiments.generation import square_side
from sarcore.experiments.patches import Scenario
from sarcore.experiments.pretraining import pretrain_features
from sarcore.experiments.progress import Progress
from sarcore.experiments.study_data import StudyData
from sarcore.experiments.train_kinds import TrainGan
from sarcore.models.reflectivity import SpeckleMode


class GeneratorSettings(Protocol):
    """What the settings of the studies say of their generators."""

    @property
    def data(self) -> Path:
        """Folder with one sub-folder of patches per class."""

    @property
    def scenario(self) -> Scenario:
        """What the generators see of patches."""

    @property
    def classifier(self) -> ArmTraining:
        """Whose arithmetic the generators have, too."""

    @property
    def generator_width(self) -> int:
        """Unit of the filters."""

    @property
    def generator_batch_size(self) -> int:
        """Patches per step."""

    @property
    def generator_speckle(self) -> SpeckleMode | None:
        """None: as that kind of generator has it."""

    @property
    def pretraining_width(self) -> int:
        """Filters of the first stage of the network whose features discriminators see."""


def pretrain_for_gans(
    config: GeneratorSettings, data: StudyData, folder: Path, progress: Progress, *, steps: int, title: str
) -> dict[str, Any]:
    """Learn the features of all discriminators from the training patches; their labels play no part."""
    classifier, root = config.classifier, data.folder.root
    fit = FitConfig(steps, precision=classifier.precision, channels_last=classifier.channels_last)
    return pretrain_features(data.train, fit, folder, progress, data=root, width=config.pretraining_width, title=title)


def pretraining_trial(config: GeneratorSettings, data: StudyData, progress: Progress) -> Callable[[int, Path], float]:
    """What `sarcore.experiments.budget.plan_steps` measures of the pre-training: its seconds per step."""

    def run(steps: int, folder: Path) -> float:
        found = pretrain_for_gans(config, data, folder, progress, steps=steps, title="measuring a pre-training")
        return from_main(lambda: float(found["batch_size"]) / float(found["images_per_second"]))

    return run


def fit_changes(config: GeneratorSettings, seed: int, steps: int) -> dict[str, Any]:
    """How generators of a study are trained, over the defaults of their kind; the last weights count."""
    return {
        "steps": steps,
        "batch_size": config.generator_batch_size,
        "seed": seed,
        "precision": config.classifier.precision,
        "channels_last": config.classifier.channels_last,
        "log_every": min(10, max(1, steps // 100)),
        "sample_every": max(1, steps // 4),
        "checkpoint_every": max(25, min(500, steps // 4)),
        "keep_last": 1,
    }


def model_changes(config: GeneratorSettings) -> dict[str, Any]:
    """What the study says of the networks of its generators."""
    speckle = {} if config.generator_speckle is None else {"speckle": config.generator_speckle}
    return {"width": config.generator_width, **speckle}


def gan_training(config: GeneratorSettings, features: Path, seed: int, steps: int) -> TrainGan:
    """The settings of one GAN on all classes; ``features`` is the run of the pre-training that all share."""
    gan = TrainGan(config.data, scenario=config.scenario, features=features, val_fraction=0.0)
    model = replace(gan.model, **model_changes(config))
    return replace(gan, model=model, fit=replace(gan.fit, **fit_changes(config, seed, steps)))


def check_patches(config: GeneratorSettings, folder: PatchFolder) -> None:
    """Find before any training that no GAN can take the patches: ``DataError`` or ``ValueError`` with the reason."""
    network(gan_training(config, Path(), 0, 1), folder.shape[0], square_side(folder), len(folder.classes))
