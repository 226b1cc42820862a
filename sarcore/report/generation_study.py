"""The page of the study of generation: what its template needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sarcore.report.charts import Line, chart
from sarcore.report.formats import duration, number
from sarcore.report.run_folder import read_run
from sarcore.report.samples import file_uri

SCENARIOS = {
    "simple": "random crops of half the side at the native pixel spacing",
    "intermediate": "whole patches at twice the pixel spacing",
    "hard": "whole patches at the native pixel spacing",
}
SCORES = {
    "kid": "SAR-KID",
    "fid": "SAR-FID",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "histogram_emd": "Grey values, EMD",
    "spectrum_db": "Spectrum, dB",
    "autocorrelation": "Autocorrelation",
    "enl_error": "Looks, error",
}
FLOORS = {"other_scenes": "Real, training scenes", "halves": "Real, random halves"}
PREPARED = {"prepared": "Real, shrunk and enlarged alike"}
CURVES = {
    "M": "BEGAN: convergence measure M",
    "k": "BEGAN: balance term k",
    "dead_fraction": "BEGAN: dead pixels, share",
    "loss_g": "GAN: loss of the generator",
    "loss_d": "GAN: loss of the discriminator",
    "ada_p": "GAN: probability of augmentation",
    "looks": "Looks of the speckle layer",
}


def context(run_dir: Path, results: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template needs; pictures and logs that are missing are named on the page."""
    problems: list[str] = []
    parts = [_part(run_dir, scenario, results, problems) for scenario in results["floors"]]
    return {
        "results": results,
        "config": run["config"],
        "run": run,
        "compared": [SCORES[name] for name in next((one["scores"] for one in results["ablation"]), {})],
        "parts": parts,
        "ablation": [_ablation(run_dir, one, problems) for one in results["ablation"]],
        "settings": _settings(run["config"], results),
        "problems": problems,
    }


def _part(run_dir: Path, scenario: str, results: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    floors = results["floors"][scenario]
    rows = [row for row in results["rows"] if row["scenario"] == scenario]
    arms = [row for row in rows if not row["variant"]]
    tables = [_table("scores", f"{floors['size']} px, as the generators make them", arms, floors["own"], FLOORS)]
    if "used" in floors:
        side = results["dataset"]["shape"][-1]
        tables.append(
            _table("used", f"Enlarged to {side} px, as they are used", arms, floors["used"], FLOORS | PREPARED)
        )
    return {
        "name": scenario,
        "what": SCENARIOS[scenario],
        "floors": floors,
        "tables": tables,
        "more": [(arm_name(row), row) for row in arms],
        "verdicts": [one for one in results["verdicts"] if one["arm"] in {row["arm"] for row in arms}],
        "pictures": _pictures(run_dir, scenario, arms, "used" in floors, problems),
        "curves": _curves(run_dir, arms, problems),
    }


def _ablation(run_dir: Path, one: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """A changed preset: its name, score by score the values with and without the change, and a picture."""
    cells = []
    for found in one["scores"].values():
        changed, base = (number(found[key]["mean"], 3) if found[key] else "–" for key in ("changed", "base"))
        cells.append((changed, base))
    ends = [number(found["mean"], 2) if found else "–" for found in one["last"].values()]
    name = arm_name({"preset": one["preset"], "variant": one["change"]})
    pictures = _read(run_dir, [(name, f"{one['arm']}/seed_0/generated.png")], problems)
    return {"name": name, "sentence": one["sentence"], "cells": cells, "ends": ends, "pictures": pictures}


def _read(run_dir: Path, files: Sequence[tuple[str, str]], problems: list[str]) -> list[tuple[str, str]]:
    """(caption, picture) of the files (caption, name) that can be read."""
    found = []
    for caption, name in files:
        try:
            found.append((caption, file_uri(run_dir / name)))
        except OSError as error:
            problems.append(f"{name}: cannot be read ({error.strerror or error}).")
    return found


def arm_name(row: Mapping[str, Any]) -> str:
    """An arm without its scenario.

    >>> arm_name({"preset": "sarcore", "variant": "hard_histogram"}), arm_name({"preset": "gan", "variant": ""})
    ('sarcore, hard histogram', 'gan')
    """
    return f"{row['preset']}, {row['variant'].replace('_', ' ')}" if row["variant"] else str(row["preset"])


def _table(
    key: str, title: str, arms: Sequence[Mapping[str, Any]], floors: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    """A line per score: its interval for every arm, and what real patches have."""
    lines = []
    for score, label in SCORES.items():
        real = [number(floors[name][score]["value"], 3) for name in names]
        lines.append((label, [_cell(arm[key].get(score)) for arm in arms], real))
    return {"title": title, "arms": [arm_name(arm) for arm in arms], "real": list(names.values()), "lines": lines}


def _cell(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "–", ""
    if found["low"] is None:
        return number(found["mean"], 3), ""
    return number(found["mean"], 3), f"{number(found['low'], 3)} to {number(found['high'], 3)}"


def _pictures(
    run_dir: Path, scenario: str, arms: Sequence[Mapping[str, Any]], enlarged: bool, problems: list[str]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """(caption, [(caption, picture)]) of real patches and of the first seed of every arm, at both sizes."""
    groups = []
    for suffix, title in [("", "As the generators make them"), *([("_used", "Enlarged")] if enlarged else [])]:
        files = [("real, held out", f"real/{scenario}/real{suffix}.png")]
        files += [(arm_name(arm), f"{arm['arm']}/seed_0/generated{suffix}.png") for arm in arms if not arm["failed"]]
        groups.append((title, _read(run_dir, files, problems)))
    return groups


def _curves(run_dir: Path, arms: Sequence[Mapping[str, Any]], problems: list[str]) -> list[Markup]:
    """What was logged, a line per arm and seed, coloured by arm."""
    lines: dict[str, list[Line]] = {}
    for colour, arm in enumerate(arms):
        for seed in range(arm["seeds"]):
            folder = run_dir / arm["arm"] / f"seed_{seed}"
            if not (folder / "metrics.jsonl").is_file():
                problems.append(f"{arm['arm']}/seed_{seed}/metrics.jsonl: is not there, so its curves are empty.")
                continue
            for name in CURVES:
                points = [(row["step"], row[name]) for row in read_run(folder).rows if name in row]
                if points and CURVES[name].startswith(("GAN" if arm["preset"] == "gan" else "BEGAN", "Looks")):
                    lines.setdefault(name, []).append(Line(f"{arm_name(arm)}, seed {seed}", points, colour))
    return [
        chart(CURVES[name], lines[name], smooth=True, legend=len(lines[name]) <= 6) for name in CURVES if name in lines
    ]


def _gan(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "gan" not in config["presets"]:
        return []
    learnt = f"width {config['pretraining_width']}, {config['pretraining_steps']} steps on the training patches"
    return [
        (
            "GAN",
            f"{config['gan_steps']} steps of {config['gan_batch_size']} patches, width {config['gan_width']}, "
            f"running mean of the weights {config['gan_ema'] or 'none'}",
        ),
        (
            "Features of its discriminator",
            f"{learnt} without labels; one pre-training, which all seeds share",
        ),
    ]


def _settings(config: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    data = results["dataset"]
    scenes, counted = data["scenes"], {part: sum(counts.values()) for part, counts in data["patches"].items()}
    test = results["features"]["test"]
    features = f"the classifier of {results['features']['run']}"
    if test is not None:
        features = f"a ResNet-18 of width {config['features_width']}, {config['features_steps']} steps on the training "
        features += f"scenes, balanced accuracy on the others {100 * test['balanced_accuracy']:.1f} %"
    return [
        (
            "Patches",
            f"{counted['train']} of {scenes['train']} scenes to learn from, {counted['test']} of {scenes['test']} "
            f"other scenes to be set against; {', '.join(data['classes'])}",
        ),
        ("Features", features),
        (
            "BEGAN",
            f"{config['began_steps']} steps of {config['began_batch_size']} patches, width {config['began_width']}, "
            f"running mean of the weights {config['began_ema'] or 'none'}",
        ),
        *_gan(config),
        ("Precision", str(config["precision"])),
        ("Time", f"{duration(results['seconds'])} of training and scoring"),
    ]
