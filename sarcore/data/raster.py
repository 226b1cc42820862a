"""A raster and what belongs to it: georeference, no-data value, GDAL's metadata and compression, from file to file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.images import read_image, unreadable, write_image, write_whole
from sarcore.data.nodata import NODATA_TAG, nodata_of, pixel_nodata
from sarcore.data.scene_blocks import open_scene

# GeoTIFF: scale, tie points, transformation, key directory, doubles, texts; RPC; GDAL: metadata, no-data.
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 50844, 42112, 42113)
_GEOREFERENCE = (33550, 33922, 34264, 34735)
_METADATA = 42112
_STATISTICS = re.compile(r"""\s*<Item\b[^>]*\bname=["']STATISTICS_[^>]*>[^<]*</Item>""")
_DEFLATE = (8, 32946)


Tag = tuple[int, int, int, Any, bool]


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
    tags: tuple[Tag, ...] = ()
    """Code, type, count and value of the GeoTIFF and GDAL tags, as tifffile takes them."""
    layout: dict[str, Any] = field(default_factory=dict)
    """Description, resolution, tiles and compression of the TIFF."""

    @property
    def georeferenced(self) -> bool:
        """Whether the raster knows where it lies."""
        return any(tag[0] in _GEOREFERENCE for tag in self.tags)

    def valid(self) -> npt.NDArray[np.bool_] | None:
        """False where a pixel has the no-data value; None when no pixel can: none declared, NaN, beyond the dtype."""
        missing = pixel_nodata(self.nodata, self.pixels.dtype)
        return None if missing is None else np.asarray(self.pixels != missing)

    def with_pixels(self, pixels: npt.NDArray[Any]) -> Raster:
        """The same place with other pixels of the same height and width; ValueError for another size.

        GDAL's statistics, which were those of the old pixels, are left out.
        """
        if pixels.shape[-2:] != self.pixels.shape[-2:]:
            raise ValueError(f"pixels must be {self.pixels.shape[-2:]} high and wide, got {pixels.shape}")
        return replace(self, pixels=pixels, tags=tuple(kept for tag in self.tags for kept in _without_statistics(tag)))


def read_raster(path: str | Path) -> Raster:
    """Read an image, a GeoTIFF or a .npy file with its tags; complex numbers of TIFF and .npy become complex64.

    Raises DataError as `read_image` does.

    >>> from tempfile import mkdtemp
    >>> file = write_image(Path(mkdtemp()) / "a.tif", np.ones((2, 4, 6), dtype=np.float32))
    >>> read_raster(file).pixels.shape
    (2, 4, 6)
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        scene = open_scene(path)  # which takes complex numbers
        return Raster(np.array(scene, np.complex64) if np.iscomplexobj(scene) else read_image(path))
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return Raster(read_image(path))
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            tags = tuple(
                (int(tag.code), int(tag.dtype), int(tag.count), tag.value, True)
                for tag in page.tags.values()
                if tag.code in GEO_TAGS
            )
            layout, is_complex = _layout(page), tiff.series[0].dtype.kind == "c"
    except Exception as error:  # the decoders raise anything from OSError to struct.error on damaged bytes
        raise unreadable(path, error) from error
    pixels = np.array(open_scene(path), np.complex64) if is_complex else read_image(path)
    text = next((tag[3] for tag in tags if tag[0] == NODATA_TAG), None)
    return Raster(pixels, None if text is None else nodata_of(text, path), tags, layout)


def _layout(page: Any) -> dict[str, Any]:
    # ImageJ, OME and tifffile describe the shape of their own files there, which is not that of the next one.
    machine = page.description.startswith('{"shape"') or page.is_imagej or page.is_ome
    layout: dict[str, Any] = {"description": None if machine else page.description or None}
    if page.is_tiled and page.tilewidth % 16 == 0 and page.tilelength % 16 == 0:
        layout["tile"] = (page.tilelength, page.tilewidth)
    if page.compression in _DEFLATE:
        layout["compression"] = "zlib"
    if 296 in page.tags and page.tags[296].value > 1:  # a unit of length
        layout["resolution"] = (page.tags[282].value, page.tags[283].value)
        layout["resolutionunit"] = int(page.tags[296].value)
    return layout


def _without_statistics(tag: Tag) -> tuple[Tag, ...]:
    """The tag without GDAL's statistics, as one or, where nothing else is in it, none."""
    code, kind, _, value, once = tag
    if code != _METADATA or not isinstance(value, str) or not _STATISTICS.search(value):
        return (tag,)
    rest = _STATISTICS.sub("", value)
    return ((code, kind, 0, rest, once),) if "<Item" in rest else ()


def write_raster(path: str | Path, raster: Raster) -> Path:
    """Write a raster whole or not at all; a TIFF carries the tags, its bands in one page as GDAL reads them.

    PNG and NPY hold no tags: what they lose the caller must say. Raises DataError as `write_image` does.

    >>> from tempfile import mkdtemp
    >>> file = write_raster(Path(mkdtemp()) / "a.tif", Raster(np.ones((2, 4, 6), dtype=np.float32)))
    >>> read_raster(file).pixels.shape
    (2, 4, 6)
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        if path.suffix.lower() == ".npy" and np.iscomplexobj(raster.pixels):
            return write_whole(path, lambda name: np.save(name, raster.pixels, allow_pickle=False))
        return write_image(path, raster.pixels)
    import tifffile

    options = {key: value for key, value in raster.layout.items() if value is not None}
    bands = raster.pixels.shape[0]
    if bands > 1:
        options["planarconfig"] = "separate"
    pixels = raster.pixels if bands > 1 else raster.pixels[0]
    return write_whole(
        path,
        lambda name: tifffile.imwrite(
            name, np.ascontiguousarray(pixels), photometric="minisblack", metadata=None, software=False,
            extratags=raster.tags, bigtiff=pixels.nbytes > 2**32 - 2**25, **options,
        ),
    )  # fmt: skip
