"""The figures of the page, as data URIs: SVG for drawings, the run's own PNG for pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BASELINE, AUGMENTED, QUIET, INK = "#5d7287", "#d0672a", "#a9b4bf", "#1d252c"
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "sarcore",  # the same run gives the same page, byte for byte
}
ARMS = (("baseline", "without generated patches", BASELINE), ("augmented", "with generated patches", AUGMENTED))


def png_uri(path: Path) -> str:
    """A PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _uri(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode()


def recall_bars(recall: Mapping[str, Any], chosen: str) -> str:
    """Recall of every class in both arms with its interval; the class that got generated patches is marked."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 0.5 + 0.52 * len(recall)), layout="constrained")
        axes = figure.subplots()
        for offset, (arm, label, colour) in zip((-0.19, 0.19), ARMS, strict=True):
            mean = np.array([row[arm]["mean"] for row in recall.values()])
            half = np.array(
                [0.0 if row[arm]["low"] is None else row[arm]["high"] - row[arm]["mean"] for row in recall.values()]
            )
            # A t interval may leave [0, 1]; a recall cannot, so the whiskers are cut there.
            whiskers = np.stack([np.minimum(half, mean), np.minimum(half, 1.0 - mean)])
            style = {"ecolor": INK, "elinewidth": 0.9, "capsize": 2.0}
            axes.barh(
                np.arange(len(mean)) + offset, mean, 0.36, xerr=whiskers, color=colour, label=label, error_kw=style
            )
        axes.set_yticks(range(len(recall)), [f"{name} ◂" if name == chosen else name for name in recall])
        axes.invert_yaxis()
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel("recall on the test scenes")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        return _uri(figure)


def score_dots(
    summary: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]
) -> str:
    """Every seed as a dot and the interval as a bar, both arms, one panel per score; lines join the same seed."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.5), layout="constrained")
        for axes, (name, label) in zip(figure.subplots(1, len(names)), names.items(), strict=True):
            pairs = [[100.0 * run[name] for run in runs[arm]] for arm, _, _ in ARMS]
            for pair in zip(*pairs, strict=True):
                axes.plot((0, 1), pair, color=QUIET, linewidth=0.8, zorder=1)
            for x, ((arm, _, colour), values) in enumerate(zip(ARMS, pairs, strict=True)):
                axes.scatter([x] * len(values), values, s=16, color=colour, zorder=3)
                interval = summary[name][arm]
                axes.plot((x - 0.12, x + 0.12), (100.0 * interval["mean"],) * 2, color=colour, linewidth=2.0)
                if interval["low"] is not None:
                    low, high = 100.0 * interval["low"], 100.0 * interval["high"]
                    axes.plot((x, x), (max(low, 0.0), min(high, 100.0)), color=colour, linewidth=5.0, alpha=0.25)
            axes.set_xticks((0, 1), ("without", "with generated"))
            axes.set_xlim(-0.5, 1.5)
            axes.set_title(f"{label}, %")
        return _uri(figure)


def confusion_matrices(runs: Mapping[str, Sequence[Mapping[str, Any]]], classes: Sequence[str]) -> str:
    """Row-normalised confusion of both arms, mean over seeds, in percent; rows are the true classes."""
    with mpl.rc_context({**STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure = Figure(figsize=(8.4, 5.0), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (arm, label, _) in zip(panels, ARMS, strict=True):
            total = np.sum([run["confusion"] for run in runs[arm]], axis=0, dtype=np.float64)
            share = 100.0 * total / np.maximum(total.sum(axis=1, keepdims=True), 1.0)
            axes.imshow(share, cmap="Greys", vmin=0.0, vmax=100.0)
            for (row, column), value in np.ndenumerate(share):
                if value >= 0.5:
                    shade = "white" if value > 55 else INK
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=shade, fontsize=8.5)
            axes.set_title(label)
            axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
            axes.set_yticks(range(len(classes)), classes)
            axes.tick_params(length=0)
            axes.set_xlabel("predicted")
        panels[0].set_ylabel("true class")
        return _uri(figure)


def histograms(quality: Mapping[str, Any], origin: str) -> str:
    """Pooled grey values of generated patches, of training patches prepared alike, and of those as they are.

    ``origin`` says what the training patches are: real, or synthetic.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.8), layout="constrained")
        axes = figure.subplots()
        bins = len(quality["histogram_real"])
        centres = (np.arange(bins) + 0.5) / bins * 255.0
        real = 100.0 * np.array(quality["histogram_real"])
        axes.fill_between(centres, real, step="mid", color=BASELINE, alpha=0.35, label=f"{origin}, prepared alike")
        axes.step(
            centres,
            100.0 * np.array(quality["histogram_native"]),
            where="mid",
            color=QUIET,
            label=f"{origin}, as they are",
        )
        axes.step(
            centres, 100.0 * np.array(quality["histogram_generated"]), where="mid", color=AUGMENTED, label="generated"
        )
        axes.set_xlim(0.0, 255.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("grey value of the 8-bit patch")
        axes.set_ylabel("% of pixels per bin")
        axes.legend()
        return _uri(figure)


def generator_curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """Reconstruction losses and convergence measure M (log scale), and the balance term k, over the steps."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, label, colour in (
            ("M", "M", INK),
            ("loss_real", "L(training patches)", BASELINE),
            ("loss_fake", "L(generated)", AUGMENTED),
        ):
            _curve(left, rows, name, label, colour)
        left.set_yscale("log")
        left.set_title("Losses and convergence measure")
        _legend(left)
        _curve(right, rows, "k", "k", INK)
        right.set_title("Balance term k")
        for axes in (left, right):
            axes.set_xlabel("step")
        return _uri(figure)


def classifier_curves(rows: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> str:
    """Training loss and accuracy of every classifier, one line per seed, coloured by arm."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.6), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, name, title in zip(panels, ("loss", "accuracy"), ("Training loss", "Training accuracy"), strict=True):
            for arm, label, colour in ARMS:
                for seed, run in enumerate(rows[arm]):
                    _curve(axes, run, name, label if seed == 0 else None, colour)
            axes.set_title(title)
            axes.set_xlabel("step")
        _legend(panels[0])
        return _uri(figure)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:  # a run shorter than its logging interval has no curves
        axes.legend()


def _curve(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, label: str | None, colour: str) -> None:
    kept = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    if kept:
        steps, values = zip(*kept, strict=True)
        axes.plot(steps, values, color=colour, linewidth=1.1, alpha=0.85, label=label)
