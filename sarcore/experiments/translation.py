"""Train a CycleGAN or a Pix2Pix between SAR and optical images, and use what a run has learnt."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sarcore.data import PairedFolder, PairViews
from sarcore.data.split import PARTS
from sarcore.engine import Validation, fit, load_weights, write_json
from sarcore.engine.distributed import is_main_process
from sarcore.engine.validation import run_validation
from sarcore.errors import CheckpointError
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, chosen_weights, fit_facts, start_run, weights_text
from sarcore.experiments.summary import plain
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainCycleGAN, TrainPix2Pix
from sarcore.experiments.translation_pairs import Pairs, open_pairs, part_of, split_pairs, without_partners
from sarcore.experiments.translation_validation import Constant, mean_colours, translation_validation
from sarcore.inference import Translator
from sarcore.models import CycleGAN, CycleGANConfig, Pix2Pix, Pix2PixConfig
from sarcore.models.sar_output import physical_radiometry
from sarcore.models.translation import DIRECTIONS, Direction
from sarcore.ops import Radiometry

TrainTranslation: TypeAlias = TrainCycleGAN | TrainPix2Pix
EPOCHS = 200  # of junyanz' trainings, the second half with a falling rate, and of the document's
SHOWN = 4  # held-out pairs that are shown through time


def train_translation(
    config: TrainTranslation, run_dir: Path, progress: Progress, *, resume: bool = True, repeats: Path | None = None
) -> dict[str, Any]:
    """Train on the pairs of a folder, choose the weights on held-out scenes, and write ``results.json``.

    The results hold the scores of the best weights on the pairs of the parts val and test, and beside them those of
    the mean colour of the training images: what has learnt nothing else. ``repeats`` is a run whose data must be
    unchanged, and whose split is taken. Raises ``DataError`` for data that cannot be used and ``SarcoreError`` for a
    run folder with something else.
    """
    pairs, notes = open_pairs(config)
    split, remarks = split_pairs(pairs, config, repeats)
    parts = {name: part_of(pairs, getattr(split, name)) for name in PARTS if getattr(split, name)}
    items = len(parts["train"])
    physical_radiometry(config.model, pairs.radiometry_a)
    views = views_of(parts["train"], config)  # looks at every image: a run folder is for what can be trained
    before = start_run(run_dir, config, pairs, split, resume=resume, repeats=repeats, items=items)
    if 0 < before < config.fit.steps:
        remarks.append(f"The learning rate falls until step {config.fit.steps} now; up to here it did until {before}.")
    for note in [*notes, *remarks, *_epochs_of(config, items)]:
        progress.note(note)
    task, facts = train_on_pairs(parts["train"], parts.get("val"), config, run_dir, progress, views=views)
    results = {"kind": config.KIND, "data": str(config.data), **facts}
    results["pairs"] = {name: len(part) for name, part in parts.items()}
    if not is_main_process():
        return results
    baseline = Constant(*mean_colours(parts["train"]))
    for name in PARTS[1:]:
        if name in parts:
            rows = {"weights": task, "mean_colour": baseline}
            results[name] = {row: scores_of(model, parts[name], config) for row, model in rows.items()}
    write_json(run_dir / RESULTS_FILE, results)
    return results


def _epochs_of(config: TrainTranslation, items: int) -> list[str]:
    """How many steps the epochs of a preset are with so many images, where others are made."""
    steps = math.ceil(EPOCHS * items / config.fit.batch_size)
    if config.preset == "sarcore" or steps == config.fit.steps:
        return []
    return [
        f"The preset {config.preset} is of {EPOCHS} epochs, which are {steps} steps of {config.fit.batch_size} here "
        f"(--steps {steps}); this training makes {config.fit.steps}."
    ]


def train_on_pairs(
    train: Pairs,
    held_out: Pairs | None,
    config: TrainTranslation,
    run_dir: Path,
    progress: Progress,
    *,
    views: PairViews | None = None,
    title: str = "",
) -> tuple[CycleGAN | Pix2Pix, dict[str, Any]]:
    """Train on random crops of the images; the task with its best weights (else the last), and `fit_facts`.

    ``views`` are what is trained on in their place, e.g. shifted pairs. Continues an interrupted run. Raises
    ``DataError`` where images are smaller than the crop, and what `sarcore.engine.fit` raises.
    """
    model_config = network(config, train.channels)
    torch.manual_seed(config.fit.seed)
    task = new_task(model_config, train.radiometry_a, seed=config.fit.seed)
    task.fix_samples(*shown_pairs(held_out or train, config.crop))
    progress.stage(title or ("CycleGAN" if isinstance(task, CycleGAN) else "Pix2Pix"), config.fit.steps)
    meta = {
        "kind": config.KIND,
        "config": model_config.to_dict(),
        "radiometry_a": train.radiometry_a.to_dict(),
        "radiometry_b": train.radiometry_b.to_dict(),
        "training": settings(config),
        **({"direction": model_config.direction} if isinstance(model_config, Pix2PixConfig) else {}),
    }
    validation = None if held_out is None else validation_of(held_out, config)
    run = functools.partial(fit, on_step=progress.step, on_note=progress.note)
    result = run(task, views or views_of(train, config), config.fit, run_dir, validation=validation, meta=meta)
    task.load_state_dict(load_weights(result.best or result.checkpoint, kind=config.KIND)[1])
    return task, {**fit_facts(result), "last": {name: plain(value) for name, value in result.last_logs.items()}}


def views_of(train: Pairs, config: TrainTranslation) -> PairViews:
    """The random crops to train on, of pairs or, for a CycleGAN, of both sets apart.

    Raises ``DataError`` for images smaller than the crop, and unreadable ones as far as they fit into the memory.
    """
    images = without_partners(train) if isinstance(config, TrainCycleGAN) else train
    return PairViews(images, config.crop, flip=config.flip)


def network(config: TrainTranslation, channels: tuple[int, int]) -> CycleGANConfig | Pix2PixConfig:
    """The settings of the networks for images of so many channels (SAR, optical)."""
    found: dict[str, Any] = {"channels_a": channels[0], "channels_b": channels[1], "total_steps": config.fit.steps}
    if isinstance(config, TrainCycleGAN):
        return dataclasses.replace(config.model, **found, pool_size=config.crop)
    return dataclasses.replace(config.model, **found)


def new_task(config: CycleGANConfig | Pix2PixConfig, radiometry_a: Radiometry, *, seed: int = 0) -> CycleGAN | Pix2Pix:
    """The untrained networks of these settings; ``radiometry_a`` is that of the SAR images, for their speckle."""
    cls = CycleGAN if isinstance(config, CycleGANConfig) else Pix2Pix
    return cls(config, seed=seed, radiometry_a=physical_radiometry(config, radiometry_a))  # type: ignore[arg-type]  # the class of its config


def directions_of(config: TrainTranslation) -> tuple[Direction, ...]:
    """Which translations a training learns: both with a CycleGAN, one with a Pix2Pix."""
    return DIRECTIONS if isinstance(config, TrainCycleGAN) else (config.model.direction,)


def validation_of(pairs: Pairs, config: TrainTranslation) -> Validation:
    """The validation of a training on these held-out images."""
    sizes = set(pairs.sizes) if isinstance(pairs, PairedFolder) else {*pairs.a.sizes, *pairs.b.sizes}
    return translation_validation(
        pairs,
        directions_of(config),
        physical_radiometry(config.model, pairs.radiometry_a),
        paired=isinstance(pairs, PairedFolder),
        one_size=len(sizes) == 1,
    )


@torch.no_grad()
def scores_of(model: torch.nn.Module, pairs: Pairs, config: TrainTranslation) -> dict[str, float | None]:
    """All metrics of the validation of a model or a baseline on these images; None where there is no number."""
    device = next(model.parameters(), torch.empty(0)).device
    found, _ = run_validation(model, validation_of(pairs, config), device=device)
    return {name: plain(value) for name, value in found.items()}


def shown_pairs(pairs: Pairs, crop: int, count: int = SHOWN) -> tuple[Tensor, Tensor]:
    """The middle of a few pairs, spread over the set: (n, Ca, side, side) and (n, Cb, side, side) in [0, 1].

    The side is that of the crops, or of the smallest of these images where that is less.
    """
    count = min(count, len(pairs))
    chosen = [pairs[i * len(pairs) // count] for i in range(count)]
    side = min(crop, *(side for pair in chosen for image in pair for side in image.shape[1:]))
    a, b = (torch.stack([middle(pair[domain], side) for pair in chosen]) for domain in (0, 1))
    return a, b


def middle(image: Tensor, size: int) -> Tensor:
    """The middle (C, size, size) of an image, all of it where it is smaller.

    >>> middle(torch.arange(25.0).view(1, 5, 5), 3)[0, 0].tolist()
    [6.0, 7.0, 8.0]
    """
    top, left = (max(0, side - size) // 2 for side in image.shape[1:])
    return image[:, top : top + size, left : left + size]


def load_translator(run: Path, direction: Direction | None = None) -> Translator:
    """One direction of a run (its best checkpoint), or of a checkpoint folder, ready for images and scenes.

    ``direction`` may be left out for a Pix2Pix, which has one. Raises ``CheckpointError`` for a missing or damaged
    checkpoint, one of another model, and a Pix2Pix of the other direction; ``ValueError`` for a CycleGAN without a
    direction.
    """
    task, meta = load_translation(run)
    has = meta.get("direction")
    if direction is None and has is None:
        raise ValueError(f"{run} is a CycleGAN, which translates both ways; give the direction AtoB or BtoA.")
    direction = direction or has
    if has not in (None, direction):
        made = {"AtoB": "optical images of SAR images", "BtoA": "SAR images of optical images"}[has]
        raise CheckpointError(
            f"{run} is a Pix2Pix {has}, which makes {made}; for {direction} train one with --direction {direction}, "
            "or a CycleGAN, which does both"
        )
    ends = {name: Radiometry.from_dict(meta[f"radiometry_{name}"]) for name in ("a", "b")}
    source, target = (ends["a"], ends["b"]) if direction == "AtoB" else (ends["b"], ends["a"])
    assert direction is not None
    return Translator(
        task.network(direction),
        source,
        target,
        kind=meta["kind"],
        direction=direction,
        weights="; ".join([weights_text(meta), *meta["problems"]]),
        speckle=task.speckle(direction),
    )


def load_translation(run: Path) -> tuple[CycleGAN | Pix2Pix, dict[str, Any]]:
    """Rebuild the networks of a run (its best checkpoint) or checkpoint folder, in evaluation mode, with its meta data.

    Raises ``CheckpointError`` for a missing or damaged checkpoint and for one of another model.
    """
    configs: dict[str, Any] = {"cyclegan": CycleGANConfig, "pix2pix": Pix2PixConfig}
    meta, state = chosen_weights(run, tuple(configs))
    config = configs[meta["kind"]].from_dict(meta["config"])
    task = new_task(config, Radiometry.from_dict(meta["radiometry_a"]))
    task.load_state_dict(state)
    return task.eval(), meta
