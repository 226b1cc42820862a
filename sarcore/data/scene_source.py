"""Where the pixels of a scene come from: what every reader offers, and the reader of arrays and mapped files."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError

_RESIDENT = 1 << 26  # bytes of a mapped file that are read before its pages are given back to the system

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]


class Window(NamedTuple):
    """A rectangle of pixels: `scene.read(*window)`."""

    row: int
    column: int
    height: int
    width: int


class Source(Protocol):
    """A reader of windows."""

    shape: Shape
    dtype: np.dtype[Any]
    block: tuple[int, int]
    """Rows and columns of what is stored, and decoded, together."""

    def read(self, window: Window, channels: Sequence[int]) -> Array:
        """Pixels (channels, height, width) of a window inside the scene, native byte order, contiguous."""

    def mapped(self) -> Array | None:
        """The pixels (C, H, W) as they lie in memory or in a mapped file, in its byte order; None: to be decoded."""

    def release(self, row: int) -> None:
        """Drop what was decoded of the rows above."""

    def close(self) -> None:
        """Let the file go."""


class ArraySource:
    """Pixels in memory or in a mapped file, loaded when they are first asked for."""

    def __init__(self, shape: Shape, dtype: np.dtype[Any], load: Callable[[], Array], *, ours: bool = False) -> None:
        self.shape, self.dtype = shape, native(dtype)
        self.block = (1, shape[2])
        self._load: Callable[[], Array] | None = load
        self._pixels: Array | None = None
        self._ours = ours  # a map that nobody else holds, whose pages may be given back
        self._touched = 0

    def mapped(self) -> Array:
        if self._pixels is None:
            assert self._load is not None
            self._pixels = self._load()
        return self._pixels

    def read(self, window: Window, channels: Sequence[int]) -> Array:
        row, column, height, width = window
        pixels = self.mapped()
        out = np.empty((len(channels), height, width), self.dtype)
        for k, channel in enumerate(channels):
            out[k] = pixels[channel, row : row + height, column : column + width]
        self._touched += out.nbytes
        if self._ours and self._touched > _RESIDENT:
            self._touched = 0
            _give_back(pixels)
        return out

    def release(self, row: int) -> None:
        """Nothing was decoded."""

    def close(self) -> None:
        self._pixels = None


def _give_back(pixels: Array) -> None:
    """Pages of a mapped file count as memory of the process until the system wants them: do not wait for that."""
    mapping = getattr(pixels, "_mmap", None)
    if mapping is not None:
        with contextlib.suppress(OSError, AttributeError):
            mapping.madvise(mmap.MADV_DONTNEED)


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of what is read: native byte order, complex64 for complex128, uint8 for booleans.

    >>> native(np.dtype(">f4")), native(np.dtype("complex128"))
    (dtype('float32'), dtype('complex64'))
    """
    if dtype.kind == "c":
        return np.dtype(np.complex64)
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def channels_first(array: Array, axes: str, name: object) -> Array:
    """(H, W), (H, W, samples) or (C, H, W) to (C, H, W); the axes are tifffile's letters, '' for C, H, W.

    >>> channels_first(np.zeros((4, 6, 3)), "YXS", "the array").shape
    (3, 4, 6)
    """
    if array.ndim == 3 and axes.endswith("S"):
        array = np.moveaxis(array, 2, 0)
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "uifcb":
        raise DataError(f"{name} is {array.shape} {array.dtype}; a scene is (H, W) or (C, H, W) of numbers, not empty")
    return array


def array_source(array: Array, name: object = "the array", *, ours: bool = False) -> ArraySource:
    """The source of an array (H, W) or (C, H, W).

    >>> array_source(np.zeros((4, 6))).shape
    (1, 4, 6)
    """
    pixels = channels_first(array, "", name)
    count, height, width = pixels.shape
    return ArraySource((count, height, width), pixels.dtype, lambda: pixels, ours=ours)


def needs_geo(what: str, error: Exception) -> DataError:
    """What to say where a package is missing.

    >>> str(needs_geo("the scene a.tif", ImportError("No module named 'tifffile'")))
    "the scene a.tif needs a package that cannot be imported (No module named 'tifffile'): pip install 'sarcore[geo]'"
    """
    return DataError(f"{what} needs a package that cannot be imported ({error}): pip install 'sarcore[geo]'")
