"""Mean pairwise distance against a loop over all pairs."""

import itertools
import math

import numpy as np
import pytest
import torch

from sarcore.metrics import pairwise_diversity


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_diversity_is_the_mean_over_all_pairs(missing):
    rng = np.random.default_rng(0)
    x = rng.random((6, 2, 5, 7))
    x[rng.random(x.shape) < missing] = np.nan
    expected = np.mean([np.sqrt(np.nanmean((a - b) ** 2)) for a, b in itertools.combinations(x, 2)])
    assert pairwise_diversity(torch.from_numpy(x)) == pytest.approx(expected, rel=1e-12)


def test_a_collapsed_batch_has_none():
    one = torch.rand(1, 1, 16, 16).expand(8, -1, -1, -1)
    assert pairwise_diversity(one) == 0.0
    assert pairwise_diversity((255 * one).byte()) == 0.0
    assert pairwise_diversity(torch.rand(8, 1, 16, 16)) == pytest.approx(math.sqrt(1 / 6), rel=0.05)


def test_a_single_image_has_no_pair():
    assert math.isnan(pairwise_diversity(torch.rand(1, 1, 4, 4)))
    assert math.isnan(pairwise_diversity(torch.rand(0, 1, 4, 4)))
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\)"):
        pairwise_diversity(torch.rand(4, 4))
