"""Limits of a scene: percentiles by histograms of a stream of blocks, whatever the size of the scene."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.nodata import pixel_nodata, valid_pixels
from sarcore.data.order_statistics import ALL, percentiles_of
from sarcore.data.scene import Scene
from sarcore.data.units import UnitGuess, as_array, check_unit_of, unit_of
from sarcore.errors import DataError
from sarcore.ops import Radiometry

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float64]
Source = str | Path | Array | Scene

_SMALL = 1 << 21  # pixels of a compressed scene that are decoded whole


def scene_unit(source: Source, nodata: float | None = None) -> UnitGuess:
    """`detect_unit` for a scene: a file is not decoded whole, some windows of it are enough.

    >>> scene_unit(np.random.default_rng(0).gamma(4.0, 0.25, (200, 200))).unit
    'intensity'

    Without `nodata` the value that the file declares is left out. Raises DataError as `detect_unit` and `Scene.open`.
    """
    scene = _opened(source)
    pixels = scene.mapped()
    if pixels is not None:
        windows = [pixels]
    elif math.prod(scene.shape) <= _SMALL:
        windows = [scene.read()]
    else:
        windows = [scene.read(*window) for window in scene.sample()]
    return unit_of(windows, scene.nodata if nodata is None else nodata)


def scene_radiometry(
    source: Source,
    unit: str,
    *,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
    out: str = "float32",
) -> Radiometry:
    """The radiometry of a whole scene: its unit as declared, its limits from `percentile_limits`.

    >>> ramp = np.linspace(0, 1, 10201).reshape(101, 101)
    >>> scene_radiometry(ramp, "digital", percentiles=(10, 90))
    Radiometry(unit='digital', low=0.0999..., high=0.8999..., nodata=None, out='float32', scale='digital')

    Without `nodata` it is the value that the file declares, if a pixel of its type can have that.

    Raises ValueError for arguments that `Radiometry` refuses, DataError as `percentile_limits` does and for a scene
    that is constant between the percentiles.
    """
    Radiometry(unit, 0, 1, nodata, out, scale=scale)  # refuses wrong names before the scene is read
    scene = _opened(source)
    limits, _ = scene_limits(scene, unit, scale, percentiles, nodata)
    return radiometry_of(limits, scene, unit, scale=scale, percentiles=percentiles, nodata=nodata, out=out)


def radiometry_of(
    limits: tuple[float, float],
    source: Source,
    unit: str,
    *,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
    out: str = "float32",
) -> Radiometry:
    """`scene_radiometry` of a scene whose limits are known.

    >>> radiometry_of((0.5, 2.0), np.ones((2, 2)), "amplitude").high
    2.0
    """
    low, high = limits
    if not low < high:
        raise DataError(f"the {percentiles[0]} and {percentiles[1]} percentiles are both {low}; give the limits")
    if nodata is None:
        scene = _opened(source)
        if scene.nodata is not None and (
            math.isnan(scene.nodata) or pixel_nodata(scene.nodata, scene.dtype) is not None
        ):
            nodata = scene.nodata
    return Radiometry(unit, low, high, nodata, out, scale=scale)


def percentile_limits(
    source: Source,
    unit: str,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
    *,
    channel: int | None = None,
) -> tuple[float, float]:
    """Two percentiles of a scene on a scale, in two to four passes over the file, block by block.

    >>> low, high = percentile_limits(np.arange(101.0).reshape(1, 101), "digital", percentiles=(10, 90))
    >>> round(low, 2), round(high, 2)
    (10.0, 90.0)

    Each pass settles 16 bits of the 64 of the numbers, whose bins are narrow near zero and wide far from it, so that
    one bright target does no harm. Passes are added until the bins are narrower than 1e-4 of the distance of the
    percentiles, and that is the error against ``numpy.percentile``; the fourth is exact, and so are integers.

    Args:
        source: a file as `Scene` opens it, a scene, or an array or a tensor, (H, W) or (C, H, W).
        unit: unit of the values, as in `sarcore.Radiometry`.
        scale: unit of the result; by default that of `sarcore.Radiometry`.
        percentiles: two numbers, 0 <= first < second <= 100.
        nodata: value of pixels without data, by default the one that the file declares. NaN and infinity, and zeros
            on a decibel scale, are never counted.
        channel: channel to look at, counted from 0; all together by default.

    Returns:
        (low, high) in the unit of `scale`.

    Raises:
        ValueError: percentiles out of order.
        TypeError: percentiles that are not two numbers.
        DataError: a file that cannot be read, values that contradict the unit, no valid pixel.
    """
    return _limits(source, unit, scale, percentiles, nodata, channel)[ALL]


def scene_limits(
    source: Source,
    unit: str,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
) -> tuple[tuple[float, float], dict[int, tuple[float, float]]]:
    """`percentile_limits` of all channels together and of each that has a valid pixel, in the same passes.

    >>> together, each = scene_limits(np.stack([np.zeros((2, 2)), np.ones((2, 2))]), "digital")
    >>> together, each
    ((0.0, 1.0), {0: (0.0, 0.0), 1: (1.0, 1.0)})
    """
    found = _limits(source, unit, scale, percentiles, nodata, None)
    return found.pop(ALL), found


def _limits(
    source: Source,
    unit: str,
    scale: str | None,
    percentiles: tuple[float, float],
    nodata: float | None,
    channel: int | None,
) -> dict[int, tuple[float, float]]:
    scene = _opened(source)
    count = scene.shape[0]
    if channel is not None and not 0 <= channel < count:
        raise DataError(f"channel must be 0 to {count - 1}, got {channel}")
    channels = list(range(count)) if channel is None else [channel]
    return limits_of_scenes([scene], unit, scale, percentiles, nodata, channels=channels)


def limits_of_scenes(
    scenes: Sequence[Scene],
    unit: str,
    scale: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    nodata: float | None = None,
    *,
    channels: Sequence[int],
) -> dict[int, tuple[float, float]]:
    """`scene_limits` of the pixels of all scenes together: of each channel, and of all under `ALL`.

    >>> scenes = [Scene.open(np.full((2, 2), value)) for value in (1, 3)]
    >>> limits_of_scenes(scenes, "digital", percentiles=(0, 100), channels=[0])[ALL]
    (1.0, 3.0)
    """
    _check_percentiles(percentiles)
    wanted = Radiometry(unit, 0, 1, nodata, scale=scale).scale
    assert wanted is not None
    whole = wanted == unit and all(scene.dtype.kind in "ui" for scene in scenes)

    def blocks(first: bool) -> Iterable[tuple[int, Values]]:
        for scene in scenes:
            missing = scene.nodata if nodata is None else nodata
            for window in scene.blocks():
                mask = scene.mask(*window)
                for number, block in zip(channels, scene.read(*window, channels), strict=True):
                    block = block if mask is None else block[mask]
                    if first:
                        check_unit_of(scene.name, block, unit, missing)
                    yield number, _on_scale(block, unit, wanted, missing)

    return percentiles_of(blocks, percentiles, whole)


def _opened(source: Source) -> Scene:
    return Scene.open(source if isinstance(source, (str, Path, Scene)) else as_array(source, "source"))


def _check_percentiles(percentiles: object) -> None:
    if not isinstance(percentiles, (tuple, list)) or len(percentiles) != 2:
        raise TypeError(f"percentiles must be two numbers, got {percentiles!r}")
    if not all(isinstance(value, Real) and not isinstance(value, bool) for value in percentiles):
        raise TypeError(f"percentiles must be two numbers, got {percentiles!r}")
    first, second = percentiles
    if not 0 <= first < second <= 100:
        raise ValueError(f"percentiles must be 0 <= first < second <= 100, got {percentiles}")


def _on_scale(block: Array, unit: str, scale: str, nodata: float | None) -> Values:
    """The valid pixels of a block on the scale, in float64."""
    x = block[valid_pixels(block, nodata)]
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
