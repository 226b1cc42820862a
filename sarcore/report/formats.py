"""Numbers as the page and the terminal write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_ABBREVIATIONS = ("ece", "emd", "enl", "ergas", "f1", "fid", "kid", "mae", "psnr", "sam", "ssim")


def percent(fraction: float | None) -> str:
    """A share as a number of percent.

    >>> percent(0.1234)
    '12.3'
    """
    return "–" if fraction is None else f"{100.0 * fraction:.1f}"


def change(fraction: float | None) -> str:
    """A signed difference of shares in points, cut to what is possible: t intervals of few seeds go beyond.

    >>> change(-0.021), change(0.0), change(1.3)
    ('−2.1', '0.0', '+100.0')
    """
    if fraction is None:
        return "–"
    text = f"{100.0 * min(max(fraction, -1.0), 1.0):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def span(interval: Mapping[str, Any], signed: bool = False) -> str:
    """The bounds of an interval in percent, cut to what is possible.

    >>> span({"low": 0.5, "high": 1.25}), span({"low": None, "high": None})
    ('50.0 to 100.0', 'one seed')
    """
    low, high = interval["low"], interval["high"]
    if low is None or high is None:
        return "one seed"
    return f"{change(low)} to {change(high)}" if signed else f"{percent(max(low, 0.0))} to {percent(min(high, 1.0))}"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> duration(59.7), duration(3725)
    ('1 min 0 s', '1 h 2 min')
    """
    whole = math.floor(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; thousands are set apart, and what is no number is a dash.

    >>> number(20000), number(0.123456), number(1.5e-7), number(None), number(12345.678)
    ('20\u202f000', '0.1235', '1.5e-07', '–', '12\u202f346')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() or abs(value) >= 10**digits:
        whole = f"{round(value):,}".replace(",", "\u202f")
        return whole.replace("-", "−") if abs(value) < 1e15 else f"{value:.{digits}g}"
    return f"{value:.{digits}g}".replace("-", "−", 1) if value < 0 else f"{value:.{digits}g}"


def size(count: int) -> str:
    """A number of bytes in the largest unit that leaves at least one.

    >>> size(999), size(135_000_000)
    ('999 B', '135 MB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def words(name: str, *, first: bool = True) -> str:
    """The name of a scalar as words, with a capital where it comes ``first``.

    >>> words("loss_real"), words("val/ece"), words("k"), words("macro_f1", first=False)
    ('Loss real', 'ECE', 'k', 'macro F1')
    """
    text = name.removeprefix("val/").replace("_", " ").replace("/", ", ")
    text = f"validation{text[3:]}" if text.startswith("val,") else text
    text = " ".join(word.upper() if word in _ABBREVIATIONS else word for word in text.split(" "))
    return text if len(text) < 3 or not first else text[0].upper() + text[1:]


def directions(rows: Sequence[str]) -> str:
    """The directions of the rows of a translation's pictures, in words.

    >>> directions(["AtoB", "BtoA", "AtoB"]), directions(["BtoA"])
    ('AtoB (SAR to optical) and BtoA (optical to SAR) in turn', 'BtoA (optical to SAR)')
    """
    known = {"AtoB": "AtoB (SAR to optical)", "BtoA": "BtoA (optical to SAR)"}
    found = [known.get(row, row) for row in dict.fromkeys(rows)]
    return " and ".join(found) + (" in turn" if len(found) > 1 else "")
