"""Self-supervised pre-training on patches, labelled or not, and on scenes."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch

from sarcore.data import PatchFolder, patch_cache
from sarcore.data.scene_patches import scene_patches, scenes_in
from sarcore.engine import fit, write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.experiments.generation import hold_out
from sarcore.experiments.patches import Patches, encoded, in_memory, mean_and_deviation
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, fit_facts, start_run
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainContrastive
from sarcore.experiments.validations import contrastive_validation
from sarcore.models import Contrastive
from sarcore.models.reflectivity import domain_and_limits


def pretrain_on(
    patches: Patches,
    config: TrainContrastive,
    run_dir: Path,
    progress: Progress,
    *,
    held_out: Patches | None = None,
    title: str = "contrastive",
) -> dict[str, Any]:
    """Pre-train on ``patches``, whose labels play no part; return `fit_facts`; continues an interrupted run.

    With ``held_out`` the best checkpoint is that of the lowest loss on them. The run folder is then an ``init`` of
    classifiers of the same depth and width. Raises what `sarcore.engine.fit` raises.
    """
    shape = list(encoded(patches, [0]).shape[1:])
    model_config = dataclasses.replace(
        config.model,
        channels=shape[0],
        total_steps=config.fit.steps,
        **domain_and_limits(patches.radiometry),
    )
    torch.manual_seed(config.fit.seed)
    mean, deviation = mean_and_deviation(patches)
    model = Contrastive(model_config, data_mean=mean, data_std=max(deviation, 1e-6))
    progress.stage(title, config.fit.steps)
    meta = {
        "kind": "contrastive",
        "config": model_config.to_dict(),
        "training": settings(config),
        "radiometry": patches.radiometry.to_dict(),
        "shape": shape,
    }
    validation = None if held_out is None else contrastive_validation(held_out)
    run = functools.partial(fit, on_step=progress.step, on_note=progress.note)
    return fit_facts(run(model, patches, config.fit, run_dir, validation=validation, meta=meta))


def train_contrastive(
    config: TrainContrastive, run_dir: Path, progress: Progress, *, resume: bool = True, repeats: Path | None = None
) -> dict[str, Any]:
    """Pre-train on a folder of patches or of scenes, and write ``config.toml`` and ``results.json``.

    ``repeats`` is a run whose data must be unchanged. Raises ``DataError`` for data that cannot be used and
    ``SarcoreError`` for a run folder with something else.
    """
    folder = _patches_of(config)
    split, notes = hold_out(folder, list(range(len(folder))), config.val_fraction)
    start_run(run_dir, config, folder, split, resume=resume, repeats=repeats)
    for note in notes:
        progress.note(note)
    whole = patch_cache(folder, on_note=progress.note)
    train = in_memory(whole.subset(split.train))
    held_out = in_memory(whole.subset(split.val)) if split.val else None
    facts = pretrain_on(train, config, run_dir, progress, held_out=held_out)
    counts = {"train": len(split.train), "val": len(split.val)}
    results = {"kind": "contrastive", "data": str(config.data), "patches": counts, **facts}
    if is_main_process():
        write_json(run_dir / RESULTS_FILE, results)
    return results


def _patches_of(config: TrainContrastive) -> PatchFolder:
    scenes = scenes_in(config.data)
    if not scenes:
        return PatchFolder.open(config.data)
    root = from_main(lambda: scene_patches(scenes, config.size).root)  # the processes share one cache folder
    return PatchFolder.open(root)
