"""Line drawings as inline SVG: they follow the colours of the page, print, and answer the pointer (page.js)."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from sarcore.report.axes import Scale, fitted

Points = Sequence[tuple[float, float | None]]
Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 428, 10, 214
COLOURS = 8
_KEPT = 400  # points of a line that are drawn: about as many as a chart has columns of pixels
_SMOOTHED_FROM = 80  # rows from which on a line is also drawn as a running mean


@dataclass(frozen=True)
class Line:
    """A line of a chart: (x, y) in the order of x, where y is None for what was NaN.

    ``colour`` is one of the page's, beyond the eighth they repeat dashed. ``look``: line, area (down to the axis), or
    reference (a dashed line in the page's ink). ``key`` is how the slider of the page finds the line.
    """

    label: str
    points: Points
    colour: int = 0
    look: str = "line"
    key: str = ""


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    x: str = "step",
    note: str = "",
    marks: Sequence[tuple[float, str]] = (),
    x_bounds: tuple[float | None, float | None] = (None, None),
    y_bounds: tuple[float | None, float | None] = (None, None),
    log: bool | None = None,
    smooth: bool = False,
    legend: bool = True,
    extent: Iterable[float] = (),
) -> Markup:
    """A figure with its title, legend and drawing.

    ``marks`` are vertical lines (x, what it marks), ``extent`` more values of y that the axis has to hold. The scale is
    logarithmic where the values span two decades, unless ``log`` says it. ``smooth`` draws a running mean over what was
    logged, which stays behind it in a fainter tone.
    """
    shown = [Line(one.label, thinned(one.points), one.colour, one.look, one.key) for one in lines]
    xs = [point[0] for one in shown for point in one.points] + [place for place, _ in marks]
    ys = [point[1] for one in shown for point in one.points if point[1] is not None]
    across = fitted(xs, LEFT, RIGHT, log=False, bounds=x_bounds, margin=0.0 if len(set(xs)) > 1 else 0.04)
    up = fitted([*ys, *extent], BOTTOM, TOP, log=log, bounds=y_bounds)
    parts = [_axes(across, up, x), *(_mark(across.at(place), name) for place, name in marks)]
    parts += [_drawn(one, given.points, across, up, smooth) for given, one in zip(lines, shown, strict=True)]
    parts += [f'<line class="{name}" y1="{TOP}" y2="{BOTTOM}" visibility="hidden"/>' for name in ("slid", "cursor")]
    spoken = f"{title}: {', '.join(one.label for one in lines)} over {x}"
    spoken += ", logarithmic scale" if up.log else ""
    if not ys:
        parts.append(f'<text class="none" x="{(LEFT + RIGHT) / 2}" y="{(TOP + BOTTOM) / 2}">no values</text>')
        spoken += ", no values"
    attributes = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" aria-label="{escape(spoken)}"'
    said = f" <small>{escape(note)}</small>" if note else ""
    head = f"<figcaption><b>{escape(title)}</b>{said}{legend_of(lines) if legend else ''}</figcaption>"
    drawing = f"<svg {attributes}>{''.join(parts)}</svg>{_data(shown, across, up)}"
    return Markup(f'<figure class="chart" data-x="{escape(x)}">{head}{drawing}</figure>')


def thinned(points: Points, kept: int = _KEPT) -> list[tuple[float, float | None]]:
    """At most about ``kept`` points of a line, so that its peaks and dips stay: the extremes of every stretch.

    >>> thinned([(i, float(i == 517)) for i in range(1000)], 6)
    [(0, 0.0), (333, 0.0), (517, 1.0), (666, 0.0), (999, 0.0)]
    """
    if len(points) <= kept:
        return list(points)
    out: list[tuple[float, float | None]] = []
    edges = np.linspace(0, len(points), kept // 2 + 1).astype(int)
    for low, high in itertools.pairwise(edges.tolist()):
        part = [(value, place) for place in range(low, high) if (value := points[place][1]) is not None]
        # Of equal values the first: a stretch without change keeps its beginning.
        ends = {min(part)[1], max(part, key=lambda one: (one[0], -one[1]))[1]} if part else {low}
        out += [points[place] for place in sorted(ends)]
    if out[-1] != points[-1]:
        out.append(points[-1])
    return out


def running_mean(points: Points) -> Points:
    """The mean over the rows around each one, a twentieth of all, without what is None; of the ends fewer rows."""
    known = [(place, value) for place, value in points if value is not None]
    if len(known) < _SMOOTHED_FROM:
        return []
    places, values = np.array(known, dtype=np.float64).T
    reach = max(2, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - reach, 0)
    high = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    means = (sums[high] - sums[low]) / (high - low)
    # Differences of sums may leave the range of what was summed by rounding, which a logarithm would not survive.
    means = np.clip(means, values.min(), values.max())
    every = np.unique(np.linspace(0, len(means) - 1, min(len(means), _KEPT)).astype(int))
    return [(float(places[i]), float(means[i])) for i in every]


def path(points: Points, across: Scale, up: Scale) -> str:
    """The SVG path of a line; a None breaks it, and so does what a logarithmic scale cannot show."""
    text, pen = [], "M"
    for place, value in points:
        if value is None or not math.isfinite(value) or (up.log and value <= 0.0):
            pen = "M"
            continue
        text.append(f"{pen}{across.at(place):g} {up.at(value):g}")
        pen = "L"
    return "".join(text)


def _drawn(one: Line, points: Points, across: Scale, up: Scale, smooth: bool) -> str:
    style = f"c{one.colour % COLOURS}" + (" dashed" if one.colour >= COLOURS else "")
    key = f' data-key="{escape(one.key)}"' if one.key else ""
    drawn = path(one.points, across, up)
    if one.look == "reference":
        return f'<path class="reference" d="{drawn}"/>'
    if one.look == "area":
        ends = [place for place, value in one.points if value is not None]
        closed = f"{drawn}L{across.at(ends[-1]):g} {BOTTOM}L{across.at(ends[0]):g} {BOTTOM}Z" if ends else ""
        return f'<path class="area {style}"{key} d="{closed}"/>'
    mean = running_mean(points) if smooth else []
    if drawn and "L" not in drawn:  # a single value would be a line without length
        cx, cy = drawn[1:].split("M")[-1].split()
        return f'<circle class="{style}" r="3.5" cx="{cx}" cy="{cy}"/>'
    if not mean:
        return f'<path class="line {style}"{key} d="{drawn}"/>'
    return f'<path class="faint {style}" d="{drawn}"/><path class="line {style}"{key} d="{path(mean, across, up)}"/>'


def _mark(place: float, name: str) -> str:
    """A vertical line with its name on the side where there is room."""
    anchor, beside = ("end", -4) if place > (LEFT + RIGHT) / 2 else ("start", 4)
    line = f'<line class="mark" x1="{place}" x2="{place}" y1="{TOP}" y2="{BOTTOM}"/>'
    return f'{line}<text x="{place + beside}" y="{TOP + 10}" text-anchor="{anchor}">{escape(name)}</text>'


def _axes(across: Scale, up: Scale, x: str) -> str:
    parts = []
    for place, text in up.ticks():
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{place}" y2="{place}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{place + 4}" text-anchor="end">{text}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
    for place, text in across.ticks(whole=x == "step"):
        anchor = "end" if place > RIGHT - 10 else "middle"
        parts.append(f'<text x="{min(place, RIGHT + 6)}" y="{BOTTOM + 15}" text-anchor="{anchor}">{text}</text>')
    parts.append(f'<text class="name" x="{RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(x)}</text>')
    return "".join(parts)


def legend_of(lines: Sequence[Line]) -> Markup:
    """The list of what the lines are."""
    items = []
    for one in lines:
        style = "reference" if one.look == "reference" else f"{one.look} c{one.colour % COLOURS}"
        dashed = " dashed" if one.colour >= COLOURS else ""
        items.append(f'<li class="{style}{dashed}"><i></i>{escape(one.label)}</li>')
    return Markup(f'<ul class="legend">{"".join(items)}</ul>')


def _data(lines: Sequence[Line], across: Scale, up: Scale) -> Markup:
    """What the page needs to answer the pointer: the values, and how to get from a place to them."""
    series = [
        {
            "label": one.label,
            "key": one.key,
            "look": one.look,
            "colour": one.colour % COLOURS,
            "x": [float(f"{point[0]:.6g}") if isinstance(point[0], float) else point[0] for point in one.points],
            "y": [None if point[1] is None else float(f"{point[1]:.4g}") for point in one.points],
        }
        for one in lines
    ]
    scales = {"x": [across.low, across.high, across.start, across.end], "y": [up.low, up.high, up.start, up.end]}
    return script_data({"series": series, **scales, "log": up.log})


def script_data(content: object, name: str = "") -> Markup:
    """Data for the page's script, which no text in it can end; with ``name`` as its id."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    marked = f' id="{escape(name)}"' if name else ""
    return Markup(f'<script type="application/json"{marked}>{text}</script>')
