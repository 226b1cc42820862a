"""A scene: a raster file of any size and format, read by windows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.nodata import pixel_nodata
from sarcore.data.scene_formats import open_source, place_of
from sarcore.data.scene_gdal import GdalSource, Georeference, Transform
from sarcore.data.scene_source import Array, Source, Window, array_source
from sarcore.data.scene_tags import GEOREFERENCE, Metadata, Tag

BLOCK_PIXELS = 1 << 20  # of all channels together, in a block
_BANDS, _BAND_ROWS = 8, 32  # of a sample


class Scene:
    """An image of which windows are read when they are asked for.

    >>> scene = Scene.open(np.arange(24.0).reshape(4, 6))
    >>> scene.shape, scene.dtype, scene.nodata
    ((1, 4, 6), dtype('float64'), None)
    >>> scene.read(row=1, column=2, height=2, width=3)
    array([[[ 8.,  9., 10.], [14., 15., 16.]]])

    What is opened:

    * GeoTIFF, BigTIFF, COG: mapped into memory where the pixels lie in one piece, else decoded strip by strip and tile
      by tile, of which a process keeps up to 256 MiB. A page per channel, or the samples of each pixel.
    * ENVI, by its header or its binary file: mapped.
    * NPY: mapped. NPZ with one array, or ``file.npz#name``, PNG, JPEG and volumetric TIFF: held in memory.
    * What else GDAL reads (VRT, JPEG 2000, integer complex numbers), by windows through rasterio.
    * An array (H, W) or (C, H, W), and a scene, which is returned.

    Values come in native byte order; complex numbers always as complex64, complex128 rounded to it. A scene can be
    pickled and used after a fork: it opens its file again where that is needed.
    """

    path: Path | None
    """The file; None for an array."""
    name: str
    """The file's name without its suffix."""
    shape: tuple[int, int, int]
    """Channels, rows, columns."""
    dtype: np.dtype[Any]
    """Type of what is read."""
    nodata: float | None
    """The value of pixels without data."""

    def __init__(self, source: str | Path | Array, nodata: float | None = None) -> None:
        self._array = source if isinstance(source, np.ndarray) else None
        self._given = None if self._array is not None else str(source)
        self._replaced = nodata
        self._open()

    @classmethod
    def open(cls, source: str | Path | Array | Scene, *, nodata: float | None = None) -> Scene:
        """Open a file or an array; `nodata` replaces the value that the file declares.

        Raises:
            DataError: the file is missing, damaged, truncated, or no raster; a package that it needs is missing.
            TypeError: neither a path, nor an array, nor a scene.
        """
        if isinstance(source, Scene):
            if nodata is None:
                return source
            return cls(source._array if source._given is None else source._given, nodata)  # type: ignore[arg-type]
        if not isinstance(source, (str, os.PathLike, np.ndarray)):
            raise TypeError(f"source must be a path, a NumPy array or a Scene, got {type(source).__name__}")
        return cls(source, nodata)

    def _open(self) -> None:
        if self._array is not None:
            self.path, self.name = None, "array"
            self._source: Source = array_source(self._array)
            self._metadata = Metadata()
        else:
            assert self._given is not None
            self.path, self._source, self._metadata = open_source(self._given)
            self.name = self.path.stem
        self.shape, self.dtype = self._source.shape, self._source.dtype
        self.nodata = self._metadata.nodata if self._replaced is None else float(self._replaced)
        self._place: Georeference | None = None
        self._mask: GdalSource | None = None

    def close(self) -> None:
        """Let the file go."""
        self._source.close()
        if self._mask is not None:
            self._mask.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> tuple[Array | None, str | None, float | None]:
        return self._array, self._given, self._replaced

    def __setstate__(self, state: tuple[Array | None, str | None, float | None]) -> None:
        self._array, self._given, self._replaced = state
        self._open()

    def __repr__(self) -> str:
        count, height, width = self.shape
        return f"Scene({str(self.path) if self.path else 'array'!r}, {count} x {height} x {width} {self.dtype})"

    # Where it lies ---------------------------------------------------------------------------------------------------

    def _located(self) -> Georeference:
        if self._place is None:
            empty = Georeference(None, None, ())
            self._place = empty if self.path is None else place_of(self.path, self._metadata)
        return self._place

    @property
    def crs(self) -> str | None:
        """The coordinate reference system as WKT."""
        return self._located().crs

    @property
    def transform(self) -> Transform | None:
        """(a, b, c, d, e, f): x = a column + b row + c and y = d column + e row + f, of the pixels' corners."""
        return self._located().transform

    @property
    def gsd(self) -> tuple[float, float] | None:
        """Spacing of the columns and of the rows in units of the CRS."""
        if self.transform is None:
            return None
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    @property
    def band_names(self) -> tuple[str | None, ...]:
        """The name of each channel, None where it has none."""
        return self._metadata.band_names or (None,) * self.shape[0]

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Place, no-data, names and metadata as tags of a GeoTIFF: code, type, count, value, True (for tifffile)."""
        raw = self._metadata.tags
        if any(tag[0] in GEOREFERENCE for tag in raw):
            return raw
        known = {tag[0] for tag in raw}
        return raw + tuple(tag for tag in self._located().tags if tag[0] not in known)

    @property
    def georeferenced(self) -> bool:
        """Whether the scene knows where it lies."""
        return any(tag[0] in GEOREFERENCE for tag in self.tags)

    @property
    def layout(self) -> dict[str, Any]:
        """Of a TIFF: description, resolution, colours, tiles and compression."""
        return dict(self._metadata.layout)

    # Pixels ----------------------------------------------------------------------------------------------------------

    def read(
        self,
        row: int = 0,
        column: int = 0,
        height: int | None = None,
        width: int | None = None,
        channels: int | Sequence[int] | None = None,
    ) -> Array:
        """The pixels (C, h, w) of a window, contiguous, in native byte order.

        Args:
            row: first row of the window.
            column: first column of the window.
            height: rows; by default all that follow.
            width: columns; by default all that follow.
            channels: channels to read, counted from 0; by default all.

        Raises:
            ValueError: the window is not inside the scene, or the scene has no such channel.
            DataError: the file is damaged there.
        """
        count, high, wide = self.shape
        window = Window(
            index(row), index(column),
            high - row if height is None else index(height), wide - column if width is None else index(width),
        )  # fmt: skip
        for what, first, size, all_of in (
            ("rows", window.row, window.height, high),
            ("columns", window.column, window.width, wide),
        ):
            if first < 0 or size < 0 or first + size > all_of:
                raise ValueError(f"{what} {first} to {first + size} are not inside the scene, which has {all_of}")
        wanted = range(count) if channels is None else [channels] if isinstance(channels, int) else list(channels)
        for channel in wanted:
            if not 0 <= channel < count:
                raise ValueError(f"channels must be 0 to {count - 1}, got {channel}")
        return self._source.read(window, wanted)

    def release(self, row: int) -> None:
        """Let go of what was decoded of the rows above `row`, which who reads from top to bottom needs no more."""
        self._source.release(row)

    def mapped(self) -> Array | None:
        """The pixels (C, H, W) where they lie in memory or in a mapped file, in its byte order; None if encoded.

        Complex numbers may be complex128 here. Reading all of a mapped file this way counts it as memory of the
        process; `read` does not.
        """
        return self._source.mapped()

    def valid(self, window: Array) -> npt.NDArray[np.bool_] | None:
        """Which of the pixels that were read are data: not the no-data value and not NaN. None where all are.

        >>> Scene.open(np.zeros((1, 2)), nodata=-1).valid(np.array([[-1.0, np.nan, 2.0]]))
        array([[False, False,  True]])
        """
        missing = pixel_nodata(self.nodata, window.dtype)
        data = None if missing is None else window != missing
        if window.dtype.kind in "fc":
            known = window == window
            data = known if data is None else data & known
        return None if data is None or data.all() else np.asarray(data)

    def mask(self, row: int, column: int, height: int, width: int) -> npt.NDArray[np.bool_] | None:
        """Which pixels (h, w) of a window are data by the mask in the file or beside it; None for a file without one.

        `sarcore prep warp` and `prep stitch` write such masks where no value of integers can mean no-data. What `read`
        gives there is whatever lies below the mask.
        """
        if not self._metadata.masked:
            return None
        if self._mask is None:
            assert self.path is not None
            self._mask = GdalSource(self.path)
        return self._mask.mask(Window(row, column, height, width))

    def blocks(self) -> Iterator[Window]:
        """Windows that cover the scene once, in the order of the file: bands of full width, or groups of tiles.

        >>> [tuple(window) for window in Scene.open(np.zeros((3000, 700))).blocks()][:2]
        [(0, 0, 1497, 700), (1497, 0, 1497, 700)]
        """
        count, height, width = self.shape
        high, wide = self._source.block
        pixels = BLOCK_PIXELS // count
        columns = min(width, max(1, pixels // (high * wide)) * wide)
        rows = min(height, (max(1, pixels // (high * width)) if columns == width else 1) * high)
        for row in range(0, height, rows):
            for column in range(0, width, columns):
                yield Window(row, column, min(rows, height - row), min(columns, width - column))

    def sample(self) -> Iterator[Window]:
        """Some bands of full width, spread over the scene, from which its statistics can be estimated.

        >>> [(window.row, window.height) for window in Scene.open(np.zeros((3000, 700))).sample()][:2]
        [(0, 32), (424, 32)]
        """
        _, height, width = self.shape
        high = self._source.block[0]
        together = min(-(-height // high), -(-_BAND_ROWS // high))
        bands = max(2, _BANDS * _BAND_ROWS // (together * high))
        for number in sorted({int(n) for n in np.linspace(0, -(-height // high) - together, bands)}):
            row = number * high
            yield Window(row, 0, min(together * high, height - row), width)
