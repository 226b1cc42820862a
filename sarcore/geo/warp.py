"""Files onto one grid: resampled in windows, in constant memory, with no-data and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError
from sarcore.geo.files import check_output, reason
from sarcore.geo.grid import Bounds, Grid, utm_zone
from sarcore.geo.intensity import Unit, as_intensity, from_intensity
from sarcore.geo.raster import geotiff, has_mask, opened, parse_crs, place_of, project, windows

Method = Literal["auto", "nearest", "bilinear", "cubic", "lanczos", "average"]

_COARSER = 2.0  # source pixels per pixel, from which on `auto` averages instead of interpolating
_TOLERANCE = 0.01  # source pixels by which the transform between two systems may be approximated
_MEMORY = 64  # MiB that GDAL may use for a window

Array = npt.NDArray[Any]
Points = npt.NDArray[np.float64]


class Warped(NamedTuple):
    """The method that was used, source pixels per pixel of the grid, and the share of pixels with data."""

    method: str
    ratio: float
    valid: float


def common_grid(
    sources: Sequence[str | Path],
    *,
    gsd: float | None = None,
    crs: str | None = None,
    bounds: Bounds | None = None,
    like: str | Path | None = None,
    source_crs: str | None = None,
) -> Grid:
    """The grid for files that shall lie on one another.

    >>> common_grid([], bounds=Bounds.of(139.80, 35.70, 139.82, 35.72), gsd=10).crs
    'EPSG:32654'

    That of the file `like`; else north up with square pixels of `gsd` (metres in UTM) at whole multiples of it, over
    the bounds, or without them over the area that all files share.

    Args:
        sources: the files.
        gsd: side of a pixel in the unit of the coordinate system.
        crs: coordinate system; the UTM zone of the area's middle without it.
        bounds: area.
        like: file whose grid is taken; nothing else may be given with it.
        source_crs: coordinate system of files that name none.

    Raises:
        ValueError: neither `gsd` nor `like`, or more than `like`.
        DataError: a file without a place, files that share no area.
    """
    if like is not None:
        if (gsd, crs, bounds) != (None, None, None):
            raise ValueError("like decides gsd, crs and bounds; leave them out")
        return Grid.from_file(like)
    if gsd is None:
        raise ValueError("say how large a pixel shall be (gsd, in metres for UTM), or whose grid is meant (like)")
    if bounds is not None:
        return Grid.around(bounds, crs or utm_zone(*bounds.middle), gsd)
    grids = [Grid.from_file(source, source_crs) for source in sources]
    if crs is None:
        crs = utm_zone(*grids[0].middle())
    there = [project(grid.outline(), grid.crs, crs) for grid in grids]
    low = np.max([points.min(axis=0) for points in there], axis=0)
    high = np.min([points.max(axis=0) for points in there], axis=0)
    if not (low < high).all():
        extents = "; ".join(
            f"{Path(source).name}: {grid.extent()}" for source, grid in zip(sources, grids, strict=True)
        )
        raise DataError(f"the files share no area: {extents}")
    return Grid.over(np.stack([low, high]), crs, gsd)


def warp(
    source: str | Path,
    out: str | Path,
    grid: Grid,
    *,
    source_crs: str | None = None,
    method: Method = "auto",
    unit: Unit | None = None,
    nodata: float | None = None,
    on_pixels: Callable[[int], None] | None = None,
) -> Warped:
    """Write a file on another grid as GeoTIFF, with its type, names and tags.

    >>> from tempfile import mkdtemp
    >>> from sarcore.geo.raster import new_geotiff
    >>> folder, bounds = Path(mkdtemp()), Bounds.of(139.80, 35.70, 139.82, 35.72)
    >>> with new_geotiff(folder / "a.tif", Grid.utm_around(bounds, gsd=10.0), count=1, dtype="uint8") as file:
    ...     file.write(np.full((1, file.height, file.width), 7, np.uint8))
    >>> warp(folder / "a.tif", folder / "b.tif", common_grid([folder / "a.tif"], gsd=30.0)).method
    'average'

    ``auto`` is bilinear, and where the grid has half the pixels along a side or fewer, the mean of all pixels below
    each (anything else would leave most of them out). Decibels and amplitudes are resampled as intensities: the mean of
    decibels is not the decibel of the mean (1 look: 2.5 dB too low).

    Pixels without data take part in nothing. Outside of the source, and where it has none, the result holds the no-data
    value of the file, else NaN in floating-point files; other files get a mask, or the value `nodata`.

    Args:
        source: a georeferenced raster that GDAL reads.
        out: the .tif to write.
        grid: where the pixels shall lie, see `common_grid`.
        source_crs: coordinate system of a file that has a transform but names no system.
        method: how values between pixels are found.
        unit: what the pixels of a SAR image are; without it they are resampled as they stand.
        nodata: value for pixels without data, for a file that declares none.
        on_pixels: called with the number of pixels done.

    Raises:
        DataError: no place, no overlap (both extents are named), complex pixels with a method other than nearest.
        ValueError: a unit that does not fit the type or the method.
    """
    source, out = Path(source), Path(out)
    check_output(out, [source])
    with opened(source) as dataset:
        place = place_of(dataset, source_crs).crs
        ratio = _ratio(dataset, place, grid)
        chosen = method if method != "auto" else _automatic(dataset, ratio)
        _check(dataset, chosen, unit)
        fill = _fill(dataset, nodata)
        with as_intensity(dataset, out, unit) as linear, _view(linear, place, grid, chosen, ratio, fill) as view:
            size = (grid.width, grid.height)
            with geotiff(out, dataset, grid.place, size, nodata=fill) as target:
                valid = _stream(dataset.name, view, target, unit, on_pixels)
                if not valid:
                    raise _empty(dataset, place, grid)
    return Warped(chosen, ratio, valid / (grid.width * grid.height))


def _ratio(dataset: Any, place: str, grid: Grid) -> float:
    """Source pixels per pixel of the grid along a side, in the middle of the grid."""
    a, b, _, d, e, _ = tuple(dataset.transform)[:6]
    ga, gb, gc, gd, ge, gf = grid.transform
    column, row = grid.width / 2, grid.height / 2
    corners = np.array([[column, row], [column + 1, row], [column, row + 1]])
    there = project(corners @ np.array([[ga, gd], [gb, ge]]) + np.array([gc, gf]), grid.crs, place)
    if not np.isfinite(there).all():
        raise _empty(dataset, place, grid)
    sides = (there[1:] - there[0]) @ np.linalg.inv(np.array([[a, d], [b, e]]))
    return float(np.sqrt(abs(np.linalg.det(sides))))


def _automatic(dataset: Any, ratio: float) -> Method:
    from rasterio.enums import ColorInterp

    if ColorInterp.palette in dataset.colorinterp or dataset.dtypes[0].startswith("complex"):
        return "nearest"
    return "average" if ratio >= _COARSER else "bilinear"


def _check(dataset: Any, method: str, unit: Unit | None) -> None:
    kind = dataset.dtypes[0]
    if kind.startswith("complex") and method != "nearest":
        raise DataError(
            f"{dataset.name} is complex, and means of complex pixels lose their power; "
            "write its intensity first, or take the method nearest"
        )
    if unit == "db" and not kind.startswith("float"):
        raise ValueError(f"unit db is for fractions, but {dataset.name} holds {kind}; declare what the integers are")
    if unit in ("db", "amplitude") and method in ("cubic", "lanczos"):
        raise ValueError(f"{method} makes negative intensities, which have no {unit}; take bilinear or average")


def _fill(dataset: Any, nodata: float | None) -> float | None:
    """The value of pixels without data in the result; None where a mask or an alpha band says it."""
    if dataset.nodata is not None:
        if nodata is not None and not np.array_equal(nodata, dataset.nodata, equal_nan=True):
            raise ValueError(f"{dataset.name} declares the no-data value {dataset.nodata:g}; leave nodata out")
        return float(dataset.nodata)
    kind = np.dtype("complex64" if dataset.dtypes[0].startswith("complex") else dataset.dtypes[0])
    if nodata is None:
        return float("nan") if kind.kind in "fc" and not has_mask(dataset) else None
    if kind.kind in "ui" and (nodata != int(nodata) or not np.iinfo(kind).min <= nodata <= np.iinfo(kind).max):
        raise ValueError(f"nodata must be a value that {kind} holds, got {nodata:g}")
    return nodata


@contextmanager
def _view(dataset: Any, place: str, grid: Grid, method: str, ratio: float, fill: float | None) -> Iterator[Any]:
    """The dataset as it looks on the grid; where nothing tells pixels without data, a band of validity is added."""
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.errors import RasterioError
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT

    options: dict[str, Any] = {
        "crs": parse_crs(grid.crs), "transform": Affine(*grid.transform), "width": grid.width, "height": grid.height,
        "resampling": Resampling[method], "tolerance": _TOLERANCE, "warp_mem_limit": _MEMORY,
        "src_crs": parse_crs(place),
    }  # fmt: skip
    if parse_crs(place).is_geographic and dataset.bounds.left >= 180 - 1e-6:
        # Longitudes from 0 to 360, where GDAL looks for the negative ones.
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        options["src_transform"] = Affine(a, b, c - 360, d, e, f)
    if method not in ("nearest", "average"):
        # GDAL would find the width of the filter anew for every window, and so leave seams.
        options["XSCALE"] = options["YSCALE"] = f"{1 / ratio:.9g}"
    if dataset.nodata is not None:
        options["nodata"] = dataset.nodata
    elif fill is not None:
        options["nodata"] = fill
    elif ColorInterp.alpha not in dataset.colorinterp:
        options["add_alpha"] = True
    try:
        with WarpedVRT(dataset, **options) as view:
            yield view
    except RasterioError as error:
        raise DataError(f"{dataset.name} cannot be put on the grid: {error}") from error


def _stream(source: str, view: Any, target: Any, unit: Unit | None, on_pixels: Callable[[int], None] | None) -> int:
    """Copy the view into the file; the number of pixels with data."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    valid = done = 0
    for column, row, width, height in windows(target.width, target.height):
        here = Window(column, row, width, height)
        try:
            values = view.read(list(range(1, target.count + 1)), window=here)
        except RasterioError as error:
            raise DataError(f"{source} cannot be read: {reason(error)}; is the file whole?") from error
        # The band of validity, where there is one: GDAL's mask of it is right for 8 bit alone.
        added = view.count > target.count
        mask = view.read(view.count, window=here) > 0 if added else view.dataset_mask(window=here) > 0
        found = from_intensity(values, unit, target.dtypes[0])
        if target.nodata is not None and view.nodata is not None:
            without = np.isnan(values) if np.isnan(view.nodata) else values == view.nodata
            found = np.where(without, np.asarray(target.nodata).astype(found.dtype), found)
        target.write(found, window=here)
        if target.nodata is None and (added or view.nodata is not None):
            target.write_mask(mask, window=here)
        valid += int(np.count_nonzero(mask))
        done += width * height
        if on_pixels is not None:
            on_pixels(done)
    return valid


def _empty(dataset: Any, place: str, grid: Grid) -> DataError:
    extent = Grid(place, tuple(dataset.transform)[:6], dataset.width, dataset.height).extent()
    return DataError(f"{dataset.name} has no data on the grid: it covers {extent}; the grid covers {grid.extent()}")
