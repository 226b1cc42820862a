"""Which unit an image is in: what its numbers say, and the refusal of a declaration that they contradict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sarcore.data.nodata import valid_pixels
from sarcore.errors import DataError
from sarcore.ops.radiometry import UNITS

BLOCK = 10  # side of the blocks whose speckle is measured; they overlap by half
_GRID = 128  # at most as many blocks along each side of a channel
_ENOUGH = 400  # blocks, an image of about 105 x 105 pixels
_HOMOGENEOUS = 0.1  # share of the blocks, those that vary least
_BOUNDARY = 1.1  # of skewness over coefficient of variation, between amplitude and intensity
_DECIBELS = 100.0  # no backscatter, calibrated or not, lies beyond +-100 dB
_LARGEST = {"db": _DECIBELS, "log": _DECIBELS * math.log(10) / 10}
_PIECE = 1 << 20  # pixels that are looked at together
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
    return unit_of([as_array(x)], nodata)


def unit_of(windows: Sequence[Array], nodata: float | None = None) -> UnitGuess:
    """`detect_unit` for an image of which some windows are there, each (H, W) or (C, H, W).

    >>> unit_of([np.zeros((9, 9), dtype=np.uint8)]).unit
    'digital'
    """
    dtype = windows[0].dtype
    if dtype.kind == "c":
        return UnitGuess("complex", "certain", f"the numbers are {dtype}")
    if dtype.itemsize == 1:
        return UnitGuess("digital", "certain", f"{dtype} holds grey values, not physical ones")
    large = [window for window in windows if min(_planes(window).shape[1:]) >= BLOCK] or windows[:1]
    blocks = np.concatenate([_blocks(window, lambda x: x.astype(np.float64)) for window in large])
    usable = np.concatenate([_blocks(window, lambda x: valid_pixels(x, nodata)) for window in large])
    valid = blocks[usable]
    if not valid.size:
        raise _unknown("it has no valid pixel, all are NaN, infinite or no-data")
    low, high = float(valid.min()), float(valid.max())
    if low < 0:
        return _decibels(valid, low, high)
    return _by_speckle(blocks[usable.all(axis=1)], f"no value is negative (up to {high:.4g})")


def check_unit(x: Array | torch.Tensor, declared: str, nodata: float | None = None) -> None:
    """Raise DataError where the values of x (any shape) cannot be in the declared unit.

    >>> check_unit(np.array([-12.5, -3.0]), "db")
    >>> check_unit(np.array([-12.5, -3.0]), "intensity")
    Traceback (most recent call last):
    sarcore.errors.DataError: the image is declared as intensity, but has negative values (down to -12.5); these may be
    decibels: declare unit 'db', or no-data: declare their value

    Refused are complex numbers in a real unit and real ones as complex, negative intensities and amplitudes, integers
    as decibels, and decibels beyond +-100. Amplitude and intensity do not contradict each other; `detect_unit` tells
    which is likely. What holds for an image holds for each of its pieces.

    Args:
        x: the values.
        declared: a unit of `sarcore.Radiometry`, or ``log``, the natural logarithm of an intensity.
        nodata: value of pixels without data; NaN and infinity are left out too.

    Raises:
        ValueError: another word for the unit.
        TypeError: x is neither an array nor a tensor of numbers.
    """
    if declared not in (*UNITS, "log"):
        raise ValueError(f"declared must be one of {', '.join(map(repr, (*UNITS, 'log')))}, got {declared!r}")
    image = as_array(x)
    if (image.dtype.kind == "c") != (declared == "complex"):
        raise DataError(f"the image holds {image.dtype}, which contradicts the declared unit {declared!r}")
    if declared in _LARGEST and image.dtype.kind in "ui":
        raise DataError(f"the image holds {image.dtype}, but decibels are fractions; declare what the integers are")
    if declared in ("complex", "digital") or image.dtype.kind == "u":
        return
    low, high = _extremes(image, nodata)
    if declared not in _LARGEST:
        if low < 0:
            raise DataError(
                f"the image is declared as {declared}, but has negative values (down to {low:.4g}); these may be "
                "decibels: declare unit 'db', or no-data: declare their value"
            )
        return
    name, limit = ("decibels" if declared == "db" else "logarithms of intensities"), _LARGEST[declared]
    if high > limit:
        raise DataError(
            f"the image is declared as {name}, but its values lie between {low:.4g} and {high:.4g}, and none beyond "
            f"{limit:.4g} is possible: these look like intensities or digital numbers"
        )
    if low < -limit:
        raise DataError(
            f"the image is declared as {name}, but its values go down to {low:.4g}, and none below {-limit:.4g} is "
            "possible: is this a no-data value? Declare it as nodata"
        )


def check_unit_of(name: str, x: Array, declared: str, nodata: float | None = None) -> None:
    """`check_unit` of some pixels of a scene, which the error names.

    >>> check_unit_of("a", np.array([-12.5, -3.0]), "db")
    """
    try:
        check_unit(x, declared, nodata)
    except DataError as error:
        raise DataError(f"the scene {name}: {error}") from error


def as_array(x: Array | torch.Tensor, name: str = "x") -> Array:
    """An array of numbers; bfloat16 tensors, which NumPy lacks, become float32.

    >>> as_array(torch.zeros(2, dtype=torch.bfloat16)).dtype
    dtype('float32')
    """
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().resolve_conj().resolve_neg()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array or a tensor, got {type(x).__name__}; pass numpy.asarray({name})")
    if x.dtype.kind not in "uifc":
        raise TypeError(f"{name} must hold numbers, got {x.dtype}; convert it")
    return x


def _extremes(image: Array, nodata: float | None) -> tuple[float, float]:
    """Least and greatest valid value; (0, 0) where there is none."""
    found = []
    flat = image.reshape(-1)
    for first in range(0, flat.size, _PIECE):
        piece = flat[first : first + _PIECE]
        values = piece[valid_pixels(piece, nodata)]
        if values.size:
            found.append((float(values.min()), float(values.max())))
    return (min(low for low, _ in found), max(high for _, high in found)) if found else (0.0, 0.0)


def _planes(image: Array) -> Array:
    return image.reshape(-1, *image.shape[-2:]) if image.ndim > 1 else image.reshape(1, 1, -1)


def _blocks(image: Array, seen: Callable[[Array], Array]) -> Array:
    """What `seen` says of (blocks, pixels) on a grid over every channel; an image smaller than a block is one row."""
    planes = _planes(image)
    _, height, width = planes.shape
    if min(height, width) < BLOCK:
        return seen(planes.reshape(1, -1))
    rows, columns = (
        np.linspace(0, side - BLOCK, min((side - BLOCK) // (BLOCK // 2) + 1, _GRID)).astype(int)
        for side in (height, width)
    )
    found = []
    for plane in planes:
        for row in rows:
            strip = seen(np.asarray(plane[row : row + BLOCK]))
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


def _by_speckle(blocks: npt.NDArray[np.float64], seen: str) -> UnitGuess:
    """From blocks of valid pixels."""
    blocks = blocks[(blocks > 0).all(axis=1)]
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
