"""Classification scores against loop-wise definitions, and t quantiles against the printed table and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcore.metrics.classification import (
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    mean_interval,
    overall_accuracy,
    per_class_recall,
    t_quantile,
)

labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@given(labels)
def test_scores_match_their_definitions(pairs):
    target, predicted = (list(x) for x in zip(*pairs, strict=True))
    c = confusion_matrix(target, predicted, 5)
    assert c.sum() == len(pairs)
    for i in range(5):
        for j in range(5):
            assert c[i, j] == sum(p == (i, j) for p in pairs)
    assert overall_accuracy(c) == pytest.approx(np.mean([a == b for a, b in pairs]))
    recalls, f1 = {}, []
    for k in range(5):
        tp = sum(a == b == k for a, b in pairs)
        true, said = target.count(k), predicted.count(k)
        if true:
            recalls[k] = tp / true
        if true or said:
            precision, recall = tp / said if said else 0.0, tp / true if true else 0.0
            f1.append(2 * precision * recall / (precision + recall) if tp else 0.0)
    assert balanced_accuracy(c) == pytest.approx(np.mean(list(recalls.values())))
    assert macro_f1(c) == pytest.approx(np.mean(f1))
    for k, value in enumerate(per_class_recall(c)):
        assert math.isnan(value) if k not in recalls else value == pytest.approx(recalls[k])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="predicted must lie in"):
        confusion_matrix([0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match="both have shape"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ValueError, match="square"):
        overall_accuracy([[1, 2, 3], [1, 2, 3]])
    with pytest.raises(ValueError, match="non-empty"):
        mean_interval([])


def test_empty_confusion_is_nan():
    zero = np.zeros((3, 3))
    assert all(math.isnan(f(zero)) for f in (overall_accuracy, balanced_accuracy, macro_f1))


# Two-sided 95 % points as printed in the usual tables.
@pytest.mark.parametrize(
    ("dof", "table"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)]
)
def test_t_quantile_matches_the_printed_table(dof, table):
    assert t_quantile(0.975, dof) == pytest.approx(table, abs=5.1e-4)


def test_t_quantile_matches_scipy():
    stats = pytest.importorskip("scipy.stats")
    for dof in (1, 2, 3, 4, 5, 8, 21, 100):
        for p in (0.02, 0.3, 0.5, 0.9, 0.995):
            assert t_quantile(p, dof) == pytest.approx(float(stats.t.ppf(p, dof)), rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8))
def test_interval_is_centred_and_contains_the_mean(values):
    i = mean_interval(values)
    assert i.low <= i.mean <= i.high
    assert i.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert i.high - i.mean == pytest.approx(i.mean - i.low, abs=1e-9)


def test_interval_covers_at_the_stated_rate():
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    hit = np.mean([i.low <= 0.0 <= i.high for i in map(mean_interval, draws)])
    assert 0.93 < hit < 0.97


def test_one_value_has_no_interval():
    i = mean_interval([0.7])
    assert (i.mean, i.low, i.high) == (0.7, -math.inf, math.inf)
