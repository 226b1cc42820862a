"""Declared radiometry: what the numbers of an image mean and which limits map to 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch

Array = TypeVar("Array", torch.Tensor, npt.NDArray[Any])

UNITS = ("amplitude", "intensity", "db", "digital")


@dataclass(frozen=True)
class Radiometry:
    """Unit of the pixel values and the two limits, of the whole data set, that map to 0 and 1.

    Raises ValueError for an unknown unit, for limits that are not finite, and for ``low >= high``.

    >>> Radiometry("digital", 0.0, 255.0).encode(np.array([0, 51, 255], dtype=np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """

    unit: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"radiometry unit {self.unit!r} is unknown; use one of {', '.join(UNITS)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"radiometry limits must be finite numbers, got low={self.low} and high={self.high}")
        if self.low >= self.high:
            raise ValueError(f"radiometry needs low < high, got low={self.low} and high={self.high}")

    def encode(self, x: Array) -> Array:
        """Map native values to float32 in [0, 1]: ``clip((x - low) / (high - low), 0, 1)``.

        Values beyond the limits are CLIPPED. NaN stays NaN. Any shape; a tensor gives a tensor, an array an array.

        >>> Radiometry("db", -25.0, 0.0).encode(torch.tensor([-30.0, -12.5, 3.0])).tolist()
        [0.0, 0.5, 1.0]
        """
        span = self.high - self.low
        if isinstance(x, torch.Tensor):
            return ((x.to(torch.float32) - self.low) / span).clamp_(0.0, 1.0)
        scaled = (np.asarray(x, dtype=np.float32) - np.float32(self.low)) / np.float32(span)
        return cast(Array, np.clip(scaled, np.float32(0), np.float32(1)))

    def decode(self, q: Array) -> Array:
        """Map [0, 1] back to native units, float32: ``q (high - low) + low``; what was clipped is not recovered.

        >>> Radiometry("db", -25.0, 0.0).decode(torch.tensor([0.0, 0.5])).tolist()
        [-25.0, -12.5]
        """
        span = self.high - self.low
        if isinstance(q, torch.Tensor):
            return q.to(torch.float32) * span + self.low
        return cast(Array, np.asarray(q, dtype=np.float32) * np.float32(span) + np.float32(self.low))

    def to_dict(self) -> dict[str, str | float]:
        """Plain values for JSON; `from_dict` reads them back.

        >>> Radiometry("digital", 0.0, 255.0).to_dict()
        {'unit': 'digital', 'low': 0.0, 'high': 255.0}
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Radiometry:
        """Inverse of `to_dict`; raises ValueError when a key is missing.

        >>> Radiometry.from_dict({"unit": "amplitude", "low": 0, "high": 1.5}).high
        1.5
        """
        missing = [key for key in ("unit", "low", "high") if key not in values]
        if missing:
            raise ValueError(f"a radiometry needs the keys unit, low and high; missing: {', '.join(missing)}")
        return cls(str(values["unit"]), float(values["low"]), float(values["high"]))
