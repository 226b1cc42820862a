"""The no-data value of an image: as a file declares it, and which pixels have it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError

NODATA_TAG = 42113  # GDAL_NODATA, a text


def pixel_nodata(nodata: float | None, dtype: npt.DTypeLike) -> Any:
    """The no-data value as a pixel of that type; None where no pixel can have it, and for NaN, which needs no mask.

    >>> pixel_nodata(-9999.0, np.int16), pixel_nodata(-9999.0, np.uint16), pixel_nodata(0.5, np.int16)
    (np.int16(-9999), None, None)
    """
    dtype = np.dtype(dtype)
    if nodata is None or math.isnan(nodata):
        return None
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        inside = math.isfinite(nodata) and nodata == int(nodata) and limits.min <= nodata <= limits.max
        return dtype.type(int(nodata)) if inside else None
    with np.errstate(over="ignore"):
        value = np.asarray(nodata).astype(dtype)[()]
    return None if np.isinf(value) and math.isfinite(nodata) else value


def valid_pixels(image: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[np.bool_]:
    """True where a pixel is finite and has not the no-data value.

    >>> valid_pixels(np.array([1.0, np.nan, -99.0]), -99).tolist()
    [True, False, False]
    """
    missing = pixel_nodata(nodata, image.dtype)
    finite = np.isfinite(image)
    return np.asarray(finite if missing is None else finite & (image != missing))


def nodata_of(text: object, path: Path) -> float:
    """The number in a tag GDAL_NODATA.

    >>> nodata_of("-99", Path("a.tif"))
    -99.0
    """
    try:
        return float(str(text).strip().strip("\0"))
    except ValueError:
        raise DataError(f"the no-data value of {path} is no number: {text!r}; correct the tag GDAL_NODATA") from None
