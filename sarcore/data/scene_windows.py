"""Some windows of a scene, from which its speckle is known, without decoding all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.images import unreadable
from sarcore.data.scene_blocks import open_scene

_SMALL = 1 << 21  # pixels that are decoded whole
_BANDS = 8  # fewer, but two, of strips and tiles that are high
_ROWS = 32  # of a band, if they are not higher

Array = npt.NDArray[Any]


def scene_windows(source: str | Path | Array) -> list[Array]:
    """Windows (C, H, W): the scene itself where it is small or mapped into memory, else up to eight bands of each page.

    Raises DataError as `open_scene`.

    >>> [window.shape for window in scene_windows(np.zeros((4, 6)))]
    [(1, 4, 6)]
    """
    if not isinstance(source, np.ndarray) and Path(source).suffix.lower() in (".tif", ".tiff"):
        bands = _bands_of(Path(source))
        if bands:
            return bands
    return [open_scene(source)]


def _bands_of(path: Path) -> list[Array]:
    """Bands of a TIFF; none where the file is small, or mapped, or cannot be read: open_scene says why."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            mapped = len(series.pages) == 1 and series.keyframe.is_memmappable
            if mapped or series.size <= _SMALL or series.keyframe.imagedepth > 1 or len(series.shape) not in (2, 3):
                return []
            return [band for page in list(series.pages) for band in _bands(tiff.filehandle, page)]
    except Exception as error:  # the decoders raise anything from OSError to struct.error on damaged bytes
        raise unreadable(path, error, "scene") from error


def _bands(handle: Any, page: Any) -> Iterator[Array]:
    import tifffile

    key = page.keyframe
    high, wide = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, key.imagewidth)
    high = min(high, key.imagelength)
    down, across = -(-key.imagelength // high), -(-key.imagewidth // wide)
    together = min(down, -(-_ROWS // high))
    separate = key.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    planes = key.samplesperpixel if separate else 1
    bands = max(2, _BANDS * _ROWS // (together * high))
    for first in sorted({int(row) for row in np.linspace(0, down - together, bands)}):
        rows = range(first, first + together)
        wanted = [(p * down + row) * across + column for p in range(planes) for row in rows for column in range(across)]
        last = min(rows.stop * high, key.imagelength)
        band = np.zeros((key.samplesperpixel, last - first * high, key.imagewidth), key.dtype.newbyteorder("="))
        offsets, counts = ([values[number] for number in wanted] for values in (page.dataoffsets, page.databytecounts))
        for data, number in handle.read_segments(offsets, counts, indices=wanted):
            segment, (plane, _, row, column, _), _ = key.decode(data, number, jpegtables=key.jpegtables)
            if segment is None:  # a sparse file leaves segments out
                continue
            inside = np.moveaxis(segment[0, : last - row, : key.imagewidth - column], 2, 0)
            top = row - first * high
            band[plane : plane + len(inside), top : top + inside.shape[1], column : column + inside.shape[2]] = inside
        yield band
