"""Results as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sarcore.experiments.summary import points

SCORES = {"balanced_accuracy": "Balanced accuracy", "overall_accuracy": "Overall accuracy", "macro_f1": "Macro F1"}


def comparison(results: Mapping[str, Any], page: Path, console: Console) -> None:
    """The two arms of an augmentation run, its headline, and where the page is."""
    summary = results["summary"]
    data = "synthetic scenes" if results["dataset"]["synthetic"] else results["dataset"]["name"]
    seeds = summary["balanced_accuracy"]["baseline"]["n"]
    title = f"{data}, generated {results['class']} patches: mean of {seeds} seeds (95 % interval)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("%", no_wrap=True)
    for name in ("without", "with generated", "difference"):
        table.add_column(name, justify="right")
    rows = {label: summary[name] for name, label in SCORES.items()}
    rows[f"{results['class']} recall"] = summary["recall"].get(results["class"])
    for label, row in rows.items():
        if row is not None:
            table.add_row(label, _cell(row["baseline"]), _cell(row["augmented"]), _cell(row["difference"], signed=True))
    console.print(table)
    console.print(results["headline"]["text"], markup=False, soft_wrap=True)
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
    for name, label in SCORES.items():
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


def _of(results: Mapping[str, Any], direction: str) -> list[Mapping[str, Any]]:
    return [row for row in results["rows"] if row["direction"] == direction]


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    mean, low, high = found["mean"], found["low"], found["high"]
    return f"{mean:.3g}" if low is None else f"{mean:.3g} ({low:.3g}…{high:.3g})"
