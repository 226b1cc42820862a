"""Scales of a drawing: where a value lies, and which values are written at the axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SMALLEST = 1e-100
_DECADES = 2.0  # values that span more than this are drawn on a logarithmic scale


@dataclass(frozen=True)
class Scale:
    """Linear or logarithmic map of [low, high] to the positions [start, end].

    >>> Scale(0.0, 10.0, 100.0, 200.0).at(2.5), Scale(1.0, 100.0, 0.0, 50.0, log=True).at(10.0)
    (125.0, 25.0)
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Position of a value, to a tenth; a value beyond the ends is drawn at the end."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        share = ((math.log10(value) if self.log else value) - low) / (high - low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    def ticks(self, count: int = 5, *, whole: bool = False) -> list[tuple[float, str]]:
        """(position, label) of about ``count`` round values, of whole numbers alone where ``whole`` says so.

        >>> [label for _, label in Scale(0.0, 2000.0, 0.0, 1.0).ticks()]
        ['0', '500', '1000', '1500', '2000']
        >>> [label for _, label in Scale(0.002, 30.0, 0.0, 1.0, log=True).ticks()]
        ['0.01', '0.1', '1', '10']
        """
        values = _decades(self.low, self.high, count) if self.log else _round_values(self.low, self.high, count)
        return [(self.at(value), label(value)) for value in values if not whole or float(value).is_integer()]


def fitted(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    log: bool | None = None,
    bounds: tuple[float | None, float | None] = (None, None),
    margin: float = 0.04,
) -> Scale:
    """The scale that holds all values, with a margin; logarithmic where they are positive and span two decades.

    >>> fitted([0.001, 10.0], 0.0, 1.0).log, fitted([0.0, 10.0], 0.0, 1.0).log
    (True, False)
    """
    known = list(values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    positive = bool(known) and low > _SMALLEST and high < 1.0 / _SMALLEST  # a ratio and its margin stay numbers
    log = positive and (math.log10(high / low) > _DECADES if log is None else log)
    if log:
        room = max(high / low, 1.5) ** margin
        return Scale(low / room, high * room, start, end, log=True)
    low, high = (low if bounds[0] is None else bounds[0]), (high if bounds[1] is None else bounds[1])
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad if bounds[0] is None else low, low + pad
    room = margin * (high - low)
    return Scale(
        low if bounds[0] is not None else low - room, high if bounds[1] is not None else high + room, start, end
    )


def label(value: float) -> str:
    """A tick's value, short.

    >>> label(20000.0), label(0.5), label(-1e-5), label(2_500_000.0)
    ('20k', '0.5', '−1e-5', '2.5M')
    """
    size = abs(value)
    if size >= 1e9 or (0 < size < 1e-3):
        text = f"{size:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    elif size >= 1e6:
        text = f"{size / 1e6:.6g}M"
    elif size >= 1e4:
        text = f"{size / 1e3:.6g}k"
    else:
        text = f"{size:.6g}"
    return f"−{text}" if value < 0 and text != "0" else text


def _round_values(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _decades(low: float, high: float, count: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / (count + 1)))
    whole = [10.0**power for power in range(first, last + 1, every)]
    if len(whole) >= 3:
        return whole
    finer = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1.0, 2.0, 5.0)]
    return [value for value in finer if low <= value <= high]
