"""What the commands that filter a scene must know of it: its unit, its looks, and what its output can hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sarcore.data import Scene, check_unit, scene_unit
from sarcore.errors import DataError
from sarcore.inference.scene_pixels import Array, ScenePixels
from sarcore.metrics import estimate_looks
from sarcore.ops import intensity

_FEWEST_LOOKS = 0.3  # one look is the least there is; estimates below this come from numbers of another unit
_SAMPLE = 1 << 22  # pixels of a channel from which the looks are estimated
_ROWS = 512  # of a window at most


def scene_domain(scene: Scene, domain: str = "auto") -> tuple[str, str]:
    """What the pixels are (intensity, amplitude, db, log or complex), and how that was found, if it was not declared.

    >>> scene_domain(Scene.open(np.array([[-12.5, -3.0]])), "db")
    ('db', '')

    With ``auto`` it is what `sarcore.data.scene_unit` says, and DataError where that cannot know (8 bit). A declared
    domain is refused with DataError where a pixel contradicts it: all are looked at, but for unsigned and complex ones,
    whose type says enough.
    """
    name = scene.path or "the image"
    try:
        if domain == "auto":
            guess = scene_unit(scene)
        else:
            for window in scene.blocks():
                check_unit(scene.read(*window), domain, scene.nodata)
                if scene.dtype.kind in "uc":
                    break
            return domain, ""
    except DataError as error:
        raise error if str(name) in str(error) else DataError(f"{name}: {error}") from error
    if guess.unit == "digital":
        raise DataError(
            f"{name} holds {scene.dtype} numbers, which say nothing of their unit; declare one: the domain "
            "amplitude for most detected images of 8 bit, intensity where they are powers"
        )
    advice = "" if guess.confidence == "certain" else "; declare it with --domain"
    return guess.unit, f"{guess.unit} ({guess.confidence}: {guess.reason}){advice}"


def estimated_looks(scene: Scene, domain: str) -> list[float]:
    """Looks of each channel, from the most homogeneous blocks of a sample of the scene; complex pixels as |z|^2.

    Raises DataError where there are none, or so few come out that the domain must be wrong.
    """
    pixels = ScenePixels(scene, None, None, math.nan, scene.nodata)
    windows = [pixels.prepared(scene.read(*window)) for window in _sample(scene)]
    size = [max(window.shape[side] for window in windows) for side in (1, 2)]
    # Filled up with NaN, which counts nowhere, so that all windows are of one size.
    x = torch.full((len(windows), scene.shape[0], *size), math.nan, dtype=windows[0].dtype)
    for number, window in enumerate(windows):
        x[number, :, : window.shape[1], : window.shape[2]] = window
    if domain == "complex":
        x, domain = intensity(x), "intensity"
    try:
        found = [estimate_looks(x[:, c : c + 1], domain=domain) for c in range(x.shape[1])]
    except ValueError as error:
        name = scene.path or "the image"
        raise DataError(f"the looks of {name} cannot be estimated ({error}); declare them with --looks") from error
    if not min(found) >= _FEWEST_LOOKS:
        raise DataError(
            f"the looks are estimated as {min(found):.2g}, and speckle has one or more: is the image really in the "
            f"domain {domain}, and its no-data value declared? If so declare the looks"
        )
    return found


def _sample(scene: Scene) -> list[tuple[int, int, int, int]]:
    """Windows (row, column, height, width): the whole of a small scene, else a bounded part of `Scene.sample`."""
    _, height, width = scene.shape
    if height * width <= _SAMPLE:
        return [(0, 0, height, width)]
    bands = list(scene.sample())
    most = _SAMPLE // len(bands)
    windows = []
    for band in bands:
        rows = min(band.height, _ROWS)
        columns = min(band.width, max(_ROWS, most // rows))
        windows.append((band.row, band.column + (band.width - columns) // 2, rows, columns))
    return windows


class Rounding:
    """Rounds rows to integers of 8 or 16 bit for a PNG, and counts those that are beyond.

    >>> rounding = Rounding(np.dtype(np.uint8))
    >>> rounding(np.array([[[99.6, 300.0]]])).tolist(), rounding.notes()
    ([[[100, 255]]], ['1 pixels (50 %) are beyond 0 to 255 and were set to the end; a .tif keeps them'])
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype, self._top = dtype, int(np.iinfo(dtype).max)
        self._beyond = self._pixels = 0

    def __call__(self, rows: Array) -> Array:
        """Rows as integers."""
        rounded = np.rint(rows)
        self._beyond += int(np.count_nonzero((rounded > self._top) | (rounded < 0) | np.isnan(rounded)))
        self._pixels += rounded.size
        whole: Array = np.clip(np.nan_to_num(rounded), 0, self._top).astype(self._dtype)
        return whole

    def notes(self) -> list[str]:
        """What was lost, in sentences."""
        if not self._beyond:
            return []
        share = 100 * self._beyond / self._pixels
        return [
            f"{self._beyond} pixels ({share:.2g} %) are beyond 0 to {self._top} and were set to the end; "
            "a .tif keeps them"
        ]


def rounding_for(out: Path, scene: Scene) -> Rounding | None:
    """What a PNG needs, None for other files; DataError where a PNG cannot hold the scene."""
    if out.suffix.lower() != ".png":
        return None
    if scene.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"cannot write {out}: a PNG holds 8 or 16 bit integers and the image is {scene.dtype}; write a .tif"
        )
    if scene.shape[0] not in ((1, 3, 4) if scene.dtype == np.uint8 else (1,)):
        raise DataError(
            f"cannot write {out}: a PNG has 1, 3 or 4 channels of 8 bit or one of 16, and the image has "
            f"{scene.shape[0]} of {scene.dtype}; write a .tif"
        )
    return Rounding(scene.dtype)


def lost_georeference(out: Path, scene: Scene) -> list[str]:
    """A sentence where the output cannot hold the place of the scene."""
    if not scene.georeferenced or out.suffix.lower() in (".tif", ".tiff"):
        return []
    return [f"the georeference is not kept in {out.name}; write a .tif for that"]
