"""Looks estimated from images; ratio images, bias and log-cumulants against NumPy, SciPy and theory."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from sarcore.metrics import estimate_looks, log_cumulants, radiometric_bias, ratio_statistics
from sarcore.ops import speckle


@pytest.mark.parametrize("looks", [1.0, 2.7, 4.0, 16.0, 64.0])
@pytest.mark.parametrize("size", [128, 512])
def test_looks_of_pure_speckle(looks, size):
    image = speckle(torch.full((1, 1, size, size), 0.3), looks, seed=1)
    assert estimate_looks(image) == pytest.approx(looks, rel=0.2 if looks < 2 else 0.12)


def test_texture_edges_and_no_data_do_not_count():
    scene = torch.ones(1, 1, 256, 256)
    scene[..., 100:] = 30.0
    scene[..., :80, :] *= torch.rand(80, 1).exp()
    image = speckle(scene, 5.0, seed=2)
    image[..., 200:, :60] = 0.0
    image[..., :16, 200:] = float("nan")
    assert estimate_looks(image) == pytest.approx(5.0, rel=0.15)
    mask = torch.ones_like(image, dtype=torch.bool)
    mask[..., 90:, :] = False
    heterogeneous = estimate_looks(image, mask=mask)
    assert 0 < heterogeneous < 5.5


def test_correlated_speckle_is_somewhat_too_high():
    image = speckle(torch.ones(1, 1, 512, 512), 4.0, seed=1, psf=("gaussian", 2.0))
    assert 4.0 < estimate_looks(image) < 4.8


def test_looks_that_cannot_be_known():
    with pytest.raises(ValueError, match="8 whole blocks"):
        estimate_looks(torch.rand(1, 1, 40, 40))
    with pytest.raises(ValueError, match="constant"):
        estimate_looks(torch.ones(1, 1, 128, 128))
    for side in (5, 15):  # smaller than a block
        with pytest.raises(ValueError, match=r"8 whole blocks of 16 x 16 valid pixels, got 0; declare the looks"):
            estimate_looks(torch.rand(1, 1, side, 40))


def test_arguments_of_the_estimate_are_checked():
    x = torch.rand(1, 1, 128, 128) + 0.1
    for error, message, image, arguments in (
        (TypeError, "x must be float16.*integers have no unit", (255 * x).byte(), {}),
        (TypeError, "x must be a torch.Tensor, got ndarray", x.numpy(), {}),
        (ValueError, r"x must be \(N, C, H, W\)", x[0, 0], {}),
        (ValueError, "domain must be one of 'intensity'.*got 'dB'", x, {"domain": "dB"}),
        (ValueError, "negative intensities", x - 0.6, {}),
        (ValueError, "negative amplitudes", x - 0.6, {"domain": "amplitude"}),
        (ValueError, "block must be 2 to 32768, got 0", x, {"block": 0}),
        (ValueError, "block must be 2 to 32768, got 1", x, {"block": 1}),
        (TypeError, "block must be an int, got float", x, {"block": 16.0}),
        (TypeError, "mask must be a torch.bool tensor", x, {"mask": torch.ones_like(x)}),
        (ValueError, "mask must broadcast", x, {"mask": torch.ones(3, 3, dtype=torch.bool)}),
    ):
        with pytest.raises(error, match=message):
            estimate_looks(image, **arguments)
    assert estimate_looks(x, block=np.int64(16)) == estimate_looks(x)
    hidden = x.clone()
    hidden[..., :16, :16] = -1.0  # what a mask hides may be negative
    mask = hidden > 0
    assert estimate_looks(hidden, mask=mask) == estimate_looks(x, mask=mask)


def test_looks_are_the_same_in_every_domain():
    x = speckle(torch.full((1, 1, 128, 128), 0.3, dtype=torch.float64), 4.0, seed=1)
    expected = estimate_looks(x)
    for domain, native in (("amplitude", x.sqrt()), ("db", 10 * x.log10()), ("log", x.log())):
        assert estimate_looks(native, domain=domain) == pytest.approx(expected, rel=1e-9)


def test_real_scenes(test_data):
    """Stripmap of about 27 looks, ground-range detected of about 5, one look: the order and the size."""

    def looks(scene, lines, samples):
        file = test_data / "s1grd" / scene / "Amplitude_VV.img"
        if not file.is_file():
            pytest.skip(f"no real data at {file}")
        amplitude = np.fromfile(file, ">f4").reshape(lines, samples).astype(np.float64)
        return estimate_looks(torch.from_numpy(amplitude**2)[None, None])

    assert 18 < looks("Lake_512", 512, 512) < 30
    assert 4 < looks("Flevoland_600", 600, 600) < 8
    single = test_data / "misc" / "isce3_uavsar_slc" / "winnipeg_frequencyA_HH.npy"
    if single.is_file():
        z = torch.from_numpy(np.load(single))[None, None]
        assert estimate_looks(z.abs().square()) == pytest.approx(1, rel=0.2)


DOMAINS = {
    "intensity": lambda x: x,
    "amplitude": lambda x: x.sqrt(),
    "db": lambda x: 10 * x.log10(),
    "log": lambda x: x.log(),
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_ratio_bias_and_cumulants_are_those_of_intensities(domain):
    rng = np.random.default_rng(0)
    a, b = rng.gamma(3.0, size=(2, 3, 2, 16, 20))
    native = [DOMAINS[domain](torch.from_numpy(x)) for x in (a, b)]
    native[0][0, 0, :4] = torch.nan
    native[1][1, 1, :, 3] = torch.nan
    known = ~(native[0].isnan() | native[1].isnan()).numpy()
    mean, variance = ratio_statistics(*native, domain=domain)
    ratio = (b / a)[known]
    assert (mean, variance) == pytest.approx((ratio.mean(), ratio.var()), rel=1e-10)
    expected = 10 * np.log10(a[known].sum() / b[known].sum())
    assert radiometric_bias(*native, domain=domain) == pytest.approx(expected, rel=1e-10)
    y = np.log(a[~native[0].isnan().numpy()])
    cumulants = [stats.kstat(y, k) for k in (1, 2, 3)]  # unbiased, which 1900 pixels do not notice
    np.testing.assert_allclose(log_cumulants(native[0], domain=domain), cumulants, rtol=2e-3)
    moments = [y.mean(), y.var(), ((y - y.mean()) ** 3).mean()]
    np.testing.assert_allclose(log_cumulants(native[0], domain=domain), moments, rtol=1e-10)


@pytest.mark.parametrize("looks", [1.0, 4.5])
def test_speckle_has_the_cumulants_of_its_theory(looks):
    image = speckle(torch.full((1, 1, 512, 512), 0.3, dtype=torch.float64), looks, seed=3)
    theory = [special.psi(looks) - np.log(looks / 0.3), special.polygamma(1, looks), special.polygamma(2, looks)]
    np.testing.assert_allclose(log_cumulants(image), theory, atol=0.05 / looks)
    mean, variance = ratio_statistics(torch.full_like(image, 0.3), image)
    assert (mean, variance) == pytest.approx((1.0, 1 / looks), rel=0.02)


def test_zeros_are_no_data_where_they_have_no_logarithm_and_no_ratio():
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64) + 0.1
    zeros = x.clone()
    zeros[..., :5, :] = 0
    assert torch.equal(log_cumulants(zeros), log_cumulants(x[..., 5:, :]))
    y = torch.rand_like(x)
    assert ratio_statistics(zeros, y) == ratio_statistics(x[..., 5:, :], y[..., 5:, :])
    assert radiometric_bias(0 * x, x) == -math.inf
    nothing = torch.full_like(x, torch.nan)
    assert math.isnan(radiometric_bias(nothing, x))
    assert all(map(math.isnan, (*ratio_statistics(nothing, x), *log_cumulants(nothing).tolist())))


def test_arguments_of_the_radar_measures_are_checked():
    x = torch.rand(1, 1, 16, 16)
    for error, message, call in (
        (ValueError, "noisy must have the shape of filtered", lambda: ratio_statistics(x, x[..., 1:])),
        (ValueError, "negative intensities.*domain='db'", lambda: ratio_statistics(x, -x)),
        (ValueError, "domain must be one of", lambda: radiometric_bias(x, x, domain="dB")),
        (TypeError, "reference must be float16", lambda: radiometric_bias(x, (255 * x).byte())),
        (TypeError, "images must be float16.*integers have no unit", lambda: log_cumulants((255 * x).byte())),
        (ValueError, "negative amplitudes", lambda: log_cumulants(-x, domain="amplitude")),
    ):
        with pytest.raises(error, match=message):
            call()
