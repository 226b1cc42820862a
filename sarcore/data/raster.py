"""A raster and what belongs to it: georeference, no-data value, GDAL's metadata and compression, from file to file."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.images import read_image, write_image
from sarcore.data.scene_blocks import open_scene
from sarcore.errors import DataError

# GeoTIFF: scale, tie points, transformation, key directory, doubles, texts; RPC; GDAL: metadata, no-data.
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 50844, 42112, 42113)
_GEOREFERENCE = (33550, 33922, 34264, 34735)
_NODATA = 42113
_DEFLATE = (8, 32946)


@dataclass(frozen=True)
class Raster:
    """Pixels (C, H, W) in their own dtype, and the tags of the file that they came from.

    >>> raster = Raster(np.zeros((1, 4, 6), dtype=np.float32))
    >>> raster.georeferenced, raster.valid() is None
    (False, True)
    """

    pixels: npt.NDArray[Any]
    nodata: float | None = None
    """The declared no-data value, in the unit of the pixels."""
    tags: tuple[tuple[int, int, int, Any, bool], ...] = ()
    """Code, type, count and value of the GeoTIFF and GDAL tags, as tifffile takes them."""
    layout: dict[str, Any] = field(default_factory=dict)
    """Description, resolution, tiles and compression of the TIFF."""

    @property
    def georeferenced(self) -> bool:
        """Whether the raster knows where it lies."""
        return any(tag[0] in _GEOREFERENCE for tag in self.tags)

    def valid(self) -> npt.NDArray[np.bool_] | None:
        """False where a pixel has the no-data value; None when none is declared or it is NaN, which needs no mask."""
        if self.nodata is None or np.isnan(self.nodata):
            return None
        return np.asarray(self.pixels != self.pixels.dtype.type(self.nodata))

    def with_pixels(self, pixels: npt.NDArray[Any]) -> Raster:
        """The same place with other pixels of the same height and width; ValueError for another size."""
        if pixels.shape[-2:] != self.pixels.shape[-2:]:
            raise ValueError(f"pixels must be {self.pixels.shape[-2:]} high and wide, got {pixels.shape}")
        return replace(self, pixels=pixels)


def read_raster(path: str | Path) -> Raster:
    """Read an image, a GeoTIFF or a .npy file, complex64 arrays included, with its tags.

    Raises DataError as `read_image` does.

    >>> file = write_image(Path(tempfile.mkdtemp()) / "a.tif", np.ones((2, 4, 6), dtype=np.float32))
    >>> read_raster(file).pixels.shape
    (2, 4, 6)
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        scene = open_scene(path)  # which takes complex numbers
        return Raster(np.array(scene, np.complex64) if np.iscomplexobj(scene) else read_image(path))
    pixels = read_image(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        return Raster(pixels)
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        tags = tuple(
            (int(tag.code), int(tag.dtype), int(tag.count), tag.value, True)
            for tag in page.tags.values()
            if tag.code in GEO_TAGS
        )
        layout: dict[str, Any] = {"description": page.description or None}
        if page.is_tiled and page.tilewidth % 16 == 0 and page.tilelength % 16 == 0:
            layout["tile"] = (page.tilelength, page.tilewidth)
        if page.compression in _DEFLATE:
            layout["compression"] = "zlib"
        if 296 in page.tags and page.tags[296].value > 1:  # a unit of length
            layout["resolution"] = (page.tags[282].value, page.tags[283].value)
            layout["resolutionunit"] = int(page.tags[296].value)
    return Raster(pixels, _declared_nodata(tags, path), tags, layout)


def write_raster(path: str | Path, raster: Raster) -> Path:
    """Write a raster whole or not at all; a TIFF carries the tags, its bands in one page as GDAL reads them.

    PNG and NPY hold no tags: what they lose the caller must say. Raises DataError as `write_image` does.

    >>> file = write_raster(Path(tempfile.mkdtemp()) / "a.tif", Raster(np.ones((2, 4, 6), dtype=np.float32)))
    >>> read_raster(file).pixels.shape
    (2, 4, 6)
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        if path.suffix.lower() == ".npy" and np.iscomplexobj(raster.pixels):
            return _whole(path, lambda name: np.save(name, raster.pixels, allow_pickle=False), ".npy")
        return write_image(path, raster.pixels)
    import tifffile

    options = {key: value for key, value in raster.layout.items() if value is not None}
    bands = raster.pixels.shape[0]
    if bands > 1:
        options["planarconfig"] = "separate"
    pixels = raster.pixels if bands > 1 else raster.pixels[0]
    return _whole(
        path,
        lambda name: tifffile.imwrite(
            name, np.ascontiguousarray(pixels), photometric="minisblack", metadata=None, software=False,
            extratags=raster.tags, bigtiff=pixels.nbytes > 2**32 - 2**25, **options,
        ),
        path.suffix,
    )  # fmt: skip


def _whole(path: Path, write: Any, suffix: str) -> Path:
    """Into a temporary file of the same folder, then a rename."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=suffix)
    os.close(descriptor)
    try:
        write(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp gives 0600, which would hide the file from other users
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _declared_nodata(tags: tuple[tuple[int, int, int, Any, bool], ...], path: Path) -> float | None:
    text = next((tag[3] for tag in tags if tag[0] == _NODATA), None)
    if text is None:
        return None
    try:
        return float(str(text).strip().strip("\0"))
    except ValueError:
        raise DataError(f"the no-data value of {path} is no number: {text!r}; correct the tag GDAL_NODATA") from None
