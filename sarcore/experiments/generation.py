"""Train a BEGAN on patches, draw patches from it, bring them to patch size and keep them as 8-bit images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sarcore.data import PatchFolder, Split, patch_cache, read_image, split_by_scene, write_image
from sarcore.data.split import scene_groups
from sarcore.engine import fit, write_json
from sarcore.engine.distributed import is_main_process
from sarcore.errors import DataError
from sarcore.experiments.patches import (
    Filter,
    Patches,
    ScenarioPatches,
    encoded,
    in_memory,
    mean_and_deviation,
    scenario_size,
    to_uint8,
)
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, chosen_weights, fit_facts, start_run, weights_text
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainBegan
from sarcore.experiments.validations import generator_validation
from sarcore.models import BEGAN, BEGANConfig
from sarcore.ops import resample

DONE = "dataset.json"


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
    settings. Returns `fit_facts` and the last scalars. Raises ``ValueError`` for a patch size that no BEGAN has, and
    what `sarcore.engine.fit` raises.
    """
    channels, patch_size = encoded(patches, [0]).shape[1:3]
    model_config = network(config, channels, patch_size)
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


def square_side(folder: PatchFolder) -> int:
    """Side of the patches in pixels; ``DataError`` where they are not square."""
    height, width = folder.shape[1:]
    if height != width:
        raise DataError(f"{folder.root}: patches are {height}x{width}; a BEGAN needs square patches")
    return height


def load_generator(run: Path) -> tuple[BEGAN, dict[str, Any]]:
    """Rebuild the BEGAN of a run (its best checkpoint) or checkpoint folder, in evaluation mode, with its meta data.

    Raises ``CheckpointError`` for a missing or damaged checkpoint and for one of another model.
    """
    meta, state = chosen_weights(run, "began")
    model = BEGAN(BEGANConfig.from_dict(meta["config"]))
    model.load_state_dict(state)
    return model.eval(), meta


def draw_patches(
    model: BEGAN,
    count: int,
    size: int,
    filter: Filter = "bicubic",
    *,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw ``count`` patches, upsample them to side ``size`` and round to 8 bit: uint8 (count,C,size,size).

    Raises ``ValueError`` when ``size`` is smaller than what the model generates.
    """
    if size < model.config.size:
        raise ValueError(f"the model makes patches of side {model.config.size}; ask for at least that, not {size}")
    source = torch.Generator().manual_seed(seed)
    out = torch.empty(count, model.config.channels, size, size, dtype=torch.uint8)
    for start in range(0, count, 32):
        n = min(32, count - start)
        made = model.generate(model.latent(n, source)).float()
        out[start : start + n] = to_uint8(resample(made, size, mode=filter, range=(0.0, 1.0)))
        if on_batch is not None:
            on_batch(start + n)
    return out


def write_patches(folder: Path, class_name: str, images: Tensor, info: Mapping[str, Any]) -> None:
    """Write uint8 (N,C,H,W) as ``folder/<class>/synthetic_00000.png``, and last of all ``dataset.json``.

    The JSON holds ``info``, the count and ``"synthetic": true``; without it the folder counts as unfinished.
    """
    target = folder / class_name
    target.mkdir(parents=True, exist_ok=True)
    suffix = "png" if images.shape[1] in (1, 3) else "npy"
    for i, image in enumerate(images.numpy()):
        write_image(target / f"synthetic_{i:05d}.{suffix}", image)
    write_json(folder / DONE, {"synthetic": True, "class": class_name, "count": len(images), **info})


def read_patches(folder: Path, class_name: str) -> Tensor:
    """Read what `write_patches` wrote, in order, as uint8 (N,C,H,W); ``DataError`` where there is nothing."""
    files = sorted((folder / class_name).glob("synthetic_*.*"))
    if not files:
        raise DataError(f"{folder / class_name}: no generated patches found; generate them first")
    return torch.from_numpy(np.stack([read_image(file) for file in files]))


def train_began(
    config: TrainBegan, run_dir: Path, progress: Progress, *, resume: bool = True, repeats: Path | None = None
) -> dict[str, Any]:
    """Train a BEGAN on all patches of a folder or of one class of it, and write ``config.toml`` and ``results.json``.

    ``repeats`` is a run whose data must be unchanged. Raises ``DataError`` for data that cannot be used and
    ``SarcoreError`` for a run folder with something else.
    """
    folder = PatchFolder.open(config.data)
    network(config, folder.shape[0], square_side(folder))
    if config.class_name is not None and config.class_name not in folder.classes:
        folder.of_class(config.class_name)  # says which classes there are
    wanted = None if config.class_name is None else folder.classes.index(config.class_name)
    chosen = [i for i, label in enumerate(folder.labels.tolist()) if wanted in (None, label)]
    split, notes = hold_out(folder, chosen, config.val_fraction)
    start_run(run_dir, config, folder, split, resume=resume, repeats=repeats)
    for note in notes:
        progress.note(note)
    whole = patch_cache(folder, on_note=progress.note)
    patches = in_memory(whole.subset(split.train))
    held_out = in_memory(whole.subset(split.val)) if split.val else None
    classes = folder.classes if config.class_name is None else [config.class_name]
    meta = {"classes": classes, "radiometry": folder.radiometry.to_dict()}
    facts = train_generator(patches, config, run_dir, progress, meta=meta, held_out=held_out)
    if is_main_process():
        results = {"kind": "began", "data": str(config.data), "classes": classes, **facts}
        write_json(run_dir / RESULTS_FILE, {**results, "patches": {"train": len(split.train), "val": len(split.val)}})
    return facts


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


def generate_folder(
    run: Path, out: Path, count: int, progress: Progress, *, size: int | None = None, filter: Filter, seed: int
) -> dict[str, Any]:
    """Draw ``count`` patches from the BEGAN of ``run`` into ``out/<class>`` and return what `write_patches` notes.

    ``size`` is that of the training patches where it is None. Raises ``DataError`` when ``out`` is not empty.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not an empty folder; give another folder with --out")
    model, meta = load_generator(run)
    for said in [*meta["problems"], f"Weights: {weights_text(meta)}"]:
        progress.note(said)
    side = meta["patch_size"] if size is None else size
    name = meta["classes"][0] if len(meta["classes"]) == 1 else "generated"
    progress.stage(f"generating {name}", count)
    images = draw_patches(model, count, side, filter, seed=seed, on_batch=lambda done: progress.step(done, {}))
    info = {"filter": filter, "generated_size": model.config.size, "size": side, "seed": seed}
    info["source"] = meta["training"]
    write_patches(out, name, images, info)
    return {"class": name, **info}
