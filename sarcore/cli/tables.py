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
