"""Rows into a tiled GeoTIFF: a thread compresses and writes tiles while the next rows are computed."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.nodata import NODATA_TAG, nodata_of
from sarcore.data.scene import Scene
from sarcore.data.scene_gdal import bounded_cache
from sarcore.data.scene_source import needs_geo
from sarcore.data.scene_tags import Tag, tags_for_copy, text_of
from sarcore.errors import DataError

COMPRESSIONS = {"deflate": ("zlib", 1), "zstd": ("zstd", 1), "lzw": ("lzw", None), "none": (None, None)}
_CLASSIC = 2**32 - 2**26  # bytes that a TIFF surely addresses; compression may make noise a little larger
_RESOLUTION = {282: "resolution", 283: "resolution", 296: "resolutionunit"}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TiffLayout:
    """The tags of the file that is written."""

    tags: tuple[Tag, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of tifffile: description, resolution, colours."""


def layout_for(like: Scene | None, channels: int, nodata: float | None) -> TiffLayout:
    """Tags of a scene of `channels` channels at the place of another one."""
    options: dict[str, Any] = {"photometric": "minisblack"}
    if like is None:
        return TiffLayout(_nodata_tag(nodata), options)
    same = like.shape[0] == channels
    tags = tags_for_copy(like.tags, same_bands=same)
    text = text_of(tags, NODATA_TAG)
    if text is None or not _same(nodata, nodata_of(text, like.path or Path(like.name))):
        tags = tuple(tag for tag in tags if tag[0] != NODATA_TAG) + _nodata_tag(nodata)
    layout = like.layout
    for name in ("description", "resolution", "resolutionunit"):
        if layout.get(name) is not None:
            options[name] = layout[name]
    if same and "photometric" in layout:
        options["photometric"] = layout["photometric"]
        if layout["extrasamples"]:
            options["extrasamples"] = layout["extrasamples"]
    return TiffLayout(tags, options)


def _same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and a != a and b != b)


def _nodata_tag(nodata: float | None) -> tuple[Tag, ...]:
    if nodata is None:
        return ()
    text = f"{nodata:.0f}" if abs(nodata) < 2**53 and nodata == int(nodata) else f"{nodata:.17g}"
    return ((NODATA_TAG, 2, 0, text.encode(), True),)


class TiffRows:
    """Takes rows, gives rows of tiles to a thread; what goes wrong there is raised by the next call here."""

    def __init__(
        self,
        file: Path,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        layout: TiffLayout,
        *,
        compression: str,
        tile: int,
    ) -> None:
        self._file, self._shape, self._dtype, self._layout = file, shape, dtype, layout
        self._tile, self._compression = tile, compression
        self._queue: Queue[Array | None] = Queue(maxsize=2)
        self._error: BaseException | None = None
        self._band = self._new_band(0)
        self._filled = self._given = 0
        self._thread = threading.Thread(target=self._run, name=f"writer of {file.name}", daemon=True)
        self._thread.start()

    def _new_band(self, row: int) -> Array:
        count, height, width = self._shape
        return np.empty((min(self._tile, height - row), width, count), self._dtype)

    def write(self, rows: Array) -> None:
        done = 0
        while done < rows.shape[1]:
            taken = min(len(self._band) - self._filled, rows.shape[1] - done)
            band = self._band[self._filled : self._filled + taken]
            band[...] = rows[:, done : done + taken].transpose(1, 2, 0)
            done, self._filled = done + taken, self._filled + taken
            if self._filled == len(self._band):
                self._put(self._band)
                self._given += self._filled
                self._band, self._filled = self._new_band(self._given), 0

    def finish(self) -> None:
        self._thread.join()
        self._check()
        _drop_entries(self._file, [tag for tag, name in _RESOLUTION.items() if name not in self._layout.options])

    def abort(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.05)
            except Full:
                continue
            self._thread.join(0.05)

    def _put(self, band: Array | None) -> None:
        while True:
            self._check()
            try:
                return self._queue.put(band, timeout=0.2)
            except Full:
                continue

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._write_tiles()
        except BaseException as error:  # noqa: BLE001  raised again by the thread that gives the rows
            self._error = error

    def _tiles(self) -> Iterator[Array]:
        count, height, width = self._shape
        for _ in range(0, height, self._tile):
            band = self._queue.get()
            if band is None:
                raise InterruptedError("the writer was closed")
            for column in range(0, width, self._tile):
                tile = band[:, column : column + self._tile]
                pad = [(0, self._tile - size) for size in tile.shape[:2]]
                full = np.pad(tile, [*pad, (0, 0)], mode="edge") if any(map(any, pad)) else tile  # edges compress well
                yield full if count > 1 else full[:, :, 0]

    def _write_tiles(self) -> None:
        import tifffile

        count, height, width = self._shape
        method, level = COMPRESSIONS[self._compression]
        options: dict[str, Any] = dict(self._layout.options)
        if method is not None:
            options |= {"compression": method, "predictor": _predictor(self._dtype)}
            if level is not None:
                options["compressionargs"] = {"level": level}
        if count > 1:
            options["planarconfig"] = "contig"
        tiles = -(-height // self._tile) * -(-width // self._tile)
        size = tiles * self._tile**2 * count * self._dtype.itemsize
        size += size // 2 if method == "lzw" else 0  # which makes noise larger
        tifffile.imwrite(
            self._file, self._tiles(), shape=(height, width, count) if count > 1 else (height, width),
            dtype=self._dtype, tile=(self._tile, self._tile), bigtiff=size > _CLASSIC, metadata=None, software=False,
            extratags=self._layout.tags, buffersize=size * self._tile // height + 1, **options,
        )  # fmt: skip


def _predictor(dtype: np.dtype[Any]) -> int:
    """Differences of neighbours for integers, of their bytes for floating numbers, none for complex ones."""
    return 2 if dtype.kind in "ui" else 3 if dtype.kind == "f" and _has_imagecodecs() else 1


def _has_imagecodecs() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def check_packages(path: Path, compression: str, cog: bool) -> None:
    """DataError where what writes the TIFF is not installed, before anything is computed for it."""
    try:
        import tifffile  # noqa: F401

        if compression in ("zstd", "lzw"):
            import imagecodecs  # noqa: F401
        if cog:
            import rasterio  # noqa: F401
    except ImportError as error:
        kind = "Cloud Optimized GeoTIFF" if cog else f"GeoTIFF with compression {compression!r}"
        raise needs_geo(f"the {kind} {path}", error) from error


def _drop_entries(file: Path, codes: list[int]) -> None:
    """Take entries out of the first directory: tifffile writes a resolution in dots where none is known."""
    with open(file, "r+b") as tiff:
        order = {b"II": "<", b"MM": ">"}[tiff.read(2)]
        big = struct.unpack(order + "H", tiff.read(2))[0] == 43
        tiff.seek(8 if big else 4)
        number, size, start = ("Q", 20, 8) if big else ("H", 12, 2)
        word = "Q" if big else "I"
        at = struct.unpack(order + word, tiff.read(struct.calcsize(word)))[0]
        tiff.seek(at)
        count = struct.unpack(order + number, tiff.read(start))[0]
        table = tiff.read(count * size)
        following = tiff.read(struct.calcsize(word))
        entries = [table[k * size : (k + 1) * size] for k in range(count)]
        kept = [entry for entry in entries if struct.unpack(order + "H", entry[:2])[0] not in codes]
        tiff.seek(at)
        tiff.write(struct.pack(order + number, len(kept)) + b"".join(kept) + following)


def write_cog(file: Path, dtype: np.dtype[Any], *, compression: str, tile: int) -> Path:
    """A Cloud Optimized GeoTIFF beside a file, made by GDAL."""
    from rasterio.shutil import copy

    target = file.with_name(f"cog-{file.name}")
    options = {"COMPRESS": compression.upper(), "BLOCKSIZE": tile, "BIGTIFF": "IF_SAFER", "OVERVIEWS": "AUTO"}
    if compression != "none":
        options["PREDICTOR"] = "YES" if dtype.kind != "c" else "NO"
    options["OVERVIEW_RESAMPLING"] = "NEAREST" if dtype.kind == "c" else "AVERAGE"
    try:
        with bounded_cache():
            copy(file, target, driver="COG", **options)
    except Exception as error:  # GDAL's errors have a class for each of its numbers
        raise DataError(f"cannot write {file.name} as a Cloud Optimized GeoTIFF: {error}") from error
    return target
