"""Shards: thousands of patches in one memory-mapped .npy file (n, C, h, w), for sets too large for single files."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sarcore.data.images import ImageHeader, unreadable
from sarcore.errors import DataError

SHARD_BYTES = 1 << 28  # large enough to be read at full speed, small enough to be copied one by one
_OPEN = 128  # shards that stay mapped: beyond the limit of open files of a process lies an error
_HEADER = 128  # bytes; of one length, so that the number of patches can be put in at the end
_PLACE = re.compile(r"(?P<file>.+\.npy)#(?P<number>\d+)")


class ShardPlace(NamedTuple):
    """The shard that holds a patch, and the number of the patch in it."""

    file: Path
    number: int


def shard_place(path: Path) -> ShardPlace | None:
    """The place of a patch whose path is ``<shard>.npy#<number>``; None for the path of a file of its own.

    >>> shard_place(Path("set/shard_00000.npy#17")).number, shard_place(Path("set/a.npy"))
    (17, None)
    """
    match = _PLACE.fullmatch(path.name)
    return ShardPlace(path.with_name(match["file"]), int(match["number"])) if match else None


def stored_file(path: Path) -> Path:
    """The file in which a patch is stored: its shard, or the path itself.

    >>> stored_file(Path("set/shard_00000.npy#17")).name
    'shard_00000.npy'
    """
    place = shard_place(path)
    return path if place is None else place.file


def shard_header(file: Path) -> tuple[int, ImageHeader]:
    """Number of patches of a shard, and shape and dtype of each.

    >>> from tempfile import mkdtemp
    >>> with ShardWriter(Path(mkdtemp()), (1, 4, 6), np.uint8) as writer:
    ...     name = writer.add(np.zeros((1, 4, 6), dtype=np.uint8))
    >>> shard_header(writer.folder / "shard_00000.npy")
    (1, ImageHeader(shape=(1, 4, 6), dtype=dtype('uint8')))
    """
    patches = _shard(file)
    count, channels, height, width = patches.shape
    return count, ImageHeader((channels, height, width), patches.dtype.newbyteorder("="))


def read_shard(place: ShardPlace) -> npt.NDArray[Any]:
    """One patch (C, h, w) of a shard, copied, in native byte order.

    Raises DataError for a shard that is missing, damaged or has no patch of that number.
    """
    patches = _shard(place.file)
    if place.number >= len(patches):
        raise DataError(f"the shard {place.file} has {len(patches)} patches and none of number {place.number}")
    return np.array(patches[place.number], dtype=patches.dtype.newbyteorder("="))


def _shard(file: Path) -> npt.NDArray[Any]:
    try:
        status = file.stat()
    except OSError as error:
        raise unreadable(file, error, "shard") from error
    return _mapped(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=_OPEN)
def _mapped(file: Path, changed: int, size: int) -> npt.NDArray[Any]:
    """Kept by time and size: a shard that was written anew is mapped anew. Workers that fork share the pages."""
    del changed, size
    try:
        patches = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises anything from OSError to ValueError on damaged bytes
        raise unreadable(file, error, "shard") from error
    if patches.ndim != 4 or patches.dtype.kind not in "uifc":
        raise DataError(f"the shard {file} holds {patches.dtype} {patches.shape}, not patches (n, C, h, w) of numbers")
    return np.asarray(patches)  # a view without the slow indexing of np.memmap; it keeps the file mapped


class ShardWriter:
    """Writes patches one after the other into shards of at most `shard_bytes`; use it in a ``with`` block.

    >>> from tempfile import mkdtemp
    >>> with ShardWriter(Path(mkdtemp()), (1, 4, 6), np.float32, shard_bytes=200) as writer:
    ...     [writer.add(np.full((1, 4, 6), k, dtype=np.float32)) for k in range(3)]
    ['shard_00000.npy#0', 'shard_00000.npy#1', 'shard_00001.npy#0']
    >>> read_shard(shard_place(writer.folder / "shard_00001.npy#0")).max()
    np.float32(2.0)
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int, int], dtype: npt.DTypeLike, *, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder, self.shape, self.dtype = folder, shape, np.dtype(dtype).newbyteorder("=")
        self._most = max(1, shard_bytes // (int(np.prod(shape)) * self.dtype.itemsize))
        self._file: IO[bytes] | None = None
        self._shards = self._count = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, patch: npt.NDArray[Any]) -> str:
        """Append a patch; its name in the manifest. ValueError for another shape or dtype."""
        if patch.shape != self.shape or patch.dtype != self.dtype:
            raise ValueError(f"patch must be {self.dtype} {self.shape}, got {patch.dtype} {patch.shape}")
        if self._file is None or self._count == self._most:
            self.close()
            self._file = open(self.folder / f"shard_{self._shards:05d}.npy", "wb")  # noqa: SIM115  closed by close
            self._shards, self._count = self._shards + 1, 0
            self._file.write(self._header(0))
        self._file.write(np.ascontiguousarray(patch).data)
        self._count += 1
        return f"shard_{self._shards - 1:05d}.npy#{self._count - 1}"

    def close(self) -> None:
        """Finish the last shard."""
        file, self._file = self._file, None
        if file is not None:
            with file:
                file.seek(0)
                file.write(self._header(self._count))

    def _header(self, count: int) -> bytes:
        """Of the .npy format, version 1.0."""
        fields = {"descr": self.dtype.str, "fortran_order": False, "shape": (count, *self.shape)}
        text = repr(fields).ljust(_HEADER - 11) + "\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")
