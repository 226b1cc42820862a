"""An image file through an operator whose reach is known, strip by strip: the same bits as in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarcore.data import Raster, check_unit, detect_unit, read_raster, write_raster
from sarcore.errors import DataError
from sarcore.metrics import estimate_looks

OUTPUT_SUFFIXES = (".tif", ".tiff", ".npy", ".png")
_FEWEST_LOOKS = 0.3  # one look is the least there is; estimates below this come from numbers of another unit

# x (1, C, h, W), mask or None, first row of x in the image -> like x
Operator = Callable[[torch.Tensor, "torch.Tensor | None", int], torch.Tensor]


@dataclass(frozen=True)
class FilteredImage:
    """A raster whose unit is known."""

    raster: Raster
    domain: str
    """intensity, amplitude, db, log or complex."""
    reason: str
    """How the domain was found; empty when it was declared."""
    path: Path | None = None
    """The file it was read from."""

    def rows(self, begin: int, end: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Pixels (1, C, end - begin, W), floating or complex64, and which of them are data (None: all but NaN)."""
        part = self.raster.pixels[:, begin:end]
        dtype = np.complex64 if self.domain == "complex" else np.float64 if part.dtype == np.float64 else np.float32
        valid = Raster(part, self.raster.nodata).valid()
        mask = None if valid is None else torch.from_numpy(valid)[None]
        return torch.from_numpy(np.ascontiguousarray(part, dtype=dtype))[None], mask


def open_image(path: Path, domain: str = "auto", nodata: float | None = None) -> FilteredImage:
    """Read an image file and settle what its pixels are.

    `nodata` replaces the value that the file declares. With ``auto`` it is what `detect_unit` says, and DataError where
    that cannot know (8 bit); a declared domain is refused with DataError where `check_unit` finds that the pixels
    contradict it.
    """
    raster = read_raster(path)
    if nodata is not None:
        raster = replace(raster, nodata=nodata)
    try:
        if domain != "auto":
            check_unit(raster.pixels, domain, raster.nodata)
            return FilteredImage(raster, domain, "", path)
        guess = detect_unit(raster.pixels, raster.nodata)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if guess.unit == "digital":
        raise DataError(
            f"{path} holds {raster.pixels.dtype} numbers, which say nothing of their unit; declare one: the domain "
            "amplitude for most detected images of 8 bit, intensity where they are powers"
        )
    return FilteredImage(raster, guess.unit, f"{guess.unit} ({guess.confidence}: {guess.reason})", path)


def filter_image(
    image: FilteredImage,
    operator: Operator,
    *,
    reach: int = 0,
    strip: int = 1 << 22,
    on_rows: Callable[[int], None] | None = None,
) -> npt.NDArray[Any]:
    """Apply an operator whose result depends on `reach` rows above and below alone; (C, H, W), float or complex64.

    Strips of about `strip` pixels with that border give the bits of the whole image, because the border of the image
    itself is never cut off. `on_rows` hears how many rows are done.
    """
    channels, height, width = image.raster.pixels.shape
    step = max(64, strip // max(1, channels * width))
    # A strip must hold a window: the last one may be short, so it is joined to the one before.
    begins = [*range(0, max(1, height - step // 2), step)]
    pixels: npt.NDArray[Any] | None = None
    for begin, end in zip(begins, [*begins[1:], height], strict=True):
        top, bottom = max(0, begin - reach), min(height, end + reach)
        x, mask = image.rows(top, bottom)
        done = operator(x, mask, top)[0, :, begin - top : end - top].numpy()
        if pixels is None:  # the first strip tells the dtype
            pixels = np.empty((len(done), height, width), done.dtype)
        pixels[:, begin:end] = done
        if on_rows is not None:
            on_rows(end)
    assert pixels is not None
    return pixels


def estimated_looks(image: FilteredImage) -> list[float]:
    """Looks of each channel, from its most homogeneous blocks.

    Raises ValueError where there are none, DataError where so few come out that the domain must be wrong.
    """
    x, mask = image.rows(0, image.raster.pixels.shape[1])
    found = [
        estimate_looks(x[:, c : c + 1], domain=image.domain, mask=None if mask is None else mask[:, c : c + 1])
        for c in range(x.shape[1])
    ]
    if not min(found) >= _FEWEST_LOOKS:
        raise DataError(
            f"the looks are estimated as {min(found):.2g}, and speckle has one or more: is the image really in the "
            f"domain {image.domain}, and its no-data value declared? If so declare the looks"
        )
    return found


def detected(image: FilteredImage) -> FilteredImage:
    """The intensity |z|^2 of a complex image; any other image as it is."""
    if image.domain != "complex":
        return image
    z = image.raster.pixels
    return replace(image, raster=image.raster.with_pixels(z.real**2 + z.imag**2), domain="intensity")


def check_output(path: Path, image: FilteredImage) -> None:
    """Raise DataError when `save_image` could not write the image there, before anything is computed."""
    suffix, dtype = path.suffix.lower(), image.raster.pixels.dtype
    if suffix not in OUTPUT_SUFFIXES:
        raise DataError(f"cannot write {path}: use one of the suffixes {', '.join(OUTPUT_SUFFIXES)}")
    if suffix == ".png" and dtype not in (np.uint8, np.uint16):
        raise DataError(f"cannot write {path}: a PNG holds 8 or 16 bit integers and the image is {dtype}; write a .tif")
    if not path.parent.is_dir():
        raise DataError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if image.path is not None and path.exists() and path.samefile(image.path):
        raise DataError(f"cannot write {path}: it is the image that is read; give another name")


def save_image(path: Path, image: FilteredImage, pixels: npt.NDArray[Any]) -> list[str]:
    """Write the result with the tags of its image; what the format cannot hold is returned in sentences.

    A PNG gets integers of the image's type: rounded, and the count of those beyond the range is reported. Raises
    DataError as `check_output` does.
    """
    check_output(path, image)
    notes = []
    suffix = path.suffix.lower()
    if suffix == ".png":
        pixels, note = _rounded(pixels, image.raster.pixels.dtype)
        notes += note
    if image.raster.georeferenced and suffix not in (".tif", ".tiff"):
        notes.append(f"the georeference is not kept in {path.name}; write a .tif for that")
    write_raster(path, image.raster.with_pixels(pixels))
    return notes


def _rounded(pixels: npt.NDArray[Any], dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], list[str]]:
    top = np.iinfo(dtype).max
    rounded = np.rint(pixels)
    beyond = int(np.count_nonzero((rounded > top) | (rounded < 0) | np.isnan(rounded)))
    notes = []
    if beyond:
        share = 100 * beyond / rounded.size
        notes.append(
            f"{beyond} pixels ({share:.2g} %) are beyond 0 to {top} and were set to the end; a .tif keeps them"
        )
    return np.clip(np.nan_to_num(rounded), 0, top).astype(dtype), notes
