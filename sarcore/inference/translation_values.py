"""What a translation reads and writes: units that agree with the model's, and numbers of the target's type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sarcore.data import Scene
from sarcore.data.nodata import pixel_nodata, valid_pixels
from sarcore.data.units import check_unit
from sarcore.errors import DataError
from sarcore.inference.scene_pixels import Array
from sarcore.ops import Radiometry, decode

_LIMITS: dict[tuple[float, float], np.dtype[Any]] = {
    (0.0, 255.0): np.dtype(np.uint8),
    (0.0, 65535.0): np.dtype(np.uint16),
}
_BEYOND = 0.99  # share of the pixels on one side of the limits at which the numbers must be of another kind


def digital_type(radiometry: Radiometry) -> np.dtype[Any] | None:
    """The integers whose whole range a digital radiometry declares; None where it declares other numbers.

    >>> digital_type(Radiometry("digital", 0, 255)), digital_type(Radiometry("db", -25, 0))
    (dtype('uint8'), None)
    """
    return _LIMITS.get((radiometry.low, radiometry.high)) if radiometry.unit == "digital" else None


def missing_value(scene: Scene, nodata: float | None) -> float | None:
    """The no-data value of a scene, NaN if it may hold that alone; None where no pixel can be without data.

    >>> missing_value(Scene.open(np.zeros((1, 2, 2), np.uint8)), -9999.0)
    """
    if scene.dtype.kind in "fc":
        return math.nan if nodata is None else nodata
    return None if pixel_nodata(nodata, scene.dtype) is None else nodata


def source_radiometry(source: Radiometry, unit: str | None) -> Radiometry:
    """The radiometry of a model's input for an image in another unit.

    >>> source_radiometry(Radiometry("intensity", -25, 0, scale="db"), "db").unit
    'db'

    Raises ValueError where that unit does not convert to the model's scale.
    """
    if unit is None or unit == source.unit:
        return source
    if "digital" in (unit, source.unit):
        raise ValueError(
            f"unit must be {source.unit!r}, the unit of the images that the model was trained on, got {unit!r}: "
            "digital numbers do not convert to others"
        )
    return replace(source, unit=unit)


def check_values(scene: Scene, radiometry: Radiometry, channels: Sequence[int] | None) -> None:
    """Raise DataError where the numbers of a scene, or of a sample of a large one, cannot be those of a radiometry."""
    name, digital = scene.path or "the image", digital_type(radiometry)
    low, high = _physical_limits(radiometry)
    seen = below = above = 0
    whole = True
    for window in scene.sample():
        raw = scene.read(*window, channels=channels)
        try:
            check_unit(raw, radiometry.unit, scene.nodata)
        except DataError as error:
            raise DataError(f"{name}: {error}; the model takes {_words(radiometry)}") from error
        values = (
            np.abs(raw[valid_pixels(raw, scene.nodata)])
            if raw.dtype.kind == "c"
            else raw[valid_pixels(raw, scene.nodata)]
        )
        seen, below, above = seen + values.size, below + int((values < low).sum()), above + int((values > high).sum())
        whole = whole and bool((values == np.rint(values)).all())
    if digital is not None and scene.dtype != digital and (below or above or not whole):
        raise DataError(
            f"{name} holds {scene.dtype}, and the model takes {_words(radiometry)}; translate an image as the model "
            "was trained on, or convert this one the same way"
        )
    if seen and max(below, above) > _BEYOND * seen:
        raise DataError(
            f"{name} is {'below' if below > above else 'above'} the limits of the model nearly everywhere; it takes "
            f"{_words(radiometry)}: is the image in another unit? Declare it as unit (--unit)"
        )


def is_grey(scene: Scene) -> bool:
    """Whether all channels are equal, as far as a sample tells.

    >>> is_grey(Scene.open(np.ones((3, 4, 6)))), is_grey(Scene.open(np.arange(72).reshape(3, 4, 6)))
    (True, False)
    """
    windows = (scene.read(*window) for window in scene.sample())
    return all(np.array_equal(pixels[0], other, equal_nan=True) for pixels in windows for other in pixels[1:])


def _physical_limits(radiometry: Radiometry) -> tuple[float, float]:
    """Limits in the unit of the values; of complex numbers the amplitudes."""
    ends = decode(torch.tensor([0.0, 1.0], dtype=torch.float64), replace(radiometry, out="float64", nodata=None))
    low, high = ends.tolist()
    if radiometry.unit == "complex" and radiometry.scale != "amplitude":
        low, high = (math.sqrt(end) if radiometry.scale == "intensity" else 10 ** (end / 20) for end in (low, high))
    return low, high


def _words(radiometry: Radiometry) -> str:
    digital = digital_type(radiometry)
    kind = f"{digital} grey values" if digital is not None else f"the unit {radiometry.unit!r}"
    return f"{kind} ({radiometry.scale} from {radiometry.low:g} to {radiometry.high:g})"


class TargetValues:
    """The numbers of a translation: decoded by the target's radiometry, integers where that declares their whole range.

    >>> values = TargetValues(Radiometry("digital", 0, 255), None)
    >>> values.physical(torch.tensor([0.0, 1.0])).tolist(), values.rounded(np.array([7.6])).dtype
    ([0.0, 255.0], dtype('uint8'))

    Args:
        radiometry: that of the target.
        missing: the no-data value of the scene, None if all its pixels have data.
    """

    def __init__(self, radiometry: Radiometry, missing: float | None) -> None:
        self._radiometry = replace(radiometry, out="float32", nodata=None)
        digital = digital_type(radiometry)
        self.dtype = np.dtype(np.float32) if digital is None else digital
        self.nodata = None if missing is None else self._nodata(radiometry, missing)

    def _nodata(self, radiometry: Radiometry, missing: float) -> float:
        given = missing if radiometry.nodata is None else radiometry.nodata
        if self.dtype.kind == "f":
            low, high = _physical_limits(self._radiometry)
            possible = math.isfinite(given) and low <= given <= high  # a result might have that value too
            return math.nan if possible and radiometry.nodata is None else given
        top = int(np.iinfo(self.dtype.name).max)
        return given if pixel_nodata(given, self.dtype) in (0, top) else 0.0

    def physical(self, y: torch.Tensor) -> torch.Tensor:
        """Values of [0, 1] in the target's unit; integers keep clear of the no-data value by one grey level."""
        values = decode(y, self._radiometry)
        if self.nodata is None or self.dtype.kind == "f":
            return values
        top = float(np.iinfo(self.dtype.name).max)
        return values.clamp(min=1.0) if self.nodata == 0 else values.clamp(max=top - 1.0)

    def rounded(self, rows: Array) -> Array:
        """Rows in the type of the file."""
        return np.rint(rows).astype(self.dtype) if self.dtype.kind == "u" else rows

    def check_file(self, suffix: str, channels: int) -> None:
        """Raise DataError where a file of that suffix cannot hold the result."""
        if suffix == ".png" and channels not in {"uint8": (1, 3, 4), "uint16": (1,)}.get(self.dtype.name, ()):
            raise DataError(
                f"a PNG cannot hold the translation, {channels} channels of {self.dtype}; write a .tif or .npy"
            )

    def suffix(self, channels: int) -> str:
        """Of the plainest file that holds an image: .png for 8 bit grey and colour, else .tif."""
        return ".png" if self.dtype == np.uint8 and channels in (1, 3) else ".tif"
