"""Similarity of images against SciPy's filters, torchmetrics in float64 and hand computation; no-data is left out."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from sarcore.metrics import ergas, mean_absolute_error, ms_ssim, psnr, spectral_angle, ssim

FUNCTIONS = (psnr, mean_absolute_error, ssim, ms_ssim, spectral_angle, ergas)


def images(n=3, c=2, h=40, w=52, seed=0):
    """A smooth scene and a noisy copy in [0, 1]."""
    rng = np.random.default_rng(seed)
    scene = ndimage.gaussian_filter(rng.random((n, c, h, w)), (0, 0, 2, 2))
    scene = 0.1 + 0.8 * (scene - scene.min()) / (scene.max() - scene.min())
    return np.clip(scene + 0.1 * rng.normal(size=scene.shape), 0, 1), scene


def holed(x, seed=1, share=0.01):
    x = x.copy()
    x[np.random.default_rng(seed).random(x.shape) < share] = np.nan
    return x


def windows(a, b, data_range):
    """Luminance and contrast of all whole windows, by SciPy's Gaussian filter."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def mean(x):
        return ndimage.gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    va, vb, cov = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2, mean(a * b) - mean(a) * mean(b)
    luminance = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
    return luminance, (2 * cov + c2) / (va + vb + c2)


def on_tensors(function, a, b, *arguments):
    return function(torch.from_numpy(a), torch.from_numpy(b), *arguments).numpy()


def test_psnr_and_absolute_error_by_hand():
    a, b = images()
    for first, second in ((a, b), (holed(a), holed(b, 2))):
        mse, mae = np.nanmean((first - second) ** 2, (1, 2, 3)), np.nanmean(abs(first - second), (1, 2, 3))
        np.testing.assert_allclose(on_tensors(psnr, first, second, 2.0), 10 * np.log10(4 / mse), rtol=1e-12)
        np.testing.assert_allclose(on_tensors(mean_absolute_error, first, second), mae, rtol=1e-12)
    assert on_tensors(psnr, a, a).tolist() == [math.inf] * 3


@pytest.mark.parametrize("data_range", [1.0, 7.5])
def test_ssim_is_that_of_scipy_filters(data_range):
    a, b = (x * data_range for x in images())
    expected = []
    for first, second in zip(a, b, strict=True):
        maps = [np.prod(windows(x, y, data_range), 0) for x, y in zip(first, second, strict=True)]
        expected.append(np.mean(maps))
    np.testing.assert_allclose(on_tensors(ssim, a, b, data_range), expected, rtol=1e-10)


def test_ssim_leaves_out_the_windows_that_hold_no_data():
    a, b = images(1, 1)
    luminance, contrast = windows(a[0, 0], b[0, 0], 1.0)
    a[0, 0, 20, 7] = np.nan
    b[0, 0, 0, 50] = np.nan
    known = np.ones_like(luminance)
    known[10:21, :8] = known[:1, 40:] = 0
    expected = (luminance * contrast)[known == 1].mean()
    np.testing.assert_allclose(on_tensors(ssim, a, b), [expected], rtol=1e-10)


@pytest.mark.parametrize(("scales", "height", "width"), [(1, 40, 30), (3, 64, 50), (5, 176, 190)])
def test_multiscale_ssim_by_hand(scales, height, width):
    a, b = images(2, 1, height, width)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    expected = []
    for first, second in zip(a[:, 0], b[:, 0], strict=True):
        product = 1.0
        for scale in range(scales):
            luminance, contrast = windows(first, second, 1.0)
            mean = (luminance * contrast if scale == scales - 1 else contrast).mean()
            product *= mean ** (weights[scale] / weights.sum())
            first, second = (
                x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
                .reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2)
                .mean((1, 3))
                for x in (first, second)
            )
        expected.append(product)
    np.testing.assert_allclose(on_tensors(ms_ssim, a, b, 1.0, scales), expected, rtol=1e-10)
    if scales == 1:
        np.testing.assert_allclose(on_tensors(ssim, a, b), expected, rtol=1e-10)


def test_ssim_is_that_of_torchmetrics_inside_the_border():
    peer = pytest.importorskip("torchmetrics.functional.image").structural_similarity_index_measure
    a, b = (torch.from_numpy(x) for x in images())
    _, everywhere = peer(a, b, data_range=1.0, return_full_image=True, reduction="none")
    torch.testing.assert_close(ssim(a, b), everywhere[..., 5:-5, 5:-5].mean((1, 2, 3)), rtol=1e-10, atol=0)


def test_multiscale_ssim_of_opposites_is_zero_and_holes_spread_to_the_next_scale():
    a, b = images(1, 1, 48, 48)
    assert on_tensors(ms_ssim, 1 - a, a, 1.0, 3).item() == 0.0  # negative correlations
    a[0, 0, 0, 0] = np.nan
    a[0, 0, 47, 47] = np.nan
    found = on_tensors(ms_ssim, a, b, 1.0, 3).item()
    assert 0 < found < 1
    a[:] = np.nan
    assert math.isnan(on_tensors(ms_ssim, a, b, 1.0, 3).item())


def test_spectral_angle_by_hand():
    a, b = images(2, 3)
    dot, norms = (a * b).sum(1), np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    angles = np.arccos(np.clip(dot / norms, -1, 1))
    np.testing.assert_allclose(on_tensors(spectral_angle, a, b), angles.mean((1, 2)), rtol=1e-9)
    a[0, 1, 3, 4] = np.nan
    b[1, :, 0, 0] = 0
    angles[0, 3, 4] = angles[1, 0, 0] = np.nan
    np.testing.assert_allclose(on_tensors(spectral_angle, a, b), np.nanmean(angles, (1, 2)), rtol=1e-9)
    small = np.array([1.0, 1e-9])[None, :, None, None]  # where acos gives 0
    assert on_tensors(spectral_angle, small, np.array([1.0, 0.0])[None, :, None, None]).item() == pytest.approx(1e-9)


def test_ergas_by_hand():
    a, b = images()
    for first, second in ((a, b), (holed(a), holed(b, 2))):
        known = ~np.isnan(first - second)
        mean = np.nanmean(np.where(known, second, np.nan), (2, 3))
        expected = 25 * np.sqrt((np.nanmean((first - second) ** 2, (2, 3)) / mean**2).mean(1))
        np.testing.assert_allclose(on_tensors(ergas, first, second, 4.0), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="positive means, got -[0-9.]+; .*pass intensities"):
        on_tensors(ergas, a, b - 5)
    with pytest.raises(ValueError, match="ratio must be a finite number above 0, got 0"):
        on_tensors(ergas, a, b, 0.0)


def test_images_without_valid_pixels_have_no_score():
    a, b = (torch.from_numpy(x).float() for x in images(2, 2, 176, 176))
    a[0] = torch.nan
    for function in FUNCTIONS:
        found = function(a, b)
        assert found.dtype == torch.float64
        assert found.isnan().tolist() == [True, False]
        assert function(a[:0], b[:0]).shape == (0,)


def test_wrong_shapes_and_units_are_refused():
    a, b = (torch.from_numpy(x) for x in images(1, 1, 20, 20))
    for function in FUNCTIONS:
        with pytest.raises(ValueError, match=r"shape of image, \(1, 1, 20, 20\), got \(1, 1, 19"):
            function(a, b[:, :, 1:])
        with pytest.raises(ValueError, match=r"image must be \(N, C, H, W\)"):
            function(a[0], b[0])
    for function in (psnr, ssim, ms_ssim):
        with pytest.raises(ValueError, match="reference spans .* more than data_range 1; encode the images"):
            function(a, 30 * b)
        with pytest.raises(ValueError, match="data_range must be a finite number above 0, got 0"):
            function(a, b, 0.0)
    for message, call in (
        ("11 x 11 pixels", lambda: ssim(a[..., :10], b[..., :10])),
        ("176 x 176 pixels or larger for 5 scales.*pass fewer scales", lambda: ms_ssim(a, b)),
        ("scales must be 1 to 5, got 6", lambda: ms_ssim(a, b, scales=6)),
        ("2 channels or more", lambda: spectral_angle(a, b)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
