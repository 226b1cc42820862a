"""The page of the study of misregistration: what its template needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sarcore.report.charts import Line, chart
from sarcore.report.formats import duration, words
from sarcore.report.samples import file_uri

DIRECTIONS = {"AtoB": "SAR to optical", "BtoA": "Optical to SAR"}
UNITS = {"mae": "of the range of grey values", "psnr": "dB", "spectrum": "dB", "emd": "of the range of grey values"}
Rows = Sequence[Mapping[str, Any]]


def context(run_dir: Path, results: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template needs; pictures that are missing are named on the page."""
    problems: list[str] = []
    parts = []
    for direction, title in DIRECTIONS.items():
        rows = [row for row in results["rows"] if row["direction"] == direction]
        names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
        parts.append(
            {
                "title": title,
                "direction": direction,
                "names": [(name, words(name)) for name in names],
                "rows": [(arm_text(row), row) for row in rows],
                "charts": [_chart(name, direction, rows, results) for name in names],
                "pictures": _pictures(run_dir, direction, rows, problems),
            }
        )
    config = run["config"]
    return {
        "results": results,
        "config": config,
        "run": run,
        "parts": parts,
        "settings": _settings(config, results),
        "problems": problems,
    }


def arm_text(row: Mapping[str, Any]) -> str:
    """What was trained, in words.

    >>> arm_text({"method": "pix2pix", "shift": 4, "rotation": 0.0, "looks": None})
    'Pix2Pix, 4 px off'
    """
    if row["method"] == "cyclegan":
        text = "CycleGAN, no partners"
    elif row["rotation"]:
        text = f"Pix2Pix, {row['rotation']:g}° turned"
    else:
        text = f"Pix2Pix, {row['shift']} px off" if row["shift"] else "Pix2Pix, as registered"
    return text + (f", speckle layer of {row['looks']:g} looks" if row["looks"] is not None else "")


def _chart(name: str, direction: str, rows: Rows, results: Mapping[str, Any]) -> Markup:
    plain = [row for row in rows if row["looks"] is None and not row["rotation"] and name in row["scores"]]
    shifted = sorted((row for row in plain if row["method"] == "pix2pix"), key=lambda row: float(row["shift"]))
    ends = [float(row["shift"]) for row in (*shifted[:1], *shifted[-1:])]

    def across(value: float | None) -> list[tuple[float, float | None]]:
        return [(end, value) for end in ends]

    lines = [Line("Pix2Pix", [(float(row["shift"]), row["scores"][name]["mean"]) for row in shifted], 0)]
    if shifted and shifted[0]["scores"][name]["low"] is not None:
        for bound, label in (("low", "its interval, lower end"), ("high", "upper end")):
            lines.append(Line(label, [(float(row["shift"]), row["scores"][name][bound]) for row in shifted], 8))
    unpaired = next((row for row in plain if row["method"] == "cyclegan"), None)
    if unpaired is not None:
        lines.append(Line("CycleGAN", across(unpaired["scores"][name]["mean"]), 1))
    colour = results["mean_colour"][direction].get(name)
    if colour is not None and name in ("mae", "psnr", "ssim"):
        lines.append(Line("the mean colour", across(colour), 0, "reference"))
    found = results["overtaking"].get(direction, {}).get(name)
    marks = [(found["shift"], f"{found['shift']:.1f} px")] if found and found["shift"] else []
    note = UNITS.get(name, "")
    return chart(words(name), lines, x="shift, px", note=note, log=False, marks=marks)


def _pictures(run_dir: Path, direction: str, rows: Rows, problems: list[str]) -> list[tuple[str, str]]:
    """(caption, picture): the input, the partner, and the translations of the first seed of every arm."""
    source, target = ("sar", "optical") if direction == "AtoB" else ("optical", "sar")
    files = [("input", f"pictures/{source}.png"), ("real partner", f"pictures/{target}.png")]
    files += [(arm_text(row), f"{row['arm']}/seed_0/{direction}.png") for row in rows]
    found = []
    for caption, name in files:
        try:
            found.append((caption, file_uri(run_dir / name)))
        except OSError as error:
            problems.append(f"{name}: cannot be read ({error.strerror or error}).")
    return found


def _settings(config: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs, scenes = results["pairs"], results["scenes"]
    return [
        (
            "Pairs",
            f"{pairs['train']} of {scenes['train']} scenes to train on, {pairs['test']} of {scenes['test']} to test",
        ),
        ("Registration", results["registration"]),
        (
            "Training",
            f"{config['steps']} steps of {config['batch_size']} crops of {config['crop']}×{config['crop']} px",
        ),
        ("Pix2Pix", f"U-Net of {config['pix2pix_depth']} levels, width {config['width']}, preset sarcore"),
        ("CycleGAN", f"ResNet of {config['cyclegan_depth']} blocks, width {config['width']}, preset sarcore"),
        ("Learning rate", f"{config['lr']}, falling to 0 over the second half"),
        ("Seeds", str(config["seeds"])),
        ("Time", f"{duration(results['seconds'])} of training"),
    ]
