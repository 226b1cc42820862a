"""Cutting a scene into square patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def _starts(length: int, size: int, stride: int) -> list[int]:
    starts = list(range(0, length - size + 1, stride))
    if starts[-1] != length - size:
        starts.append(length - size)
    return starts


def tile_scene(
    scene: npt.NDArray[Any], size: int, stride: int | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Cut a scene (C, H, W) into patches (P, C, size, size) and their upper-left (row, col) (P, 2), in reading order.

    Edges are never dropped: the last row and column of tiles shift inside and overlap their neighbours. ``stride`` is
    ``size`` unless given. Raises ValueError for another shape, a scene smaller than a tile, a stride with gaps.

    >>> patches, positions = tile_scene(np.zeros((1, 5, 4)), 3)
    >>> patches.shape, positions.tolist()
    ((4, 1, 3, 3), [[0, 0], [0, 1], [2, 0], [2, 1]])
    """
    stride = size if stride is None else stride
    if scene.ndim != 3:
        raise ValueError(f"scene must have the shape (C, H, W), got {scene.shape}")
    if not 1 <= stride <= size:
        raise ValueError(f"stride must be between 1 and the tile size {size} so that no pixel is lost, got {stride}")
    _, height, width = scene.shape
    if min(height, width) < size:
        raise ValueError(f"a scene of {height} x {width} pixels is smaller than one tile of {size} x {size}")
    positions = [(r, c) for r in _starts(height, size, stride) for c in _starts(width, size, stride)]
    patches = np.stack([scene[:, r : r + size, c : c + size] for r, c in positions])
    return patches, np.array(positions, dtype=np.int64)
