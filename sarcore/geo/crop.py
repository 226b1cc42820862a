"""A part of a georeferenced file, by longitude and latitude; pixels are copied, never resampled."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sarcore.errors import DataError
from sarcore.geo.files import check_output
from sarcore.geo.grid import Bounds, Grid
from sarcore.geo.raster import Place, Points, geotiff, has_mask, opened, parse_crs, place_of, project, read, windows

_SNAP = 1e-6  # of a pixel, by which a bound may miss the line of pixels that it means


class Part(NamedTuple):
    """Window of a file: column, row, width and height; `whole` is False where the bounds leave the file."""

    column: int
    row: int
    width: int
    height: int
    whole: bool


def crop(
    source: str | Path,
    out: str | Path,
    bounds: Bounds,
    *,
    crs: str | None = None,
    on_start: Callable[[Part, Grid], None] | None = None,
    on_pixels: Callable[[int], None] | None = None,
) -> Part:
    """Write the pixels of a file that touch the bounds, with type, no-data, mask, names and tags, as GeoTIFF.

    >>> from tempfile import mkdtemp
    >>> from sarcore.geo.raster import new_geotiff
    >>> folder, bounds = Path(mkdtemp()), Bounds.of(139.80, 35.70, 139.82, 35.72)
    >>> with new_geotiff(folder / "a.tif", Grid.utm_around(bounds, gsd=10.0), count=1, dtype="uint8") as file:
    ...     file.write(np.full((1, file.height, file.width), 7, np.uint8))
    >>> crop(folder / "a.tif", folder / "b.tif", Bounds.of(139.814, 35.707, 139.807, 35.714))
    Part(column=64, row=67, width=66, height=80, whole=True)

    The sides of the bounds are curves in the file's system: 21 points of each are followed. A file in any system is
    copied in windows, in constant memory.

    Args:
        source: a georeferenced raster that GDAL reads.
        out: the .tif to write.
        bounds: what is wanted.
        crs: coordinate system of a file that has a transform but names no system.
        on_start: called with the window and its grid before pixels are read.
        on_pixels: called with the number of pixels done.

    Raises:
        DataError: no georeference, no overlap (both extents are named), a file that cannot be read or written.
    """
    source, out = Path(source), Path(out)
    check_output(out, [source])
    with opened(source) as dataset:
        place = place_of(dataset, crs)
        part = part_within(dataset, place, bounds)
        grid = Grid(place.crs, _moved(place, part), part.width, part.height)
        if on_start is not None:
            on_start(part, grid)
        with geotiff(out, dataset, grid.place, (part.width, part.height)) as target:
            _copy(dataset, target, part, on_pixels)
    return part


def part_within(dataset: Any, place: Place, bounds: Bounds) -> Part:
    """The smallest window that holds all pixels which the bounds touch.

    Raises DataError where there are none.
    """
    a, b, c, d, e, f = place.transform
    there = project(bounds.outline(), "EPSG:4326", place.crs)
    if not np.isfinite(there).all():
        raise _apart(dataset, place, bounds)
    pixels = (_turned(dataset, place, there) - np.array([c, f])) @ np.linalg.inv(np.array([[a, d], [b, e]]))
    first, last = pixels.min(axis=0), pixels.max(axis=0)
    left, top = (math.floor(v + _SNAP) for v in first)
    right, bottom = (math.ceil(v - _SNAP) for v in last)
    column, row = max(left, 0), max(top, 0)
    width, height = min(right, dataset.width) - column, min(bottom, dataset.height) - row
    if width < 1 or height < 1:
        raise _apart(dataset, place, bounds)
    whole = (left, top) == (column, row) and right <= dataset.width and bottom <= dataset.height
    return Part(column, row, width, height, whole)


def _turned(dataset: Any, place: Place, points: Points) -> Points:
    """Longitudes that the file counts from 0 to 360, where it does; other coordinates as they are."""
    right = Grid(place.crs, place.transform, dataset.width, dataset.height).bounds[2]
    if not parse_crs(place.crs).is_geographic or right <= 180 + 1e-6:
        return points
    return points if points[:, 0].max() > 0 else points + np.array([360.0, 0.0])


def _apart(dataset: Any, place: Place, bounds: Bounds) -> DataError:
    extent = Grid(place.crs, place.transform, dataset.width, dataset.height).extent()
    return DataError(f"{dataset.name} does not reach the bounds: it covers {extent}; asked for is {bounds}")


def _moved(place: Place, part: Part) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = place.transform
    x, y = c + a * part.column + b * part.row, f + d * part.column + e * part.row
    return a, b, x, d, e, y


def _copy(dataset: Any, target: Any, part: Part, on_pixels: Callable[[int], None] | None) -> None:
    from rasterio.windows import Window

    masked, done = has_mask(dataset), 0
    for column, row, width, height in windows(part.width, part.height):
        there, here = Window(part.column + column, part.row + row, width, height), Window(column, row, width, height)
        target.write(read(dataset, part.column + column, part.row + row, width, height), window=here)
        if masked:
            target.write_mask(dataset.read_masks(1, window=there), window=here)
        done += width * height
        if on_pixels is not None:
            on_pixels(done)
