"""Reading and writing single images: PNG and JPEG by Pillow, TIFF by tifffile, NPY by NumPy."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")

_PILLOW_MODES: dict[str, tuple[int, str]] = {  # mode -> channels, dtype
    "L": (1, "uint8"),
    "RGB": (3, "uint8"),
    "RGBA": (4, "uint8"),
    "I;16": (1, "uint16"),
    "I;16B": (1, "uint16"),
    "F": (1, "float32"),
}
_PNG_END = b"IEND\xaeB`\x82"


class ImageHeader(NamedTuple):
    """Shape (C, H, W) and native dtype of an image file."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]


def read_image(path: str | Path, *, allow_complex: bool = False) -> npt.NDArray[Any]:
    """Read an image as an array (C, H, W) in its own dtype (big-endian values become native-endian).

    A TIFF may be (H, W), (H, W, samples) or have one page per channel; NPY is (H, W) or (C, H, W). Complex numbers are
    refused unless `allow_complex`: few callers know what to do with them. Raises DataError with the path for a missing,
    corrupt or truncated file and for a format, a mode or a shape that is not supported.

    >>> read_image(write_image(Path(tempfile.mkdtemp()) / "a.png", np.zeros((1, 4, 6), dtype=np.uint8))).shape
    (1, 4, 6)
    """
    path = Path(path)
    kind = _kind(path)
    try:
        if kind == "pillow":
            return _read_pillow(path)
        if kind == "tiff":
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                series = tiff.series[0]
                array = _channels_first(series.asarray(), series.axes, path, allow_complex)
        else:
            array = _channels_first(np.load(path, allow_pickle=False), "", path, allow_complex)
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    except DataError:
        raise
    except Exception as error:  # the decoders raise anything from OSError to struct.error on damaged bytes
        raise unreadable(path, error) from error


def read_header(path: str | Path, *, allow_complex: bool = False) -> ImageHeader:
    """Shape and dtype of an image without decoding its pixels; finds truncated PNG, TIFF and NPY files on the way.

    Raises DataError as `read_image` does.

    >>> read_header(write_image(Path(tempfile.mkdtemp()) / "a.npy", np.zeros((4, 6), dtype=np.float32))).shape
    (1, 4, 6)
    """
    path = Path(path)
    kind = _kind(path)
    try:
        if kind == "pillow":
            return _pillow_header(path)
        if kind == "tiff":
            return _tiff_header(path, allow_complex)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return _header(_channels_first(mapped, "", path, allow_complex))
    except DataError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error) from error


def write_image(path: str | Path, array: npt.NDArray[Any]) -> Path:
    """Write (H, W) or (C, H, W) atomically in the format of the suffix: PNG (8 or 16 bit), TIFF, NPY; returns the path.

    JPEG is not written: its loss changes speckle statistics. Raises DataError for a suffix, a shape or a dtype that
    the format does not hold.

    >>> write_image(Path(tempfile.mkdtemp()) / "a.tif", np.ones((2, 4, 6), dtype=np.float32)).name
    'a.tif'
    """
    path = Path(path)
    return write_bytes(path, image_bytes(path, array))


def image_bytes(path: Path, array: npt.NDArray[Any]) -> bytes:
    """The content of the file that `write_image` writes under that name; raises DataError as it does.

    >>> image_bytes(Path("a.png"), np.zeros((4, 6), dtype=np.uint8))[:4]
    b'\x89PNG'
    """
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3:
        raise DataError(f"cannot write {path}: an image is (H, W) or (C, H, W), got the shape {array.shape}")
    buffer = BytesIO()
    suffix = path.suffix.lower()
    if suffix == ".png":
        _png_image(array, path).save(buffer, format="PNG", compress_level=3)
    elif suffix in (".tif", ".tiff"):
        import tifffile

        tifffile.imwrite(buffer, array, photometric="minisblack")
    elif suffix == ".npy":
        np.save(buffer, array, allow_pickle=False)
    else:
        raise DataError(f"cannot write {path}: use one of the suffixes .png, .tif, .tiff, .npy")
    return buffer.getvalue()


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all: a temporary file in the same folder, then a rename.

    >>> write_bytes(Path(tempfile.mkdtemp()) / "a.txt", b"abc").read_bytes()
    b'abc'
    """
    return write_whole(Path(path), lambda name: Path(name).write_bytes(content))


def write_whole(path: Path, write: Callable[[str], object]) -> Path:
    """`write_bytes` for what writes into a file of a given name: `write` gets that of the temporary file.

    >>> write_whole(Path(tempfile.mkdtemp()) / "a.npy", lambda name: np.save(name, np.zeros(3))).name
    'a.npy'
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(descriptor)
        try:
            write(name)
            os.chmod(name, file_mode())  # mkstemp gives 0600, which would hide the file from other users
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # with the name that the caller gave
    return path


def file_mode() -> int:
    """Permissions of a new file by the umask."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise DataError(f"{path} is not an image that sarcore reads; allowed are {', '.join(IMAGE_SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"the image {path} does not exist; check the path")
    return {".npy": "npy", ".tif": "tiff", ".tiff": "tiff"}.get(suffix, "pillow")


def unreadable(path: Path, error: Exception, what: str = "image") -> DataError:
    """What to say of a file whose decoder raised an error.

    >>> str(unreadable(Path("a.tif"), ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")))
    'the image a.tif is compressed (COMPRESSION.LZW); reading that needs a package: pip install imagecodecs'
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    if "imagecodecs" in reason:
        method = re.search(r"(COMPRESSION|PREDICTOR)\.\w+", reason)
        named = f" ({method[0]})" if method else ""
        return DataError(
            f"the {what} {path} is compressed{named}; reading that needs a package: pip install imagecodecs"
        )
    return DataError(f"the {what} {path} is corrupt or cannot be read ({reason}); replace or remove it")


def _read_pillow(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        channels, dtype = _pillow_layout(image.mode, path)
        array = np.asarray(image)
    array = array.astype(dtype, copy=True)
    return array[np.newaxis] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _pillow_layout(mode: str, path: Path) -> tuple[int, str]:
    if mode == "I" and path.suffix.lower() == ".png":  # how older Pillow opens a 16-bit PNG
        return 1, "uint16"
    if mode not in _PILLOW_MODES:
        raise DataError(f"the image {path} has the Pillow mode {mode!r}; save it as grey or RGB, 8 or 16 bit")
    return _PILLOW_MODES[mode]


def _pillow_header(path: Path) -> ImageHeader:
    from PIL import Image

    with Image.open(path) as image:
        channels, dtype = _pillow_layout(image.mode, path)
        width, height = image.size
        is_png = image.format == "PNG"
    if is_png:  # the end marker shows a truncated file without decoding it
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            if _PNG_END not in file.read():
                raise DataError(f"the image {path} is truncated (no PNG end marker); replace or remove it")
    return ImageHeader((channels, height, width), np.dtype(dtype))


def _tiff_header(path: Path, allow_complex: bool) -> ImageHeader:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        pages = [page for page in series.pages if isinstance(page, tifffile.TiffPage)]
        last = max((o + n for p in pages for o, n in zip(p.dataoffsets, p.databytecounts, strict=True)), default=0)
        if last > path.stat().st_size:
            raise DataError(
                f"the image {path} is truncated ({path.stat().st_size} of {last} bytes); replace or remove it"
            )
        empty = np.broadcast_to(np.zeros((), dtype=series.dtype), series.shape)
        return _header(_channels_first(empty, series.axes, path, allow_complex))


def _header(array: npt.NDArray[Any]) -> ImageHeader:
    channels, height, width = array.shape
    return ImageHeader((channels, height, width), array.dtype.newbyteorder("="))


def _channels_first(array: npt.NDArray[Any], axes: str, path: Path, allow_complex: bool = False) -> npt.NDArray[Any]:
    """(H, W), (H, W, samples) or (C, H, W) to (C, H, W); the axes letters are those of tifffile, '' means C, H, W."""
    if array.dtype.kind not in ("uifc" if allow_complex else "uif"):
        raise DataError(f"the image {path} holds {array.dtype}; save real numbers (for complex data |z| or |z|^2)")
    if array.ndim == 3 and axes.endswith("S"):
        array = np.moveaxis(array, 2, 0)
    elif array.ndim == 3 and array.shape[2] <= 4 < array.shape[0]:
        raise DataError(f"the image {path} has the shape {array.shape}; arrays must be (H, W) or (C, H, W)")
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise DataError(f"the image {path} has the shape {array.shape}; an image is (H, W) or (C, H, W), not empty")
    return array


def _png_image(array: npt.NDArray[Any], path: Path) -> Any:
    from PIL import Image

    channels = array.shape[0]
    if channels == 1 and array.dtype in (np.uint8, np.uint16):
        return Image.fromarray(np.ascontiguousarray(array[0]))
    if channels in (3, 4) and array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    raise DataError(
        f"cannot write {path}: PNG holds uint8 with 1, 3 or 4 channels or uint16 with 1, got {array.dtype} with "
        f"{channels}; use .tif or .npy"
    )
