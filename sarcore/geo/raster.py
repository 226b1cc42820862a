"""Georeferenced files through rasterio: opened, placed, and written whole with all that they say of themselves."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError
from sarcore.geo.files import on_disk, reason, whole_file

TILE = 256  # side of the tiles of a GeoTIFF that is written
BLOCK = 1024  # side of the windows that are read and written at a time
_CACHE = 1 << 27  # bytes; GDAL would take a twentieth of the machine's memory
_STATISTICS = "STATISTICS_"  # GDAL's tags about pixels that are not those of the result
_ADVICE = "name one, for example EPSG:32654 (UTM zone 54 north) or EPSG:4326"

Affine6 = tuple[float, float, float, float, float, float]
Points = npt.NDArray[np.float64]


class Place(NamedTuple):
    """A coordinate system, as EPSG code or WKT, and the transform from column and row to it."""

    crs: str
    transform: Affine6


def needs_geo(error: Exception) -> DataError:
    """What to say where a package is missing.

    >>> str(needs_geo(ImportError("No module named 'rasterio'")))
    "this needs a package that cannot be imported (No module named 'rasterio'): pip install 'sarcore[geo]'"
    """
    return DataError(f"this needs a package that cannot be imported ({error}): pip install 'sarcore[geo]'")


@contextmanager
def environment() -> Iterator[None]:
    """GDAL with a bounded cache, masks inside the files, and no warning of files without a place."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning
    except ImportError as error:
        raise needs_geo(error) from error
    options: dict[str, Any] = {"GDAL_TIFF_INTERNAL_MASK": True}
    if "GDAL_CACHEMAX" not in os.environ:
        options["GDAL_CACHEMAX"] = _CACHE
    with warnings.catch_warnings(), rasterio.Env(**options):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The rasterio dataset of a file.

    Raises DataError where there is none, where GDAL cannot read it, and where it holds several images.
    """
    with environment():
        import rasterio
        from rasterio.errors import RasterioError

        if not path.exists():
            raise DataError(f"{path} does not exist; check the path")
        try:
            with rasterio.open(path) as dataset:
                if not dataset.count:
                    raise DataError(f"{path} holds {len(dataset.subdatasets)} images; extract one with gdal_translate")
                yield dataset
        except RasterioError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}") from error


def parse_crs(text: str) -> Any:
    """The rasterio CRS of a name such as ``EPSG:32654``, of WKT or of a PROJ string.

    >>> parse_crs("EPSG:9001")
    Traceback (most recent call last):
    sarcore.errors.DataError: 'EPSG:9001' is the code of a unit (metre), and no coordinate system; name one, ...

    Raises DataError for what is no coordinate system.
    """
    with environment():
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

        try:
            found = CRS.from_user_input(text)
        except CRSError as error:
            raise DataError(f"{text!r} is no coordinate system that PROJ knows; {_ADVICE}") from error
    if not (found.is_geographic or found.is_projected):
        unit = _unit_name(text)
        said = "does not say where on Earth it is" if unit is None else f"is the code of a unit ({unit})"
        raise DataError(f"{text[:60]!r} {said}, and no coordinate system; {_ADVICE}")
    return found


def _unit_name(text: str) -> str | None:
    from pyproj.database import get_units_map

    authority, _, code = text.partition(":")
    units = get_units_map(auth_name=authority.upper()).values() if code else ()
    return next((unit.name for unit in units if unit.code == code), None)


def place_of(dataset: Any, crs: str | None = None) -> Place:
    """Where a dataset lies; `crs` names the system of a file that has a transform and no system of its own.

    Raises DataError for a file without a place, and where `crs` contradicts it.
    """
    given = None if crs is None else parse_crs(crs)
    if dataset.crs is None and dataset.gcps[0]:
        raise DataError(
            f"{dataset.name} is placed by ground control points, as images in the geometry of the radar are; "
            "correct it for the terrain first (SNAP, pyroSAR, sarsen), or roughly with `gdalwarp -tps`"
        )
    if dataset.transform.is_identity:
        raise DataError(
            f"{dataset.name} has no georeference, its pixels lie nowhere on Earth; "
            "find the original GeoTIFF, or match it to another image with `sarcore prep register`"
        )
    if dataset.crs is None or not (dataset.crs.is_geographic or dataset.crs.is_projected):
        if given is None:
            said = "names no coordinate system" if dataset.crs is None else f"says only {dataset.crs.to_wkt()[:60]}"
            raise DataError(f"{dataset.name} {said}; declare it, for example --crs EPSG:32654")
        return Place(name_of(given), tuple(dataset.transform)[:6])
    if given is not None and given != dataset.crs:
        raise DataError(
            f"{dataset.name} is in {name_of(dataset.crs)}, which contradicts {name_of(given)}; leave crs out"
        )
    return Place(name_of(dataset.crs), tuple(dataset.transform)[:6])


def name_of(crs: Any) -> str:
    """EPSG code of a rasterio CRS, else its WKT."""
    code = crs.to_epsg()
    return crs.to_wkt() if code is None else f"EPSG:{code}"


def project(points: Points, source: str, target: str) -> Points:
    """Points (n, 2), x first, from one system to another; infinite where the other has no coordinates.

    >>> project(np.array([[139.0, 0.0]]), "EPSG:4326", "EPSG:32654").round(3).tolist()
    [[277404.56, 0.0]]
    """
    with environment():
        from rasterio.warp import transform

        x, y = transform(parse_crs(source), parse_crs(target), points[:, 0].tolist(), points[:, 1].tolist())
    return np.stack([np.asarray(x), np.asarray(y)], axis=1)


def windows(width: int, height: int, side: int = BLOCK) -> Iterator[tuple[int, int, int, int]]:
    """Column, row, width and height of blocks that cover a raster, row by row.

    >>> list(windows(5, 3, side=4))
    [(0, 0, 4, 3), (4, 0, 1, 3)]
    """
    for row in range(0, height, side):
        for column in range(0, width, side):
            yield column, row, min(side, width - column), min(side, height - row)


@contextmanager
def geotiff(path: Path, like: Any, place: Place, size: tuple[int, int], **changes: Any) -> Iterator[Any]:
    """A tiled GeoTIFF of (width, height) pixels that says of its bands what `like` says; whole or not there.

    Types, no-data, names, units, scales, offsets, colours and tags are those of `like`, save the statistics of its
    pixels. `changes` replace entries of the rasterio profile.
    """
    if len(set(like.dtypes)) > 1:
        raise DataError(f"the bands of {like.name} are of different types, {like.dtypes}; separate them")
    profile = {"dtype": like.dtypes[0], "count": like.count, "nodata": like.nodata} | changes
    if profile["count"] == 3 and profile["dtype"] == "uint8":
        profile["photometric"] = "rgb"
    with _new(path, place, size, profile) as out:
        _describe(out, like)
        yield out


@contextmanager
def new_geotiff(path: Path, grid: Any, **profile: Any) -> Iterator[Any]:
    """A tiled GeoTIFF on a `Grid`; whole or not there."""
    with _new(path, grid.place, (grid.width, grid.height), profile) as out:
        yield out


@contextmanager
def _new(path: Path, place: Place, size: tuple[int, int], profile: dict[str, Any]) -> Iterator[Any]:
    with environment():
        import rasterio
        from rasterio.errors import RasterioError
        from rasterio.transform import Affine

        kind = "c" if profile["dtype"].startswith("complex") else np.dtype(profile["dtype"]).kind
        profile = {
            "driver": "GTiff", "tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate",
            "bigtiff": "if_safer", "predictor": {"f": 3, "c": 1}.get(kind, 2), "width": size[0], "height": size[1],
            "crs": parse_crs(place.crs), "transform": Affine(*place.transform),
        } | profile  # fmt: skip
        try:
            with whole_file(path) as file:
                with rasterio.open(file, "w", **profile) as out:
                    yield out
                on_disk(file, room(profile))
        except RasterioError as error:
            raise DataError(f"cannot write {path}: {reason(error)}; nothing was left there") from error


def room(profile: dict[str, Any]) -> int:
    """Bytes that no single write of a GeoTIFF exceeds: a tile of all bands as it is, and a directory."""
    size = 16 if profile["dtype"].startswith("complex") else np.dtype(profile["dtype"]).itemsize
    return int(TILE * TILE * size * profile["count"]) + (1 << 20)


def _describe(out: Any, like: Any) -> None:
    from rasterio.enums import ColorInterp

    if out.count == like.count:
        out.scales, out.offsets = like.scales, like.offsets
        colours = list(like.colorinterp)
        if ColorInterp.palette not in colours:
            out.colorinterp = colours
        for band in range(1, like.count + 1):
            out.update_tags(band, **_kept(like.tags(band)))
            if like.descriptions[band - 1]:
                out.set_band_description(band, like.descriptions[band - 1])
            if like.units[band - 1]:
                out.set_band_unit(band, like.units[band - 1])
        if like.colorinterp[0] == ColorInterp.palette:
            out.write_colormap(1, like.colormap(1))
    out.update_tags(**_kept(like.tags()))


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith(_STATISTICS) and name != "AREA_OR_POINT"}


def read(dataset: Any, column: int, row: int, width: int, height: int) -> npt.NDArray[Any]:
    """The pixels (bands, height, width) of a window; DataError where the file is damaged."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    try:
        found: npt.NDArray[Any] = dataset.read(window=Window(column, row, width, height))
    except RasterioError as error:
        raise DataError(f"{dataset.name} cannot be read: {reason(error)}; is the file whole?") from error
    return found


def has_mask(dataset: Any) -> bool:
    """Whether validity is a mask of its own, beside no-data values and alpha bands."""
    from rasterio.enums import MaskFlags

    flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
