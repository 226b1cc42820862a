"""The generator of a share of the labels: it sees all training patches, and the classes of a few of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sarcore.engine import FitConfig
from sarcore.engine.distributed import from_main
from sarcore.experiments.curve_config import CurveConfig, GeneratorCell
from sarcore.experiments.drawing import draw_patches, load_generator
from sarcore.experiments.gan import train_gan_on
from sarcore.experiments.label_study import StudyData
from sarcore.experiments.label_subsets import hidden
from sarcore.experiments.patches import GENERATED, PatchTensor
from sarcore.experiments.pretraining import PRETRAINING, pretrain_features
from sarcore.experiments.progress import Progress
from sarcore.experiments.train_kinds import TrainGan


def train_for_cell(
    cell: GeneratorCell,
    config: CurveConfig,
    data: StudyData,
    folder: Path,
    progress: Progress,
    *,
    features: Path,
    steps: int,
    title: str,
) -> dict[str, Any]:
    """Train the generator of a share and a seed; its last weights count, as those of the classifiers do.

    ``features`` is the run of the pre-training that all generators share.
    """
    known = data.known(cell.fraction, cell.seed)
    images, labels = data.train.arrays()
    patches = PatchTensor(images, hidden(labels, known), data.train.radiometry)
    changes: dict[str, Any] = {
        "steps": steps,
        "batch_size": config.generator_batch_size,
        "seed": cell.seed,
        "precision": config.classifier.precision,
        "channels_last": config.classifier.channels_last,
        "log_every": min(10, max(1, steps // 100)),
        "sample_every": max(1, steps // 4),
        "checkpoint_every": max(25, min(500, steps // 4)),
        "keep_last": 1,
    }
    training = TrainGan(data.folder.root, scenario=config.scenario, features=features, val_fraction=0.0)
    model = replace(training.model, width=config.generator_width, speckle=config.generator_speckle)
    training = replace(training, model=model, fit=replace(training.fit, **changes))
    meta = {"classes": data.folder.classes, "radiometry": patches.radiometry.to_dict()}
    facts = train_gan_on(patches, training, folder, progress, meta=meta, title=title)
    return {**facts, "labelled": data.counts(known)}


def pretrain_for_generators(
    config: CurveConfig, data: StudyData, folder: Path, progress: Progress, *, steps: int, title: str
) -> dict[str, Any]:
    """Learn the features of all generators from the training patches; their labels play no part."""
    classifier = config.classifier
    fit = FitConfig(steps, precision=classifier.precision, channels_last=classifier.channels_last)
    root, width = data.folder.root, config.pretraining_width
    return pretrain_features(data.train, fit, folder, progress, data=root, width=width, title=title)


def pretraining_trial(config: CurveConfig, data: StudyData, progress: Progress) -> Callable[[int, Path], float]:
    """What `sarcore.experiments.budget.plan_steps` measures of the pre-training: its seconds per step."""

    def run(steps: int, folder: Path) -> float:
        found = pretrain_for_generators(config, data, folder, progress, steps=steps, title="measuring a pre-training")
        return from_main(lambda: float(found["batch_size"]) / float(found["images_per_second"]))

    return run


def generator_trial(config: CurveConfig, data: StudyData, progress: Progress) -> Callable[[int, Path], float]:
    """What `sarcore.experiments.budget.plan_steps` measures of a generator: its seconds per step."""

    def run(steps: int, folder: Path) -> float:
        cell, title = GeneratorCell(100.0, 0), "measuring a generator"
        features = folder.with_name(PRETRAINING)  # measured just before
        found = train_for_cell(cell, config, data, folder, progress, features=features, steps=steps, title=title)
        draw_for_cell(folder, config, data, progress, seed=0, title=title)
        return from_main(lambda: config.generator_batch_size / float(found["images_per_second"]))

    return run


def draw_for_cell(
    run: Path, config: CurveConfig, data: StudyData, progress: Progress, *, seed: int, title: str
) -> PatchTensor:
    """As many patches of every class as the settings say, 8 bit; the same ones in every process and every time."""
    classes, count, size = len(data.folder.classes), config.synthetic, data.folder.shape[-1]
    progress.stage(title, count * classes)
    model = load_generator(run)[0]
    if torch.cuda.is_available():
        model.to("cuda")
    images = []
    for label in range(classes):
        images.append(draw_patches(model, count, size, config.filter, label=label, seed=seed))
        progress.step((label + 1) * count, {})
    return PatchTensor(torch.cat(images), torch.arange(classes).repeat_interleave(count), GENERATED)
