"""TIFF scenes: mapped where the pixels lie in one piece, else decoded strip by strip and tile by tile."""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sarcore.data.images import unreadable
from sarcore.data.nodata import NODATA_TAG, nodata_of, pixel_nodata
from sarcore.data.scene_cache import SEGMENTS
from sarcore.data.scene_gdal import GdalSource
from sarcore.data.scene_source import Array, ArraySource, Source, Window, channels_first, native, needs_geo
from sarcore.data.scene_tags import Metadata, band_names, page_layout, raw_tags, text_of
from sarcore.errors import DataError

_COMPLEX_INTEGERS = 5  # a sample format that tifffile takes for something else
_NUMBERS = itertools.count()  # of the scenes in the cache


def open_tiff(path: Path) -> tuple[Source, Metadata]:
    """The reader of a TIFF and what the file says of itself; DataError where it is damaged or no scene."""
    try:
        import tifffile
    except ImportError as error:
        raise needs_geo(f"the scene {path}", error) from error
    try:
        with tifffile.TiffFile(path) as tiff:
            page, series = tiff.pages.first, tiff.series[0]
            tags, layout = raw_tags(page), page_layout(page)
            text = text_of(tags, NODATA_TAG)
            nodata = None if text is None else nodata_of(text, path)
            source = _source(path, tiff, series, nodata)
            masks = (other for other in tiff.pages if isinstance(other, tifffile.TiffPage) and other.is_mask)
            masked = next(masks, None) is not None or path.with_name(f"{path.name}.msk").is_file()
    except DataError:
        raise
    except Exception as error:  # the decoders raise anything from OSError to struct.error on damaged bytes
        raise unreadable(path, error, "scene") from error
    return source, Metadata(nodata, band_names(tags, source.shape[0]), tags, layout, masked)


def _source(path: Path, tiff: Any, series: Any, nodata: float | None) -> Source:
    key, shape, dtype = series.keyframe, series.shape, series.dtype
    if key.sampleformat == _COMPLEX_INTEGERS or not _decodes(key):
        return GdalSource(path)
    empty = channels_first(np.broadcast_to(np.zeros((), dtype), shape), series.axes, f"the scene {path}")
    count, height, width = empty.shape
    _check_size(path, series)
    offset = series.dataoffset
    if offset is not None and key.is_memmappable:
        order, axes = np.dtype(dtype).newbyteorder(tiff.byteorder), series.axes

        def load() -> Array:
            return channels_first(np.memmap(path, order, "r", offset, shape), axes, path)

        load()  # a file that is too short is found here
        return ArraySource((count, height, width), order, load, ours=True)
    if key.imagedepth > 1 or len(series.pages) > 1 < key.samplesperpixel:

        def decode() -> Array:
            return _whole(path)

        return ArraySource((count, height, width), dtype, decode)
    return SegmentSource(path, series, (count, height, width), nodata)


def _decodes(key: Any) -> bool:
    import tifffile

    try:
        if key.compression != 1:
            _ = tifffile.TIFF.DECOMPRESSORS[key.compression]
        if key.predictor != 1:
            _ = tifffile.TIFF.UNPREDICTORS[key.predictor]
        return True
    except KeyError as error:
        # Of what imagecodecs decodes tifffile says so; rasterio is asked for the rest, and where it is there.
        try:
            import rasterio  # noqa: F401
        except ImportError:
            return "imagecodecs" in str(error)
        return False


def _check_size(path: Path, series: Any) -> None:
    last = 0
    for page in series.pages:
        if page is not None and len(page.dataoffsets):
            ends = np.asarray(page.dataoffsets, np.int64) + np.asarray(page.databytecounts, np.int64)
            last = max(last, int(ends.max()))
    size = path.stat().st_size
    if last > size:
        raise DataError(f"the scene {path} is truncated ({size} of {last} bytes); replace or remove it")


def _whole(path: Path) -> Array:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return channels_first(tiff.series[0].asarray(), tiff.series[0].axes, path)
    except Exception as error:  # as in open_tiff
        raise unreadable(path, error, "scene") from error


class SegmentSource:
    """The strips or tiles of a TIFF, each decoded when a window needs it and kept in the cache of the process."""

    def __init__(self, path: Path, series: Any, shape: tuple[int, int, int], nodata: float | None) -> None:
        key = series.keyframe
        self.shape, self.dtype = shape, native(np.dtype(series.dtype))
        high, wide = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, key.imagewidth)
        self.block = (min(high, shape[1]), min(wide, shape[2]))
        self._high, self._wide = self.block[0] if not key.is_tiled else high, wide
        self._paged = len(series.pages) > 1
        self._contiguous = key.samplesperpixel > 1 and key.planarconfig == 1
        self._fill = _fill(nodata, self.dtype)
        self._segments = _Segments(path, series)
        self._number = next(_NUMBERS)
        weakref.finalize(self, SEGMENTS.forget, self._number)

    def mapped(self) -> None:
        return None

    def release(self, row: int) -> None:
        down, across = -(-self.shape[1] // self._high), -(-self.shape[2] // self._wide)
        SEGMENTS.forget(self._number, lambda index: index // across % down < row // self._high)

    def close(self) -> None:
        SEGMENTS.forget(self._number)
        self._segments.close()

    def _segment(self, page: int, index: int) -> Array | None:
        return SEGMENTS.get((self._number, page, index), lambda: self._segments.decode(page, index))

    def read(self, window: Window, channels: Sequence[int]) -> Array:
        row, column, height, width = window
        out = np.empty((len(channels), height, width), self.dtype)
        planes: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for k, channel in enumerate(channels):
            place = (channel, 0) if self._paged else (0, 0) if self._contiguous else (0, channel)
            planes.setdefault(place, []).append((k, channel if self._contiguous else 0))
        down, across = -(-self.shape[1] // self._high), -(-self.shape[2] // self._wide)
        for (page, plane), wanted in planes.items():
            for r in range(row // self._high, -(-(row + height) // self._high)):
                for c in range(column // self._wide, -(-(column + width) // self._wide)):
                    segment = self._segment(page, (plane * down + r) * across + c)
                    top, left = max(row, r * self._high), max(column, c * self._wide)
                    end = min(row + height, (r + 1) * self._high)
                    right = min(column + width, (c + 1) * self._wide)
                    at = np.s_[top - row : end - row, left - column : right - column]
                    y, x = top - r * self._high, left - c * self._wide
                    for k, sample in wanted:
                        out[k][at] = (
                            self._fill if segment is None
                            else segment[y : y + end - top, x : x + right - left, sample]
                        )  # fmt: skip
        return out


def _fill(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """The pixels that a sparse file leaves out, as GDAL reads them."""
    if nodata is not None and np.isnan(nodata) and dtype.kind in "fc":
        return np.nan
    missing = pixel_nodata(nodata, dtype)
    return 0 if missing is None else missing


class _Segments:
    """Reads and decodes one strip or tile; by position, so that threads and forked processes do not disturb it."""

    def __init__(self, path: Path, series: Any) -> None:
        self._path = path
        self._decode = series.keyframe.decode  # made while the file is open: for JPEG it is looked at
        self._pages = [
            None if page is None else (tuple(page.dataoffsets), tuple(page.databytecounts), page.jpegtables)
            for page in series.pages
        ]
        self._file: int | None = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._finalizer = weakref.finalize(self, os.close, self._file)
        return self._file

    def close(self) -> None:
        """Let the file go; the next segment opens it again."""
        if self._file is not None:
            self._file = None
            self._finalizer()

    def decode(self, number: int, index: int) -> Array | None:
        """Pixels (rows, columns, samples) of a segment; None where a sparse file leaves it out."""
        page = self._pages[number]
        if page is None or not page[1][index]:
            return None
        offsets, counts, tables = page
        try:
            data = os.pread(self._opened(), counts[index], offsets[index])
            if len(data) < counts[index]:
                raise EOFError(f"truncated, {len(data)} of {counts[index]} bytes at {offsets[index]}")
            segment = self._decode(data, index, jpegtables=tables)[0]
        except Exception as error:  # as in open_tiff
            raise unreadable(self._path, error, "scene") from error
        return None if segment is None else np.asarray(segment[0])
