"""Arms of trained classifiers, compared: means and intervals over seeds, and what one may say about them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcore.engine import write_bytes
from sarcore.metrics.classification import balanced_accuracy, confusion_matrix, mean_interval

METRICS = {
    "balanced_accuracy": "Balanced accuracy",
    "overall_accuracy": "Overall accuracy",
    "macro_f1": "Macro F1",
}
RESAMPLES = 2000
Results = Sequence[Mapping[str, Any]]


def compare_arms(
    runs: Mapping[str, Results],
    reference: str,
    target: NDArray[np.int64],
    scenes: Sequence[str],
    classes: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Of every arm: ``scores`` and ``recall`` of every class with their 95 % intervals over seeds, and ``difference``.

    ``runs`` are the results of each arm (`sarcore.experiments.arms.ArmResult`), ``target`` and ``scenes`` belong to the
    test patches. The differences to the ``reference`` arm are paired by seed, over the seeds that both have; their
    interval says how far the training itself scatters. ``over_scenes`` resamples the test scenes instead (95 %
    percentile bootstrap of the difference in balanced accuracy): how far the choice of test scenes matters.
    """
    found = {}
    for arm, results in runs.items():
        others = {run["seed"]: run for run in runs.get(reference, ())}
        pairs = [] if arm == reference else [(others[run["seed"]], run) for run in results if run["seed"] in others]
        found[arm] = {
            "seeds": [run["seed"] for run in results],
            "scores": {name: interval([run[name] for run in results]) for name in METRICS},
            "recall": _recalls([[run] for run in results], classes),
            "difference": _differences(pairs, target, scenes, classes) if pairs else None,
        }
    return found


def _differences(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    target: NDArray[np.int64],
    scenes: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:
    arms = [np.stack([np.asarray(run["predicted"]) for run in arm]) for arm in zip(*pairs, strict=True)]
    low, high = scene_bootstrap(target, arms[0], arms[1], scenes, len(classes))
    return {
        "scores": {name: interval([run[name] - other[name] for other, run in pairs]) for name in METRICS},
        "recall": _recalls(pairs, classes),
        "over_scenes": {"low": low, "high": high, "scenes": len(set(scenes))},
    }


def _recalls(runs: Sequence[Sequence[Mapping[str, Any]]], classes: Sequence[str]) -> dict[str, Any]:
    """Of single runs their recalls, of pairs the second minus the first; classes without test patches are left out."""
    return {
        label: interval([one[-1]["recall"][i] - (one[0]["recall"][i] if len(one) > 1 else 0.0) for one in runs])
        for i, label in enumerate(classes)
        if runs[0][0]["recall"][i] is not None
    }


def plain(value: float) -> float | None:
    """The number as JSON can hold it.

    >>> plain(0.5), plain(math.nan)
    (0.5, None)
    """
    return value if math.isfinite(value) else None


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean and the bounds of Student's 95 % interval, ready for JSON; of a single value there are no bounds.

    >>> interval([0.5])
    {'mean': 0.5, 'low': None, 'high': None, 'n': 1}
    """
    found = mean_interval(values)
    return {"mean": found.mean, "low": plain(found.low), "high": plain(found.high), "n": found.n}


def scene_bootstrap(
    target: NDArray[np.int64],
    baseline: NDArray[np.int64],
    augmented: NDArray[np.int64],
    scenes: Sequence[str],
    classes: int,
    *,
    score: Callable[[NDArray[np.float64]], float] = balanced_accuracy,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of score(augmented) - score(baseline) over whole test scenes drawn with replacement.

    ``baseline`` and ``augmented`` are predictions (seeds, N) for ``target`` (N,). Patches of one scene are drawn
    together because neighbours resemble each other.
    """
    names, index = np.unique(np.asarray(scenes), return_inverse=True)
    arms = np.zeros((2, len(names), classes, classes))
    for arm, predictions in zip(arms, (baseline, augmented), strict=True):
        for s in range(len(names)):
            inside = index == s
            for predicted in predictions:
                arm[s] += confusion_matrix(target[inside], predicted[inside], classes)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=RESAMPLES)
    pooled = np.einsum("bs,asij->abij", draws.astype(np.float64), arms)
    differences = [score(b) - score(a) for a, b in zip(pooled[0], pooled[1], strict=True)]
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def verdict(what: str, difference: Mapping[str, Any], reference: str, synthetic_data: bool) -> dict[str, str]:
    """Verdict ("better", "worse", "no measurable difference", "unknown") and one honest sentence with the interval.

    ``difference`` is that of `compare_arms`. It counts only when its interval over seeds excludes zero; when the
    interval over test scenes does not, the sentence says so.

    >>> scores = {"balanced_accuracy": {"mean": 0.021, "low": 0.003, "high": 0.039, "n": 5}}
    >>> found = {"scores": scores, "over_scenes": {"low": -0.01, "high": 0.05, "scenes": 18}}
    >>> print(verdict("Speckle", found, "flips", False)["text"])
    Speckle is better than flips: balanced accuracy +2.1 points (95 % interval +0.3 to +3.9, 5 seeds). With other test \
scenes it might not be: −1.0 to +5.0 over 18 scenes.
    """
    d, over = difference["scores"]["balanced_accuracy"], difference["over_scenes"]
    change, data = f"{points(d['mean'])} points", " on synthetic scenes" if synthetic_data else ""
    if d["low"] is None:
        text = f"{what} against {reference}{data}: balanced accuracy {change} with one seed, which says nothing yet."
        return {"verdict": "unknown", "text": text}
    bounds = f"95 % interval {points(d['low'])} to {points(d['high'])}, {d['n']} seeds"
    if d["low"] <= 0.0 <= d["high"]:
        text = f"{what} makes no measurable difference to {reference}{data}: balanced accuracy {change} ({bounds})."
        return {"verdict": "no measurable difference", "text": text}
    word = "better" if d["mean"] > 0 else "worse"
    text = f"{what} is {word} than {reference}{data}: balanced accuracy {change} ({bounds})."
    if over["low"] <= 0.0 <= over["high"]:
        text += f" With other test scenes it might not be: {points(over['low'])} to {points(over['high'])}"
        text += f" over {over['scenes']} scenes."
    return {"verdict": word, "text": text}


def points(fraction: float) -> str:
    """A signed difference in percentage points, cut to what is possible: t intervals of few seeds go beyond.

    >>> points(-0.0123), points(1.3)
    ('−1.2', '+100.0')
    """
    text = f"{100.0 * min(max(fraction, -1.0), 1.0):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def write_table(path: Path, arms: Mapping[str, Mapping[str, Any]]) -> Path:
    """What `compare_arms` found as CSV: one line per arm and score, with the differences to the reference arm."""
    text = io.StringIO()
    columns = ["arm", "score", "mean", "low", "high", "seeds"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, "difference", "difference_low", "difference_high"])
    for arm, found in arms.items():
        difference = found["difference"] or {"scores": {}, "recall": {}}
        rows = [(name, found["scores"][name], difference["scores"].get(name)) for name in found["scores"]]
        rows += [(f"recall of {n}", found["recall"][n], difference["recall"].get(n)) for n in found["recall"]]
        for name, one, change in rows:
            more = [change[bound] for bound in ("mean", "low", "high")] if change else [None] * 3
            writer.writerow([arm, name, *(one[bound] for bound in ("mean", "low", "high", "n")), *more])
    return write_bytes(path, text.getvalue().encode())
