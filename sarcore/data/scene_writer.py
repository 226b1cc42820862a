"""A scene written from top to bottom, whole or not at all."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sarcore.data.images import file_mode, write_image
from sarcore.data.nodata import pixel_nodata
from sarcore.data.scene import Scene
from sarcore.data.scene_writer_tiff import COMPRESSIONS, TiffRows, check_packages, layout_for, write_cog
from sarcore.errors import DataError

_TIFF = (".tif", ".tiff")
SUFFIXES = (*_TIFF, ".npy", ".png")

Array = npt.NDArray[Any]


class Rows(Protocol):
    """What a format does with the rows."""

    def write(self, rows: Array) -> None:
        """Take the rows (C, r, W) that follow."""

    def finish(self) -> None:
        """All rows are there: complete the file."""

    def abort(self) -> None:
        """The file is not wanted any more."""


class SceneWriter:
    """A raster file into which rows are written from top to bottom; complete at the end, or not there.

    >>> from tempfile import mkdtemp
    >>> with SceneWriter(Path(mkdtemp()) / "a.tif", (1, 5, 4), "float32") as out:
    ...     out.write(np.ones((1, 2, 4), np.float32))
    ...     out.write(np.zeros((1, 3, 4), np.float32))
    >>> Scene.open(out.path).read().sum()
    np.float32(8.0)

    The suffix decides: ``.tif`` and ``.tiff`` (tiled GeoTIFF, BigTIFF where it may need to be, the channels of a pixel
    together), ``.npy`` (C, H, W), ``.png`` (8 or 16 bit; held in memory). The file is written in a folder of its own
    beside the target and renamed when all rows are there; after an error nothing is left.

    Args:
        path: the file to write. One that is there is replaced at the end.
        shape: (C, H, W) of the whole.
        dtype: type of the rows.
        like: scene of the same place: a GeoTIFF gets its georeference, no-data, metadata and colours, and with the same
            number of channels their names. GDAL's statistics, which are those of other pixels, are left out.
        nodata: value of pixels without data, None for none; by default that of `like`.
        tile: side of the tiles of a TIFF, a multiple of 16.
        compression: of a TIFF: deflate, zstd or lzw, with a predictor, or none.
        cog: make the TIFF a Cloud Optimized GeoTIFF, with overviews; needs rasterio.

    Raises:
        ValueError: wrong shape, tile or compression, a no-data value that the type cannot hold; later rows that do not
            fit, and at the end too few.
        DataError: another suffix, a type that the format does not hold, no such folder, the output is the input; later
            a full disk.
    """

    def __init__(
        self,
        path: str | Path,
        shape: tuple[int, int, int],
        dtype: npt.DTypeLike,
        *,
        like: Scene | None = None,
        nodata: float | EllipsisType | None = ...,
        tile: int = 256,
        compression: str = "deflate",
        cog: bool = False,
    ) -> None:
        self.path = Path(path)
        self.shape = _checked_shape(shape)
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self.rows_done = 0
        if tile < 16 or tile % 16:
            raise ValueError(f"tile must be a multiple of 16, got {tile}")
        if compression not in COMPRESSIONS:
            raise ValueError(f"compression must be one of {', '.join(COMPRESSIONS)}, got {compression!r}")
        self.nodata = (None if like is None else like.nodata) if isinstance(nodata, EllipsisType) else nodata
        if like is None or nodata is not ... or _can_be(like.nodata, like.dtype):
            _check_nodata(self.nodata, self.dtype)  # what the scene declares and no pixel of it has does no harm here
        _check_output(self.path, self.shape, self.dtype, like, cog)
        if self._is_tiff:
            check_packages(self.path, compression, cog)
        self._options = {"compression": compression, "tile": tile}
        self._layout = layout_for(like, self.shape[0], self.nodata) if self._is_tiff else None
        self._cog = cog
        self._folder: Path | None = None
        self._rows: Rows | None = None

    @property
    def _is_tiff(self) -> bool:
        return self.path.suffix.lower() in _TIFF

    def __enter__(self) -> SceneWriter:
        try:
            self._folder = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.stem}."))
            file = self._folder / self.path.name
            if self._layout is not None:
                self._rows = TiffRows(file, self.shape, self.dtype, self._layout, **self._options)  # type: ignore[arg-type]
            else:
                kind = _NpyRows if self.path.suffix.lower() == ".npy" else _PngRows
                self._rows = kind(file, self.shape, self.dtype)
        except BaseException as error:
            self._discard()
            if isinstance(error, OSError):
                raise unwritable(self.path, error) from error
            raise
        return self

    def write(self, rows: Array) -> None:
        """Write the rows (C, r, W) that follow, any number of them.

        Raises ValueError for another shape or type and for more rows than there are, DataError for a full disk.
        """
        if self._rows is None:
            raise ValueError(f"the writer of {self.path} is not open; use it in a with statement")
        count, height, width = self.shape
        rows = np.asarray(rows)
        if rows.ndim != 3 or rows.shape[::2] != (count, width):
            raise ValueError(f"rows must have the shape ({count}, r, {width}), got {rows.shape}")
        if rows.dtype.newbyteorder("=") != self.dtype:
            raise ValueError(f"rows must be {self.dtype} as the file is, got {rows.dtype}; convert them")
        if self.rows_done + rows.shape[1] > height:
            raise ValueError(f"{self.rows_done + rows.shape[1]} rows were given, but {self.path} has {height}")
        if not rows.size:
            return
        try:
            self._rows.write(rows)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.rows_done += rows.shape[1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        rows, folder = self._rows, self._folder
        if rows is None or folder is None:
            return
        try:
            if kind is not None:
                return
            if self.rows_done != self.shape[1]:
                raise ValueError(
                    f"{self.path} was not written: {self.rows_done} of its {self.shape[1]} rows were given"
                )
            rows.finish()
            file = folder / self.path.name
            if self._cog:
                file = write_cog(file, self.dtype, **self._options)  # type: ignore[arg-type]
            file.chmod(file_mode())
            os.replace(file, self.path)
        except OSError as problem:
            raise unwritable(self.path, problem) from problem
        finally:
            rows.abort()
            self._discard()

    def _discard(self) -> None:
        self._rows = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def unwritable(path: Path, error: OSError) -> DataError:
    """What to say where the system refuses to write.

    >>> str(unwritable(Path("a.tif"), OSError(errno.ENOSPC, "No space left on device")))
    'cannot write a.tif: the disk is full; make room or write elsewhere (nothing was left there)'
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"cannot write {path}: the disk is full; make room or write elsewhere (nothing was left there)"
        )
    return DataError(f"cannot write {path}: {error.strerror or error}")


def _checked_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    sizes = tuple(int(size) for size in shape)
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"shape must be (C, H, W), none of them 0, got {shape}")
    return sizes


def _can_be(nodata: float | None, dtype: np.dtype[Any]) -> bool:
    return nodata is None or (math.isnan(nodata) and dtype.kind in "fc") or pixel_nodata(nodata, dtype) is not None


def _check_nodata(nodata: float | None, dtype: np.dtype[Any]) -> None:
    if not _can_be(nodata, dtype):
        raise ValueError(f"nodata must be a value that {dtype} holds, got {nodata:g}; give another, or None for none")


def _check_output(path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], like: Scene | None, cog: bool) -> None:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"cannot write {path}: use one of the suffixes {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise DataError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; give the name of a file")
    if like is not None and like.path is not None and path.exists() and path.samefile(like.path):
        raise DataError(f"cannot write {path}: it is the image that is read; give another name")
    if dtype.kind not in "uifc":
        raise DataError(f"cannot write {path}: a scene holds numbers, got {dtype}")
    if suffix == ".png" and (dtype not in (np.uint8, np.uint16) or shape[0] not in (1, 3, 4)):
        raise DataError(f"cannot write {path}: a PNG holds 8 or 16 bit integers and the image is {dtype}; write a .tif")
    if cog and suffix not in _TIFF:
        raise DataError(f"cannot write {path}: a Cloud Optimized GeoTIFF has the suffix .tif")


class _NpyRows:
    """Channel after channel in the file, each row at its place: plain writes, which tell when the disk is full."""

    def __init__(self, file: Path, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self._shape, self._size, self._row = shape, dtype.itemsize, 0
        self._file = open(file, "wb", buffering=0)  # noqa: SIM115
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()

    def write(self, rows: Array) -> None:
        _, height, width = self._shape
        for channel, plane in enumerate(rows):
            self._file.seek(self._start + (channel * height + self._row) * width * self._size)
            data = np.ascontiguousarray(plane, plane.dtype.newbyteorder("=")).data.cast("B")
            while data.nbytes:
                data = data[self._file.write(data) :]
        self._row += rows.shape[1]

    def finish(self) -> None:
        self._file.close()

    def abort(self) -> None:
        self._file.close()


class _PngRows:
    """All rows, until the last is there."""

    def __init__(self, file: Path, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self._file, self._rows = file, [np.empty((shape[0], 0, shape[2]), dtype)]

    def write(self, rows: Array) -> None:
        self._rows.append(np.array(rows, rows.dtype.newbyteorder("=")))

    def finish(self) -> None:
        write_image(self._file, np.concatenate(self._rows, axis=1))

    def abort(self) -> None:
        self._rows.clear()
