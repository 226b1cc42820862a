"""Scores of a classifier from its confusion matrix, and Student-t intervals over repeated runs. NumPy, float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def confusion_matrix(target: ArrayLike, predicted: ArrayLike, classes: int) -> IntArray:
    """Count samples by true class (row) and predicted class (column).

    ``target`` and ``predicted`` hold class indices in ``[0, classes)``, both of shape (N,); the result is
    (classes, classes). Raises ``ValueError`` when the lengths differ or an index lies outside.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    t, p = np.asarray(target, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if t.ndim != 1 or t.shape != p.shape:
        raise ValueError(f"target and predicted must both have shape (N,), got {t.shape} and {p.shape}")
    for name, index in (("target", t), ("predicted", p)):
        if index.size and (index.min() < 0 or index.max() >= classes):
            raise ValueError(f"{name} must lie in [0, {classes}), got {index.min()} to {index.max()}")
    return np.bincount(t * classes + p, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def overall_accuracy(confusion: ArrayLike) -> float:
    """Fraction of samples predicted right: trace / sum; NaN without samples.

    >>> overall_accuracy([[3, 1], [0, 4]])
    0.875
    """
    c = _square(confusion)
    total = c.sum()
    return float(np.trace(c) / total) if total else math.nan


def per_class_recall(confusion: ArrayLike) -> FloatArray:
    """Recall of each class, ``c[i, i] / sum_j c[i, j]``, shape (classes,); NaN for a class without samples.

    >>> per_class_recall([[3, 1], [0, 4]]).tolist()
    [0.75, 1.0]
    """
    c = _square(confusion)
    rows = c.sum(axis=1)
    recall = np.full(c.shape[0], np.nan)
    np.divide(np.diag(c), rows, out=recall, where=rows > 0)
    return recall


def balanced_accuracy(confusion: ArrayLike) -> float:
    """Mean recall over the classes that have samples; NaN without samples.

    >>> balanced_accuracy([[3, 1], [0, 4]])
    0.875
    """
    recall = per_class_recall(confusion)
    known = recall[~np.isnan(recall)]
    return float(known.mean()) if known.size else math.nan


def macro_f1(confusion: ArrayLike) -> float:
    """Mean over classes of ``F1 = 2 TP / (2 TP + FP + FN)``, over the classes that are present or predicted.

    A class that is present but never hit counts as 0. NaN without samples.

    >>> round(macro_f1([[3, 1], [0, 4]]), 4)
    0.873
    """
    c = _square(confusion)
    support = c.sum(axis=0) + c.sum(axis=1)
    used = support > 0
    return float((2.0 * np.diag(c)[used] / support[used]).mean()) if used.any() else math.nan


def _square(confusion: ArrayLike) -> FloatArray:
    c = np.asarray(confusion, dtype=np.float64)
    if c.ndim != 2 or c.shape[0] != c.shape[1]:
        raise ValueError(f"confusion must be a square matrix (true x predicted), got shape {c.shape}")
    return c


@dataclass(frozen=True)
class Interval:
    """A mean of ``n`` repeats with its two-sided confidence interval [low, high] (infinite for one repeat)."""

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95


def mean_interval(values: Sequence[float] | FloatArray, level: float = 0.95) -> Interval:
    """Mean of repeated runs with Student's t interval, ``mean -+ t(level, n-1) s / sqrt(n)``.

    With a single value nothing is known of the spread and the interval is (-inf, inf). Raises ``ValueError``
    on an empty input or a level outside (0, 1). For a paired comparison give the differences of the pairs.

    >>> i = mean_interval([0.5, 0.6, 0.7])
    >>> round(i.low, 4), round(i.mean, 4), round(i.high, 4)
    (0.3516, 0.6, 0.8484)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"values must be a non-empty sequence of numbers, got shape {x.shape}")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf, 1, level)
    half = t_quantile(0.5 + 0.5 * level, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return Interval(mean, mean - half, mean + half, int(x.size), level)


def t_quantile(probability: float, dof: int) -> float:
    """Quantile of Student's t distribution with a whole number of degrees of freedom, by bisection of its CDF.

    The CDF is the finite sum of Abramowitz and Stegun 26.7.3 and 26.7.4, so no special function is needed.
    Raises ``ValueError`` unless ``0 < probability < 1`` and ``dof >= 1``.

    >>> round(t_quantile(0.975, 2), 4)
    4.3027
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must lie in (0, 1), got {probability}")
    if dof < 1:
        raise ValueError(f"dof must be at least 1, got {dof}")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, dof)
    wanted = 2.0 * probability - 1.0
    low, high = 0.0, 1.0
    while _t_central(high, dof) < wanted:
        low, high = high, 2.0 * high
    while high - low > 1e-13 * high:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if _t_central(middle, dof) < wanted else (low, middle)
    return 0.5 * (low + high)


def _t_central(t: float, dof: int) -> float:
    """P(|T| <= t): Abramowitz and Stegun 26.7.3 (odd dof) and 26.7.4 (even dof)."""
    theta = math.atan(t / math.sqrt(dof))
    sin, cos = math.sin(theta), math.cos(theta)
    odd = dof % 2 == 1
    if dof == 1:
        return 2.0 * theta / math.pi
    term = cos if odd else 1.0
    total = term
    for j in range(3 if odd else 2, dof - 1, 2):
        term *= cos * cos * (j - 1) / j
        total += term
    return 2.0 / math.pi * (theta + sin * total) if odd else sin * total
