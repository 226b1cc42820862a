"""The images of a translation: which are there, with partners or without, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sarcore.data import PairedFolder, Split, UnpairedFolder
from sarcore.data.pair_layout import list_pairs
from sarcore.data.split import PARTS
from sarcore.errors import DataError
from sarcore.experiments.runs import check_same_data
from sarcore.experiments.train_kinds import TrainCycleGAN, TrainPix2Pix

Pairs = PairedFolder | UnpairedFolder


def open_pairs(config: TrainCycleGAN | TrainPix2Pix) -> tuple[Pairs, list[str]]:
    """The images of a training, and remarks on them: pairs, or for a CycleGAN alone two sets.

    Raises ``DataError`` for a folder that cannot be used, and for a Pix2Pix where an image has no partner.
    """
    try:
        pairs: Pairs = PairedFolder.open(config.data, manifest=config.manifest)
    except DataError:
        if not isinstance(config, TrainCycleGAN):
            raise
        pairs = UnpairedFolder.open(config.data, manifest=config.manifest)
        return pairs, [*pairs.notes, "Not every image has its partner: translations are judged as a set only."]
    return pairs, pairs.notes


def split_pairs(
    pairs: Pairs, config: TrainCycleGAN | TrainPix2Pix, repeats: Path | None = None
) -> tuple[Split, list[str]]:
    """The numbers (see `count`) for the training, the choice of the weights and the test, and remarks on them.

    The parts are those of the run that it ``repeats``, or that the folder names. Where it names no part val,
    ``config.val_fraction`` of the training's images are held out, whole scenes. Raises ``DataError`` where nothing is
    left to train on.
    """
    if repeats is not None:
        check_same_data(repeats, pairs)
        return Split.load(repeats / "split.json"), []
    parts = _parts(pairs, config)
    found = {name: [i for i, part in enumerate(parts) if (part or "train") == name] for name in PARTS}
    remarks = []
    if not found["val"] and config.val_fraction:
        scenes = _scenes(pairs)
        held = held_out_scenes([scenes[i] for i in found["train"]], config.val_fraction)
        found["val"] = [i for i in found["train"] if scenes[i] in held]
        found["train"] = [i for i in found["train"] if scenes[i] not in held]
        if not held:
            few = "The images are of too few scenes to hold some out"
            cut = " `sarcore pairs --val-strip` cuts images for it."
            remarks.append(f"{few}: there is no validation, and the last checkpoint counts.{cut}")
    for name in PARTS:
        counts = [len(side) for side in sides(pairs, found[name])]
        if name == "train" and not min(counts):
            raise DataError(f"{config.data}: no images of both domains are left to train on; lower --val-fraction")
        if not min(counts):
            found[name] = []
    split = Split(found["train"], found["val"], found["test"], seed=0)
    return split, [*remarks, _counted(pairs, split)]


def count(pairs: Pairs) -> int:
    """How many numbers a split has: those of the pairs; without partners those of the images, A first, then B."""
    return len(pairs) if isinstance(pairs, PairedFolder) else len(pairs.a) + len(pairs.b)


def sides(pairs: Pairs, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """The images of A and of B that these numbers stand for."""
    if isinstance(pairs, PairedFolder):
        return list(numbers), list(numbers)
    first = len(pairs.a)
    return [i for i in numbers if i < first], [i - first for i in numbers if i >= first]


def part_of(pairs: Pairs, numbers: Sequence[int]) -> Pairs:
    """The images of these numbers."""
    return pairs.subset(numbers) if isinstance(pairs, PairedFolder) else pairs.subset(*sides(pairs, numbers))


def without_partners(pairs: Pairs) -> UnpairedFolder:
    """The same images as two sets, of which a CycleGAN learns: it must not be told who belongs to whom."""
    if isinstance(pairs, UnpairedFolder):
        return pairs
    return UnpairedFolder(
        root=pairs.root,
        a=pairs.a,
        b=pairs.b,
        keys_a=pairs.keys,
        keys_b=pairs.keys,
        scenes_a=pairs.scenes,
        scenes_b=pairs.scenes,
    )


def _parts(pairs: Pairs, config: TrainCycleGAN | TrainPix2Pix) -> list[str | None]:
    if isinstance(pairs, PairedFolder):
        return pairs.parts
    entries = list_pairs(config.data, config.manifest)  # in the order in which the folder lists them
    return [e.part for e in entries if e.a is not None] + [e.part for e in entries if e.b is not None]


def _scenes(pairs: Pairs) -> list[str]:
    return pairs.scenes if isinstance(pairs, PairedFolder) else [*pairs.scenes_a, *pairs.scenes_b]


def held_out_scenes(scenes: Sequence[str], fraction: float, seed: int = 0) -> set[str]:
    """Scenes drawn until they have that share of the images, whose scenes are given; too large ones are passed over.

    >>> len(held_out_scenes([str(i // 2) for i in range(20)], 0.2))
    2
    """
    names, counts = np.unique(np.array(scenes), return_counts=True)
    held: set[str] = set()
    taken = 0
    for i in np.random.default_rng(seed).permutation(len(names)):
        if taken >= fraction * len(scenes):
            break
        if taken + counts[i] <= max(len(scenes) / 3, 1.5 * fraction * len(scenes)):
            held.add(str(names[i]))
            taken += int(counts[i])
    return held


def _counted(pairs: Pairs, split: Split) -> str:
    def number(indices: list[int]) -> str:
        a, b = (len(side) for side in sides(pairs, indices))
        return str(a) if isinstance(pairs, PairedFolder) else f"{a} + {b}"

    what = "pairs" if isinstance(pairs, PairedFolder) else "images (SAR + optical)"
    counts = ", ".join(f"{number(part)} to {use}" for part, use in (
        (split.train, "train on"), (split.val, "validate"), (split.test, "test")))  # fmt: skip
    return f"{what}: {counts}."
