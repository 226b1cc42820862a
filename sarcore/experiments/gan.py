"""Train the conditional GAN on patches as a scenario shows them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcore.data import PatchFolder
from sarcore.engine import fit, write_json
from sarcore.engine.distributed import is_main_process
from sarcore.experiments.generation import open_patches, square_side, with_physics
from sarcore.experiments.latent import portray
from sarcore.experiments.patches import (
    Patches,
    ScenarioPatches,
    balanced,
    encoded,
    scenario_size,
)
from sarcore.experiments.pretraining import pretrain_features
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, chosen_weights, fit_facts
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainGan
from sarcore.experiments.validations import gan_validation
from sarcore.models import GAN, GANConfig

_AT_ONCE = 256  # patches that are encoded together
_PRIOR = 4  # patches that the variance within all classes counts as much as
_NORMALISED_BY = 64  # patches by which the features are normalised


def train_gan_on(
    patches: Patches,
    config: TrainGan,
    run_dir: Path,
    progress: Progress,
    *,
    meta: Mapping[str, Any],
    held_out: Patches | None = None,
    title: str = "GAN",
) -> dict[str, Any]:
    """Train a GAN on ``patches`` as the scenario shows them; continues a run that was interrupted.

    ``meta`` goes into the checkpoint next to the settings; it holds ``classes``, which labels are numbers of, and
    ``radiometry``. A label of -1 is of a patch whose class nobody knows. ``held_out`` are real patches to choose the
    best checkpoint by. Returns `fit_facts` and the last scalars. Raises ``ValueError`` for a patch size that no GAN
    has, ``DataError`` where there is no speckle to be estimated, and what `sarcore.engine.fit` raises.
    """
    channels, patch_size = encoded(patches, [0]).shape[1:3]
    model_config = network(config, channels, patch_size, len(meta["classes"]))
    model_config = with_physics(model_config, patches, config.scenario, progress)
    known, weights = features_of(config, patches, run_dir, progress, held_out=held_out)
    model_config = dataclasses.replace(model_config, **known)
    shown = balanced(patches, config.balance) if model_config.classes else patches
    means, deviations = brightness(patches, model_config.classes)
    torch.manual_seed(config.fit.seed)
    model = GAN(
        model_config,
        means=means,
        deviations=deviations,
        class_shares=class_shares(shown, model_config.classes),
        seed=config.fit.seed,
    )
    view = ScenarioPatches(shown, config.scenario)
    model.discriminator.take_features(weights, torch.stack([view[i][0] for i in _spread(len(view))]))
    validation = None if held_out is None else gan_validation(held_out, config.scenario, model_config)
    progress.stage(title, config.fit.steps)
    facts = {"kind": "gan", "config": model_config.to_dict(), "training": settings(config), "patch_size": patch_size}
    run = functools.partial(fit, on_step=progress.step, on_note=progress.note)
    result = run(model, view, config.fit, run_dir, validation=validation, meta={**meta, **facts})
    return {**fit_facts(result), "last": dict(result.last_logs)}


def features_of(
    config: TrainGan, patches: Patches, run_dir: Path, progress: Progress, *, held_out: Patches | None = None
) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """The network whose features the discriminator sees: its settings, and the state of its best weights.

    That of ``config.features``, a run on patches of as many channels; else of a contrastive pre-training on the same
    patches in ``run_dir/features``, which is continued where it was interrupted: no label plays a part in it.

    Raises ``CheckpointError`` for a run that is missing, damaged or of another kind.
    """
    run = config.features
    if run is None:
        run = run_dir / "features"
        chosen = dataclasses.replace(config.fit, steps=config.features_steps)
        pretrain_features(patches, chosen, run, progress, data=config.data, held_out=held_out)
    meta, weights = chosen_weights(run, ("contrastive", "classifier"))
    settings_of = meta["config"]
    return {"features_depth": settings_of["depth"], "features_width": settings_of["width"]}, weights


def network(config: TrainGan, channels: int, patch_size: int, classes: int) -> GANConfig:
    """The settings of the network for patches of that size; ``ValueError`` for a size that no GAN has."""
    told = classes if classes > 1 and config.class_name is None and not config.unconditional else 0
    size = scenario_size(patch_size, config.scenario)
    return dataclasses.replace(config.model, size=size, channels=channels, classes=told)


def class_shares(patches: Patches, classes: int) -> list[float] | None:
    """Share of each class among the labels that are known; None where classes play no part or none is known."""
    known = patches.labels[patches.labels >= 0]
    if not classes or not len(known):
        return None
    return [count / len(known) for count in torch.bincount(known.long(), minlength=classes).tolist()]


def brightness(patches: Patches, classes: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the patch means in [0, 1] of each class; of all patches where there are none.

    The variance of a class known of few patches leans on that within all classes, as if 4 patches more had it. A class
    known of none has the mean of all patches.
    """
    parts = (range(start, min(start + _AT_ONCE, len(patches))) for start in range(0, len(patches), _AT_ONCE))
    means = torch.cat([encoded(patches, part).double().mean(dim=(1, 2, 3)) for part in parts])
    labels = patches.labels.long() if classes else torch.zeros(len(patches), dtype=torch.int64)
    groups = [means[labels == label] for label in range(max(1, classes))]
    squares = [float((group - group.mean()).square().sum()) if len(group) else 0.0 for group in groups]
    free = [max(0, len(group) - 1) for group in groups]
    within = sum(squares) / max(1, sum(free))
    variances = [(square + _PRIOR * within) / (count + _PRIOR) for square, count in zip(squares, free, strict=True)]
    return [float((group if len(group) else means).mean()) for group in groups], [value**0.5 for value in variances]


def train_gan(
    config: TrainGan, run_dir: Path, progress: Progress, *, resume: bool = True, repeats: Path | None = None
) -> dict[str, Any]:
    """Train a GAN on all patches of a folder or of one class of it, and write ``config.toml`` and ``results.json``.

    ``repeats`` is a run whose data must be unchanged. Raises ``DataError`` for data that cannot be used and
    ``SarcoreError`` for a run folder with something else.
    """
    folder = PatchFolder.open(config.data)
    network(config, folder.shape[0], square_side(folder), len(folder.classes))
    patches, held_out, classes = open_patches(config, folder, run_dir, progress, resume=resume, repeats=repeats)
    meta = {"classes": classes, "radiometry": folder.radiometry.to_dict()}
    facts = train_gan_on(patches, config, run_dir, progress, meta=meta, held_out=held_out)
    if is_main_process():
        counts = {"train": len(patches), "val": 0 if held_out is None else len(held_out)}
        results = {"kind": "gan", "data": str(config.data), "classes": classes, **facts, "patches": counts}
        write_json(run_dir / RESULTS_FILE, results)
        portray(run_dir, progress, patches, held_out)
    return facts


def _spread(count: int) -> list[int]:
    return torch.linspace(0, count - 1, min(count, _NORMALISED_BY)).round().long().tolist()
