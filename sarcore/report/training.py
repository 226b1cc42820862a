"""The page of one or several training runs: what it shows of them, beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sarcore.report import latent, samples, tables
from sarcore.report.charts import Line, chart, script_data
from sarcore.report.formats import duration, number, words
from sarcore.report.run_folder import RunFolder, best_score, flatten, seconds_left, state_of

TITLES = {
    "began": "BEGAN",
    "classifier": "Classifier",
    "contrastive": "Contrastive pre-training",
    "cyclegan": "CycleGAN",
    "pix2pix": "Pix2Pix",
}
MEANINGS = {
    "k": "balance term; at 0 or 1 for long, one network wins",
    "M": "convergence measure, lower is better",
    "balance": "γ L(real) − L(generated), kept near 0",
    "dead_fraction": "share of generated pixels at or below 0",
    "lr": "learning rate",
    "correlation": "rank correlation of the block means of inputs and translations; far below 0 dark comes out bright",
    "cycle": "mean difference after the way there and back, of images in [-1, 1]",
    "identity": "mean difference of what is of the target already, of images in [-1, 1]",
    "l1": "mean difference to the partners, of images in [-1, 1]",
    "d": "mean scores of the discriminators",
    "structure": "guard against inverted intensities; 0 where it does not act",
    "looks": "of the speckle that the generator of SAR images ends in",
    "top1": "share of views whose nearest other view is of the same patch",
    "images_per_second": "",
    "val/M": "convergence measure on held-out patches, lower is better",
    "val/emd": "earth mover's distance of the grey values, generated to held-out; 0 is best",
    "val/spectrum": "distance of the radial spectra in decibels; 0 is best",
    "val/diversity": "of the generated patches, as a share of that of held-out ones; 1 is best",
    "val/balanced_accuracy": "mean recall of the classes that are held out",
    "val/overall_accuracy": "share of held-out patches that are right",
    "val/macro_f1": "mean F1 of the classes",
    "val/loss": "of fixed views of held-out patches, lower is better",
    "val/top1": "share of held-out views whose nearest other view is of the same patch",
    "val/calibration_error": "how far confidence is from accuracy (ECE); 0 is best",
}
_SHARES = ("k", "accuracy", "top1", "dead_fraction")  # bounded by nature: a logarithm would hide how near the bound is
_MOST_CLASSES = 16


@dataclass(frozen=True)
class Card:
    """The headline of one run: its state in a word, a sentence about it, and the figures that matter."""

    name: str
    kind: str
    state: str
    sentence: str
    share: float | None
    tiles: list[tuple[str, str, str]]


def context(runs: Sequence[RunFolder], price: float | None) -> dict[str, Any]:
    """Everything that the template of training runs needs."""
    name_apart(runs)
    galleries = [samples.gallery(run, samples.PAGE_BYTES // len(runs)) for run in runs]
    sampled, steps, frames = _samples(galleries)
    return {
        "runs": runs,
        "cards": [card(run, price) for run in runs],
        "notes": [(run.name, step, text) for run in runs for step, text in run.notes],
        "galleries": sampled,
        "slider_steps": steps,
        "latent": latent.pictures(runs[0]) if len(runs) == 1 else [],
        "frames": frames,
        "diversity": _diversity(runs),
        "validation": _validation(runs),
        "per_class": _per_class(runs[0]) if len(runs) == 1 else [],
        "confusions": [matrix for run in runs for matrix in tables.confusions(run)],
        "curves": _curves(runs),
        "results": tables.results(runs),
        "rescored": any(run.results.get("val") and _precision(run) != "32-true" for run in runs),
        "checkpoints": [(run, tables.checkpoints(run)) for run in runs if run.checkpoints],
        "settings": tables.settings(runs),
        "machine": tables.machine(runs, price),
        "problems": [(run.name, problem) for run in runs for problem in run.problems],
    }


def _precision(run: RunFolder) -> str:
    return str(flatten(run.config).get("fit.precision", "32-true"))


def name_apart(runs: Sequence[RunFolder]) -> None:
    """Give runs whose folders have one name the names of their parents too."""
    for depth in range(2, 6):
        doubled = {run.name for run in runs if sum(other.name == run.name for other in runs) > 1}
        for run in runs:
            if run.name in doubled:
                run.name = "/".join(run.path.resolve().parts[-depth:])


def card(run: RunFolder, price: float | None) -> Card:
    """The headline of a run."""
    state, message = state_of(run)
    steps = run.steps
    of = f"of {number(steps)}" if steps is not None and steps != run.step else ""
    epochs = f"{number(run.epochs, 3)} epochs" if run.epochs is not None else ""
    tiles = [("Step", number(run.step), ", ".join(filter(None, (of, epochs))))]
    if run.seconds is not None:
        left = seconds_left(run) if state == "running" else None
        tiles.append(("Training time", duration(run.seconds), f"about {duration(left)} left" if left else ""))
    rate = images_per_second(run)
    if rate is not None:
        tiles.append(("Images per second", number(rate, 3), ""))
    best = best_score(run)
    if best is not None:
        name, step, value, mode = best
        lowest = "lowest" if mode == "min" else "highest"
        tiles.append((f"Best {words(name, first=False)}", number(value), f"{lowest}, at step {number(step)}"))
    if price is not None and run.seconds is not None:
        tiles.append(("Cost", f"{tables.cost(run.seconds, price):.2f} EUR", f"at {price:g} EUR per hour"))
    kind = TITLES.get(run.kind, words(run.kind) or "Training run")
    share = min(1.0, run.step / steps) if steps and state != "finished" else None
    return Card(run.name, kind, state, message, share, tiles)


def images_per_second(run: RunFolder) -> float | None:
    """The median of the logged rates: the first rows warm up, and a pause of the machine is no speed."""
    rates = [value for _, value in run.scalar("images_per_second") if value is not None]
    return statistics.median(rates) if rates else None


def _curves(runs: Sequence[RunFolder]) -> list[Markup]:
    """Training scalars: of one run those of a family in one chart, of several runs one chart per scalar."""
    names = [n for n in dict.fromkeys(n for run in runs for n in run.names()) if not n.startswith("val/")]
    names = [n for n in names if any(value is not None for run in runs for _, value in run.scalar(n))]
    names.sort(key=lambda name: name == "images_per_second")
    if len(runs) > 1:
        return [_of_runs(runs, name, smooth=True) for name in names]
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition("_")[0] if name not in MEANINGS else name, []).append(name)
    charts = []
    for family, members in families.items():
        title = words(family if len(members) > 1 else members[0])
        lines = [Line(words(name), runs[0].scalar(name), i) for i, name in enumerate(members)]
        note = MEANINGS.get(members[0] if len(members) == 1 and members[0] in MEANINGS else family, "")
        charts.append(chart(title, lines, note=note, **_axis(members[0]), smooth=True, legend=len(members) > 1))
    return charts


def _of_runs(runs: Sequence[RunFolder], name: str, *, smooth: bool = False) -> Markup:
    lines = [Line(run.name, run.scalar(name), i) for i, run in enumerate(runs) if run.scalar(name)]
    marks = []
    for run in runs:
        best = best_score(run)
        if best is not None and name.startswith("val/") and best[0].removeprefix("val/") == name[4:]:
            marks.append((best[1], f"best, step {best[1]}" if len(runs) == 1 else ""))
    note = MEANINGS.get(name, "")
    return chart(words(name), lines, note=note, marks=marks, **_axis(name), smooth=smooth, legend=len(runs) > 1)


def _axis(name: str) -> dict[str, Any]:
    return {"log": False, "y_bounds": (0.0, None)} if name in _SHARES else {}


def _validation(runs: Sequence[RunFolder]) -> list[Markup]:
    names = dict.fromkeys(name for run in runs for name in run.names() if name.startswith("val/"))
    return [_of_runs(runs, name) for name in names]


def _per_class(run: RunFolder) -> list[Markup]:
    """Validated vectors, such as the recall of every class, over the steps."""
    charts = []
    for name in dict.fromkeys(name for row in run.validation for name in row if name != "step"):
        series: dict[int, list[tuple[float, float | None]]] = {}
        for row in run.validation:
            values = row.get(name)
            if isinstance(values, list) and not any(isinstance(value, list) for value in values):
                for i, value in enumerate(values):
                    series.setdefault(i, []).append((row["step"], value if isinstance(value, (int, float)) else None))
        if 0 < len(series) <= _MOST_CLASSES:
            known = run.classes
            labels = [known[i] if i < len(known) else f"class {i}" for i in series]
            lines = [
                Line(label, points, i) for i, (label, points) in enumerate(zip(labels, series.values(), strict=True))
            ]
            charts.append(chart(f"{words(name)} of every class", lines))
    return charts


def _samples(galleries: Sequence[samples.Gallery]) -> tuple[list[dict[str, Any]], list[int], Markup | None]:
    """What the template shows of every run's samples, and the data of the slider."""
    shown, moving = [], []
    for i, made in enumerate(galleries):
        charts, frames = samples.drawings(made)
        steps = sorted(made.pictures) or sorted(frames)
        if not steps:
            continue
        last = steps[-1]
        shown.append({"made": made, "charts": charts, "last": last, "colour": i})
        pictures = {step: uri for step, uri in made.pictures.items() if step != last}  # that one is in the page
        moving.append({"steps": steps, "pictures": pictures, "frames": frames})
    steps = sorted({step for one in moving for step in one["steps"]})
    return shown, steps, script_data({"steps": steps, "runs": moving}, "frames") if steps else None


def _diversity(runs: Sequence[RunFolder]) -> Markup | None:
    lines: list[Line] = []
    directions = [(i, run, of) for i, run in enumerate(runs) for of in {row.get("of"): None for row in run.statistics}]
    for i, run, of in directions:
        known = [row for row in run.statistics if row.get("of") == of]
        rows = [row for row in known if isinstance(row.get("diversity"), (int, float))]
        generated = [(row["step"], float(row["diversity"])) for row in rows if row["step"] is not None]
        real = next((float(row["diversity"]) for row in rows if row["step"] is None), None)
        if generated:
            last = f", {of}" if of else ""
            colour = i if len(runs) > 1 else 1 + sum(line.look == "line" for line in lines)
            lines.append(Line(f"generated{last}" if len(runs) == 1 else f"{run.name}{last}", generated, colour))
            if real is not None and (of or len(lines) == 1):
                ends: list[tuple[float, float | None]] = [(generated[0][0], real), (generated[-1][0], real)]
                lines.insert(
                    -1, Line(f"real{last}" if len(runs) == 1 else f"real{last}, {run.name}", ends, look="reference")
                )
    note = "mean distance of two generated images; near 0 the generator draws one image"
    return chart("Diversity", lines, note=note, y_bounds=(0.0, None), log=False) if lines else None
