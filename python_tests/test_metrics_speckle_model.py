"""Looks and point spread of images: recovered from fields of known ones, under texture, clipping and gaps."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sarcore.data import PatchFolder
from sarcore.metrics import estimate_looks, estimate_speckle
from sarcore.ops import speckle
from sarcore.ops.point_spread import point_spread

KNOWN = [(1.0, 0.0, 0.05), (4.4, 0.0, 0.05), (3.0, 2.0, 0.08), (7.5, 3.2, 0.08), (20.0, 1.5, 0.05), (1.0, 4.0, 0.13)]


def ground(kind: str, generator: torch.Generator) -> torch.Tensor:
    """Reflectivity (12, 1, 160, 160): constant, drifting over the image, or cluttered but for two images."""
    if kind == "flat":
        return torch.ones(12, 1, 160, 160)
    coarse = torch.randn(12, 1, 10 if kind == "drift" else 40, 10 if kind == "drift" else 40, generator=generator)
    field = F.interpolate(coarse, 160, mode="bicubic")
    texture = torch.exp((0.15 if kind == "drift" else 0.6) * field)
    if kind == "clutter":
        texture[:2] = 1.0
    return texture


@pytest.mark.parametrize(("looks", "s", "within"), KNOWN)
@pytest.mark.parametrize("kind", ["flat", "drift", "clutter"])
def test_known_speckle_is_found(kind, looks, s, within, generator):
    images = speckle(ground(kind, generator), looks, seed=1, psf=("gaussian", s) if s else None)
    found = estimate_speckle(images)
    assert found.looks == pytest.approx(looks, rel=within)
    assert found.oversampling == pytest.approx(s, rel=0.07)
    assert found.oversampling_axes == pytest.approx((s, s), rel=0.08, abs=1.2)  # 0 and 1.2 are hardly told apart
    assert found.regions <= found.of_regions == 12 * 25


def test_the_two_axes_are_told_apart():
    psf = (point_spread("gaussian", 1.6), point_spread("gaussian", 3.5))
    found = estimate_speckle(speckle(torch.ones(12, 1, 160, 160), 5.0, seed=2, psf=psf))
    assert found.oversampling_axes == pytest.approx((1.6, 3.5), rel=0.08)
    assert 1.6 < found.oversampling < 3.5
    assert found.correlation[0][0] < found.expected[0][0] < found.correlation[1][0]


@pytest.mark.parametrize("domain", ["amplitude", "db", "log"])
def test_units_change_nothing(domain):
    intensity = speckle(torch.full((6, 1, 96, 96), 0.1, dtype=torch.float64), 3.0, seed=3, psf=("gaussian", 2.0))
    given = {"amplitude": intensity.sqrt(), "db": 10 * intensity.log10(), "log": intensity.log()}[domain]
    here, there = estimate_speckle(given, domain=domain), estimate_speckle(intensity)
    assert here.looks == pytest.approx(there.looks, rel=1e-6)
    assert here.oversampling == pytest.approx(there.oversampling, abs=2e-3)


def test_residuals_have_the_covariance_that_is_expected():
    """The closed form against a covariance matrix written out, for an anisotropic point spread."""
    from sarcore.metrics.speckle_model import _expected, _surfaces

    side, spreads = 8, (1.7, 2.9)
    axes = []
    for s in spreads:
        taps = point_spread("gaussian", s).numpy()
        full = np.correlate(taps, taps, "full")[len(taps) - 1 :]
        lags = np.zeros(side)
        lags[: min(side, len(full))] = full[:side] ** 2
        axes.append(np.array([[lags[abs(i - j)] for j in range(side)] for i in range(side)]))
    q = _surfaces(side).numpy()
    projection = np.eye(side * side) - q @ q.T
    covariance = (projection @ np.kron(*axes) @ projection).reshape(side, side, side, side)
    expected = [np.mean([covariance[i, j, i, j] for i in range(side) for j in range(side)])]
    expected += [np.mean([covariance[i, j, i + d, j] for i in range(side - d) for j in range(side)]) for d in (1, 2, 3)]
    expected += [np.mean([covariance[i, j, i, j + d] for i in range(side) for j in range(side - d)]) for d in (1, 2, 3)]
    found, own_mean = _expected(*spreads, _surfaces(side))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert own_mean == pytest.approx(np.kron(*axes).mean())


def test_small_images_are_enough_where_there_are_many():
    images = speckle(torch.ones(60, 1, 20, 20), 4.0, seed=4, psf=("gaussian", 2.0))
    found = estimate_speckle(images)
    assert (found.looks, found.oversampling) == (pytest.approx(4.0, rel=0.1), pytest.approx(2.0, rel=0.07))


def test_clipped_images_tell_what_was_not_clipped():
    """A third of the images is so bright that it saturates, and looks smooth; another third lies at the low limit."""
    level = torch.tensor([40.0, 230.0, 4.0]).repeat(6)[:, None, None, None].expand(18, 1, 96, 96)
    images = speckle(level, 3.0, seed=5, domain="amplitude").clamp(5, 255).round()
    assert estimate_speckle(images, domain="amplitude").looks > 6.0
    assert estimate_speckle(images, domain="amplitude", limits=(5, 255)).looks == pytest.approx(3.0, rel=0.08)


def test_bright_ground_that_was_not_clipped_by_chance_does_not_count():
    """Where speckle often reaches the limit, regions without a clipped pixel are those of too little speckle."""
    level = torch.where(torch.arange(60) < 50, 140.0, 60.0)[:, None, None, None].expand(60, 1, 96, 96)
    images = speckle(level, 3.0, seed=5, domain="amplitude", psf=("gaussian", 4.0)).clamp(0, 255)
    looks = estimate_speckle(images, domain="amplitude", limits=(0, 255)).looks
    assert looks == pytest.approx(3.0, rel=0.08)
    just_masked = estimate_speckle(images, domain="amplitude", mask=images < 255).looks
    assert just_masked > 1.1 * looks


def test_points_in_one_half_of_quiet_regions_do_not_count(generator):
    images = speckle(torch.ones(12, 1, 160, 160), 4.0, seed=9)
    cells = images.reshape(12, 10, 16, 10, 16)  # a view: every sixth cell gets a bright pixel
    cells[:, :, 7, :, 9] *= torch.where(torch.rand(12, 10, 10, generator=generator) < 1 / 6, 40.0, 1.0)
    assert estimate_speckle(images).looks == pytest.approx(4.0, rel=0.08)


def test_pixels_without_data_do_not_count():
    images = speckle(torch.ones(10, 1, 96, 96), 4.0, seed=6)
    mask = torch.ones(10, 1, 96, 96, dtype=torch.bool)
    mask[:4, :, ::13] = False
    full = estimate_speckle(images[4:])
    spoilt = torch.where(mask, images, 1.0)  # smooth where it does not count
    assert estimate_speckle(spoilt, mask=mask) == full
    assert estimate_speckle(torch.where(mask, images, torch.nan)) == full
    assert estimate_speckle(torch.where(mask, images, 0.0)) == full
    constant = torch.cat([images[4:], torch.ones(3, 1, 96, 96)])
    assert dataclasses.replace(estimate_speckle(constant), of_regions=full.of_regions) == full


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(40, 1, 11, 64), "12 x 12 pixels or larger"),
        (torch.rand(1, 1, 64, 64), "at least 8 regions of 32 x 32"),
        (torch.ones(20, 1, 64, 64), "not constant, got 0"),
        (-torch.rand(20, 1, 64, 64), "negative intensities"),
    ],
)
def test_what_tells_nothing_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        estimate_speckle(images)


def test_limits_beyond_which_nothing_is_left_are_refused():
    images = speckle(torch.full((20, 1, 64, 64), 0.5), 3.0, seed=7).clamp(0, 0.9)
    with pytest.raises(ValueError, match="not clipped"):
        estimate_speckle(images, limits=(0.0, 0.9))
    with pytest.raises(TypeError):
        estimate_speckle(torch.ones(20, 1, 64, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match="domain"):
        estimate_speckle(images, domain="digital")


def test_single_look_complex_images_have_one_look(test_data):
    z = torch.from_numpy(np.load(test_data / "misc/isce3_uavsar_slc/winnipeg_frequencyA_HH.npy"))
    found = estimate_speckle(z.abs().square()[None, None])
    assert found.looks == pytest.approx(1.0, rel=0.08)
    assert found.oversampling < 1.3


def test_terrain160_speckled_alike_looks_alike(test_data):
    """The estimate of real patches, given to speckle over a constant, has their correlation and their looks."""
    folder = PatchFolder.open(test_data / "terrain160")
    images, labels = folder.arrays()
    names = ("forest", "water")
    quiet = torch.stack([labels == folder.classes.index(name) for name in names]).any(0)
    real = images[quiet].float()
    found = estimate_speckle(real, domain="amplitude", limits=(0, 255))
    assert 5.5 < found.looks < 7.2
    assert 2.9 < found.oversampling < 3.4
    made = speckle(
        torch.full_like(real[:30], 90.0), found.looks, seed=8, domain="amplitude", psf=("gaussian", found.oversampling)
    )
    again = estimate_speckle(made.round(), domain="amplitude", limits=(0, 255))
    assert again.looks == pytest.approx(found.looks, rel=0.08)
    assert again.correlation[0] == pytest.approx(found.correlation[0], abs=0.08)
    assert estimate_looks(made, domain="amplitude") == pytest.approx(estimate_looks(real, domain="amplitude"), rel=0.15)
