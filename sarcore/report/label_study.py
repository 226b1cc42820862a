"""The pages of the studies over shares of the labels: what their template needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sarcore.report.formats import duration
from sarcore.report.label_charts import Series, shares_chart
from sarcore.report.study_charts import SCORES

TITLES = {
    "curve": "How far do few labels carry, and do speckle and generated patches make up for the missing ones?",
    "init": "From which weights should a classifier of SAR patches start?",
}
KICKERS = {"curve": "learning curve", "init": "study of first weights"}


def context(_run_dir: Path, results: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template needs."""
    rows, config = results["rows"], run["config"]
    compared = sum(row["difference"] is not None for row in rows)
    return {
        "results": results,
        "config": config,
        "run": run,
        "title": TITLES[results["kind"]],
        "kicker": KICKERS[results["kind"]],
        "scores": list(SCORES.items()),
        "rows": rows,
        "compared": compared,
        "charts": _charts(results),
        "recalls": _recalls(results),
        "settings": _settings(results, config),
    }


def _charts(results: Mapping[str, Any]) -> list[Markup]:
    score = "balanced_accuracy"
    means = _series(results, lambda row: row["scores"][score])
    apart = _series(results, lambda row: row["difference"] and row["difference"]["scores"][score])
    over = results["names"][results["reference"]]
    charts = [shares_chart("Balanced accuracy on unseen scenes", means)]
    if apart:
        charts.append(shares_chart(f"Difference to {over}", apart, signed=True))
    return charts


def _recalls(results: Mapping[str, Any]) -> list[Markup]:
    return [
        shares_chart(
            f"Recall of {name}", _series(results, lambda row, name=name: row["recall"].get(name)), legend=False
        )
        for name in results["classes"]
        if any(name in row["recall"] for row in results["rows"])
    ]


def _series(results: Mapping[str, Any], of: Any) -> list[Series]:
    """The arms with the intervals that ``of`` finds in their rows; an arm keeps its colour in all charts."""
    found = []
    for colour, (arm, label) in enumerate(results["names"].items()):
        values = {row["fraction"]: of(row) for row in results["rows"] if row["arm"] == arm}
        known = {share: value for share, value in values.items() if value is not None}
        if known:
            found.append(Series(label, colour, known))
    return found


def _settings(results: Mapping[str, Any], config: Mapping[str, Any]) -> list[tuple[str, str]]:
    data, classifier = results["dataset"], config["classifier"]
    patches = {part: sum(counts.values()) for part, counts in data["patches"].items()}
    size = f", patches reduced to {classifier['size']} px" if classifier["size"] else ""
    steps = _planned(results, "classifier", classifier["steps"])
    lines = [
        ("Data", f"{data['name']}, {data['shape'][1]}×{data['shape'][2]} px, {len(results['classes'])} classes"),
        (
            "Split by scene",
            f"{patches['train']} patches of {data['scenes']['train']} scenes to train on, "
            f"{patches['test']} of {data['scenes']['test']} others to test",
        ),
        (
            "Labels",
            "drawn by scene, the same share of every class and at least one patch; smaller shares lie in larger",
        ),
        ("Classifier", f"ResNet-{classifier['depth']}, width {classifier['width']}{size}"),
        (
            "Classifier training",
            f"{steps} steps of {classifier['batch_size']} patches, learning rate {classifier['lr']}",
        ),
        ("Classes", f"evened out by the power {classifier['balance']:g} of their frequency, in all arms alike"),
    ]
    if results["kind"] == "curve":
        gan = _planned(results, "generator", config["generator_steps"])
        lines.append(
            ("Generator", f"conditional GAN, width {config['generator_width']}, scenario {config['scenario']}")
        )
        lines.append(
            ("Generator training", f"{gan} steps of {config['generator_batch_size']} patches, one per share and seed")
        )
        steps, width = _planned(results, "pretraining", config["pretraining_steps"]), config["pretraining_width"]
        learnt = f"width {width}, {steps} steps on all training patches without labels"
        shared = f"{learnt}; one pre-training, which all shares and seeds share"
        lines.append(("Features of the discriminators", shared))
        added = f"{config['synthetic']} of every class, up to {100 * classifier['share']:g} % of what a class shows"
        lines.append(("Generated patches", added))
    else:
        steps = _planned(results, "contrastive", config["contrastive_steps"])
        sources = [f"{results['names'][name]}: {source}" for name, source in results["sources"].items()]
        lines.append(("First weights", "; ".join(sources)))
        if results["sources"].get("contrastive") == "trained":
            lines.append(("Self-supervised", f"{steps} steps of {config['contrastive_batch_size']} training patches"))
    return [*lines, ("Seeds", str(config["seeds"])), ("Time", f"{duration(results['seconds'])} of training")]


def _planned(results: Mapping[str, Any], kind: str, steps: int) -> int:
    plan = results["plan"]
    return int(plan["kinds"][kind]["steps"]) if plan and kind in plan["kinds"] else steps
