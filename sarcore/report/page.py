"""Render the results of an augmentation run as one self-contained HTML page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sarcore.engine import read_metrics, write_bytes
from sarcore.errors import SarcoreError
from sarcore.report import plots

SCORES = {"balanced_accuracy": "Balanced accuracy", "overall_accuracy": "Overall accuracy", "macro_f1": "Macro F1"}
SCENARIOS = {
    "simple": "random crops of half the side at the native pixel spacing, upsampled ×2 afterwards",
    "intermediate": "whole patches at twice the pixel spacing, upsampled ×2 afterwards",
    "hard": "whole patches at the native pixel spacing",
}


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Raises ``SarcoreError`` when the folder holds no finished augmentation run.
    """
    run_dir = Path(run_dir)
    results, run = _read(run_dir / "results.json"), _read(run_dir / "run.json")
    if results.get("kind") != "augmentation":
        raise SarcoreError(f"{run_dir}: holds results of '{results.get('kind')}'; a page exists for augmentation runs")
    environment = Environment(
        loader=PackageLoader("sarcore.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, change=change, span=span, duration=duration)
    try:
        html = environment.get_template("page.html.j2").render(_context(run_dir, results, run))
    except (KeyError, OSError) as error:
        raise SarcoreError(f"{run_dir}: the run is incomplete ({error}); give the command of the run again") from error
    return write_bytes(run_dir / "report.html", html.encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SarcoreError(
            f"{path}: not there, so the run is not finished; give the command of the run again"
        ) from error
    except (OSError, ValueError) as error:
        raise SarcoreError(f"{path}: cannot be read ({error}); give the command of the run again") from error
    return content


def _context(run_dir: Path, results: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    summary, arms = results["summary"], results["arms"]
    config = run["config"]
    origin = "synthetic scenes" if results["dataset"]["synthetic"] else "real"
    curves = {
        arm: [read_metrics(run_dir / arm / f"seed_{one['seed']}") for one in arms[arm]]
        for arm in ("baseline", "augmented")
    }
    grids = {name: plots.png_uri(run_dir / "grids" / f"{name}.png") for name in ("prepared", "generated", "real")}
    return {
        "results": results,
        "config": config,
        "origin": origin,
        "run": run,
        "scores": [(label, summary[name]) for name, label in SCORES.items()],
        "scenario": SCENARIOS[config["scenario"]],
        "settings": _settings(config, results),
        "figures": {
            "scores": plots.score_dots(summary, arms, SCORES),
            "recall": plots.recall_bars(summary["recall"], results["class"]),
            "confusion": plots.confusion_matrices(arms, results["classes"]),
            "histograms": plots.histograms(results["quality"], origin),
            "generator": plots.generator_curves(read_metrics(run_dir / "began")),
            "classifier": plots.classifier_curves(curves),
        },
        "grids": grids,
    }


def _settings(config: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    side = results["dataset"]["shape"][-1]
    made = side if config["scenario"] == "hard" else side // 2
    resample = "no resampling" if made == side else f"{config['filter']} to {side}×{side}, clamped to the grey range"
    return [
        ("Generator", f"BEGAN, preset {config['preset']}, width {config['began_width']}, {made}×{made} pixels"),
        ("Generator training", f"{config['began_steps']} steps of {config['began_batch']} patches, seed 0"),
        ("Upsampling", resample),
        ("Classifier", f"ResNet-{config['depth']}, start: {config['init']}, learning rate {config['classifier_lr']}"),
        (
            "Classifier training",
            f"{config['classifier_steps']} steps of {config['classifier_batch']} patches, both arms",
        ),
        ("Seeds", ", ".join(str(one["seed"]) for one in results["arms"]["baseline"])),
        ("Precision", str(config["precision"])),
        ("Time", f"{duration(results['seconds'])} of training"),
    ]


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
