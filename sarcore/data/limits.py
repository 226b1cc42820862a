"""Limits of a scene: percentiles by histograms of a stream of blocks, whatever the size of the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.scene_blocks import scene_blocks
from sarcore.data.units import check_values
from sarcore.errors import DataError
from sarcore.ops import Radiometry

BINS = 65536
_FINE = 1e-4  # bins wider than this share of the limits' distance are looked into by one more pass

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


def scene_radiometry(
    source: str | Path | Array,
    unit: str,
    *,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
    out: str = "float32",
) -> Radiometry:
    """The radiometry of a whole scene: its unit as declared, its limits from `percentile_limits`.

    >>> ramp = np.linspace(0, 1, 10201, dtype=np.float32).reshape(101, 101)
    >>> scene_radiometry(ramp, "intensity", percentiles=(10, 90))
    Radiometry(unit='intensity', low=0.09999..., high=0.90000..., nodata=None, out='float32', scale='intensity')

    Raises ValueError for arguments that `Radiometry` refuses, DataError as `percentile_limits` does and for a scene
    that is constant between the percentiles.
    """
    declared = Radiometry(unit, 0, 1, nodata, out, scale=scale)  # refuses wrong names before the scene is read
    assert declared.scale is not None
    low, high = percentile_limits(source, unit, declared.scale, percentiles, nodata)
    if not low < high:
        raise DataError(f"the {percentiles[0]} and {percentiles[1]} percentiles are both {low}; give the limits")
    return Radiometry(unit, low, high, nodata, out, scale=scale)


def percentile_limits(
    source: str | Path | Array,
    unit: str,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
    *,
    channel: int | None = None,
) -> tuple[float, float]:
    """Two percentiles of a scene on a scale, in two or three passes over the file, block by block.

    >>> low, high = percentile_limits(np.arange(101.0).reshape(1, 101), "digital", percentiles=(10, 90))
    >>> round(low, 2), round(high, 2)
    (10.0, 90.0)

    Pass 1 finds the extremes, pass 2 counts 65536 bins between them. Where one bin is wider than 1e-4 of the distance
    of the percentiles (a few bright targets), pass 3 counts 65536 bins within each of theirs. So the error against
    ``numpy.percentile`` is at most 1e-4 of (high - low), or (max - min) / 2^32 if that is more.

    Args:
        source: NPY (memory-mapped), TIFF (by strips and tiles) or another image (read whole), or an array, (H, W) or
            (C, H, W).
        unit: unit of the values, as in `sarcore.Radiometry`.
        scale: unit of the result; by default that of `sarcore.Radiometry`.
        percentiles: two numbers, 0 <= first < second <= 100.
        nodata: value of pixels without data. NaN and infinity, and zeros on a decibel scale, are never counted.
        channel: channel to look at, counted from 0; all together by default.

    Returns:
        (low, high) in the unit of `scale`.

    Raises:
        ValueError: percentiles out of order.
        DataError: a file that cannot be read, values that contradict the unit, no valid pixel.
    """
    first, second = percentiles
    if not 0 <= first < second <= 100:
        raise ValueError(f"percentiles must be 0 <= first < second <= 100, got {percentiles}")
    wanted = Radiometry(unit, 0, 1, nodata, scale=scale).scale
    assert wanted is not None

    def blocks() -> Iterable[Values]:
        for block in scene_blocks(source, channel):
            yield _on_scale(block, unit, wanted, nodata)

    low, high, count = _extremes(blocks())
    if count == 0:
        raise DataError("the scene has no valid pixel: all are NaN, infinite or no-data")
    ranks = [percentile / 100 * (count - 1) for percentile in percentiles]
    wide = sorted({whole for rank in ranks for whole in (int(rank), min(int(rank) + 1, count - 1))})
    at = _order_statistics(blocks, low, high, wide)
    found = []
    for rank in ranks:
        below = int(rank)
        above = min(below + 1, count - 1)
        found.append(at[below] + (rank - below) * (at[above] - at[below]))
    return float(found[0]), float(found[1])


def _on_scale(block: Array, unit: str, scale: str, nodata: float | None) -> Values:
    """The valid pixels of a block on the scale, in float64."""
    check_values(block, unit, nodata)
    x = block[block != nodata] if nodata is not None else block.ravel()
    values = np.abs(x).astype(np.float64) ** 2 if unit == "complex" else x.astype(np.float64)
    unit = "intensity" if unit == "complex" else unit
    if unit != scale:
        with np.errstate(divide="ignore"):
            if unit == "db":
                values = 10 ** (values / (10 if scale == "intensity" else 20))
            elif scale == "db":
                values = (10 if unit == "intensity" else 20) * np.log10(values)
            else:
                values = values**2 if scale == "intensity" else np.sqrt(values)
    return values[np.isfinite(values)]


def _extremes(blocks: Iterable[Values]) -> tuple[float, float, int]:
    low, high, count = np.inf, -np.inf, 0
    for values in blocks:
        if values.size:
            low, high, count = min(low, values.min()), max(high, values.max()), count + values.size
    return float(low), float(high), count


def _order_statistics(
    blocks: Callable[[], Iterable[Values]], low: float, high: float, ranks: list[int]
) -> dict[int, float]:
    """The values at some ranks (0 is the smallest)."""
    if low == high:
        return dict.fromkeys(ranks, low)
    counts = _count(blocks(), [(low, high)])[0]
    places = {rank: _place(counts, rank, low, high) for rank in ranks}
    ends = [places[rank][0] for rank in ranks]
    if (high - low) / BINS > _FINE * (max(ends) - min(ends)):
        zooms = sorted({(a, b) for a, b, _ in places.values()})
        finer = dict(zip(zooms, _count(blocks(), zooms), strict=True))
        places = {rank: _place(finer[a, b], rest, a, b) for rank, (a, b, rest) in places.items()}
    return {rank: (a + b) / 2 for rank, (a, b, _) in places.items()}


def _count(blocks: Iterable[Values], ranges: list[tuple[float, float]]) -> list[npt.NDArray[np.int64]]:
    counts = [np.zeros(BINS, dtype=np.int64) for _ in ranges]
    for values in blocks:
        for total, (low, high) in zip(counts, ranges, strict=True):
            inside = values[(values >= low) & (values <= high)]
            index = ((inside - low) * (BINS / (high - low))).astype(np.int64)
            total += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)
    return counts


def _place(counts: npt.NDArray[np.int64], rank: int, low: float, high: float) -> tuple[float, float, int]:
    """The bin that holds a rank, and the rank within it."""
    running = np.cumsum(counts)
    k = min(int(np.searchsorted(running, rank, side="right")), BINS - 1)
    width = (high - low) / BINS
    return low + k * width, low + (k + 1) * width, rank - int(running[k - 1] if k else 0)
