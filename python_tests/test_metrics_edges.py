"""Correlation and strength of edges against SciPy and NumPy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from sarcore.metrics import edge_correlation, edge_preservation_index


def test_edge_correlation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 2, 20, 30))
    kernel = -np.ones((3, 3))
    kernel[1, 1] = 8
    expected = []
    for first, second in zip(a, b, strict=True):
        edges = [[ndimage.convolve(c, kernel)[1:-1, 1:-1] for c in image] for image in (first, second)]
        expected.append(np.corrcoef(np.reshape(edges, (2, -1)))[0, 1])
    found = edge_correlation(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_edge_correlation_falls_with_smoothing_and_refuses_other_shapes():
    x = torch.rand(1, 1, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    assert edge_correlation(x, x).item() == pytest.approx(1.0)
    assert edge_correlation(smooth, x).item() < 0.7
    for y in (torch.rand(1, 1, 64, 63), torch.rand(64, 64)):
        with pytest.raises(ValueError, match="64"):
            edge_correlation(x, y)
    with pytest.raises(ValueError, match="3 x 3"):
        edge_correlation(x[..., :2, :2], x[..., :2, :2])


def test_edges_at_no_data_do_not_count():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1, 1, 20, 30))
    a[0, 0, 4, 5] = np.nan
    b[0, 0, 19, 29] = np.nan
    kernel = -np.ones((3, 3))
    kernel[1, 1] = 8
    edges = [ndimage.convolve(x[0, 0], kernel)[1:-1, 1:-1].ravel() for x in (a, b)]
    known = ~np.isnan(edges[0] + edges[1])
    assert known.sum() == 18 * 28 - 9 - 1
    expected = np.corrcoef(*(x[known] for x in edges))[0, 1]
    found = edge_correlation(torch.from_numpy(a), torch.from_numpy(b))
    assert found.item() == pytest.approx(expected, rel=1e-9)
    assert edge_correlation(torch.from_numpy(a * np.nan), torch.from_numpy(b)).isnan().all()


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_edge_preservation_by_hand(missing):
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 2, 20, 30))
    a[rng.random(a.shape) < missing] = np.nan
    expected = []
    for x, y in zip(a, b, strict=True):
        sums = np.zeros(2)
        for axis in (1, 2):
            first, second = abs(np.diff(x, axis=axis)), abs(np.diff(y, axis=axis))
            known = ~np.isnan(first)
            sums += first[known].sum(), second[known].sum()
        expected.append(sums[0] / sums[1])
    found = edge_preservation_index(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_edge_preservation_falls_with_smoothing():
    x = torch.rand(1, 1, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    assert edge_preservation_index(x, x).item() == 1.0
    assert edge_preservation_index(smooth, x).item() < 0.5
    assert edge_preservation_index(x, torch.ones_like(x)).isnan().all()
    with pytest.raises(ValueError, match="one shape, 3 x 3 pixels or larger"):
        edge_preservation_index(x, x[..., 1:])
