"""One histogram of many images against numpy's interpolation, and the earth mover's distance against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sarcore.metrics import histogram_density, histogram_emd


def by_hand(values, bins, low, high):
    """Each value shared by the two nearest centres, those beyond the end centres whole."""
    place = np.clip((values - low) / (high - low) * bins - 0.5, 0, bins - 1)
    left = np.minimum(place.astype(int), bins - 2)
    counts = np.zeros(bins)
    np.add.at(counts, left, 1 - (place - left))
    np.add.at(counts, left + 1, place - left)
    return counts / counts.sum() * bins / (high - low)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_density_of_all_images_and_channels(dtype):
    x = (torch.randn(5, 2, 13, 17, generator=torch.Generator().manual_seed(0)) * 2).to(dtype)
    x[1, 0, :3] = torch.nan
    values = x.double().numpy().ravel()
    expected = by_hand(values[~np.isnan(values)], 16, -3.0, 5.0)
    found = histogram_density(x, 16, -3.0, 5.0)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert float(found.sum() * 8.0 / 16) == pytest.approx(1.0, abs=1e-12)


def test_saturated_pixels_are_in_the_end_bins():
    x = torch.rand(2, 1, 32, 32)
    x[x > 0.7] = 1.0
    density = histogram_density(x, 10)
    assert float(density[-1]) / 10 == pytest.approx(float((x == 1).double().mean()), abs=1e-9)


def test_no_valid_pixel_has_no_density():
    for x in (torch.empty(0, 1, 4, 4), torch.full((1, 1, 4, 4), torch.nan)):
        assert histogram_density(x).isnan().all()
    for message, arguments in (("bins must be", {"bins": 1}), ("low and high must be low < high", {"low": 2.0})):
        with pytest.raises(ValueError, match=message):
            histogram_density(torch.rand(1, 1, 4, 4), **arguments)
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\)"):
        histogram_density(torch.rand(4, 4))


def test_emd_is_that_of_scipy():
    p, q = np.random.default_rng(0).random((2, 20))
    centres = (np.arange(20) + 0.5) / 20 * 4 - 1
    expected = stats.wasserstein_distance(centres, centres, p, q)
    assert histogram_emd(torch.from_numpy(p), torch.from_numpy(q), -1.0, 3.0) == pytest.approx(expected, rel=1e-12)
    assert histogram_emd(torch.from_numpy(p), torch.from_numpy(3 * p)) == pytest.approx(0, abs=1e-15)


def test_emd_of_no_pixels_and_of_no_histograms():
    assert math.isnan(histogram_emd(torch.zeros(4), torch.ones(4)))
    with pytest.raises(ValueError, match=r"one length, got \(3,\) and \(4,\)"):
        histogram_emd(torch.ones(3), torch.ones(4))
    with pytest.raises(ValueError, match="negative"):
        histogram_emd(torch.tensor([1.0, -0.5]), torch.ones(2))
