"""Sets of generated patches as folders to train on, which say what they are and where they come from."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarcore import __version__
from sarcore.data.card import CARD_FILE
from sarcore.data.generated import check_empty, write_generated
from sarcore.engine.checkpoint import EMA, WEIGHTS
from sarcore.errors import DataError
from sarcore.experiments.drawing import GenerativeModel, drawn, load_generator
from sarcore.experiments.patches import Filter
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import read_json, weights_text
from sarcore.ops import Radiometry

ALL = "all"  # as a word for the classes
NO_CLASS = "generated"  # of models that learnt several classes without their names


def draw_set(
    model: GenerativeModel,
    meta: Mapping[str, Any],
    counts: Mapping[str, int],
    out: Path,
    progress: Progress,
    *,
    size: int | None = None,
    filter: Filter = "bicubic",
    seed: int = 0,
) -> dict[str, Any]:
    """Draw so many patches of every class of ``counts`` into ``out/<class>`` and return what ``dataset.json`` holds.

    ``meta`` is that of `load_generator`. The set is one to train on: `PatchFolder.open` reads it, as synthetic, with
    its classes and its radiometry; `PatchFolder.arrays` has it in the order in which it was drawn. ``size`` is that of
    the training patches where it is None.

    Raises ``DataError`` when ``out`` is not empty or cannot be written, ``ValueError`` for what `draw_patches` refuses.
    """
    side = int(meta["patch_size"]) if size is None else size
    kind, digest, total = meta["kind"], _digest(meta), sum(counts.values())
    name = next(iter(counts)) if len(counts) == 1 else f"{len(counts)} classes"
    progress.stage(f"generating {name}", total)

    def batches() -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        done = 0
        for class_name, count in counts.items():
            label = class_names(meta).index(class_name) if model.config.classes else None
            for images in drawn(model, count, side, filter, label=label, seed=seed):
                yield class_name, images.numpy()
                done += len(images)
                progress.step(done, {})

    facts = {
        "sarcore": __version__,
        "model": {
            "kind": kind,
            "checkpoint": str(Path(meta["path"]).resolve()),
            "step": meta["step"],
            "running_mean": meta["ema"],
            "sha256": digest,
        },
        "seed": seed,
        "scenario": meta["training"]["scenario"],
        "filter": filter,
        "generated_size": model.config.size,
        "size": side,
        "training": {**meta["training"], **meta["config"]},  # what the data decided over the settings
    }
    provenance = f"{kind} {digest[:12]} seed {seed}"
    write_generated(out, batches(), Radiometry.from_dict(meta["radiometry"]), provenance, facts)
    return read_json(out / CARD_FILE)


def generate_folder(
    run: Path,
    out: Path,
    count: int,
    progress: Progress,
    *,
    classes: Sequence[str] = (),
    size: int | None = None,
    filter: Filter = "bicubic",
    seed: int = 0,
) -> dict[str, Any]:
    """`draw_set` of ``count`` patches in all, by the generator of ``run``, of the classes in equal parts or as asked.

    ``classes`` are names, each with ``=share`` where they should differ (``("water", "settlement=3")``); empty or
    ``("all",)`` means all of them. Raises what `load_generator` and `draw_set` raise, and ``DataError`` for classes
    that the generator does not have. What is returned has the ``seconds`` that it took, too.
    """
    started = time.perf_counter()
    check_empty(out)
    model, meta = load_generator(run)
    counts = parts(count, shares(classes, class_names(meta)))
    for said in [*meta["problems"], f"Weights: {weights_text(meta)}"]:
        progress.note(said)
    if torch.cuda.is_available():
        model.to("cuda")
    card = draw_set(model, meta, counts, out, progress, size=size, filter=filter, seed=seed)
    return {**card, "seconds": time.perf_counter() - started}


def class_names(meta: Mapping[str, Any]) -> list[str]:
    """The classes that patches can be asked for by; one of no name where several were learnt together.

    >>> class_names({"config": {}, "classes": ["forest", "water"]})
    ['generated']
    """
    known = [str(name) for name in meta["classes"]]
    return known if meta["config"].get("classes") or len(known) == 1 else [NO_CLASS]


def shares(asked: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """The share of each class, from words like ``water`` and ``settlement=3``; all alike where nothing is asked.

    >>> shares(["water", "forest=2.5"], ["forest", "water"])
    {'water': 1.0, 'forest': 2.5}

    Raises:
        DataError: no such class.
        ValueError: a class twice, a share that is no number above 0.
    """
    if not asked or (list(asked) == [ALL] and ALL not in classes):
        return dict.fromkeys(classes, 1.0)
    found: dict[str, float] = {}
    for word in asked:
        name, given, number = (word, "", "") if word in classes or "=" not in word else word.rpartition("=")
        if name not in classes:
            known = "was trained without classes" if list(classes) == [NO_CLASS] else f"knows {', '.join(classes)}"
            raise DataError(f"there is no class {name!r}: the generator {known}")
        if name in found:
            raise ValueError(f"class {name} is given twice; give it once, with its share: {name}=2")
        try:
            found[name] = float(number) if given else 1.0
        except ValueError:
            raise ValueError(f"the share of {name} is {number!r}; give a number above 0") from None
        if not 0.0 < found[name] < math.inf:
            raise ValueError(f"the share of {name} is {number}; give a number above 0")
    return found


def parts(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """``count`` patches divided by the shares, the remainder to those that lost most by rounding.

    >>> parts(10, {"forest": 1.0, "water": 2.0})
    {'forest': 3, 'water': 7}

    Raises ValueError where a class would get none.
    """
    exact = {name: count * share / sum(shares.values()) for name, share in shares.items()}
    whole = {name: math.floor(value) for name, value in exact.items()}
    left = sorted(exact, key=lambda name: whole[name] - exact[name])[: count - sum(whole.values())]
    found = {name: number + (name in left) for name, number in whole.items()}
    if empty := [name for name, number in found.items() if number < 1]:
        raise ValueError(
            f"count is {count}, of which {', '.join(empty)} would get none; ask for more, or fewer classes"
        )
    return found


def _digest(meta: Mapping[str, Any]) -> str:
    """SHA-256 of the file of weights that were loaded."""
    return str(meta["sha256"][EMA if meta["ema"] else WEIGHTS])
