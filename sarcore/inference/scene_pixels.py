"""What a function gets of a scene, and what its result is where the scene has no data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarcore.data import Scene
from sarcore.data.nodata import pixel_nodata
from sarcore.errors import DataError
from sarcore.ops import Radiometry, encode

Array = npt.NDArray[Any]
Function = Callable[..., torch.Tensor]

_ENCODED = ("uint8", "uint16", "int16", "float16", "float32", "float64", "complex64")  # that `encode` takes
_RESULTS = (
    torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.int64,
    torch.float32, torch.float64, torch.complex64,
)  # fmt: skip
_STORED = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.bool: torch.uint8}  # without loss


class ScenePixels:
    """Pixels of some channels of a scene as a function takes them; pixels without data hold `fill`."""

    def __init__(
        self,
        scene: Scene,
        channels: Sequence[int] | None,
        radiometry: Radiometry | None,
        fill: float,
        nodata: float | None,
        out_nodata: float | EllipsisType | None = ...,
    ) -> None:
        self.scene, self.nodata, self.fill = scene, nodata, fill
        self._result = out_nodata
        self._channels = channels
        self._missing = pixel_nodata(nodata, scene.dtype)
        self._radiometry = None
        if radiometry is not None:
            # Beside its value NaN is no-data too, as it is without radiometry; a network takes numbers from 0 to 1.
            value = math.nan if self._missing is None else nodata
            out = radiometry.out if radiometry.out.startswith(("float", "bfloat")) else "float32"
            self._radiometry = replace(radiometry, nodata=value, out=out)

    def read(self, begin: int, end: int) -> Array:
        """Rows of the scene as they are in the file, (C, end - begin, W)."""
        raw = self.window(begin, 0, end - begin, self.scene.shape[2])
        self.scene.release(begin)  # rows are read from top to bottom
        return raw

    def window(self, row: int, column: int, height: int, width: int) -> Array:
        """Pixels of a window as they are in the file."""
        raw = self.scene.read(row, column, height, width, channels=self._channels)
        return np.require(raw, requirements="W")  # torch warns of memory that it must not write to

    def bands(self, spans: Iterable[tuple[int, int]]) -> Iterator[Array]:
        """The rows of each span, the next of which are read while the function works."""
        with ThreadPoolExecutor(1) as thread:
            coming = None
            for begin, end in spans:
                ready, coming = coming, thread.submit(self.read, begin, end)
                if ready is not None:
                    yield ready.result()
            if coming is not None:
                yield coming.result()

    def prepared(self, raw: Array) -> torch.Tensor:
        """What the function gets of these pixels."""
        if self._radiometry is not None:
            x = torch.from_numpy(raw if raw.dtype.name in _ENCODED else raw.astype(np.float64))
            return self._filled(encode(x, self._radiometry), None)
        absent = None if self._missing is None else torch.from_numpy(raw == self._missing)
        kept = raw.dtype.kind == "c" or raw.dtype == np.float64
        return self._filled(torch.from_numpy(raw if kept else raw.astype(np.float32, copy=False)), absent)

    def restored(self, rows: Array, raw: Array) -> Array:
        """The result (C', r, W) with no-data where these rows of the scene have none.

        Where the function gives another number of channels, a pixel without data in one of them has none. NaN stays
        NaN where the result can hold it, unless the result has a no-data value of its own.
        """
        if not isinstance(self._result, EllipsisType):
            return self._replaced(rows, raw, self.declared(rows.dtype))
        value = pixel_nodata(self.declared(rows.dtype), rows.dtype)
        absent, nan = self._without_data(raw, len(rows))
        if nan is not None and rows.dtype.kind in "fc":
            rows = np.where(nan, rows.dtype.type(np.nan), rows)
        elif nan is not None:
            absent = nan if absent is None else np.logical_or(absent, nan)
        if absent is None:
            return rows
        if value is None:
            raise self._no_value(rows.dtype)
        return np.where(absent, value, rows)

    def declared(self, dtype: np.dtype[Any]) -> float | None:
        """The no-data value that a result of this type declares; DataError where it cannot hold that of the scene."""
        if not isinstance(self._result, EllipsisType):
            if self._result is None or (math.isnan(self._result) and dtype.kind in "fc"):
                return self._result
            if pixel_nodata(self._result, dtype) is None:
                raise DataError(f"the result's {dtype} cannot hold the no-data value {self._result}; choose another")
            return self._result
        if self.nodata is None or pixel_nodata(self.nodata, dtype) is not None:
            return self.nodata
        if math.isnan(self.nodata) and dtype.kind in "fc":
            return self.nodata
        if self._missing is None and self.scene.dtype.kind in "ui":
            return None  # no pixel of the scene can have it either
        raise self._no_value(dtype)

    def valid(self, raw: Array) -> npt.NDArray[np.bool_] | None:
        """Which pixels (r, W) of these rows have data in every channel; None where all have."""
        found = [mask for mask in self._without_data(raw, 0) if mask is not None]
        return None if not found else np.asarray(~np.logical_or.reduce(found)[0])

    def _replaced(self, rows: Array, raw: Array, value: float | None) -> Array:
        masks = [] if value is None else [mask for mask in self._without_data(raw, len(rows)) if mask is not None]
        return np.where(np.logical_or.reduce(masks), rows.dtype.type(value), rows) if masks else rows

    def _no_value(self, dtype: np.dtype[Any]) -> DataError:
        return DataError(
            f"{self.scene.path or 'the scene'} has pixels without data, for which the result's {dtype} needs a value: "
            f"the no-data value is {self.nodata}; pass one that {dtype} holds as nodata"
        )

    def _filled(self, x: torch.Tensor, absent: torch.Tensor | None) -> torch.Tensor:
        nan = x.isnan() if x.is_floating_point() or x.is_complex() else None
        absent = nan if absent is None else absent if nan is None else absent | nan
        return x if absent is None or not bool(absent.any()) else x.masked_fill(absent, self.fill)

    def _without_data(self, raw: Array, channels: int) -> tuple[Array | None, Array | None]:
        """Where a pixel has the no-data value, and where it is NaN; None for nowhere."""
        found: list[Array | None] = [
            None if self._missing is None else np.asarray(raw == self._missing),
            np.isnan(raw) if raw.dtype.kind in "fc" else None,
        ]
        if channels != len(raw):
            found = [None if mask is None else np.asarray(mask.any(axis=0))[None] for mask in found]
        absent, nan = (mask if mask is not None and mask.any() else None for mask in found)
        return absent, nan


class PatchFunction:
    """A function of batches (B, C, h, w), whose results are checked: of the same size, and always of one kind."""

    def __init__(self, function: Function, device: torch.device, *, positions: bool) -> None:
        self._function, self._device, self._positions = function, device, positions
        self._kind: tuple[int, torch.dtype] | None = None

    def __call__(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The result for patches whose upper left pixels are at the positions (B, 2); halves become float32."""
        x = x.to(self._device)
        with torch.no_grad():
            y = self._function(x, positions.to(self._device)) if self._positions else self._function(x)
        if not isinstance(y, torch.Tensor):
            raise TypeError(f"fn must return a torch.Tensor (B, C', h, w), got {type(y).__name__}")
        if y.ndim != 4 or y.shape[0] != x.shape[0] or y.shape[2:] != x.shape[2:] or y.shape[1] == 0:
            raise ValueError(
                "fn must return (B, C', h, w) with the number and the size of the patches that it gets, "
                f"{tuple(x.shape)}, got {tuple(y.shape)}"
            )
        y = y.detach().resolve_conj().resolve_neg().to(_STORED.get(y.dtype, y.dtype))
        if y.dtype not in _RESULTS:
            raise TypeError(f"fn must return numbers of a type that a file holds, got {y.dtype}; return y.float()")
        kind = y.shape[1], y.dtype
        if self._kind not in (None, kind):
            raise ValueError(
                f"fn must return the same number of channels and dtype each time, got {self._kind}, {kind}"
            )
        self._kind = kind
        return y
