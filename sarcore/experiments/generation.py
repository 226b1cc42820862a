"""Train a BEGAN on patches as a scenario shows them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from sarcore.data import PatchFolder, Split, patch_cache, split_by_scene
from sarcore.data.split import scene_groups
from sarcore.engine import fit, write_json
from sarcore.engine.distributed import is_main_process
from sarcore.errors import DataError
from sarcore.experiments.latent import portray
from sarcore.experiments.patches import (
    Patches,
    Scenario,
    ScenarioPatches,
    encoded,
    in_memory,
    mean_and_deviation,
    scenario_size,
)
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, fit_facts, start_run
from sarcore.experiments.speckle_estimate import with_speckle
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainBegan, TrainGan
from sarcore.experiments.validations import generator_validation
from sarcore.models import BEGAN, BEGANConfig
from sarcore.models.reflectivity import GenerativeConfig

Config = TypeVar("Config", bound=GenerativeConfig)


def train_generator(
    patches: Patches,
    config: TrainBegan,
    run_dir: Path,
    progress: Progress,
    *,
    meta: Mapping[str, Any],
    held_out: Patches | None = None,
    title: str = "BEGAN",
) -> dict[str, Any]:
    """Train a BEGAN on ``patches`` as the scenario shows them; continues a run that was interrupted.

    ``held_out`` are real patches to choose the best checkpoint by. ``meta`` goes into the checkpoint next to the
    settings; its "classes" are those that the labels of the patches name. Returns `fit_facts` and the last scalars.
    Raises ``ValueError`` for a patch size that no BEGAN has, and what `sarcore.engine.fit` raises.
    """
    channels, patch_size = encoded(patches, [0]).shape[1:3]
    classes = len(meta["classes"]) if config.conditional else 0
    model_config = dataclasses.replace(network(config, channels, patch_size), classes=classes)
    model_config = with_physics(model_config, patches, config.scenario, progress)
    torch.manual_seed(config.fit.seed)
    model = BEGAN(model_config, data_mean=mean_and_deviation(patches)[0], seed=config.fit.seed)
    validation = None if held_out is None else generator_validation(held_out, config.scenario, model_config)
    progress.stage(title, config.fit.steps)
    facts = {"kind": "began", "config": model_config.to_dict(), "training": settings(config), "patch_size": patch_size}
    view = ScenarioPatches(patches, config.scenario)
    run = functools.partial(fit, on_step=progress.step, on_note=progress.note)
    result = run(model, view, config.fit, run_dir, validation=validation, meta={**meta, **facts})
    return {**fit_facts(result), "last": dict(result.last_logs)}


def network(config: TrainBegan, channels: int, patch_size: int) -> BEGANConfig:
    """The settings of the network for patches of that size; ``ValueError`` for a size that no BEGAN has."""
    return dataclasses.replace(config.model, size=scenario_size(patch_size, config.scenario), channels=channels)


def with_physics(config: Config, patches: Patches, scenario: Scenario, progress: Progress) -> Config:
    """The settings of a model with what its patches stand for, and the speckle that is not given estimated on them.

    Raises ``DataError`` where no speckle can be told from the patches.
    """
    config = with_speckle(config, patches, scenario)
    if config.speckle != "none":
        progress.note(f"Speckle of {config.looks:.3g} looks, {config.oversampling:.3g} pixels wide.")
    return config


def square_side(folder: PatchFolder) -> int:
    """Side of the patches in pixels; ``DataError`` where they are not square."""
    height, width = folder.shape[1:]
    if height != width:
        raise DataError(f"{folder.root}: patches are {height}x{width}; a generator needs square patches")
    return height


def train_began(
    config: TrainBegan, run_dir: Path, progress: Progress, *, resume: bool = True, repeats: Path | None = None
) -> dict[str, Any]:
    """Train a BEGAN on all patches of a folder or of one class of it, and write ``config.toml`` and ``results.json``.

    ``repeats`` is a run whose data must be unchanged. Raises ``DataError`` for data that cannot be used and
    ``SarcoreError`` for a run folder with something else.
    """
    folder = PatchFolder.open(config.data)
    network(config, folder.shape[0], square_side(folder))
    patches, held_out, classes = open_patches(config, folder, run_dir, progress, resume=resume, repeats=repeats)
    meta = {"classes": classes, "radiometry": folder.radiometry.to_dict()}
    facts = train_generator(patches, config, run_dir, progress, meta=meta, held_out=held_out)
    if is_main_process():
        counts = {"train": len(patches), "val": 0 if held_out is None else len(held_out)}
        results = {"kind": "began", "data": str(config.data), "classes": classes, **facts, "patches": counts}
        write_json(run_dir / RESULTS_FILE, results)
        portray(run_dir, progress, patches, held_out)
    return facts


def open_patches(
    config: TrainBegan | TrainGan,
    folder: PatchFolder,
    run_dir: Path,
    progress: Progress,
    *,
    resume: bool,
    repeats: Path | None,
) -> tuple[Patches, Patches | None, list[str]]:
    """Begin a run: its patches to train on, those held out, and the classes, all of them or the one to learn.

    Raises what `start_run` raises, and ``DataError`` for a class that the folder does not have.
    """
    if config.class_name is not None and config.class_name not in folder.classes:
        folder.of_class(config.class_name)  # says which classes there are
    wanted = None if config.class_name is None else folder.classes.index(config.class_name)
    chosen = [i for i, label in enumerate(folder.labels.tolist()) if wanted in (None, label)]
    split, notes = hold_out(folder, chosen, config.val_fraction)
    start_run(run_dir, config, folder, split, resume=resume, repeats=repeats)
    for note in notes:
        progress.note(note)
    whole = patch_cache(folder, on_note=progress.note)
    held_out = in_memory(whole.subset(split.val)) if split.val else None
    classes = folder.classes if config.class_name is None else [config.class_name]
    return in_memory(whole.subset(split.train)), held_out, classes


def hold_out(folder: PatchFolder, indices: list[int], fraction: float) -> tuple[Split, list[str]]:
    """Part of the patches at ``indices`` for the training, the rest for the validation, and remarks on the split.

    No scene is in both, and every class with two scenes is in both. Where that would take more than a third of the
    patches, and much more than ``fraction``, none is held out.
    """
    everything = Split(indices, [], [], seed=0)
    if not fraction:
        return everything, []
    part, total = folder.subset(indices), len(indices)
    held_out: list[int] = []
    if len(set(scene_groups(part))) > 1:
        divided = split_by_scene(part, (1.0 - fraction, 0.0, fraction), seed=0)
        train, held_out = ([indices[i] for i in numbers] for numbers in (divided.train, divided.test))
    if not held_out or len(held_out) > total * max(1 / 3, 1.5 * fraction):
        few = "The patches are of too few scenes to hold some out"
        return everything, [f"{few}: there is no validation, and the last checkpoint counts."]
    return Split(train, held_out, [], seed=0), [f"{len(held_out)} of {total} patches are held out for the validation."]
