"""The generator of a share of the labels: it sees all training patches, and the classes of a few of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sarcore.engine.distributed import from_main
from sarcore.experiments.curve_config import CurveConfig, GeneratorCell
from sarcore.experiments.drawing import draw_patches, load_generator
from sarcore.experiments.gan import train_gan_on
from sarcore.experiments.label_subsets import hidden
from sarcore.experiments.patches import GENERATED, PatchTensor
from sarcore.experiments.pretraining import PRETRAINING
from sarcore.experiments.progress import Progress
from sarcore.experiments.study_data import StudyData
from sarcore.experiments.study_gan import gan_training


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
    training = gan_training(config, features, cell.seed, steps)
    meta = {"classes": data.folder.classes, "radiometry": patches.radiometry.to_dict()}
    facts = train_gan_on(patches, training, folder, progress, meta=meta, title=title)
    return {**facts, "labelled": data.counts(known)}


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
