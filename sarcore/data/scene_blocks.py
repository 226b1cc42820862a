"""A scene file as a stream of blocks, so that a scene larger than memory can be looked through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.images import ImageHeader, read_header, read_image, unreadable
from sarcore.errors import DataError

BLOCK_PIXELS = 1 << 20  # of a memory-mapped scene; a TIFF gives its own strips and tiles

Array = npt.NDArray[Any]


def open_scene(source: str | Path | Array) -> Array:
    """A scene as (C, H, W): memory-mapped where the file allows it (NPY, plain TIFF), else read whole.

    Real or complex numbers. Raises DataError for a file that is missing or damaged and for other shapes.

    >>> open_scene(np.zeros((4, 6), dtype=np.complex64)).shape
    (1, 4, 6)
    """
    if isinstance(source, np.ndarray):
        return _channels_first(source, "", "the array")
    path = Path(source)
    if not path.is_file():
        raise DataError(f"the scene {path} does not exist; check the path")
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return _channels_first(np.load(path, mmap_mode="r", allow_pickle=False), "", path)
        if suffix in (".tif", ".tiff"):
            return _open_tiff(path)
    except DataError:
        raise
    except Exception as error:  # the decoders raise anything from OSError to struct.error on damaged bytes
        raise unreadable(path, error, "scene") from error
    return read_image(path)


def scene_header(source: str | Path | Array) -> ImageHeader:
    """Shape (C, H, W) and dtype of a scene, without decoding it.

    Raises as `open_scene`.

    >>> scene_header(np.zeros((4, 6), dtype=np.complex64)).shape
    (1, 4, 6)
    """
    if isinstance(source, np.ndarray) or Path(source).suffix.lower() == ".npy" or not Path(source).is_file():
        return _header(open_scene(source))
    path = Path(source)
    if path.suffix.lower() not in (".tif", ".tiff"):
        return read_header(path)
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            empty = np.broadcast_to(np.zeros((), dtype=series.dtype), series.shape)
            return _header(_channels_first(empty, series.axes, path))
    except DataError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error, "scene") from error


def scene_blocks(source: str | Path | Array, channel: int | None = None) -> Iterator[Array]:
    """The pixels of a scene in pieces of any shape, each once; of one channel, counted from 0, or of all.

    Raises as `open_scene`, and DataError for a channel that the scene does not have.

    >>> sum(block.size for block in scene_blocks(np.zeros((2, 40, 60))))
    4800
    """
    return (block for _, block in channel_blocks(source, channel))


def channel_blocks(source: str | Path | Array, channel: int | None = None) -> Iterator[tuple[int, Array]]:
    """`scene_blocks` with the channel of each piece, which is of one channel alone.

    >>> sorted({channel for channel, _ in channel_blocks(np.zeros((2, 40, 60)))})
    [0, 1]
    """
    if not isinstance(source, np.ndarray) and Path(source).suffix.lower() in (".tif", ".tiff"):
        segments = _tiff_segments(Path(source), channel)
        if segments is not None:
            yield from segments
            return
    scene = open_scene(source)
    _check_channel(channel, len(scene))
    rows = max(1, BLOCK_PIXELS // scene.shape[2])
    for number in range(len(scene)) if channel is None else [channel]:
        for first in range(0, scene.shape[1], rows):
            yield number, scene[number, first : first + rows]


def _header(array: Array) -> ImageHeader:
    channels, height, width = array.shape
    return ImageHeader((channels, height, width), array.dtype.newbyteorder("="))


def _check_channel(channel: int | None, count: int) -> None:
    if channel is not None and not 0 <= channel < count:
        raise DataError(f"channel must be 0 to {count - 1}, got {channel}")


def _channels_first(array: Array, axes: str, name: object) -> Array:
    if array.ndim == 3 and axes.endswith("S"):
        array = np.moveaxis(array, 2, 0)
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "uifc":
        raise DataError(f"{name} is {array.shape} {array.dtype}; a scene is (H, W) or (C, H, W) of numbers, not empty")
    return array


def _open_tiff(path: Path) -> Array:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        if len(series.pages) == 1 and series.keyframe.is_memmappable:
            return _channels_first(tifffile.memmap(path, mode="r"), series.axes, path)
        return _channels_first(series.asarray(), series.axes, path)


def _tiff_segments(path: Path, channel: int | None) -> Iterator[tuple[int, Array]] | None:
    """Decoded strips or tiles; None for a file that can be mapped, or whose axes are not channels, rows, columns."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            mapped = len(series.pages) == 1 and series.keyframe.is_memmappable
            if mapped or series.keyframe.imagedepth > 1 or len(series.shape) not in (2, 3):
                return None
            pages, samples = len(series.pages), series.keyframe.samplesperpixel
            if pages > 1 and samples > 1:
                return None
    except Exception:  # noqa: BLE001  open_scene says what is wrong with the file
        return None
    _check_channel(channel, max(pages, samples))
    return _decoded(path, channel)


def _decoded(path: Path, channel: int | None) -> Iterator[tuple[int, Array]]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            pages: list[Any] = list(tiff.series[0].pages)
            for number, page in enumerate(pages):
                if len(pages) > 1 and channel not in (None, number):
                    continue
                for segment, index, _ in page.segments(maxworkers=1):
                    if segment is None:  # a sparse file leaves segments out
                        continue
                    for found, plane in _samples(page.keyframe, segment, index):
                        of = number if len(pages) > 1 else found
                        if channel in (None, of):
                            yield of, plane
    except Exception as error:  # as in open_scene
        raise unreadable(path, error, "scene") from error


def _samples(keyframe: Any, segment: Array, index: tuple[int, ...]) -> Iterator[tuple[int, Array]]:
    """Number and pixels of the samples in a segment (depth, rows, columns, samples) at an index."""
    plane, _, row, column, _ = index
    inside = segment[0, : keyframe.imagelength - row, : keyframe.imagewidth - column]  # tiles are padded
    for sample in range(inside.shape[-1]):
        yield plane + sample, inside[..., sample]
