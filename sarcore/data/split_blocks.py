"""Splitting the patches of few scenes into train, val and test by spatial blocks with a buffer."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sarcore.data.folder import PatchFolder
from sarcore.data.leakage import Integers, near_patches, patch_windows, placed
from sarcore.data.split import Floats, Split, assign, check_fractions
from sarcore.errors import DataError

_BLOCKS = (36, 25, 16, 9, 4)  # that the area is divided into: many meet the fractions, few lose less to the buffer


def split_by_blocks(
    folder: PatchFolder,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    *,
    buffer: int = 0,
    block: int | None = None,
) -> Split:
    """Draw a split of square blocks of ground instead of whole scenes, for sets of a few large scenes.

    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> from sarcore.data import write_patch_set
    >>> scene = np.random.default_rng(0).integers(0, 255, (400, 400), dtype=np.uint8)
    >>> folder = PatchFolder.open(write_patch_set([scene], f"{mkdtemp()}/set", size=40))
    >>> split = split_by_blocks(folder, buffer=10)
    >>> len(folder), len(split.train) + len(split.val) + len(split.test) < 100
    (100, True)

    A patch belongs to the block of its centre, and the blocks are drawn like the scenes of `split_by_scene`. Then
    patches are LEFT OUT (they are in no part): of train where a pixel lies within `buffer` pixels of a patch of val or
    test, and of val where one of test is as near. With a buffer of 0 those that overlap.

    Args:
        folder: a set that knows the places of its patches: `write_patch_set` wrote it.
        fractions: of train, val and test.
        seed: the same seed draws the same split.
        buffer: in pixels. The correlation length of the speckle is the least that makes sense; that of the ground,
            some hundred metres, tells more of how a network does elsewhere.
        block: side of a block in pixels; by default that of 36, 25, 16, 9 or 4 blocks of the area of all scenes that
            leaves the least out and comes closest to the fractions.

    Raises:
        ValueError: fractions as in `split_by_scene`, a negative buffer, a block without pixels.
        DataError: places that are not known, fewer than two blocks, a part for which the buffer leaves nothing.
    """
    goal = check_fractions(fractions)
    if buffer < 0 or (block is not None and block < 1):
        raise ValueError(f"buffer must be 0 or more and block 1 or more pixels, got {buffer} and {block}")
    if not placed(folder):
        raise DataError(
            f"the places of the patches of {folder.root} in their scenes are not known, which blocks need; cut the "
            "scenes with `sarcore tile`, or split by scene"
        )
    if block is not None:
        return _drawn(folder, goal, seed, buffer, block)
    drawn, failures = [], []
    for side in _sides(folder):
        try:
            drawn.append(_drawn(folder, goal, seed, buffer, side))
        except DataError as error:
            failures.append(error)
    if not drawn:
        raise failures[-1]
    return min(drawn, key=lambda split: _cost(split, goal, len(folder)))


def _drawn(folder: PatchFolder, goal: Floats, seed: int, buffer: int, side: int) -> Split:
    windows = patch_windows(folder)
    centre = (windows[:, :2] + windows[:, 2:]) // 2 // side
    names = [f"{scene}/{int(y)}/{int(x)}" for scene, (y, x) in zip(folder.scenes, centre, strict=True)]
    if len(set(names)) < 2:
        raise DataError(f"the patches of {folder.root} lie in one block of {side} pixels; give a smaller --block")
    part_of = assign(names, folder, goal, seed)
    train, val, test = (np.flatnonzero(part_of == p) for p in range(3))
    val = val[_far(folder, val, test, buffer)]
    train = train[_far(folder, train, np.concatenate([val, test]), buffer)]
    parts = {"train": train, "val": val, "test": test}
    for (name, part), fraction in zip(parts.items(), goal, strict=True):
        if fraction > 0 and not len(part):
            raise DataError(
                f"no patch is left for {name} with blocks of {side} pixels and a buffer of {buffer}; give a smaller "
                "buffer, another block or another seed"
            )
    return Split(train.tolist(), val.tolist(), test.tolist(), seed, buffer)


def _sides(folder: PatchFolder) -> list[int]:
    area = sum(math.prod(folder.places[name].shape) for name in set(folder.scenes))
    return sorted({max(max(folder.shape[1:]), math.isqrt(area // count)) for count in _BLOCKS})


def _cost(split: Split, goal: Floats, total: int) -> float:
    """The share that is left out, and how far the others are from the fractions."""
    sizes = np.array([len(split.train), len(split.val), len(split.test)])
    return float(1 - sizes.sum() / total + np.abs(sizes / sizes.sum() - goal).sum())


def _far(folder: PatchFolder, chosen: Integers, others: Integers, buffer: int) -> npt.NDArray[np.bool_]:
    """Which patches have no other within the buffer, in their own scene or in one of the same ground."""
    far = np.ones(len(chosen), dtype=bool)
    for on_earth in (False, True):
        far &= near_patches(folder, chosen, others, buffer, on_earth=on_earth) < 0
    return far
