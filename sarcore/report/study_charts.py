"""Drawings of the augmentation study: two arms, several seeds, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from sarcore.report.axes import Scale, fitted
from sarcore.report.charts import HEIGHT, WIDTH, Line, chart, legend_of

ARMS = (("baseline", "without generated patches", 0), ("augmented", "with generated patches", 1))
Rows = Sequence[Mapping[str, Any]]


def score_dots(name: str, title: str, summary: Mapping[str, Any], arms: Mapping[str, Rows]) -> Markup:
    """Every seed of both arms as a dot, the interval as a band; lines join what started from the same weights."""
    values = {arm: [100.0 * run[name] for run in arms[arm]] for arm, _, _ in ARMS}
    bounds = {arm: _bounds(summary[name][arm]) for arm, _, _ in ARMS}
    up = fitted(
        [*values["baseline"], *values["augmented"], *(v for pair in bounds.values() for v in pair)], 214, 10, log=False
    )
    places = {"baseline": 155.0, "augmented": 325.0}
    parts = _grid(up)
    for pair in zip(values["baseline"], values["augmented"], strict=True):
        parts.append(
            f'<line class="axis" x1="155" x2="325" y1="{up.at(pair[0])}" y2="{up.at(pair[1])}" opacity="0.45"/>'
        )
    for arm, label, colour in ARMS:
        x = places[arm]
        if bounds[arm]:
            top, height = up.at(bounds[arm][1]), up.at(bounds[arm][0]) - up.at(bounds[arm][1])
            parts.append(f'<rect class="area c{colour}" x="{x - 9}" width="18" y="{top}" height="{height:.1f}"/>')
        mean = up.at(100.0 * summary[name][arm]["mean"])
        parts.append(f'<path class="line c{colour}" d="M{x - 18} {mean}H{x + 18}"/>')
        dots = [f'<circle class="c{colour}" r="3.5" cx="{x}" cy="{up.at(value)}"/>' for value in values[arm]]
        parts += [*dots, f'<text x="{x}" y="231" text-anchor="middle">{label.removesuffix(" patches")}</text>']
    spoken = "; ".join(f"{label}: {', '.join(f'{value:.1f}' for value in values[arm])}" for arm, label, _ in ARMS)
    return _figure(f"{title}, %", f"{title} of every seed in percent. {spoken}", HEIGHT, parts)


def recall_bars(recall: Mapping[str, Any], chosen: str) -> Markup:
    """Recall of every class in both arms with its interval; the class that got generated patches is marked."""
    across, row = Scale(0.0, 100.0, 112.0, 428.0), 38
    height = 12 + row * len(recall) + 36
    bottom = height - 34
    parts = [f'<line class="grid" x1="{x}" x2="{x}" y1="6" y2="{bottom}"/>' for x, _ in across.ticks()]
    parts += [f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{text}</text>' for x, text in across.ticks()]
    spoken = []
    for i, (name, both) in enumerate(recall.items()):
        top = 12 + i * row
        marked = f"{name} ◂" if name == chosen else name
        parts.append(f'<text class="value" x="104" y="{top + 19}" text-anchor="end">{escape(marked)}</text>')
        for offset, (arm, label, colour) in zip((0, 15), ARMS, strict=True):
            mean = 100.0 * both[arm]["mean"]
            end, y = across.at(mean), top + offset
            parts.append(f'<rect class="bar c{colour}" x="112" y="{y}" width="{end - 112:.1f}" height="13"/>')
            bounds = _bounds(both[arm])
            if bounds:
                parts.append(f'<path class="whisker" d="M{across.at(bounds[0])} {y + 6.5}H{across.at(bounds[1])}"/>')
            spoken.append(f"{name} {label} {mean:.1f}")
    parts.append(f'<text class="name" x="428" y="{height - 4}" text-anchor="end">recall on the test scenes, %</text>')
    lines = [Line(label, [], colour) for _, label, colour in ARMS]
    return _figure("Recall of every class, %", f"Recall in percent. {'; '.join(spoken)}", height, parts, lines)


def histograms(quality: Mapping[str, Any], origin: str) -> Markup:
    """Grey values of generated patches, of training patches prepared alike, and of those as they are.

    ``origin`` says what the training patches are: real, or synthetic.
    """
    bins = len(quality["histogram_real"])

    def line(key: str, label: str, colour: int, look: str) -> Line:
        mass = enumerate(quality[f"histogram_{key}"])
        return Line(label, [((i + 0.5) / bins * 255.0, 100.0 * share) for i, share in mass], colour, look)

    lines = [
        line("real", f"{origin}, prepared alike", 0, "area"),
        line("native", f"{origin}, as they are", 4, "line"),
        line("generated", "generated", 1, "line"),
    ]
    note = "% of pixels per bin"
    sides = (0.0, 255.0)
    return chart("Grey values", lines, x="grey value", note=note, log=False, x_bounds=sides, y_bounds=(0.0, None))


def generator_curves(rows: Rows) -> list[Markup]:
    """Reconstruction losses and convergence measure M, and the balance term k, over the steps."""
    named = (("M", "M", 2), ("loss_real", "L(training patches)", 0), ("loss_fake", "L(generated)", 1))
    losses = [Line(label, _points(rows, name), colour) for name, label, colour in named]
    return [
        chart("BEGAN: losses and convergence measure", losses, smooth=True),
        chart(
            "BEGAN: balance term k",
            [Line("k", _points(rows, "k"), 2)],
            log=False,
            y_bounds=(0.0, None),
            smooth=True,
            legend=False,
        ),
    ]


def classifier_curves(rows: Mapping[str, Sequence[Rows]]) -> list[Markup]:
    """Training loss and accuracy of every classifier, one line per seed, coloured by arm."""
    charts = []
    for name, title in (("loss", "Classifiers: training loss"), ("accuracy", "Classifiers: training accuracy")):
        lines = [
            Line(f"{label.removesuffix(' patches')}, seed {seed}", _points(run, name), colour)
            for arm, label, colour in ARMS
            for seed, run in enumerate(rows[arm])
        ]
        charts.append(chart(title, lines, smooth=True, legend=len(lines) <= 6))
    return charts


def _points(rows: Rows, name: str) -> list[tuple[float, float | None]]:
    return [(row["step"], row[name]) for row in rows if name in row]


def _bounds(interval: Mapping[str, Any]) -> tuple[float, ...]:
    """Bounds in percent, cut to what is possible: a t interval may leave [0, 1]. None of them with one seed."""
    if interval["low"] is None or interval["high"] is None:
        return ()
    return 100.0 * max(interval["low"], 0.0), 100.0 * min(interval["high"], 1.0)


def _grid(up: Scale) -> list[str]:
    parts = []
    for place, text in up.ticks():
        parts.append(f'<line class="grid" x1="50" x2="428" y1="{place}" y2="{place}"/>')
        parts.append(f'<text x="44" y="{place + 4}" text-anchor="end">{text}</text>')
    return parts


def _figure(title: str, spoken: str, height: int, parts: Sequence[str], lines: Sequence[Line] = ()) -> Markup:
    drawing = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(spoken)}">{"".join(parts)}</svg>'
    head = f"<figcaption><b>{escape(title)}</b>{legend_of(lines) if lines else ''}</figcaption>"
    return Markup(f'<figure class="chart">{head}{drawing}</figure>')
