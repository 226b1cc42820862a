"""Drawings of studies over shares of the labels: arms with their intervals over shares that are not evenly spaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from sarcore.report.axes import Scale, fitted
from sarcore.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, legend_of, path

_ASIDE = 6.0  # between the arms of a share, so that their whiskers stay apart


@dataclass(frozen=True)
class Series:
    """One arm: intervals, as the results have them, by share of the labels in percent."""

    label: str
    colour: int
    intervals: Mapping[float, Mapping[str, Any]]


def shares_chart(title: str, series: Sequence[Series], *, signed: bool = False, legend: bool = True) -> Markup:
    """Means joined by lines, and 95 % intervals as whiskers, over the shares of the labels, which stand side by side.

    Values are shares of 1 and drawn in percent; ``signed`` ones are differences, with a line at 0. The axis follows
    the means: an interval that is much longer than they are apart ends at its border.
    """
    shares = sorted({share for one in series for share in one.intervals})
    across = Scale(-0.5, max(len(shares), 1) - 0.5, LEFT, RIGHT)
    up = _upward(series, signed)
    parts = [_grid(shares, across, up)]
    if signed and up.low < 0 < up.high:
        parts.append(f'<path class="reference" d="M{LEFT} {up.at(0)}H{RIGHT}"/>')
    for number, one in enumerate(series):
        aside = (number - (len(series) - 1) / 2) * _ASIDE
        parts.append(_drawn(one, shares, across, up, aside, signed))
    unit = "points" if signed else "%"
    spoken = f"{title}, {unit}, by share of the labels. " + "; ".join(_spoken(one) for one in series)
    lines = [Line(one.label, [], one.colour) for one in series]
    head = f"<figcaption><b>{escape(title)}</b> <small>{unit}</small>{legend_of(lines) if legend else ''}</figcaption>"
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(spoken)}">{"".join(parts)}</svg>'
    return Markup(f'<figure class="chart">{head}{drawing}</figure>')


def _upward(series: Sequence[Series], signed: bool) -> Scale:
    found = [interval for one in series for interval in one.intervals.values()]
    means = [100.0 * interval["mean"] for interval in found] + ([0.0] if signed else [])
    reach = 0.5 * (max(means, default=0.0) - min(means, default=0.0)) + 2.0
    low, high = min(means, default=0.0) - reach, max(means, default=0.0) + reach
    least, most = (-100.0, 100.0) if signed else (0.0, 100.0)
    ends = [min(max(v, low, least), high, most) for interval in found for v in _bounds(interval)]
    if means and min(means) == max(means):  # else the axis would reach to where no value can be
        ends += [max(low, least), min(high, most)]
    return fitted([*means, *ends], BOTTOM, TOP, log=False)


def _grid(shares: Sequence[float], across: Scale, up: Scale) -> str:
    parts = []
    for place, text in up.ticks():
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{place}" y2="{place}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{place + 4}" text-anchor="end">{text}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
    for number, share in enumerate(shares):
        parts.append(f'<text x="{across.at(number)}" y="{BOTTOM + 15}" text-anchor="middle">{share:g}</text>')
    parts.append(f'<text class="name" x="{RIGHT}" y="{HEIGHT - 6}" text-anchor="end">labels, %</text>')
    return "".join(parts)


def _drawn(one: Series, shares: Sequence[float], across: Scale, up: Scale, aside: float, signed: bool) -> str:
    places = {share: across.at(number) + aside for number, share in enumerate(shares)}
    parts = []
    points: list[tuple[float, float | None]] = []
    for share in shares:
        interval = one.intervals.get(share)
        if interval is None:
            points.append((places[share], None))
            continue
        x, mean = places[share], 100.0 * interval["mean"]
        points.append((x, mean))
        ends = _bounds(interval)
        if ends:
            low, high = (up.at(min(max(v, -100.0 if signed else 0.0), 100.0)) for v in ends)
            parts.append(f'<path class="line c{one.colour}" opacity="0.45" d="M{x:g} {low}V{high}"/>')
        parts.append(f'<circle class="c{one.colour}" r="3" cx="{x:g}" cy="{up.at(mean)}"/>')
    plain = Scale(LEFT, RIGHT, LEFT, RIGHT)
    return f'<path class="line c{one.colour}" d="{path(points, plain, up)}"/>' + "".join(parts)


def _bounds(interval: Mapping[str, Any]) -> tuple[float, ...]:
    """In percent; none with one seed."""
    low, high = interval["low"], interval["high"]
    return () if low is None or high is None else (100.0 * low, 100.0 * high)


def _spoken(one: Series) -> str:
    values = ", ".join(f"{share:g} %: {100.0 * one.intervals[share]['mean']:.1f}" for share in sorted(one.intervals))
    return f"{one.label}: {values}"
