"""`Radiometry`: what the numbers of an image mean, and the one map between them and the values of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch

from sarcore.ops import _checks

UNITS = ("intensity", "amplitude", "db", "complex", "digital")
SCALES = ("intensity", "amplitude", "db")
OUTPUTS = {
    "float32": torch.float32,
    "uint8": torch.uint8,
    "uint16": torch.uint16,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


@dataclass(frozen=True, eq=False)
class Radiometry:
    """Unit of the values, the limits that map to 0 and 1, no-data, and the type of the encoded values.

    >>> from sarcore import Radiometry
    >>> from sarcore.ops import decode, encode
    >>> decibels = Radiometry("intensity", -25, 0, scale="db")
    >>> encode(torch.tensor([1e-9, 0.0316228, 1.0, 7.0]), decibels)
    tensor([0.0000, 0.4000, 1.0000, 1.0000])
    >>> codes = Radiometry("db", -25, 0, nodata=float("nan"), out="uint8")
    >>> q = encode(torch.tensor([-25.0, -10.0, 0.0, float("nan")]), codes)
    >>> q.tolist(), decode(q, codes).tolist()
    ([1, 153, 255, 0], [-25.0, -10.0393..., 0.0, nan])
    >>> Radiometry.from_dict({"unit": "digital", "low": 0, "high": 255}).to_dict()
    {'unit': 'digital', 'low': 0.0, 'high': 255.0, 'nodata': None, 'out': 'float32', 'scale': 'digital'}

    One declaration holds for a whole data set or scene and is kept with it; limits never come from a single patch
    (`sarcore.data.scene_radiometry` finds them).

    Args:
        unit: what the values are: ``intensity`` (power, sigma nought), ``amplitude`` (its square root), ``db``,
            ``complex`` (single-look complex numbers), or ``digital``: numbers of no physical meaning (8-bit images).
        low: the value that becomes 0, in the unit of `scale`. Not negative for ``intensity`` and ``amplitude``.
        high: the value that becomes 1, above `low`.
        nodata: the value of pixels without data, in the unit of the values (a complex number: real part, with a zero
            imaginary part). NaN then is no-data too; ``float("nan")`` declares NaN alone. Encoded to NaN, or to code 0
            of integers, which valid values then never take. None: no such pixels.
        out: type of the encoded values: ``float32``, ``float64``, ``float16``, ``bfloat16`` hold [0, 1], ``uint8`` and
            ``uint16`` codes over their whole range.
        scale: unit on which the map to [0, 1] is linear: ``intensity``, ``amplitude`` or ``db``; by default `unit`,
            for ``complex`` ``intensity``, for ``digital`` only ``digital``.

    Raises:
        TypeError: a limit or `nodata` is not a number.
        ValueError: an unknown name, a scale to which the unit does not convert, limits that are not low < high.
    """

    unit: str
    low: float
    high: float
    nodata: float | None = None
    out: str = "float32"
    scale: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _checks.choice(self.unit, UNITS, "unit")
        scale = {"complex": "intensity"}.get(self.unit, self.unit) if self.scale is None else self.scale
        _checks.choice(scale, ("digital",) if self.unit == "digital" else SCALES, f"scale for unit={self.unit!r}")
        _checks.choice(self.out, tuple(OUTPUTS), "out")
        limits = _checks.number(self.low, "low"), _checks.number(self.high, "high")
        low, high = _checks.value_range(limits, "(low, high)")
        if scale in ("intensity", "amplitude") and low < 0:
            raise ValueError(f"low must be 0 or more on the scale {scale!r}, got {low}; decibels are scale='db'")
        nodata = None if self.nodata is None else _checks.number(self.nodata, "nodata")
        for name, value in (("low", low), ("high", high), ("nodata", nodata), ("scale", scale)):
            object.__setattr__(self, name, value)

    def _key(self) -> tuple[Any, ...]:
        missing = self.nodata is not None and math.isnan(self.nodata)  # NaN, which equals nothing, must equal itself
        return self.unit, self.low, self.high, "nan" if missing else self.nodata, self.out, self.scale

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Radiometry) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def to_dict(self) -> dict[str, str | float | None]:
        """Plain values for JSON (NaN as the word "nan"); `from_dict` reads them back.

        >>> Radiometry("db", -25, 0, float("nan"), "uint8").to_dict()["nodata"]
        'nan'
        """
        values = asdict(self)
        if self.nodata is not None and not math.isfinite(self.nodata):
            values["nodata"] = str(self.nodata)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Radiometry:
        """Inverse of `to_dict`; unit, low and high suffice. Raises ValueError for a missing or an unknown key.

        >>> Radiometry.from_dict({"unit": "amplitude", "low": 0, "high": 1.5}).high
        1.5
        """
        missing = [key for key in ("unit", "low", "high") if key not in values]
        if missing:
            raise ValueError(f"a radiometry needs the keys unit, low and high; missing: {', '.join(missing)}")
        known = [each.name for each in fields(cls)]
        unknown = [str(key) for key in values if key not in known]
        if unknown:
            raise ValueError(f"a radiometry has the keys {', '.join(known)}; unknown: {', '.join(unknown)}")
        nodata = values.get("nodata")
        number = float(nodata) if isinstance(nodata, str) else nodata
        return cls(**{**values, "nodata": number})
