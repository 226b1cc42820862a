"""Which reader opens which file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sarcore.data.images import read_header, read_image, unreadable
from sarcore.data.scene_envi import find_envi, is_placed, open_envi, read_header_fields
from sarcore.data.scene_gdal import Georeference, georeference, open_gdal
from sarcore.data.scene_source import Array, ArraySource, Source, array_source, channels_first
from sarcore.data.scene_tags import GEOREFERENCE, Metadata
from sarcore.data.scene_tiff import open_tiff
from sarcore.errors import DataError

_TIFF = (".tif", ".tiff", ".gtiff", ".btf", ".tf8")
_IMAGES = (".png", ".jpg", ".jpeg")
_WORLD = {".tif": ".tfw", ".tiff": ".tfw", ".png": ".pgw", ".jpg": ".jgw", ".jpeg": ".jgw"}


def open_source(given: str) -> tuple[Path, Source, Metadata]:
    """The path, the reader and the metadata of a file.

    Raises DataError for a file that is missing, damaged or no raster.
    """
    path = Path(given)
    key = None
    if not path.is_file() and ".npz#" in given:
        path, key = Path(given.rsplit("#", 1)[0]), given.rsplit("#", 1)[1]
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"the scene {path} {what}; check the path")
    suffix = path.suffix.lower()
    if suffix in _TIFF:
        return path, *open_tiff(path)
    if suffix in (".npy", ".npz"):
        return path, _numpy_source(path, key), Metadata()
    if suffix in _IMAGES:
        header = read_header(path)
        return path, ArraySource(header.shape, header.dtype, lambda: read_image(path)), Metadata()
    envi = find_envi(path)
    if envi is not None:
        return envi[1], *open_envi(*envi)
    return path, *open_gdal(path)


def place_of(path: Path, metadata: Metadata) -> Georeference:
    """Where a file lies; GDAL is asked only where there is something to be told."""
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return Georeference(None, None, ())
    tagged = any(tag[0] in GEOREFERENCE for tag in metadata.tags)
    if (suffix in _TIFF or suffix in _IMAGES) and not tagged:
        beside = (path.with_name(path.name + ".aux.xml"), path.with_suffix(".wld"))
        world = path.with_suffix(_WORLD.get(suffix, ".wld"))
        if not any(file.is_file() for file in (*beside, world)):
            return Georeference(None, None, ())
    envi = find_envi(path) if suffix not in (*_TIFF, *_IMAGES) else None
    if envi is not None and not is_placed(read_header_fields(envi[0])):
        return Georeference(None, None, ())
    return georeference(path)


def _numpy_source(path: Path, key: str | None) -> ArraySource:
    try:
        if path.suffix.lower() == ".npy":
            return _mapped_npy(path)
        with np.load(path, allow_pickle=False) as arrays:
            return array_source(_chosen(arrays, key, path), path)
    except DataError:
        raise
    except Exception as error:  # NumPy raises anything from OSError to zipfile.BadZipFile on damaged bytes
        raise unreadable(path, error, "scene") from error


def _mapped_npy(path: Path) -> ArraySource:
    def load() -> Array:
        return channels_first(np.load(path, mmap_mode="r", allow_pickle=False), "", path)

    count, height, width = (first := load()).shape
    return ArraySource((count, height, width), first.dtype, load, ours=True)


def _chosen(arrays: Any, key: str | None, path: Path) -> Array:
    names = list(arrays.keys())
    if key is None and len(names) != 1:
        raise DataError(
            f"{path} holds {len(names)} arrays ({', '.join(names)}); name one: {path}#{(names or ['a'])[0]}"
        )
    if key is not None and key not in names:
        raise DataError(f"{path} holds no array {key!r} but {', '.join(names)}")
    chosen: Array = arrays[names[0] if key is None else key]
    return chosen
