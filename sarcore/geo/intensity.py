"""Decibels and amplitudes as intensities, whose means are what a coarser radar would have measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError
from sarcore.geo.files import on_disk, reason, scratch_folder
from sarcore.geo.raster import environment, opened, read, room, windows

Unit = Literal["intensity", "amplitude", "db"]

Array = npt.NDArray[Any]


@contextmanager
def as_intensity(dataset: Any, out: Path, unit: Unit | None) -> Iterator[Any]:
    """The dataset, or a temporary copy in which decibels and amplitudes are intensities and no-data is NaN."""
    if unit in (None, "intensity"):
        yield dataset
        return
    kind = "float64" if dataset.dtypes[0] in ("float64", "uint32", "int32") else "float32"
    profile = {
        "driver": "GTiff", "dtype": kind, "count": dataset.count, "nodata": float("nan"), "bigtiff": "if_safer",
        "width": dataset.width, "height": dataset.height, "crs": dataset.crs, "transform": dataset.transform,
        "tiled": True,
    }  # fmt: skip
    with scratch_folder(out) as folder:
        copy = folder / "intensity.tif"
        with _scratch(copy, profile) as target:
            for column, row, width, height in windows(dataset.width, dataset.height):
                values = read(dataset, column, row, width, height).astype(kind)
                here = ((row, row + height), (column, column + width))
                values[dataset.read_masks(window=here) == 0] = np.nan
                target.write(10 ** (values / 10) if unit == "db" else np.square(values), window=here)
        with opened(copy) as linear:
            yield linear


@contextmanager
def _scratch(copy: Path, profile: dict[str, Any]) -> Iterator[Any]:
    """A temporary file; DataError where it cannot be written, so that no input is blamed."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with environment(), rasterio.open(copy, "w", **profile) as out:
            yield out
        on_disk(copy, room(profile))
    except (RasterioError, OSError) as error:
        size = profile["width"] * profile["height"] * profile["count"] * np.dtype(profile["dtype"]).itemsize
        folder = copy.parent.parent
        raise DataError(
            f"cannot write a temporary copy as intensities, of {size} bytes, in {folder}: {reason(error)}; make room"
        ) from error


def from_intensity(values: Array, unit: Unit | None, dtype: str) -> Array:
    """Intensities in the unit and the type of a file; integers are rounded.

    >>> from_intensity(np.array([4.0, 100.0]), "amplitude", "uint8").tolist()
    [2, 10]
    """
    if unit not in ("db", "amplitude"):
        return values
    with np.errstate(divide="ignore"):
        found = 10 * np.log10(values) if unit == "db" else np.sqrt(values)
    if np.dtype(dtype).kind == "f":
        return np.asarray(found, dtype)
    limits = np.iinfo(np.dtype(dtype))
    return np.asarray(np.clip(np.rint(np.nan_to_num(found)), limits.min, limits.max), dtype)
