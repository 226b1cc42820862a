"""Cutting scenes into patches, some rows of patches at a time, and finding the class of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.label_map import MOST_CLASSES, LabelMap, numbered
from sarcore.data.patch_scenes import SceneSet
from sarcore.data.scene_labels import SceneLabels
from sarcore.data.units import check_unit_of
from sarcore.errors import DataError
from sarcore.ops import PatchGrid, Radiometry, extract_patches

_BAND = 1 << 23  # pixels of all channels that are read together, at least a row of patches
_INVALID, _NO_LABEL, _FIRST = 0, 1, 2  # codes of pixels outside the scene or without data, without a class, of classes
Positions = npt.NDArray[np.int64]


@dataclass
class Job:
    """What is cut, and what is kept of it."""

    scenes: SceneSet
    labels: dict[str, tuple[LabelMap, SceneLabels]]
    """Of each scene; empty without labels."""
    size: tuple[int, int]
    stride: tuple[int, int]
    unit: str
    codes: Radiometry | None
    """What the patches are encoded by; None for the scenes' own values."""
    min_valid: float
    majority: float


@dataclass
class Patch:
    """One patch (C, h, w) that is kept, and what the manifest says of it."""

    pixels: npt.NDArray[Any]
    position: tuple[int, int]
    valid: float
    class_name: str | None
    share: float


def cut(job: Job, name: str, left_out: Counter[str]) -> Iterator[tuple[Iterator[Patch], int]]:
    """The patches of a scene that are kept, some rows of patches at a time, and the row of the scene that they reach.

    `left_out` counts the others, by reason.
    """
    _, height, width = job.scenes.scenes[name].shape
    grid = PatchGrid((height, width), job.size, job.stride)
    (down, across), (high, _), step = grid.counts, grid.size, grid.stride[0]
    together = max(1, (_BAND // (width * len(job.scenes.channels)) - high) // step + 1)
    for first in range(0, down, together):
        last = min(first + together, down)
        # What is mirrored at the bottom lies within the last `high` rows.
        top, bottom = max(0, min(first * step, height - high)), min((last - 1) * step + high, height)
        positions: Positions = grid.positions(first * across, last * across).numpy()
        rows, data = job.scenes.read(name, top, 0, bottom - top, width)
        job.scenes.scenes[name].release(top)
        check_unit_of(name, rows, job.unit, job.scenes.nodata)
        codes, classes = _codes(job, name, data, top)
        yield _kept(job, rows, codes, classes, positions, top, left_out), bottom


def _codes(job: Job, name: str, data: npt.NDArray[np.bool_], top: int) -> tuple[npt.NDArray[np.int16], list[str]]:
    """A code for each pixel, and the class of each code from `_FIRST` on."""
    codes = data.astype(np.int16)
    if name not in job.labels:
        return codes, []
    labels, grid = job.labels[name]
    values, numbers = numbered(grid.read(top, 0, *data.shape))
    if len(values) > MOST_CLASSES:
        raise DataError(f"the labels of {labels.path} have {len(values)} values in one band; these are no classes")
    codes *= (numbers + _NO_LABEL).astype(np.int16)
    return codes, [labels.name(value) for value in values]


def _kept(
    job: Job,
    rows: npt.NDArray[Any],
    codes: npt.NDArray[np.int16],
    classes: list[str],
    positions: Positions,
    top: int,
    left_out: Counter[str],
) -> Iterator[Patch]:
    places = positions - np.array([top, 0])
    counts = _counts(codes, job.size, places, _FIRST + len(classes))
    valid = 1 - counts[:, _INVALID] / counts.sum(axis=1)
    winner = counts[:, _FIRST:].argmax(axis=1) if classes else np.zeros(len(counts), dtype=np.int64)
    share = counts[:, _FIRST:].max(axis=1, initial=0) / np.maximum(counts[:, _NO_LABEL:].sum(axis=1), 1)
    enough = (valid >= job.min_valid) & (valid > 0)
    clear = (share >= job.majority) & (share > 0) if job.labels else np.ones(len(counts), dtype=bool)
    left_out["too few valid pixels"] += int((~enough).sum())
    left_out["no clear class"] += int((enough & ~clear).sum())
    chosen = np.flatnonzero(enough & clear)
    for start in range(0, len(chosen), _chunk(job)):
        numbers = chosen[start : start + _chunk(job)]
        pixels = extract_patches(rows, job.size, index=places[numbers], radiometry=job.codes).numpy()
        for number, patch in zip(numbers.tolist(), pixels, strict=True):
            row, column = positions[number].tolist()
            class_name = classes[winner[number]] if job.labels else None
            yield Patch(patch, (row, column), float(valid[number]), class_name, float(share[number]))


def _chunk(job: Job) -> int:
    """Patches that are cut together: some 32 MiB."""
    return max(1, _BAND // (job.size[0] * job.size[1] * len(job.scenes.channels)))


def _counts(
    codes: npt.NDArray[np.int16], size: tuple[int, int], places: Positions, kinds: int
) -> npt.NDArray[np.int64]:
    """Pixels of each code in each patch, (P, kinds); those beyond the scene count as `_INVALID`."""
    area = size[0] * size[1]
    together = max(1, _BAND // area)
    counts = np.zeros((len(places), kinds), dtype=np.int64)
    for first in range(0, len(places), together):
        patches = extract_patches(codes, size, index=places[first : first + together], pad="constant").numpy()
        flat = patches.reshape(len(patches), area).astype(np.int64) + np.arange(len(patches))[:, None] * kinds
        counts[first : first + together] = np.bincount(flat.ravel(), minlength=len(patches) * kinds).reshape(-1, kinds)
    return counts
