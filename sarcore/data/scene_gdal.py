"""What only GDAL knows of a scene, through rasterio: coordinate systems, and pixels in formats of its own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sarcore.data.images import unreadable
from sarcore.data.scene_source import Array, Window, native, needs_geo
from sarcore.data.scene_tags import Metadata, Tag, raw_tags
from sarcore.errors import DataError

_CACHE = 1 << 27  # bytes; GDAL would take a twentieth of the machine's memory

Transform = tuple[float, float, float, float, float, float]


class Georeference(NamedTuple):
    """Where a scene lies: WKT, affine transform, and all of it as tags of a GeoTIFF."""

    crs: str | None
    transform: Transform | None
    tags: tuple[Tag, ...]


@contextmanager
def opened(path: Path, what: str) -> Iterator[Any]:
    """The rasterio dataset of a file; DataError where there is no rasterio or GDAL cannot read it."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise needs_geo(f"{what} {path}", error) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with bounded_cache(), rasterio.open(path) as dataset:
                yield dataset
    except RasterioError as error:
        raise unreadable(path, error, "scene") from error


@contextmanager
def bounded_cache() -> Iterator[None]:
    """GDAL with a block cache of 128 MiB at most, unless the user has set one."""
    import rasterio

    with rasterio.Env() if "GDAL_CACHEMAX" in os.environ else rasterio.Env(GDAL_CACHEMAX=_CACHE):
        yield


def georeference(path: Path) -> Georeference:
    """CRS, transform and GeoTIFF tags of a file that GDAL reads."""
    with opened(path, "the georeference of") as dataset:
        crs = dataset.crs.to_wkt() if dataset.crs else None
        transform = None if dataset.transform.is_identity else tuple(dataset.transform)[:6]
        placed = crs or transform or dataset.gcps[0] or dataset.rpcs
        return Georeference(crs, transform, _tags_of(dataset) if placed else ())


def _tags_of(dataset: Any) -> tuple[Tag, ...]:
    """The tags with which GDAL itself writes the place and the names of a dataset into a GeoTIFF."""
    import tifffile
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "width": 1, "height": 1, "count": dataset.count, "dtype": dataset.dtypes[0]}
        with memory.open(**profile) as copy:
            gcps, gcps_crs = dataset.gcps
            if gcps:
                copy.gcps = (gcps, gcps_crs)
            else:
                if dataset.crs:
                    copy.crs = dataset.crs
                if not dataset.transform.is_identity:
                    copy.transform = dataset.transform
            if dataset.rpcs:
                copy.rpcs = dataset.rpcs
            if dataset.nodata is not None:
                copy.nodata = dataset.nodata
            copy.update_tags(**dataset.tags())
            for band, (name, unit) in enumerate(zip(dataset.descriptions, dataset.units, strict=True), 1):
                if name:
                    copy.set_band_description(band, name)
                if unit:
                    copy.set_band_unit(band, unit)
            copy.scales, copy.offsets = dataset.scales, dataset.offsets
        with tifffile.TiffFile(BytesIO(memory.read())) as tiff:
            return raw_tags(tiff.pages.first)


def open_gdal(path: Path) -> tuple[GdalSource, Metadata]:
    """The reader of a file of another format."""
    source = GdalSource(path)
    with opened(path, "the scene") as dataset:
        names = tuple(name or None for name in dataset.descriptions)
        return source, Metadata(dataset.nodata, names, masked=_has_mask(dataset))


def _has_mask(dataset: Any) -> bool:
    """Whether there is a mask of its own, beside no-data values and alpha bands, which are channels here."""
    from rasterio.enums import MaskFlags

    flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


class GdalSource:
    """Windows by rasterio. The dataset belongs to one process: a forked one opens its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dataset: Any = None
        self._process = 0
        with opened(path, "the scene") as dataset:
            if not dataset.count:
                raise DataError(f"{path} holds {len(dataset.subdatasets)} images; extract one with gdal_translate")
            if len(set(dataset.dtypes)) > 1:
                raise DataError(f"the channels of {path} are of different types, {dataset.dtypes}; separate them")
            name = dataset.dtypes[0]
            self.dtype = native(np.dtype("complex64" if name.startswith("complex") else name))
            self.shape = (dataset.count, dataset.height, dataset.width)
            high, wide = dataset.block_shapes[0]
            self.block = (min(high, dataset.height), min(wide, dataset.width))

    def release(self, row: int) -> None:
        """GDAL bounds its cache itself."""

    def mapped(self) -> None:
        return None

    def close(self) -> None:
        if self._dataset is not None and self._process == os.getpid():
            self._dataset.close()
        self._dataset = None

    def read(self, window: Window, channels: Sequence[int]) -> Array:
        return np.ascontiguousarray(self._read(window, "read", [channel + 1 for channel in channels]), self.dtype)

    def mask(self, window: Window) -> Array:
        """Which pixels (height, width) of a window are data."""
        return np.asarray(self._read(window, "dataset_mask") != 0)

    def _read(self, window: Window, method: str, *wanted: Any) -> Array:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.windows import Window as GdalWindow

        row, column, height, width = window
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with bounded_cache():
                    if self._dataset is None or self._process != os.getpid():
                        self._dataset, self._process = rasterio.open(self._path, sharing=False), os.getpid()
                    here = GdalWindow(column, row, width, height)
                    found: Array = getattr(self._dataset, method)(*wanted, window=here)
        except (RasterioError, OSError) as error:
            raise unreadable(self._path, error, "scene") from error
        return found
