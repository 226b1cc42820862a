"""The scenes that a patch set is cut from: their names, what they must share, one no-data value and radiometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.limits import limits_of_scenes, radiometry_of, scene_unit
from sarcore.data.nodata import pixel_nodata, valid_pixels
from sarcore.data.order_statistics import ALL
from sarcore.data.scene import Scene
from sarcore.data.units import UnitGuess
from sarcore.errors import DataError
from sarcore.ops import Radiometry

_DTYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64", "complex64")
_SAME_GSD = 0.01  # relative

Source = str | Path | npt.NDArray[Any] | Scene


@dataclass
class SceneSet:
    """Scenes of one type and number of channels, each under a name of its own."""

    scenes: dict[str, Scene]
    channels: list[int]
    nodata: float | None
    notes: list[str]
    """What the scenes do not share, one sentence each."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return next(iter(self.scenes.values())).dtype

    @property
    def same_bands(self) -> bool:
        """Whether the channels are all of the scenes, in their order."""
        return self.channels == list(range(next(iter(self.scenes.values())).shape[0]))

    def read(
        self, name: str, row: int, column: int, height: int, width: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """A window (C, h, w) of a scene, and which of its pixels are data in all channels, (h, w).

        No-data pixels have the value of the set; NaN is no-data too. Raises DataError where a valid pixel has that
        value.
        """
        scene = self.scenes[name]
        rows = scene.read(row, column, height, width, self.channels)
        data = valid_pixels(rows, scene.nodata)
        if rows.dtype.kind in "fc":
            data |= np.isinf(rows)
        mask = scene.mask(row, column, height, width)
        if mask is not None:
            data &= mask
        missing = pixel_nodata(self.nodata, rows.dtype)
        if missing is not None and scene.nodata != self.nodata:
            if (data & (rows == missing)).any():
                raise DataError(
                    f"the scene {name} has valid pixels of {self.nodata:g}, the no-data value of other scenes; declare "
                    "one for all with --nodata"
                )
            rows[~data] = missing
        elif self.nodata is not None and math.isnan(self.nodata) and not data.all():
            rows[~data] = np.nan
        return rows, np.asarray(data.all(axis=0))


def open_scenes(
    sources: Sequence[Source], *, nodata: float | None = None, channels: Sequence[int] | None = None
) -> SceneSet:
    """Open scenes and check that patches of all of them fit into one set.

    >>> found = open_scenes([np.zeros((4, 6)), np.ones((5, 5))])
    >>> list(found.scenes), found.channels, found.nodata
    (['array', 'array_2'], [0], nan)

    `nodata` replaces what the scenes declare; where none does, NaN of floating-point and complex pixels is no-data.
    Raises ValueError for no scene and channels that are not there, DataError
    as `Scene.open`, and for types or numbers of channels that differ or that patches cannot have.
    """
    if not len(sources):
        raise ValueError("scenes must be one or more files or arrays, got none")
    opened = [Scene.open(source, nodata=nodata) for source in sources]
    first = opened[0]
    wanted = list(range(first.shape[0])) if channels is None else [int(channel) for channel in channels]
    if not wanted or not all(0 <= channel < first.shape[0] for channel in wanted):
        raise ValueError(f"channels must be 0 to {first.shape[0] - 1}, got {wanted}")
    for scene in opened:
        if scene.dtype.name not in _DTYPES:
            raise DataError(f"{_where(scene)} holds {scene.dtype}, patches are {', '.join(_DTYPES)}; convert it")
        if (scene.shape[0], scene.dtype) != (first.shape[0], first.dtype):
            raise DataError(
                f"{_where(scene)} is {scene.shape[0]} x {scene.dtype} and {_where(first)} {first.shape[0]} x "
                f"{first.dtype}; the scenes of a set have one type and number of channels"
            )
    named = dict(zip(_names(opened), opened, strict=True))
    declared = [scene.nodata for scene in opened if _possible(scene)]
    unseen = math.nan if first.dtype.kind in "fc" else None  # NaN is no-data without being declared
    return SceneSet(named, wanted, declared[0] if declared else unseen, _notes(named))


def set_radiometry(
    scenes: SceneSet,
    unit: str | None = None,
    *,
    scale: str | None = None,
    low: float | None = None,
    high: float | None = None,
    percentiles: tuple[float, float] = (1, 99),
) -> tuple[Radiometry, list[str]]:
    """One radiometry for all scenes, and what was found and not given, one sentence each.

    >>> found = open_scenes([np.arange(256, dtype=np.uint8).reshape(16, 16)])
    >>> set_radiometry(found)[0]
    Radiometry(unit='digital', low=0.0, high=255.0, nodata=None, out='float32', scale='digital')

    The unit is that of `scene_unit`, the scale decibels (of 8 bit: grey values), the limits are percentiles of the
    pixels of all scenes. 8-bit grey values keep their range, without the no-data value where that is 0 or 255.

    Raises DataError where the unit of no scene can be told, or differs between them, and as `limits_of_scenes`.
    """
    notes: list[str] = []
    if unit is None:
        unit, notes = _unit(scenes.scenes)
    if scale is None:
        scale = "digital" if unit == "digital" else "db"
    if low is None or high is None:
        found = _limits(scenes, unit, scale, percentiles)
        low, high = found[0] if low is None else low, found[1] if high is None else high
        notes.append(f"limits {low:.5g} and {high:.5g} {scale}, of all scenes; declare them with --low and --high")
    first = next(iter(scenes.scenes.values()))
    declared = radiometry_of((low, high), first, unit, scale=scale, percentiles=percentiles, nodata=scenes.nodata)
    return declared, notes


def _unit(scenes: dict[str, Scene]) -> tuple[str, list[str]]:
    """The unit that all scenes seem to have which tell one, and what to say of that."""
    guesses: dict[str, UnitGuess] = {}
    unknown: dict[str, DataError] = {}
    for name, scene in scenes.items():
        try:
            guesses[name] = scene_unit(scene)
        except DataError as error:
            unknown[name] = error
    if not guesses:
        name, reason = next(iter(unknown.items()))
        raise DataError(f"the scene {name}: {reason} (--unit)") from reason
    kinds = {guess.unit: name for name, guess in guesses.items()}
    if len(kinds) > 1:
        listed = ", ".join(f"{name} in {kind}" for kind, name in kinds.items())
        raise DataError(f"the scenes seem to differ in unit ({listed}); declare it with --unit")
    guess = next(iter(guesses.values()))
    notes = [f"the scene {name} is taken as the others: {reason}" for name, reason in unknown.items()]
    if guess.confidence != "certain":
        notes.append(f"unit {guess.unit}, as it seems ({guess.reason}); declare it with --unit")
    return guess.unit, notes


def _limits(scenes: SceneSet, unit: str, scale: str, percentiles: tuple[float, float]) -> tuple[float, float]:
    if scenes.dtype == np.uint8 and unit == "digital":
        return 0.0 + (scenes.nodata == 0), 255.0 - (scenes.nodata == 255)
    opened = list(scenes.scenes.values())
    return limits_of_scenes(opened, unit, scale, percentiles, channels=scenes.channels)[ALL]


def _where(scene: Scene) -> str:
    return f"the scene {scene.path or scene.name}"


def _possible(scene: Scene) -> bool:
    """Whether the scene declares a no-data value that its pixels can have."""
    if scene.nodata is None:
        return False
    return pixel_nodata(scene.nodata, scene.dtype) is not None or (
        math.isnan(scene.nodata) and scene.dtype.kind in "fc"
    )


def _names(scenes: Sequence[Scene]) -> list[str]:
    """Their file names; where two are equal, with the names of their folders; where these are, with a number."""
    stems = [scene.name for scene in scenes]
    full = [
        f"{scene.path.resolve().parent.name}_{scene.name}" if scene.path and stems.count(scene.name) > 1 else scene.name
        for scene in scenes
    ]
    taken: dict[str, int] = {}
    names = []
    for name in full:
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else f"{name}_{taken[name]}")
    return names


def _notes(scenes: dict[str, Scene]) -> list[str]:
    notes = []
    places = {name: scene for name, scene in scenes.items() if scene.crs is not None}
    if len({scene.crs for scene in places.values()}) > 1:
        notes.append(f"the scenes are in {len({scene.crs for scene in places.values()})} coordinate systems")
    if 0 < len(places) < len(scenes):
        without = [name for name in scenes if name not in places]
        notes.append(f"{len(without)} of {len(scenes)} scenes have no georeference, for example {without[0]}")
    spacings = {name: scene.gsd[0] for name, scene in places.items() if scene.gsd is not None}
    if spacings and max(spacings.values()) > (1 + _SAME_GSD) * min(spacings.values()):
        fine, coarse = min(spacings, key=spacings.__getitem__), max(spacings, key=spacings.__getitem__)
        notes.append(
            f"the pixel spacing differs: {spacings[fine]:.6g} in {fine}, {spacings[coarse]:.6g} in {coarse} (CRS units)"
        )
    return notes
