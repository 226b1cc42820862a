"""Drawings of the augmentation study: arms beside each other, several seeds, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from sarcore.report.axes import Scale, fitted
from sarcore.report.charts import COLOURS, WIDTH, Line, chart

Rows = Sequence[Mapping[str, Any]]
Arms = Mapping[str, Mapping[str, Any]]
SCORES = {"balanced_accuracy": "Balanced accuracy", "overall_accuracy": "Overall accuracy", "macro_f1": "Macro F1"}
"""The scores of classifiers that the studies compare, and their names."""
LEFT, RIGHT, ROW, TOP = 118, 428, 26, 12


def score_rows(name: str, title: str, arms: Arms) -> Markup:
    """A row per arm: every seed a dot, the mean a line, the interval over seeds a band."""
    values = {arm: [100.0 * run[name] for run in found["runs"]] for arm, found in arms.items()}
    bounds = {arm: _bounds(found["scores"][name], 0.0, 100.0) for arm, found in arms.items()}
    across = fitted([v for some in (*values.values(), *bounds.values()) for v in some], LEFT, RIGHT, log=False)
    parts = _frame(across, list(arms), "%")
    for number, (arm, found) in enumerate(arms.items()):
        y = _middle(number)
        if bounds[arm]:
            start, end = (across.at(bound) for bound in bounds[arm])
            parts.append(f'<rect class="area c0" x="{start}" width="{end - start:.1f}" y="{y - 8}" height="16"/>')
        mean = across.at(100.0 * found["scores"][name]["mean"])
        parts.append(f'<path class="line c0" d="M{mean} {y - 9}V{y + 9}"/>')
        parts += [f'<circle class="c0" r="2.6" cx="{across.at(value)}" cy="{y}"/>' for value in values[arm]]
    spoken = "; ".join(f"{words(arm)}: {', '.join(f'{v:.1f}' for v in some)}" for arm, some in values.items())
    return _figure(f"{title}, %", f"{title} of every seed in percent. {spoken}", len(arms), parts)


def difference_rows(name: str, title: str, arms: Arms, reference: str) -> Markup:
    """A row per arm: its difference to the reference arm, with the intervals over seeds (thick) and scenes (thin)."""
    shown = {arm: found["difference"] for arm, found in arms.items() if found["difference"] is not None}
    means = {arm: 100.0 * found["scores"][name]["mean"] for arm, found in shown.items()}
    seeds = {arm: _bounds(found["scores"][name], -100.0, 100.0) for arm, found in shown.items()}
    scenes = {arm: _bounds(found["over_scenes"], -100.0, 100.0) for arm, found in shown.items()}
    extent = [0.0, *means.values(), *(v for some in (seeds, scenes) for pair in some.values() for v in pair)]
    across = fitted(extent, LEFT, RIGHT, log=False)
    parts = _frame(across, list(shown), "points")
    zero = across.at(0.0)
    parts.append(f'<path class="reference" d="M{zero} {TOP - 6}V{TOP + ROW * len(shown)}"/>')
    for number, arm in enumerate(shown):
        y = _middle(number)
        start, end = (across.at(bound) for bound in scenes[arm])
        parts.append(f'<path class="whisker" d="M{start} {y}H{end}"/>')
        if seeds[arm]:
            start, end = (across.at(bound) for bound in seeds[arm])
            parts.append(f'<rect class="area c1" x="{start}" width="{end - start:.1f}" y="{y - 6}" height="12"/>')
        parts.append(f'<circle class="c1" r="3.5" cx="{across.at(means[arm])}" cy="{y}"/>')
    spoken = "; ".join(f"{words(arm)} {mean:+.1f}" for arm, mean in means.items())
    label = f"{title}: difference to {reference}, points"
    return _figure(label, f"{label}. {spoken}", len(shown), parts)


def histograms(quality: Mapping[str, Any], title: str, origin: str) -> Markup:
    """Grey values of generated patches and of training patches prepared alike.

    ``origin`` says what the training patches are: real, or synthetic.
    """
    bins = len(quality["histogram_real"])

    def line(key: str, label: str, colour: int, look: str) -> Line:
        mass = enumerate(quality[f"histogram_{key}"])
        return Line(label, [((i + 0.5) / bins * 255.0, 100.0 * share) for i, share in mass], colour, look)

    lines = [line("real", origin, 0, "area"), line("generated", "generated", 1, "line")]
    note = "% of pixels per bin"
    sides = (0.0, 255.0)
    return chart(title, lines, x="grey value", note=note, log=False, x_bounds=sides, y_bounds=(0.0, None))


def generator_curves(rows: Mapping[str, Rows]) -> list[Markup]:
    """Losses of every generator, and what else its kind logs of its balance, over the steps.

    The balance term begins at 0 and the probability of augmentation is 0 at times, which no logarithm shows.
    """
    names = (
        ("loss_g", "Generator: loss"),
        ("loss_d", "Discriminator: loss"),
        ("ada_p", "Probability of augmentation"),
        ("loss_real", "BEGAN: reconstruction loss of training patches"),
        ("M", "BEGAN: convergence measure M"),
        ("k", "BEGAN: balance term k"),
    )
    charts = []
    for name, title in names:
        lines = [
            Line(label, points, i) for i, (label, run) in enumerate(rows.items()) if (points := _points(run, name))
        ]
        if lines:
            log = False if name in ("k", "ada_p") else None
            charts.append(chart(title, lines, smooth=True, log=log, legend=1 < len(lines) <= COLOURS))
    return charts


def classifier_curves(rows: Mapping[str, Rows]) -> list[Markup]:
    """Training loss and accuracy of one classifier of every arm."""
    charts = []
    for name, title in (("loss", "Classifiers: training loss"), ("accuracy", "Classifiers: training accuracy")):
        lines = [Line(words(arm), _points(run, name), i) for i, (arm, run) in enumerate(rows.items())]
        charts.append(chart(title, lines, smooth=True))
    return charts


def words(arm: str) -> str:
    """The name of an arm as the page writes it.

    >>> words("gan_rarest")
    'gan, rarest'
    """
    name, _, target = arm.partition("_")
    return f"{name}, {target}" if target in ("largest", "rarest", "all") else arm.replace("_", " ")


def _points(rows: Rows, name: str) -> list[tuple[float, float | None]]:
    return [(row["step"], row[name]) for row in rows if name in row]


def _bounds(interval: Mapping[str, Any], least: float, most: float) -> tuple[float, ...]:
    """Bounds in percent, cut to what is possible: a t interval may leave it. None of them with one seed."""
    if interval["low"] is None or interval["high"] is None:
        return ()
    return max(100.0 * interval["low"], least), min(100.0 * interval["high"], most)


def _middle(number: int) -> float:
    return TOP + ROW * number + ROW / 2


def _frame(across: Scale, arms: Sequence[str], unit: str) -> list[str]:
    bottom = TOP + ROW * len(arms)
    parts = [f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>' for x, _ in across.ticks()]
    parts += [f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{text}</text>' for x, text in across.ticks()]
    for number, arm in enumerate(arms):
        y = _middle(number) + 4
        parts.append(f'<text class="value" x="{LEFT - 10}" y="{y}" text-anchor="end">{escape(words(arm))}</text>')
    parts.append(f'<text class="name" x="{RIGHT}" y="{bottom + 31}" text-anchor="end">{escape(unit)}</text>')
    return parts


def _figure(title: str, spoken: str, rows: int, parts: Sequence[str]) -> Markup:
    size = f"0 0 {WIDTH} {TOP + ROW * rows + 36}"
    drawing = f'<svg viewBox="{size}" role="img" aria-label="{escape(spoken)}">{"".join(parts)}</svg>'
    head = f"<figcaption><b>{escape(title)}</b></figcaption>"
    return Markup(f'<figure class="chart">{head}{drawing}</figure>')
