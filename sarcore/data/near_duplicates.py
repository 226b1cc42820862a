"""Copies of patches that are no longer equal: shifted by some pixels, speckled, with other grey values, resampled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from sarcore.data.folder import PatchFolder
from sarcore.data.nodata import valid_pixels
from sarcore.data.pair_domain import Domain

THRESHOLD = 0.4  # of patches of 80 pixels and more
_SMALL_THRESHOLD = 0.65  # of the smallest: fewer cells are alike by chance
_CANDIDATE = 0.4  # of the correlation of the sketches
_SKETCH, _FINE = 40, 80  # means of cells along the shorter side that a patch is compared by
SMALLEST = 32  # side of the patches that are compared: smaller ones of different ground are too often alike
_SHIFT = 20  # the part of a side by which copies may be shifted: 8 pixels of 160
_FARTHEST = 8
_BATCH = 64  # patches that are read together
_BLOCK = 2048  # sketches that are compared together


class NearDuplicate(NamedTuple):
    """Two patches of one folder, `first` < `second` in the order of the parts, and their correlation."""

    first: int
    second: int
    correlation: float


def near_duplicates(
    folder: PatchFolder | Domain,
    parts: Sequence[Sequence[int]],
    *,
    threshold: float | None = None,
    max_shift: int | None = None,
) -> list[NearDuplicate]:
    """Pairs of patches of different parts that show the same ground in the same look.

    >>> from tempfile import mkdtemp
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{mkdtemp()}/set", scenes_per_class=1, size=32))
    >>> near_duplicates(folder, [range(0, len(folder), 2), range(1, len(folder), 2)])
    []

    Both steps correlate RANKS of means over cells, less their local mean: what any monotone change of the grey values
    leaves, without trends and coastlines. First all pairs by sketches of 40 x 40 cells (8-pixel means of a patch of
    160), of which the centre is laid on every place within the shift; pairs above 0.4 then by 80 x 80 cells.

    Measured on Sentinel-1 patches of 160 x 160: of 474 000 pairs from different scenes none reaches 0.40 in the first
    step nor 0.24 in the second. Copies reach, at least, in the first and the second: shifted by up to 8 pixels 0.69 and
    0.79, with single-look speckle on top 0.73 and 0.68, both 0.59 and 0.61, on a logarithmic scale or at half the
    resolution 0.99, magnified by 5 % 0.66 and 0.48. Magnified by 10 %, mirrored or turned copies are not found, and
    patches of less than 32 pixels along a side are not compared.

    Args:
        folder: the patches, or the images of a domain, of one size.
        parts: numbers of the patches of each part.
        threshold: least correlation of the second step, -1 to 1; by default 0.4, and more for patches of less than 80
            pixels, up to 0.65.
        max_shift: in pixels, by default a 20th of the shorter side, at most an 8th of it. The time grows with its
            square. Copies farther apart share positions or outlines: see `check_leakage`.

    Returns:
        The pairs, the most similar first.
    """
    side = min(folder.shape[1:])
    shift = max(1, side // _SHIFT) if max_shift is None else max_shift
    if not 0 <= shift <= side // _FARTHEST:
        raise ValueError(f"max_shift must be 0 to {side // _FARTHEST} pixels, an 8th of a side, got {shift}")
    if side < SMALLEST:
        return []
    if threshold is None:
        small = max(0.0, (_FINE - side) / (_FINE - SMALLEST))
        threshold = THRESHOLD + small * (_SMALL_THRESHOLD - THRESHOLD)
    sketches = [torch.cat([torch.zeros(0), *_sketches(folder, part)]) for part in parts]
    cells = math.ceil(shift / _cell(folder, _SKETCH))
    found = []
    for (first, a), (second, b) in combinations(zip(parts, sketches, strict=True), 2):
        for i, j in _candidates(a, b, cells):
            found += _confirmed(folder, first[i], [second[k] for k in j], threshold, shift)
    return sorted(found, key=lambda pair: -pair.correlation)


def _cell(folder: PatchFolder | Domain, cells: int) -> int:
    return max(1, round(min(folder.shape[1:]) / cells))


def _images(folder: PatchFolder | Domain, indices: Iterable[int]) -> torch.Tensor:
    """(n, H, W): mean of the channels, of magnitudes where they are complex; no-data becomes the mean of the rest."""
    out = []
    for index in indices:
        image = folder.stored(index)
        valid = valid_pixels(image, folder.radiometry.nodata).all(axis=0)
        values = (np.abs(image) if image.dtype.kind == "c" else image.astype(np.float64)).mean(axis=0)
        values[~valid] = values[valid].mean() if valid.any() else 0.0
        out.append(torch.from_numpy(values.astype(np.float32)))
    return torch.stack(out)


def _sketches(folder: PatchFolder | Domain, part: Sequence[int]) -> Iterator[torch.Tensor]:
    for first in range(0, len(part), _BATCH):
        cells = _ranks(_means(_images(folder, part[first : first + _BATCH]), _cell(folder, _SKETCH)))
        cells = cells - _smooth(cells, 11)
        yield F.avg_pool2d(cells[:, None], 2, 1)[:, 0]  # twice the cell: copies shifted by half a cell stay similar


def _candidates(a: torch.Tensor, b: torch.Tensor, shift: int) -> Iterator[tuple[int, list[int]]]:
    """For each sketch of a the sketches of b like its centre, at any place within `shift` cells."""
    if not len(a) or not len(b):
        return
    height, width = (side - 2 * shift for side in a.shape[1:])
    places = [(y, x) for y in range(2 * shift + 1) for x in range(2 * shift + 1)]
    centres = _unit(a[:, shift : shift + height : 2, shift : shift + width : 2]).flatten(1)
    blocks = [b[first : first + _BLOCK] for first in range(0, len(b), _BLOCK)]
    for first in range(0, len(a), _BLOCK):
        mine = centres[first : first + _BLOCK]
        like: list[list[int]] = [[] for _ in range(len(mine))]
        for number, block in enumerate(blocks):
            best = torch.full((len(mine), len(block)), -1.0)
            for y, x in places:
                window = _unit(block[:, y : y + height : 2, x : x + width : 2]).flatten(1)
                torch.maximum(best, mine @ window.T, out=best)
            for i, j in torch.nonzero(best >= _CANDIDATE).tolist():
                like[i].append(number * _BLOCK + j)
        yield from ((first + i, found) for i, found in enumerate(like) if found)


def _confirmed(
    folder: PatchFolder | Domain, first: int, seconds: Sequence[int], threshold: float, shift: int
) -> list[NearDuplicate]:
    cell = _cell(folder, _FINE)
    reach = math.ceil(shift / cell)
    mine = _texture(_images(folder, [first]), cell)
    found = []
    for start in range(0, len(seconds), _BATCH):
        batch = seconds[start : start + _BATCH]
        values = _correlation(mine, _texture(_images(folder, batch), cell), reach).tolist()
        pairs = zip(batch, values, strict=True)
        found += [NearDuplicate(first, second, value) for second, value in pairs if value >= threshold]
    return found


def _texture(images: torch.Tensor, cell: int) -> torch.Tensor:
    cells = _ranks(_smooth(_means(images, cell), 3))
    return _unit(cells - _smooth(cells, 15))


def _correlation(a: torch.Tensor, b: torch.Tensor, reach: int) -> torch.Tensor:
    """Largest correlation over the shifts of up to `reach` cells, by the Fourier transform."""
    size = [side + reach for side in a.shape[1:]]
    spectra = torch.fft.rfft2(a, s=size) * torch.fft.rfft2(b, s=size).conj()
    found = torch.fft.irfft2(spectra, s=size)
    shifts = torch.arange(-reach, reach + 1)
    near: torch.Tensor = found[:, shifts % size[0]][:, :, shifts % size[1]]
    return near.flatten(1).amax(1)


def _means(x: torch.Tensor, cell: int) -> torch.Tensor:
    pooled: torch.Tensor = F.avg_pool2d(x[:, None], cell)
    return pooled[:, 0]


def _smooth(x: torch.Tensor, window: int) -> torch.Tensor:
    return F.avg_pool2d(x[:, None], window, 1, window // 2, count_include_pad=False)[:, 0]


def _ranks(x: torch.Tensor) -> torch.Tensor:
    """The share of the cells below each, less a half; equal cells share their place."""
    values = x.flatten(1)
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)
    return (below / (2 * values.shape[1]) - 0.5).view_as(x)


def _unit(x: torch.Tensor) -> torch.Tensor:
    x = x - x.mean((1, 2), keepdim=True)
    length: torch.Tensor = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    return x / length.clamp_min(1e-6)
