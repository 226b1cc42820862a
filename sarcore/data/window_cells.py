"""Where windows of a scene may lie, in cells of a quarter of a window: counts of pixels and bounds on windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def cell_counts(codes: Integers, first_row: int, shape: tuple[int, int], side: int, kinds: int) -> Integers:
    """Pixels of each code in each cell, (kinds, rows, columns), of a band of a scene of that shape.

    >>> cell_counts(np.array([[0, 1, 1], [1, 1, 1]]), 2, (4, 3), 2, 2)[1].tolist()
    [[0, 0], [3, 2]]
    """
    rows, columns = (-(-length // side) for length in shape)
    row = (np.arange(first_row, first_row + codes.shape[0]) // side)[:, None]
    column = (np.arange(codes.shape[1]) // side)[None, :]
    flat = (codes * rows + row) * columns + column
    return np.bincount(flat.ravel(), minlength=kinds * rows * columns).reshape(kinds, rows, columns)


def corner_cells(scene: int, shape: tuple[int, int], size: tuple[int, int], side: int) -> Integers:
    """Cells of upper left pixels: number of the scene, row, column, height, width; (N, 5), row by row.

    >>> corner_cells(0, (10, 9), (4, 9), 4).tolist()
    [[0, 0, 0, 4, 1], [0, 4, 0, 3, 1]]
    """
    places = [max(0, length - window) + 1 for length, window in zip(shape, size, strict=True)]
    (y, high), (x, wide) = (_axis(count, side) for count in places)
    row, column = np.meshgrid(y, x, indexing="ij")
    height, width = np.meshgrid(high, wide, indexing="ij")
    return np.stack([np.full(row.size, scene), *(each.ravel() for each in (row, column, height, width))], axis=1)


def _axis(count: int, side: int) -> tuple[Integers, Integers]:
    starts = np.arange(0, count, side)
    return starts, np.minimum(side, count - starts)


def most_inside(counts: Integers, shape: tuple[int, int], size: tuple[int, int], side: int) -> Integers:
    """For each of the `corner_cells` the most pixels that a window from it can have, of (rows, columns) counts.

    >>> most_inside(np.array([[3, 0, 1], [0, 2, 0]]), (4, 6), (2, 2), 2).tolist()
    [[5, 3, 1], [2, 2, 0]]
    """
    total = np.pad(counts, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    ends = []
    for axis, (length, window) in enumerate(zip(shape, size, strict=True)):
        starts, room = _axis(max(0, length - window) + 1, side)
        last = (starts + room - 1 + window - 1) // side + 1
        ends.append((starts // side, np.minimum(last, counts.shape[axis])))
    (top, bottom), (left, right) = ends
    return np.asarray(
        total[np.ix_(bottom, right)]
        - total[np.ix_(top, right)]
        - total[np.ix_(bottom, left)]
        + total[np.ix_(top, left)]
    )
