"""Merging of patches written out with NumPy slices, float64: the oracle of merge_patches."""

from __future__ import annotations

import numpy as np
import torch

from sarcore.ops import PatchGrid

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def window_1d(name: str, n: int) -> np.ndarray:
    """The named windows by their formulas."""
    i = np.arange(n, dtype=np.float64)
    return {
        "hann": np.sin(np.pi * (i + 1) / (n + 1)) ** 2,
        "gaussian": np.exp(-((i - (n - 1) / 2) ** 2) / (2 * (0.125 * n) ** 2)),
        "triangular": np.minimum(i + 1, n - i) / ((n + 1) / 2),
        "flat": np.ones(n),
    }[name]


def window_2d(window: str | torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    if isinstance(window, torch.Tensor):
        return window.double().numpy()
    return np.outer(window_1d(window, size[0]), window_1d(window, size[1]))


def cut(scene: torch.Tensor, grid: PatchGrid) -> torch.Tensor:
    """(P, C, h, w) of a (C, H, W) scene, bit for bit; beyond the scene its border again."""
    bits = scene.contiguous().view(BITS[scene.dtype.itemsize])
    rows, columns = (torch.arange(n).clamp(max=side - 1) for n, side in zip(grid.padded, grid.shape, strict=True))
    padded, (h, w) = bits[:, rows][:, :, columns], grid.size
    return torch.stack([padded[:, y : y + h, x : x + w] for y, x in grid.positions().tolist()]).view(scene.dtype)


def merge(
    patches: torch.Tensor, grid: PatchGrid, window: str | torch.Tensor = "hann", mode: str = "mean"
) -> np.ndarray:
    """(C, H, W) in float64 or complex128."""
    p = (patches.to(torch.complex128) if patches.is_complex() else patches.double()).numpy()
    (height, width), (h, w), canvas = grid.shape, grid.size, (p.shape[1], *grid.padded)
    places = [np.s_[:, y : y + h, x : x + w] for y, x in grid.positions().tolist()]
    if mode == "mean":
        weights, total, sums = window_2d(window, grid.size), np.zeros((1, *grid.padded)), np.zeros(canvas, p.dtype)
        for patch, place in zip(p, places, strict=True):
            sums[place] += weights * patch
            total[place] += weights
        return (sums / total)[:, :height, :width]
    stack = np.ma.masked_all((len(p), *canvas))
    for layer, patch, place in zip(stack, p, places, strict=True):
        layer[place] = patch
    inside = stack[:, :, :height, :width]
    found = {"max": np.ma.max, "min": np.ma.min, "median": np.ma.median}[mode](inside, axis=0)
    return np.asarray(found)
