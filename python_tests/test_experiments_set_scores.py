"""Scores of sets of features: those of the measures, whatever the size of the features."""

import numpy as np
import pytest
import torch

from sarcore.experiments.set_scores import feature_scores


def polynomial_kid(x, y):
    """Binkowski et al. 2018, equation 4, as a sum over all pairs."""
    k = [[(np.dot(a, b) / x.shape[1] + 1) ** 3 for b in (*x, *y)] for a in (*x, *y)]
    n, m = len(x), len(y)
    within_x = sum(k[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k[n + i][n + j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k[i][n + j] for i in range(n) for j in range(m)) / (n * m)


def sets(seed=0):
    source = np.random.default_rng(seed)
    return source.normal(2.0, 3.0, (9, 5)), source.normal(1.0, 2.0, (11, 5))


def scored(*features):
    return feature_scores(*(torch.from_numpy(x).float() for x in features))


def test_kid_is_that_of_features_in_the_root_mean_square_of_the_real_ones():
    real, made = sets()
    unit = np.sqrt(np.mean(np.square(real)))
    assert scored(real, made)["kid"] == pytest.approx(polynomial_kid(real / unit, made / unit), rel=1e-5)


@pytest.mark.parametrize("factor", [1e-3, 40.0])
def test_no_score_depends_on_the_size_of_the_features(factor):
    real, made = sets()
    assert scored(factor * real, factor * made) == pytest.approx(scored(real, made), rel=1e-4)


def test_features_that_are_all_zero_have_scores():
    assert scored(np.zeros((8, 3)), np.zeros((8, 3)))["kid"] == 0.0
