"""The arguments of `run_scene`, checked, and what tells one scene from another."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np

from sarcore.data import Scene
from sarcore.errors import DataError
from sarcore.inference.scene_tiles import BlendedTiles, CroppedTiles
from sarcore.ops import PatchGrid, Radiometry
from sarcore.ops._checks import choice, integer, number
from sarcore.ops.encode import check_radiometry

OUTPUT_SUFFIXES = (".tif", ".tiff", ".npy", ".png")
WINDOWS = ("hann", "gaussian", "triangular", "flat", "crop")


def check_types(fn: object, out: object, radiometry: object) -> None:
    """Raise TypeError for what is no function, path or radiometry at all."""
    if not callable(fn):
        raise TypeError(f"fn must be a function of patches (B, C, h, w), got {type(fn).__name__}")
    if not isinstance(out, (str, Path)):
        raise TypeError(f"out must be the path of a file, got {type(out).__name__}")
    if radiometry is not None:
        check_radiometry(radiometry)


def check_output(out: Path, scene: Scene) -> None:
    """Raise DataError when nothing could be written there, before anything is computed."""
    if out.suffix.lower() not in OUTPUT_SUFFIXES:
        raise DataError(f"cannot write {out}: use one of the suffixes {', '.join(OUTPUT_SUFFIXES)}")
    if not out.parent.is_dir():
        raise DataError(f"cannot write {out}: the folder {out.parent} does not exist; make it first")
    if out.is_dir():
        raise DataError(f"cannot write {out}: it is a folder; give the name of a file")
    if scene.path is not None and out.exists() and _file_of(scene).exists() and out.samefile(_file_of(scene)):
        raise DataError(f"cannot write {out}: it is the image that is read; give another name")


def tiles_of(
    scene: Scene, size: object, overlap: object, window: str, align: object = 1
) -> CroppedTiles | BlendedTiles:
    """How the scene is cut."""
    window = choice(window, WINDOWS, "window")
    sides, shared = _pair(size, "size", 1), _pair(overlap, "overlap", 0)
    align = integer(align, "align", 1, 2**31 - 1)
    margin = shared[0] // 2, shared[1] // 2
    uneven = (*sides, *(margin if window == "crop" else shared))
    if any(length % align for length in uneven):
        half = "half of the overlap" if window == "crop" else "overlap"
        raise ValueError(f"size and {half} must be multiples of align = {align}, got size {size}, overlap {overlap}")
    if window == "crop":
        return CroppedTiles(scene.shape[1:], sides, margin, align=align)
    if shared[0] >= sides[0] or shared[1] >= sides[1]:
        raise ValueError(f"overlap must be less than size, got {overlap} for the size {size}")
    return BlendedTiles(PatchGrid(scene.shape, sides, (sides[0] - shared[0], sides[1] - shared[1])))


def _pair(value: Any, name: str, least: int) -> tuple[int, int]:
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name} must be an integer or a pair (vertical, horizontal), got {value!r}")
    return integer(both[0], name, least, 2**31 - 1), integer(both[1], name, least, 2**31 - 1)


def channels_of(channels: Sequence[int] | None, scene: Scene) -> list[int] | None:
    """The channels that were asked for, which must be there."""
    if channels is None:
        return None
    if not isinstance(channels, (Sequence, np.ndarray)) or isinstance(channels, str) or not len(channels):
        raise ValueError(f"channels must be a list of channel numbers, counted from 0, got {channels!r}")
    return [integer(channel, "channels", 0, scene.shape[0] - 1) for channel in channels]


def out_nodata_of(given: float | EllipsisType | None) -> float | EllipsisType | None:
    """The no-data value of the result, where it is not that of the scene."""
    return given if given is None or isinstance(given, EllipsisType) else number(given, "out_nodata")


def nodata_of(given: float | EllipsisType | None, scene: Scene, radiometry: Radiometry | None) -> float | None:
    """The no-data value of scene and result."""
    if not isinstance(given, EllipsisType):
        return None if given is None else number(given, "nodata")
    declared = None if radiometry is None else radiometry.nodata
    if declared is None or np.isnan(declared) or scene.nodata is None:
        return scene.nodata if scene.nodata is not None else declared
    if declared != scene.nodata:
        raise ValueError(f"nodata must be given: the scene declares {scene.nodata:g} and the radiometry {declared:g}")
    return scene.nodata


def _file_of(scene: Scene) -> Path:
    """The file of a scene, without the name of the array in it."""
    path = Path(str(scene.path))
    return path if path.exists() else Path(str(path).partition("#")[0])


def identity(scene: Scene) -> dict[str, Any]:
    """What tells a scene from another one without reading all of it."""
    about = {"shape": list(scene.shape), "dtype": str(scene.dtype)}
    if scene.path is None:
        rows = np.linspace(0, scene.shape[1] - 1, 16).astype(int)
        pixels = (np.ascontiguousarray(scene.read(int(row), 0, 1)).tobytes() for row in rows)
        return {**about, "pixels": zlib.crc32(b"".join(pixels))}
    status = _file_of(scene).stat()
    return {"path": str(scene.path), **about, "bytes": status.st_size, "changed": status.st_mtime_ns}
