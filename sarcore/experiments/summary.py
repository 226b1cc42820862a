"""Two arms of trained classifiers, compared: means and intervals over seeds, and what one may say about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcore.metrics.classification import Interval, balanced_accuracy, confusion_matrix, mean_interval

METRICS = {
    "balanced_accuracy": "Balanced accuracy",
    "overall_accuracy": "Overall accuracy",
    "macro_f1": "Macro F1",
}
RESAMPLES = 2000


def summarise(
    baseline: Sequence[dict[str, Any]],
    augmented: Sequence[dict[str, Any]],
    target: NDArray[np.int64],
    scenes: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Mean, 95 % interval and paired difference over seeds for every score and the recall of every class.

    The runs hold ``predicted`` besides the scores; ``target`` and ``scenes`` belong to the test patches. The interval
    over seeds says how far the training itself scatters. ``over_scenes`` resamples the test scenes instead (95 %
    percentile bootstrap of the difference in balanced accuracy): how far the choice of test scenes matters.
    """
    pairs = list(zip(baseline, augmented, strict=True))
    rows = {name: compare([(a[name], b[name]) for a, b in pairs]) for name in METRICS}
    recalls = {
        label: compare([(a["recall"][i], b["recall"][i]) for a, b in pairs])
        for i, label in enumerate(classes)
        if baseline[0]["recall"][i] is not None
    }
    arms = [np.stack([np.asarray(run["predicted"]) for run in arm]) for arm in (baseline, augmented)]
    low, high = scene_bootstrap(target, arms[0], arms[1], scenes, len(classes))
    return {**rows, "recall": recalls, "over_scenes": {"low": low, "high": high, "scenes": len(set(scenes))}}


def compare(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Intervals of both arms and of their paired difference; the bounds are None for a single pair.

    >>> compare([(0.5, 0.75)])["difference"]
    {'mean': 0.25, 'low': None, 'high': None, 'n': 1}
    """
    first, second = (np.array(values, dtype=np.float64) for values in zip(*pairs, strict=True))
    parts = {"baseline": first, "augmented": second, "difference": second - first}
    return {name: _plain(mean_interval(values)) for name, values in parts.items()}


def _plain(interval: Interval) -> dict[str, Any]:
    low, high = (bound if math.isfinite(bound) else None for bound in (interval.low, interval.high))
    return {"mean": interval.mean, "low": low, "high": high, "n": interval.n}


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


def headline(summary: dict[str, Any], class_name: str, count: int, synthetic_data: bool) -> dict[str, str]:
    """Verdict ("helped", "hurt", "no measurable difference", "unknown") and one honest sentence with the interval.

    A difference counts only when its interval over seeds excludes zero; when the interval over test scenes does
    not, the sentence says so.
    """
    d = summary["balanced_accuracy"]["difference"]
    change = f"{points(d['mean'])} points"
    what = f"Adding {count} generated {class_name} patches to the training set"
    data = " on synthetic scenes" if synthetic_data else ""
    if d["low"] is None:
        text = f"{what} changed balanced accuracy{data} by {change} with one seed, which says nothing: run more seeds."
        return {"verdict": "unknown", "text": text}
    interval = f"95 % interval {points(d['low'])} to {points(d['high'])}, {d['n']} seeds"
    if d["low"] <= 0.0 <= d["high"]:
        text = f"{what} made no measurable difference{data}: balanced accuracy changed by {change} ({interval})."
        return {"verdict": "no measurable difference", "text": text}
    verdict = "helped" if d["mean"] > 0 else "hurt"
    text = f"{what} {verdict}{data}: balanced accuracy changed by {change} ({interval})."
    over = summary["over_scenes"]
    if over["low"] <= 0.0 <= over["high"]:
        text += f" With other test scenes it might not: {points(over['low'])} to {points(over['high'])} over scenes."
    return {"verdict": verdict, "text": text}


def points(fraction: float) -> str:
    """A signed difference in percentage points, cut to what is possible: t intervals of few seeds go beyond.

    >>> points(-0.0123), points(1.3)
    ('−1.2', '+100.0')
    """
    text = f"{100.0 * min(max(fraction, -1.0), 1.0):+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
