"""Results as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sarcore.experiments.summary import METRICS, points


def comparison(results: Mapping[str, Any], page: Path, console: Console) -> None:
    """The arms of an augmentation study, what may be said of them, and where the page is."""
    dataset = results["dataset"]
    data = "synthetic scenes" if dataset["synthetic"] else dataset["name"]
    title = f"{data}: mean of the seeds in % (95 % interval), differences to {results['reference']} in points"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("arm", no_wrap=True)
    for name in ("seeds", "balanced accuracy", "difference", "overall accuracy", "macro F1"):
        table.add_column(name, justify="right")
    for label, arm in results["arms"].items():
        scores, difference = arm["scores"], arm["difference"]
        change = "–" if difference is None else _cell(difference["scores"]["balanced_accuracy"], signed=True)
        cells = (_cell(scores[name]) for name in ("overall_accuracy", "macro_f1"))
        table.add_row(
            label.replace("_", " "), str(len(arm["seeds"])), _cell(scores["balanced_accuracy"]), change, *cells
        )
    console.print(table)
    for text in results["sentences"]:
        console.print(text, markup=False, soft_wrap=True)
    if results["missing"]:
        console.print(f"{len(results['missing'])} trainings are left.", markup=False, soft_wrap=True)
    console.print(f"Page: {page.resolve()}", markup=False, soft_wrap=True)


def _cell(interval: Mapping[str, Any], *, signed: bool = False) -> str:
    mean, low, high = (interval[name] for name in ("mean", "low", "high"))
    if signed:
        return points(mean) if low is None else f"{points(mean)} ({points(low)}…{points(high)})"
    if low is None:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f} ({100 * max(low, 0.0):.1f}…{100 * min(high, 1.0):.1f})"


def classification(scores: Mapping[str, Any], classes: list[str], title: str, console: Console) -> None:
    """Scores and recall per class of one evaluation."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("score")
    table.add_column("%", justify="right")
    for name, label in METRICS.items():
        table.add_row(label, f"{100 * scores[name]:.1f}")
    table.add_section()
    for label, recall in zip(classes, scores["recall"], strict=True):
        table.add_row(f"Recall of {label}", "–" if recall is None else f"{100 * recall:.1f}")
    console.print(table)


def translation(rows: Mapping[str, Mapping[str, float | None]], title: str, console: Console) -> None:
    """Scores of the weights of a translation beside those of what has learnt nothing, one column each."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("score")
    for name in rows:
        table.add_column(name.replace("_", " "), justify="right")
    for score in next(iter(rows.values())):
        values = [row[score] for row in rows.values()]
        table.add_row(score, *("–" if value is None else f"{value:.4g}" for value in values))
    console.print(table)


def study(results: Mapping[str, Any], page: Path, console: Console) -> None:
    """The arms of the study of misregistration, where CycleGAN overtakes Pix2Pix, and where the page is."""
    names = list(dict.fromkeys(name for row in results["rows"] for name in row["scores"]))
    for direction, title in (("AtoB", "SAR to optical"), ("BtoA", "optical to SAR")):
        table = Table(title=f"{title}: mean (95 % interval)", title_justify="left", box=SIMPLE_HEAD)
        table.add_column("training")
        shown = [name for name in names if any(name in row["scores"] for row in _of(results, direction))]
        for name in shown:
            table.add_column(name, justify="right")
        for row in _of(results, direction):
            table.add_row(row["arm"].replace("_", " "), *(_interval(row["scores"].get(name)) for name in shown))
        colour = results["mean_colour"][direction]
        table.add_row("mean colour", *("–" if colour.get(n) is None else f"{colour[n]:.3g}" for n in shown))
        console.print(table)
    for text in results["sentences"]:
        console.print(text, markup=False, soft_wrap=True)
    console.print(f"Page: {page.resolve()}", markup=False, soft_wrap=True)


def generation(results: Mapping[str, Any], page: Path, console: Console) -> None:
    """The arms of the study of generation by scenario, beside what real patches score, and where the page is."""
    shown = {"kid": "SAR-KID", "fid": "SAR-FID", "histogram_emd": "EMD", "enl_error": "ENL error"}
    shown |= {"spectrum_db": "spectrum, dB", "precision": "precision", "coverage": "coverage"}
    for scenario, floors in results["floors"].items():
        title = f"{scenario}, {floors['size']} px: means over seeds, {floors['n']} against {floors['n']} patches"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("", no_wrap=True)
        rows = [row for row in results["rows"] if row["scenario"] == scenario and not row["variant"]]
        for name in [*(row["arm"].split("/")[1] for row in rows), "real, other scenes", "real, halves"]:
            table.add_column(name, justify="right")
        for score, label in shown.items():
            made = ((row["scores"][score] or {}).get("mean") for row in rows)
            real = (floors["own"][name][score]["value"] for name in ("other_scenes", "halves"))
            table.add_row(
                label,
                *("–" if value is None else f"{value:.3g}" for value in (*made, *real)),
            )
        console.print(table)
    for text in [*results["sentences"], *(one["sentence"] for one in results["ablation"])]:
        console.print(text, markup=False, soft_wrap=True)
    console.print(f"Page: {page.resolve()}", markup=False, soft_wrap=True)


def labels(results: Mapping[str, Any], page: Path, console: Console) -> None:
    """Balanced accuracy by share of the labels and arm, what it says, and where the page is."""
    data = "synthetic scenes" if results["dataset"]["synthetic"] else results["dataset"]["name"]
    title = f"{data}: balanced accuracy, % (95 % interval)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("labels", justify="right")
    arms = list(dict.fromkeys(row["arm"] for row in results["rows"]))
    for arm in arms:
        table.add_column(arm, justify="right")
    by_place = {(row["fraction"], row["arm"]): row["scores"]["balanced_accuracy"] for row in results["rows"]}
    for fraction in sorted({fraction for fraction, _ in by_place}):
        cells = [by_place.get((fraction, arm)) for arm in arms]
        table.add_row(f"{fraction:g} %", *("–" if cell is None else _cell(cell) for cell in cells))
    console.print(table)
    short = results["sentences"] if len(results["sentences"]) <= 8 else []
    for text in dict.fromkeys([*results["headlines"], *short, *([results["aim"]["text"]] if results["aim"] else [])]):
        console.print(text, markup=False, soft_wrap=True)
    console.print(f"Page: {page.resolve()}", markup=False, soft_wrap=True)


def _of(results: Mapping[str, Any], direction: str) -> list[Mapping[str, Any]]:
    return [row for row in results["rows"] if row["direction"] == direction]


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    mean, low, high = found["mean"], found["low"], found["high"]
    return f"{mean:.3g}" if low is None else f"{mean:.3g} ({low:.3g}…{high:.3g})"
