"""The generators of the augmentation study: trained on training patches alone, and what is drawn from them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sarcore.data import PatchFolder
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import DataError
from sarcore.experiments.augmentation_config import AugmentationConfig, GeneratorCell
from sarcore.experiments.drawing import load_generator
from sarcore.experiments.gan import train_gan_on
from sarcore.experiments.generation import train_generator
from sarcore.experiments.patches import GENERATED, Patches, PatchTensor
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import weights_text
from sarcore.experiments.study_gan import fit_changes, gan_training, model_changes
from sarcore.experiments.synthetic import class_names, draw_set
from sarcore.experiments.train_kinds import TrainBegan
from sarcore.models import BEGANConfig

SYNTHETIC = "synthetic"


def make_generator(
    cell: GeneratorCell,
    config: AugmentationConfig,
    train: Patches,
    trained: Mapping[str, int],
    folder: Path,
    progress: Progress,
    *,
    features: Path,
    steps: int,
    title: str = "generator",
) -> dict[str, Any]:
    """Train the generator of a cell, or take the one that is given, and draw its patches into ``folder/synthetic``.

    ``trained`` are the classes in the order of the labels of ``train``, with their numbers of patches. ``features`` is
    the run of the pre-training that all GANs share.
    """
    began, facts = time.monotonic(), {}
    run = config.generator_run
    if run is None:
        facts = _train(cell, config, train, list(trained), folder, progress, features, steps, title)
        run = folder
    ready = time.monotonic()
    model, meta = load_generator(run)
    counts = dict.fromkeys(
        _classes(cell, [name for name, count in trained.items() if count], class_names(meta), run), config.synthetic
    )
    if torch.cuda.is_available():
        model.to("cuda")
    size = train.native([0])[0].shape[-1]

    def draw() -> dict[str, Any]:
        shutil.rmtree(folder / SYNTHETIC, ignore_errors=True)  # of a cell that was not finished
        return draw_set(
            model, meta, counts, folder / SYNTHETIC, progress, size=size, filter=config.filter, seed=cell.seed
        )

    drawn = from_main(draw)
    if not is_main_process():
        return {}
    progress.note(f"{title}: {sum(counts.values())} patches drawn, weights {weights_text(meta)}")
    return {
        **facts,
        "model": meta["config"],
        "weights": weights_text(meta),
        "drawn": counts,
        "sha256": drawn["model"]["sha256"],
        "seconds_of_training": ready - began,
        "seconds_of_drawing": time.monotonic() - ready,
    }


def _train(
    cell: GeneratorCell,
    config: AugmentationConfig,
    train: Patches,
    classes: list[str],
    folder: Path,
    progress: Progress,
    features: Path,
    steps: int,
    title: str,
) -> dict[str, Any]:
    """Train on what the cell draws: a BEGAN on one class, a GAN on all; the last weights count."""
    meta: dict[str, Any] = {"classes": classes, "radiometry": train.radiometry.to_dict()}
    if cell.class_name is None:
        gan = gan_training(config, features, cell.seed, steps)
        return train_gan_on(train, gan, folder, progress, meta=meta, title=title)
    images, labels = train.arrays()
    mine = labels == classes.index(cell.class_name)
    learnt = PatchTensor(images[mine], labels[mine], train.radiometry)
    began = TrainBegan(config.data, cell.class_name, config.scenario, config.preset, 0.0)
    model = BEGANConfig.preset(config.preset, **model_changes(config))
    began = replace(began, model=model, fit=replace(began.fit, **fit_changes(config, cell.seed, steps)))
    return train_generator(learnt, began, folder, progress, meta={**meta, "classes": [cell.class_name]}, title=title)


def _classes(cell: GeneratorCell, classes: Sequence[str], known: Sequence[str], run: Path) -> list[str]:
    wanted = list(classes) if cell.class_name is None else [cell.class_name]
    if missing := [name for name in wanted if name not in known]:
        raise DataError(f"{run}: draws {', '.join(known)}, but patches of {', '.join(missing)} are needed")
    return wanted


def read_drawn(folders: Sequence[Path], classes: Sequence[str], wanted: Sequence[str]) -> PatchTensor:
    """The patches of the ``wanted`` classes that generators drew, labelled by their place in ``classes``."""
    images, labels = [], []
    for folder in folders:
        drawn = PatchFolder.open(folder / SYNTHETIC)
        pixels, numbers = drawn.arrays()
        for number, name in enumerate(drawn.classes):
            if name in wanted:
                images.append(pixels[numbers == number])
                labels.append(torch.full((len(images[-1]),), classes.index(name)))
    return PatchTensor(torch.cat(images), torch.cat(labels), GENERATED)
