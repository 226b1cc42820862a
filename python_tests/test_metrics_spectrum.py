"""Radial spectra and autocorrelations against loops in NumPy, and against what noise and waves must give."""

import math

import numpy as np
import pytest
import torch

from sarcore.metrics import autocorrelation, radial_spectrum


def by_hand(images, bins):
    """Mean power per ring, a loop over frequencies; NaN where a ring has none."""
    sums, counts = np.zeros(bins), np.zeros(bins)
    for image in images.reshape(-1, *images.shape[-2:]):
        height, width = image.shape
        valid = ~np.isnan(image)
        filled = np.where(valid, image - image[valid].mean(), 0)
        power = np.abs(np.fft.fft2(filled)) ** 2 / valid.sum()
        for i, fy in enumerate(np.fft.fftfreq(height)):
            for j, fx in enumerate(np.fft.fftfreq(width)):
                f = math.hypot(fy, fx)
                if 0 < f <= 0.5:
                    k = min(bins - 1, int(f * 2 * bins + 1e-12))
                    sums[k] += power[i, j]
                    counts[k] += 1
    with np.errstate(invalid="ignore"):
        return np.log10(sums / counts)


@pytest.mark.parametrize("shape", [(3, 1, 32, 32), (2, 2, 31, 20), (2, 1, 12, 12)])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_spectrum_is_the_mean_power_of_the_rings(shape, missing):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).cumsum(-1)
    x[rng.random(shape) < missing] = np.nan
    expected = by_hand(x, 8)
    known = ~np.isnan(expected)
    filled = np.interp(np.arange(8), np.flatnonzero(known), expected[known])
    np.testing.assert_allclose(radial_spectrum(torch.from_numpy(x), 8), filled, rtol=1e-9, atol=1e-9)


def test_bins_without_a_frequency_lie_between_their_neighbours():
    x = torch.randn(4, 1, 20, 20, dtype=torch.float64)
    expected = by_hand(x.numpy(), 32)
    known = np.flatnonzero(~np.isnan(expected))
    assert len(known) < 32
    np.testing.assert_allclose(radial_spectrum(x), np.interp(np.arange(32), known, expected[known]), rtol=1e-9)


def test_white_noise_is_flat_and_a_wave_stands_in_its_bin():
    noise = 0.1 * torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(0)) + 7
    assert (radial_spectrum(noise, 16) + 2).abs().max() < 0.03
    holes = noise.clone()
    holes[:, :, ::3] = torch.nan
    assert (radial_spectrum(holes, 16) + 2).abs().max() < 0.05
    wave = torch.sin(2 * torch.pi * 10.5 / 32 * torch.arange(64)).expand(1, 1, 64, 64)  # 0.328 cycles per pixel
    assert int(radial_spectrum(wave, 16).argmax()) == 10


def test_constant_images_and_no_images():
    assert (radial_spectrum(torch.full((2, 1, 16, 16), 0.3)) == -20).all()
    for x in (torch.empty(0, 1, 16, 16), torch.full((1, 1, 16, 16), torch.nan)):
        assert radial_spectrum(x).isnan().all()
    half = torch.randn(2, 1, 16, 16)
    half[1] = torch.nan  # an image without a valid pixel is no image
    assert torch.equal(radial_spectrum(half), radial_spectrum(half[:1]))


def test_arguments_are_checked():
    for error, message, x, bins in (
        (ValueError, "2 x 2 pixels", torch.rand(1, 1, 1, 8), 8),
        (ValueError, "bins must be 2 to 4096, got 1", torch.rand(1, 1, 8, 8), 1),
        (ValueError, r"images must be \(N, C, H, W\)", torch.rand(8, 8), 8),
        (TypeError, "images must be a torch.Tensor, got ndarray", np.ones((1, 1, 8, 8)), 8),
    ):
        with pytest.raises(error, match=message):
            radial_spectrum(x, bins)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_autocorrelation_by_hand(missing):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, 12, 17)).cumsum(-1)
    x[rng.random(x.shape) < missing] = np.nan
    residual = x - np.nanmean(x, (2, 3), keepdims=True)
    variance = np.nanmean(residual**2)
    down = [np.nanmean(residual[..., lag:, :] * residual[..., :-lag, :]) / variance for lag in (1, 2, 3)]
    along = [np.nanmean(residual[..., lag:] * residual[..., :-lag]) / variance for lag in (1, 2, 3)]
    np.testing.assert_allclose(autocorrelation(torch.from_numpy(x), 3), [down, along], rtol=1e-10)


def test_autocorrelation_of_waves_and_of_nothing():
    wave = torch.cos(2 * torch.pi / 8 * torch.arange(64)).expand(2, 1, 64, 64)
    found = autocorrelation(wave, 8)
    np.testing.assert_allclose(found[0], 1, atol=1e-6)
    np.testing.assert_allclose(found[1], np.cos(np.pi / 4 * np.arange(1, 9)), atol=0.02)
    constant = torch.full((1, 1, 9, 9), 0.1, dtype=torch.float64)
    assert (constant.mean() - 0.1).abs() > 0  # rounding, which is no texture
    assert (radial_spectrum(constant, 8) == -20).all()
    for x in (constant, torch.empty(0, 1, 16, 16), torch.full((1, 1, 16, 16), torch.nan)):
        assert autocorrelation(x).isnan().all()
    for message, lags in (("less than the images' sides, got 16", 16), ("lags must be 1 to 4095, got 0", 0)):
        with pytest.raises(ValueError, match=message):
            autocorrelation(torch.rand(1, 1, 16, 16), lags)
