"""Which unit an image is in: what its numbers say, and the refusal of a declaration that they contradict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sarcore.errors import DataError
from sarcore.ops.radiometry import UNITS

BLOCK = 10  # side of the blocks whose speckle is measured; they overlap by half
_GRID = 128  # at most as many blocks along each side of a channel
_ENOUGH = 400  # blocks, an image of about 105 x 105 pixels
_HOMOGENEOUS = 0.1  # share of the blocks, those that vary least
_BOUNDARY = 1.1  # of skewness over coefficient of variation, between amplitude and intensity
_DECIBELS = 100.0  # no calibrated backscatter lies beyond +-100 dB
_FEW = 0.05  # share of negative values up to which they may be noise that was subtracted

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class UnitGuess:
    """A unit of `sarcore.Radiometry`, how sure that is, and the evidence in words."""

    unit: str
    confidence: Literal["certain", "likely"]
    reason: str


def detect_unit(x: Array | torch.Tensor, nodata: float | None = None) -> UnitGuess:
    """The unit of an image (H, W) or (C, H, W), from its type, its sign and the shape of its speckle.

    >>> speckle = np.random.default_rng(0).gamma(4.0, 0.25, (200, 200))
    >>> detect_unit(speckle).unit, detect_unit(np.sqrt(speckle)).unit, detect_unit(10 * np.log10(speckle)).unit
    ('intensity', 'amplitude', 'db')

    Complex numbers and 8 bit are certain; negative fractions within +-100 are decibels. Of non-negative numbers the
    speckle decides: where the ground is homogeneous, intensity is Gamma distributed, with skewness / (deviation / mean)
    = 2 for any number of looks, and its square root has 1.0 to 1.2. Measured in the tenth of the 10 x 10 blocks that
    vary least, where both come out lower (1.3 and 0.7); the boundary is 1.1. Texture raises it, so that an amplitude
    may pass for an intensity: always only ``likely``, and the producer's documents win.

    Args:
        x: the image; of a large (memory-mapped) one a grid of blocks is read.
        nodata: value of pixels without data; NaN is left out too.

    Raises:
        DataError: the unit cannot be told: no valid pixel, too small, constant, negative integers, negative values
            beyond +-100, or so few negative ones that noise may have been subtracted.

    Source: J. W. Goodman, Speckle Phenomena in Optics, 2007 (the distributions); the boundary is our own.
    """
    image = _array(x)
    if image.dtype.kind == "c":
        return UnitGuess("complex", "certain", f"the numbers are {image.dtype}")
    if image.dtype.itemsize == 1:
        return UnitGuess("digital", "certain", f"{image.dtype} holds grey values, not physical ones")
    blocks = _blocks(image)
    valid = blocks[np.isfinite(blocks) & (blocks != nodata)] if nodata is not None else blocks[np.isfinite(blocks)]
    if not valid.size:
        raise _unknown("it has no valid pixel")
    low, high = float(valid.min()), float(valid.max())
    if low < 0:
        return _decibels(valid, low, high)
    return _by_speckle(blocks, nodata, f"no value is negative (up to {high:.4g})")


def check_unit(x: Array | torch.Tensor, declared: str, nodata: float | None = None) -> None:
    """Raise DataError where the values of x (any shape) cannot be in the declared unit of `sarcore.Radiometry`.

    >>> check_unit(np.array([-12.5, -3.0]), "db")
    >>> check_unit(np.array([-12.5, -3.0]), "intensity")
    Traceback (most recent call last):
    sarcore.errors.DataError: the image is declared as intensity, but 2 of its 2 values are negative (down to -12.5);
    these may be decibels: declare unit 'db'

    Amplitude and intensity do not contradict each other; `detect_unit` tells which is likely.
    """
    if declared not in UNITS:
        raise ValueError(f"declared must be one of {', '.join(map(repr, UNITS))}, got {declared!r}")
    check_values(_array(x), declared, nodata)
    if declared == "db":
        image = _array(x)
        valid = image[np.isfinite(image) & (image != nodata)] if nodata is not None else image[np.isfinite(image)]
        if valid.size and valid.min() >= 0 and valid.max() > _DECIBELS:
            raise DataError(
                f"the image is declared as decibels, but its values lie between {valid.min():.4g} and "
                f"{valid.max():.4g}: these look like intensities or digital numbers"
            )


def check_values(image: Array, declared: str, nodata: float | None = None) -> None:
    """The part of `check_unit` that holds for any piece of an image: types and negative values.

    >>> check_values(np.zeros(3, dtype=np.uint8), "digital")
    """
    if (image.dtype.kind == "c") != (declared == "complex"):
        raise DataError(f"the image holds {image.dtype}, which contradicts the declared unit {declared!r}")
    if declared == "db" and image.dtype.kind in "ui":
        raise DataError(f"the image holds {image.dtype}, but decibels are fractions; declare unit 'digital'")
    if declared in ("intensity", "amplitude") and image.dtype.kind != "u":
        negative = (image < 0) & (image != nodata) if nodata is not None else image < 0
        count = int(negative.sum())
        if count:
            raise DataError(
                f"the image is declared as {declared}, but {count} of its {image.size} values are negative (down to "
                f"{float(image[negative].min()):.4g}); these may be decibels: declare unit 'db'"
            )


def _array(x: Array | torch.Tensor) -> Array:
    return x.detach().cpu().resolve_conj().numpy() if isinstance(x, torch.Tensor) else x


def _blocks(image: Array) -> npt.NDArray[np.float64]:
    """(blocks, pixels) from a grid over every channel; of an image smaller than a block one row of all its pixels."""
    planes = image.reshape(-1, *image.shape[-2:]) if image.ndim > 1 else image.reshape(1, 1, -1)
    _, height, width = planes.shape
    if min(height, width) < BLOCK:
        return planes.reshape(1, -1).astype(np.float64)
    rows, columns = (
        np.linspace(0, side - BLOCK, min((side - BLOCK) // (BLOCK // 2) + 1, _GRID)).astype(int)
        for side in (height, width)
    )
    found = []
    for plane in planes:
        for row in rows:
            strip = np.asarray(plane[row : row + BLOCK], dtype=np.float64)
            found.append(np.stack([strip[:, c : c + BLOCK].ravel() for c in columns]))
    return np.concatenate(found)


def _decibels(valid: npt.NDArray[np.float64], low: float, high: float) -> UnitGuess:
    share = float((valid < 0).mean())
    limits = f"values from {low:.4g} to {high:.4g}, {100 * share:.0f} % of them negative"
    if not (valid != np.rint(valid)).any():
        raise _unknown(f"its negative values are whole numbers ({limits})")
    if max(-low, high) > _DECIBELS:
        raise _unknown(f"it has {limits}, which no unit allows; is one of them a no-data value?")
    if share < _FEW:
        raise _unknown(f"it has {limits}: too few for decibels; was noise subtracted from an intensity?")
    return UnitGuess("db", "likely", limits)


def _by_speckle(blocks: npt.NDArray[np.float64], nodata: float | None, seen: str) -> UnitGuess:
    whole = np.isfinite(blocks).all(axis=1) & (blocks > 0).all(axis=1)
    if nodata is not None:
        whole &= (blocks != nodata).all(axis=1)
    blocks = blocks[whole]
    mean, deviation = blocks.mean(axis=1), blocks.std(axis=1)
    varied = deviation > 0
    blocks, mean, deviation = blocks[varied], mean[varied], deviation[varied]
    if len(blocks) < _ENOUGH:
        raise _unknown(f"{seen}, and it has {len(blocks)} of the {_ENOUGH} blocks of speckle needed")
    variation = deviation / mean
    skewness = ((blocks - mean[:, None]) ** 3).mean(axis=1) / deviation**3
    calm = variation <= np.quantile(variation, _HOMOGENEOUS)
    ratio = float(np.median(skewness[calm]) / np.median(variation[calm]))
    unit = "intensity" if ratio > _BOUNDARY else "amplitude"
    sides = "above" if unit == "intensity" else "below"
    return UnitGuess(
        unit, "likely", f"{seen}; skewness / variation of homogeneous blocks is {ratio:.2f}, {sides} {_BOUNDARY}"
    )


def _unknown(why: str) -> DataError:
    return DataError(f"the unit of the image cannot be told: {why}; declare it from the documents of its producer")
