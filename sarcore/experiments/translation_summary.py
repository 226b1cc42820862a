"""Arms of the study of misregistration, compared: intervals over seeds, and where one method overtakes the other."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.engine import write_bytes
from sarcore.experiments.summary import interval, plain
from sarcore.experiments.translation_scores import HIGHER_IS_BETTER, PER_IMAGE
from sarcore.experiments.translation_study_config import Cell

Floats = npt.NDArray[np.float64]
DRAWS = 2000
COMPARED = ("mae", "psnr", "ssim", "spectrum", "emd")  # where one method may overtake the other
METRICS = ("mae", "psnr", "ssim", "spectrum", "emd", "enl_error", "sar_kid")
ARROWS = {"AtoB": "SAR to optical", "BtoA": "Optical to SAR"}


def rows_of(cells: Sequence[tuple[Cell, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Mean and 95 % t interval over the seeds of every score of every arm and direction.

    The cells come with their results, which hold ``scores`` by direction.
    """
    arms: dict[tuple[str, str], list[tuple[Cell, Mapping[str, Any]]]] = {}
    for cell, result in cells:
        for direction in cell.directions:
            arms.setdefault((cell.arm, direction), []).append((cell, result["scores"][direction]))
    rows = []
    for (arm, way), found in arms.items():
        cell = found[0][0]
        row: dict[str, Any] = {
            "arm": arm,
            "method": cell.method,
            "direction": way,
            "shift": cell.shift,
            "looks": cell.looks,
        }
        row |= {"rotation": cell.rotation, "seeds": len(found), "scores": {}}
        for name in METRICS:
            values = [scores[name] for _, scores in found if scores.get(name) is not None]
            if values:
                row["scores"][name] = interval(values)
        rows.append(row)
    return rows


def crossing(shifts: Sequence[float], gaps: Sequence[float] | Floats) -> float:
    """The shift at which the gap becomes positive, between two shifts by a straight line.

    0 where it is positive from the start, infinity where it never is.

    >>> crossing([0, 2, 4], [-1.0, -0.5, 0.5]), crossing([0, 2], [0.1, 0.2]), crossing([0, 2], [-1.0, -0.1])
    (3.0, 0.0, inf)
    """
    if gaps[0] > 0:
        return 0.0
    for i in range(1, len(shifts)):
        if gaps[i] > 0:
            share = -gaps[i - 1] / (gaps[i] - gaps[i - 1])
            return float(shifts[i - 1] + share * (shifts[i] - shifts[i - 1]))
    return math.inf


def overtaking(
    shifts: Sequence[int], paired: Sequence[Floats], unpaired: Floats, scenes: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Where the unpaired method becomes better than the paired one: the shift, and its 95 % bootstrap interval.

    ``paired`` has for every shift the losses (lower is better) of all seeds and test images, (seeds, images), and
    ``unpaired`` those of the other method. Seeds and whole scenes are drawn anew, the same ones for all shifts; a bound
    of None lies beyond the largest shift, ``within`` is the share of the draws that cross before it.
    """
    names, place = np.unique(np.asarray(scenes), return_inverse=True)
    per_scene = np.zeros((len(scenes), len(names)))
    per_scene[np.arange(len(scenes)), place] = 1.0
    gaps = np.stack([values - unpaired for values in paired])  # (shifts, seeds, images)
    sums, counts = gaps @ per_scene, per_scene.sum(0)
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(gaps.shape[1], np.full(gaps.shape[1], 1 / gaps.shape[1]), size=DRAWS).astype(np.float64)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS).astype(np.float64)
    means = np.einsum("bs,fsc,bc->bf", seeds, sums, drawn) / (gaps.shape[1] * (drawn @ counts))[:, None]
    found = np.array([crossing(shifts, row) for row in means])
    low, high = np.percentile(found, [2.5, 97.5], method="nearest")
    return {
        "shift": plain(crossing(shifts, gaps.mean((1, 2)))),
        "low": plain(float(low)),
        "high": plain(float(high)),
        "within": float(np.isfinite(found).mean()),
        "largest": max(shifts),
        "seeds": gaps.shape[1],
        "scenes": len(names),
    }


def overtakings(
    cells: Sequence[tuple[Cell, Mapping[str, Any]]], shifts: Sequence[int], scenes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """`overtaking` by direction and metric, over the seeds that have all of the shifts.

    ``scenes`` are those of the test images. A distance of sets is one number per seed: there the seeds alone are drawn.
    """
    known = {(cell.arm, cell.seed): result for cell, result in cells}
    shifts = sorted(shifts)
    found: dict[str, dict[str, Any]] = {}
    for direction in ARROWS:
        arms = [*(f"pix2pix_{direction}_shift{shift}" for shift in shifts), "cyclegan"]
        whole = [s for s in sorted({s for _, s in known}) if all((arm, s) in known for arm in arms)]
        if not whole or len(shifts) < 2:
            continue
        by_arm = [[known[arm, s] for s in whole] for arm in arms]
        for name in COMPARED:
            losses = [_losses(results, direction, name) for results in by_arm]
            if any(np.isnan(values).any() for values in losses):
                continue
            of = scenes if name in PER_IMAGE else ["all"]
            found.setdefault(direction, {})[name] = overtaking(shifts, losses[:-1], losses[-1], of)
    return found


def _losses(results: Sequence[Mapping[str, Any]], direction: str, name: str) -> Floats:
    """(seeds, images), lower is better; of distances of sets (seeds, 1)."""
    if name in PER_IMAGE:
        values = np.array([result["images"][direction][name] for result in results], dtype=np.float64)
    else:
        values = np.array([[result["scores"][direction][name]] for result in results], dtype=np.float64)
    return -values if name in HIGHER_IS_BETTER else values


def sentence(direction: str, metric: str, found: Mapping[str, Any]) -> str:
    """What one may say about who is better when, with its interval.

    >>> found = {"shift": 3.2, "low": 2.1, "high": None, "within": 0.96, "largest": 16, "seeds": 3, "scenes": 18}
    >>> sentence("AtoB", "mae", found)
    'SAR to optical, MAE: CycleGAN overtakes Pix2Pix at 3.2 px (95 % bootstrap 2.1 to beyond 16 px, 3 seeds).'
    """
    name = metric if metric == "spectrum" else metric.upper()
    start, largest = f"{ARROWS[direction]}, {name}:", found["largest"]
    low, high = (f"beyond {largest}" if found[end] is None else f"{found[end]:.1f}" for end in ("low", "high"))
    drawn = f"95 % bootstrap {low} to {high} px" if low != high else f"95 % bootstrap {low} px"
    drawn += f", {found['seeds']} seed{'s' if found['seeds'] > 1 else ''}"
    if found["shift"] is None:
        return f"{start} Pix2Pix stays better than CycleGAN up to {largest} px ({drawn})."
    if found["shift"] == 0:
        return f"{start} CycleGAN is better than Pix2Pix even without a shift ({drawn})."
    return f"{start} CycleGAN overtakes Pix2Pix at {found['shift']:.1f} px ({drawn})."


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """All rows as CSV: one line per arm, direction and metric."""
    text = io.StringIO()
    names = ("method", "direction", "shift", "rotation", "looks", "metric", "mean", "low", "high", "seeds")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        for metric, found in row["scores"].items():
            line = {name: row[name] for name in names[:5]} | {"metric": metric, "seeds": found["n"]}
            if row["method"] == "cyclegan":
                line["shift"] = line["rotation"] = ""  # it is trained without partners
            writer.writerow(line | {name: found[name] for name in ("mean", "low", "high")})
    return write_bytes(path, text.getvalue().encode())
