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

SCENARIOS = {
    "simple": "random crops of half the side at the native pixel spacing, upsampled ×2 afterwards",
    "intermediate": "whole patches at twice the pixel spacing, upsampled ×2 afterwards",
    "hard": "whole patches at the native pixel spacing",
}
PICTURES = {"real": "as they are", "prepared": "prepared like the generated ones", "generated": "generated"}


def context(run_dir: Path, results: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template needs; pictures and logs that are missing are named on the page."""
    config, arms = run["config"], results["arms"]
    origin = "synthetic scenes" if results["dataset"]["synthetic"] else "real"
    problems: list[str] = []
    generators = {
        one["name"]: _rows(run_dir / one["name"], problems) for one in results["generators"] if "steps" in one
    }
    classifiers = {arm: _rows(run_dir / arm / f"seed_{found['seeds'][0]}", problems) for arm, found in arms.items()}
    drawn = {name for one in results["generators"] for name in one["drawn"]}
    names = ["real", *(["prepared"] if config["scenario"] != "hard" else []), "generated"] if drawn else []
    reference = results["reference"]
    return {
        "results": results,
        "config": config,
        "origin": origin,
        "run": run,
        "words": study_charts.words,
        "score_names": study_charts.SCORES,
        "scenario": SCENARIOS[config["scenario"]],
        "settings": _settings(config, results),
        "dots": [study_charts.score_rows(name, label, arms) for name, label in study_charts.SCORES.items()],
        "differences": study_charts.difference_rows(
            "balanced_accuracy", study_charts.SCORES["balanced_accuracy"], arms, reference
        ),
        "confusions": [(found["title"], _confusion(found["runs"], results["classes"])) for found in arms.values()],
        "histograms": _histograms(results["generators"], origin),
        "curves": [*study_charts.generator_curves(generators), *study_charts.classifier_curves(classifiers)],
        "pictures": [(name, PICTURES[name], _picture(run_dir, name, problems)) for name in names],
        "drawn": [name for name in results["classes"] if name in drawn],
        "problems": problems,
    }


def _histograms(generators: Sequence[Mapping[str, Any]], origin: str) -> list[Any]:
    found: dict[str, Any] = {}
    for one in reversed(generators):  # the first generator of a class is shown
        found |= {name: study_charts.histograms(values, name, origin) for name, values in one["grey_values"].items()}
    return [found[name] for name in sorted(found)]


def _confusion(runs: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[tuple[str, Any, float]]:
    """The rows of the confusion summed over the seeds."""
    return shares(np.sum([run["confusion"] for run in runs], axis=0).tolist(), classes)


def _picture(run_dir: Path, name: str, problems: list[str]) -> str | None:
    try:
        return file_uri(run_dir / "pictures" / f"{name}.png")
    except OSError as error:
        problems.append(f"pictures/{name}.png: cannot be read ({error.strerror or error}).")
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
    brought = "no resampling" if made == side else f"{config['filter']} to {side}×{side}, clamped to the grey range"
    low, high = config["speckle_looks"]
    reduced = f", patches reduced to {config['size']} px" if config["size"] else ""
    return [
        ("Generator", _generator(config, results, made)),
        *_features(config, results),
        ("Upsampling", brought),
        ("Generated patches", f"{config['synthetic']} of every class that gets some, at most {config['share']:.0%} of "
                              "the items of a class"),
        ("Classifier", f"ResNet-{config['depth']}, width {config['width']}{reduced}, start: {config['init']}"),
        ("Classifier training", f"{_steps(results)} steps of {config['batch_size']} patches, rate {config['lr']}"),
        ("Classes", f"each gets items by its number of patches to the power {1.0 - config['balance']:g}, in all arms"),
        ("Speckle", f"multiplied, of {low:g} to {high:g} looks"),
        ("Seeds", str(max(len(arm["seeds"]) for arm in results["arms"].values()))),
        ("Precision", str(config["precision"])),
        ("Time", f"{duration(results['seconds'])} for all trainings"),
    ]  # fmt: skip


def _generator(config: Mapping[str, Any], results: Mapping[str, Any], made: int) -> str:
    if config["generator_run"] is not None:
        return f"a given one, {config['generator_run']}"
    if not results["generators"]:
        return "none was needed"
    kind = "GAN of all classes" if config["generator"] == "gan" else f"BEGAN of each class, preset {config['preset']}"
    steps = results["generators"][0]["steps"]
    size = f"width {config['generator_width']}, {made}×{made} pixels"
    return f"{kind}, {size}, {steps} steps of {config['generator_batch_size']} patches"


def _features(config: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the discriminators of GANs that were trained here see by."""
    if config["generator"] != "gan" or config["generator_run"] is not None or not results["generators"]:
        return []
    planned = (results["plan"] or {}).get("kinds", {}).get("pretraining", {})
    steps = planned.get("steps", config["pretraining_steps"])
    learnt = f"width {config['pretraining_width']}, {steps} steps on the training patches without labels"
    return [("Features of the discriminators", f"{learnt}; one pre-training, which all seeds share")]


def _steps(results: Mapping[str, Any]) -> str:
    """Of a study that was merged from parts all have the same; one that grew may not."""
    steps = sorted({run["steps"] for arm in results["arms"].values() for run in arm["runs"]})
    return " or ".join(map(str, steps))
