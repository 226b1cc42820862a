"""Where two rasters of one place overlap, pixel on pixel."""

from __future__ import annotations

from typing import NamedTuple

from sarcore.data.scene import Scene
from sarcore.errors import DataError

_TOLERANCE = 0.01  # of a pixel, over the whole raster


class Overlap(NamedTuple):
    """Rows and columns that both rasters show, and the row and column of its first pixel in each."""

    shape: tuple[int, int]
    a: tuple[int, int]
    b: tuple[int, int]


def overlap_of(a: Scene, b: Scene) -> Overlap:
    """What two rasters on one grid both show; without places on Earth, the whole of two rasters of one size.

    >>> import numpy as np
    >>> overlap_of(Scene.open(np.zeros((4, 6))), Scene.open(np.zeros((3, 4, 6)))).shape
    (4, 6)

    Raises DataError for two sizes without places, one place alone, two grids (it names the command that brings them to
    one), and rasters that do not overlap.
    """
    placed = [scene.crs is not None and scene.transform is not None for scene in (a, b)]
    if not any(placed):
        if a.shape[1:] != b.shape[1:]:
            raise DataError(
                f"{_name(a)} has {a.shape[1]} x {a.shape[2]} pixels, {_name(b)} {b.shape[1]} x {b.shape[2]}, and "
                "neither knows its place on Earth; bring both to one grid and size first"
            )
        return Overlap((a.shape[1], a.shape[2]), (0, 0), (0, 0))
    if not all(placed):
        with_place, without = (a, b) if placed[0] else (b, a)
        raise DataError(
            f"{_name(with_place)} knows its place on Earth and {_name(without)} does not; give two georeferenced "
            "rasters (`sarcore prep register` places an optical image on a SAR grid), or two without a place"
        )
    advice = f"bring them to one: sarcore prep warp {_name(b)} OUT.tif --like {_name(a)}"
    if not _same_crs(a, b):
        raise DataError(f"{_name(a)} and {_name(b)} have different coordinate systems; {advice}")
    row, column = _offset(a, b, advice)
    first_a = max(0, row), max(0, column)
    first_b = max(0, -row), max(0, -column)
    height, width = (min(a.shape[i + 1] - first_a[i], b.shape[i + 1] - first_b[i]) for i in range(2))
    if height <= 0 or width <= 0:
        raise DataError(
            f"{_name(a)} and {_name(b)} do not overlap: the second begins {row} rows below and {column} columns to the "
            f"right of the first, which has {a.shape[1]} x {a.shape[2]} pixels; give rasters of one place"
        )
    return Overlap((height, width), first_a, first_b)


def _offset(a: Scene, b: Scene, advice: str) -> tuple[int, int]:
    """Row and column of `a` at which `b` begins; DataError where that is between two pixels or their sizes differ."""
    assert a.transform is not None
    assert b.transform is not None
    xx, xy, x, yx, yy, y = a.transform
    scale = xx * yy - xy * yx
    if not scale:
        raise DataError(f"{_name(a)} has a transform without area, {a.transform}; correct it")
    steps = [float(b.transform[i] - a.transform[i]) for i in (0, 1, 3, 4)]
    pixel = abs(scale) ** 0.5
    longest = max(*a.shape[1:], *b.shape[1:])
    if max(map(abs, steps)) * longest > _TOLERANCE * pixel:
        raise DataError(
            f"the pixels of {_name(a)} and {_name(b)} differ in size or direction ({_spacing(a)} and {_spacing(b)}); "
            f"{advice}"
        )
    dx, dy = b.transform[2] - x, b.transform[5] - y
    column, row = (yy * dx - xy * dy) / scale, (xx * dy - yx * dx) / scale
    rows, columns = abs(row - round(row)), abs(column - round(column))
    if max(rows, columns) > _TOLERANCE:
        raise DataError(
            f"the grids of {_name(a)} and {_name(b)} lie {rows:.2f} rows and {columns:.2f} columns apart, no whole "
            f"pixels; {advice}"
        )
    return round(row), round(column)


def _same_crs(a: Scene, b: Scene) -> bool:
    if a.crs == b.crs:
        return True
    try:
        from pyproj import CRS
    except ImportError as error:
        raise DataError("comparing two coordinate systems needs a package: pip install 'sarcore[geo]'") from error
    return bool(CRS(a.crs) == CRS(b.crs))


def _spacing(scene: Scene) -> str:
    assert scene.gsd is not None
    return f"{scene.gsd[0]:.6g} x {scene.gsd[1]:.6g}"


def _name(scene: Scene) -> str:
    return scene.name if scene.path is None else str(scene.path)
