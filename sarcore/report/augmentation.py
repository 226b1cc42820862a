"""The page of the augmentation study: what its template needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sarcore.report import study_charts
from sarcore.report.formats import duration
from sarcore.report.run_folder import read_run
from sarcore.report.samples import file_uri
from sarcore.report.tables import shares

SCORES = {"balanced_accuracy": "Balanced accuracy", "overall_accuracy": "Overall accuracy", "macro_f1": "Macro F1"}
SCENARIOS = {
    "simple": "random crops of half the side at the native pixel spacing, upsampled ×2 afterwards",
    "intermediate": "whole patches at twice the pixel spacing, upsampled ×2 afterwards",
    "hard": "whole patches at the native pixel spacing",
}


def context(run_dir: Path, results: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Everything that the template needs; pictures and logs that are missing are named on the page."""
    summary, arms, config = results["summary"], results["arms"], run["config"]
    origin = "synthetic scenes" if results["dataset"]["synthetic"] else "real"
    problems: list[str] = []
    generator = _rows(run_dir / "began", problems)
    curves = {
        arm: [_rows(run_dir / arm / f"seed_{one['seed']}", problems) for one in arms[arm]]
        for arm in ("baseline", "augmented")
    }
    return {
        "results": results,
        "config": config,
        "origin": origin,
        "run": run,
        "scores": [(label, summary[name]) for name, label in SCORES.items()],
        "scenario": SCENARIOS[config["scenario"]],
        "settings": _settings(config, results),
        "dots": [study_charts.score_dots(name, label, summary, arms) for name, label in SCORES.items()],
        "recall": study_charts.recall_bars(summary["recall"], results["class"]),
        "confusions": [(label, _confusion(arms[arm], results["classes"])) for arm, label, _ in study_charts.ARMS],
        "histograms": study_charts.histograms(results["quality"], origin),
        "curves": [*study_charts.generator_curves(generator), *study_charts.classifier_curves(curves)],
        "grids": {name: _picture(run_dir, name, problems) for name in ("prepared", "generated", "real")},
        "problems": problems,
    }


def _confusion(runs: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[tuple[str, Any, float]]:
    """The rows of the confusion summed over the seeds."""
    return shares(np.sum([run["confusion"] for run in runs], axis=0).tolist(), classes)


def _picture(run_dir: Path, name: str, problems: list[str]) -> str | None:
    try:
        return file_uri(run_dir / "grids" / f"{name}.png")
    except OSError as error:
        problems.append(f"grids/{name}.png: cannot be read ({error.strerror or error}).")
        return None


def _rows(run_dir: Path, problems: list[str]) -> list[dict[str, Any]]:
    name = f"{run_dir.parent.name}/{run_dir.name}"
    if not (run_dir / "metrics.jsonl").is_file():
        problems.append(f"{name}/metrics.jsonl: is not there, so its curves are empty.")
        return []
    run = read_run(run_dir)
    problems += [f"{name}/{problem}" for problem in run.problems]
    return run.rows


def _settings(config: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    side = results["dataset"]["shape"][-1]
    made = side if config["scenario"] == "hard" else side // 2
    resample = "no resampling" if made == side else f"{config['filter']} to {side}×{side}, clamped to the grey range"
    batch = {name: config.get(f"{name}_batch_size", config.get(f"{name}_batch")) for name in ("began", "classifier")}
    return [
        ("Generator", f"BEGAN, preset {config['preset']}, width {config['began_width']}, {made}×{made} pixels"),
        ("Generator training", f"{config['began_steps']} steps of {batch['began']} patches, seed 0"),
        ("Upsampling", resample),
        ("Classifier", f"ResNet-{config['depth']}, start: {config['init']}, learning rate {config['classifier_lr']}"),
        ("Classifier training", f"{config['classifier_steps']} steps of {batch['classifier']} patches, both arms"),
        ("Seeds", ", ".join(str(one["seed"]) for one in results["arms"]["baseline"])),
        ("Precision", str(config["precision"])),
        ("Time", f"{duration(results['seconds'])} of training"),
    ]
