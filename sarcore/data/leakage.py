"""What the parts of a split share: patches, scenes, ground, equal pixels, near duplicates."""

from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sarcore.data.folder import PatchFolder, read_patch
from sarcore.data.footprints import near_outlines, near_windows, outlines, overlapping_scenes, source_windows
from sarcore.data.near_duplicates import near_duplicates
from sarcore.data.split import PARTS, Split
from sarcore.errors import DataError

Integers = npt.NDArray[np.int64]


def check_leakage(folder: PatchFolder, split: Split, *, similar: bool = False) -> list[str]:
    """What the parts of a split share, one sentence each: patches, scenes or ground, equal pixels; [] if clean.

    >>> import tempfile
    >>> from sarcore.data import split_by_scene, write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=3, size=32))
    >>> check_leakage(folder, split_by_scene(folder))
    []

    Reads every patch of the split. Where the folder knows the places of its patches (`write_patch_set` wrote it), one
    scene may be in two parts, as long as no pixel of one lies within ``split.buffer`` pixels of the other, and patches
    of different scenes must not overlap on Earth. Elsewhere scenes are compared by name, as far as they are known.
    ``similar`` adds `near_duplicates`. Raises DataError for a split of another folder.
    """
    indices = {"train": split.train, "val": split.val, "test": split.test}
    beyond = [i for part in indices.values() for i in part if not 0 <= i < len(folder)]
    if beyond:
        raise DataError(
            f"the split has the patch number {beyond[0]}, and {folder.root} has {len(folder)} patches: it was made for "
            "another folder or before this one changed; make it again"
        )
    digests = {part: {_digest(folder.paths[i]): i for i in chosen} for part, chosen in indices.items()}
    messages = []
    for first, second in combinations(PARTS, 2):
        twice = set(indices[first]) & set(indices[second])
        if twice:
            messages.append(
                f"{len(twice)} patches are in {first} and in {second}, for example {folder.paths[min(twice)]}"
            )
        messages += _shared_scenes(folder, indices, first, second, split.buffer)
        equal = digests[first].keys() & digests[second].keys()
        pairs = sorted(
            (digests[first][d], digests[second][d]) for d in equal if digests[first][d] != digests[second][d]
        )
        if pairs:
            one, other = pairs[0]
            messages.append(
                f"{len(pairs)} patches of {first} and {second} have equal pixels, for example "
                f"{folder.paths[one]} and {folder.paths[other]}"
            )
    return messages + (_similar(folder, indices) if similar else [])


def patch_windows(folder: PatchFolder) -> npt.NDArray[np.float64]:
    """Windows (N, 4) of the pixels that the patches were made of, in their scenes; for a folder with positions.

    The columns are those of `source_windows`.
    """
    assert folder.positions is not None
    windows = np.zeros((len(folder), 4))
    names = np.array(folder.scenes)
    for name in set(folder.scenes):
        chosen = np.flatnonzero(names == name)
        shape = folder.places[name].shape
        windows[chosen] = source_windows(folder.positions.numpy()[chosen], folder.shape[1:], shape)
    return windows


def placed(folder: PatchFolder) -> bool:
    """Whether the folder knows the places of its patches in their scenes."""
    return folder.positions is not None and set(folder.scenes) <= folder.places.keys()


def near_patches(folder: PatchFolder, chosen: Integers, others: Integers, buffer: int, *, on_earth: bool) -> Integers:
    """For each patch of `chosen` one of `others` within `buffer` pixels, as its place in `others`; -1 for none.

    In the same scene, or `on_earth` in different scenes that overlap.
    """
    windows, names = patch_windows(folder), np.array(folder.scenes)
    found = np.full(len(chosen), -1, dtype=np.int64)
    if not on_earth:
        pairs = [(name, name) for name in sorted(set(names[chosen]) & set(names[others]))]
    else:
        overlapping = overlapping_scenes(folder.places, buffer)
        pairs = [pair for one in overlapping for pair in (one, one[::-1])]
    for one, other in pairs:
        mine, theirs = np.flatnonzero(names[chosen] == one), np.flatnonzero(names[others] == other)
        if not len(mine) or not len(theirs):
            continue
        window = windows[others[theirs]]
        if one == other:
            near = near_windows(windows[chosen[mine]], window, buffer)
        else:
            corners = outlines(folder.places[other], folder.places[one], window)
            near = near_outlines(windows[chosen[mine]], corners, buffer)
        found[mine[near >= 0]] = theirs[near[near >= 0]]
    return found


def _shared_scenes(
    folder: PatchFolder, indices: dict[str, list[int]], first: str, second: str, buffer: int
) -> list[str]:
    scenes = {folder.scenes[i] for i in indices[first]} & {folder.scenes[i] for i in indices[second]}
    if not placed(folder):
        return [f"{len(scenes)} scenes are in {first} and in {second}, for example {min(scenes)}"] if scenes else []
    one, other = (np.array(indices[part], dtype=np.int64) for part in (second, first))
    messages = []
    for on_earth in (False, True):
        near = near_patches(folder, one, other, 0 if on_earth else buffer, on_earth=on_earth)
        hit = np.flatnonzero(near >= 0)
        if not len(hit):
            continue
        what = f"come within {buffer} pixels of" if buffer and not on_earth else "overlap with"
        where = "in another scene of the same ground" if on_earth else "in the same scene"
        messages.append(
            f"{len(hit)} patches of {second} {what} patches of {first} {where}, for example "
            f"{folder.paths[one[hit[0]]]} and {folder.paths[other[near[hit[0]]]]}"
        )
    return messages


def _similar(folder: PatchFolder, indices: dict[str, list[int]]) -> list[str]:
    part_of = {i: part for part, chosen in indices.items() for i in chosen}
    pairs: dict[tuple[str, str], list[str]] = {}
    for one, other, correlation in near_duplicates(folder, list(indices.values())):
        if one == other:
            continue
        example = f"{folder.paths[one]} and {folder.paths[other]} (correlation {correlation:.2f})"
        pairs.setdefault((part_of[one], part_of[other]), []).append(example)
    return [
        f"{len(found)} patches of {first} and {second} are near duplicates, for example {found[0]}"
        for (first, second), found in pairs.items()
    ]


def _digest(path: Path) -> bytes:
    image = read_patch(path)  # pixels, not file bytes: a copy saved with other compression is still a copy
    return hashlib.sha256(repr((image.shape, image.dtype.str)).encode() + image.tobytes()).digest()
