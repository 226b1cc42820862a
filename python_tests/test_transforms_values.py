"""sarcore.transforms that draw no speckle: flips, calibration errors, decibels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sarcore.transforms import RandomFlip, RandomRadiometricOffset, ToDecibel


def images(n: int = 6, c: int = 2, h: int = 9, w: int = 14) -> Tensor:
    return 0.1 + torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(0))


# ---- flips


def test_flips_take_the_four_variants_alike() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(2000, 1, 1, 1)
    flipped = RandomFlip(seed=0)(x, index=0)
    variants = [x[0], x[0].flip(-1), x[0].flip(-2), x[0].flip(-1).flip(-2)]
    counts = [int((flipped == variant).flatten(1).all(dim=1).sum()) for variant in variants]
    assert sum(counts) == 2000
    assert max(abs(count - 500) for count in counts) < 4 * math.sqrt(2000 * 3 / 16)


@pytest.mark.parametrize(("range_axis", "azimuth_axis"), [(-1, -2), (-2, -1)])
def test_the_look_direction_is_kept_where_wanted(range_axis: int, azimuth_axis: int) -> None:
    x = images(300, 1, 2, 3)
    flipped = RandomFlip(seed=0, keep_look_direction=True, range_axis=range_axis)(x, index=0)
    same = (flipped == x).flatten(1).all(dim=1)
    turned = (flipped == x.flip(azimuth_axis)).flatten(1).all(dim=1)
    assert bool((same ^ turned).all())
    assert 100 < int(turned.sum()) < 200


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bool, torch.complex64])
def test_flips_take_any_dtype(dtype: torch.dtype) -> None:
    x = torch.arange(24).reshape(1, 2, 3, 4).to(dtype)
    out = RandomFlip(p=1.0, seed=0)(x)
    assert out.dtype == dtype
    assert torch.equal(out, x.flip(-1).flip(-2))


# ---- calibration and decibels


def test_offsets_are_normal_and_one_per_sample() -> None:
    out = RandomRadiometricOffset(0.7, "db", seed=4)(torch.zeros(4000, 2, 3, 3, dtype=torch.float64), index=0)
    offset = out[:, 0, 0, 0]
    assert bool((out == offset.reshape(-1, 1, 1, 1)).all())
    assert abs(offset.mean().item()) < 4 * 0.7 / math.sqrt(4000)
    assert offset.std().item() == pytest.approx(0.7, rel=0.05)
    kurtosis = (offset**4).mean().item() / offset.var().item() ** 2
    assert kurtosis == pytest.approx(3.0, abs=4 * math.sqrt(24 / 4000))


def test_uniform_offsets_stay_within_their_limits() -> None:
    transform = RandomRadiometricOffset(domain="db", seed=4, limits=(-0.5, 1.5))
    offset = transform(torch.zeros(2000, 1, 1, 1, dtype=torch.float64), index=0)
    assert -0.5 <= offset.min().item() < -0.48
    assert 1.48 < offset.max().item() <= 1.5
    assert "limits=(-0.5, 1.5)" in repr(transform)


@pytest.mark.parametrize("domain", ["intensity", "amplitude", "log", "complex"])
def test_an_offset_is_the_same_in_every_domain(domain: str, device: torch.device) -> None:
    x = images().to(device)
    in_db = RandomRadiometricOffset(1.3, "db", seed=4)(10 * torch.log10(x.double()), index=0)
    native = {"intensity": x, "amplitude": x.sqrt(), "log": x.log(), "complex": torch.polar(x.sqrt(), x)}[domain]
    out = RandomRadiometricOffset(1.3, domain, seed=4)(native, index=0)
    back = {"intensity": out, "amplitude": out**2, "log": out.abs() if out.is_complex() else out.exp()}
    intensity = out.abs() ** 2 if domain == "complex" else back[domain]
    torch.testing.assert_close(10 * torch.log10(intensity.double()), in_db, rtol=0, atol=1e-5)
    if domain == "complex":
        torch.testing.assert_close(out.angle(), native.angle(), rtol=0, atol=1e-5)
        with pytest.raises(TypeError, match="x must be complex64"):
            RandomRadiometricOffset(1.3, "complex")(x)


def test_decibels_against_numpy(device: torch.device) -> None:
    x = images().to(device)
    for unit, factor in (("intensity", 10), ("amplitude", 20)):
        expected = factor * np.log10(x.double().cpu().numpy())
        np.testing.assert_allclose(ToDecibel(unit)(x).cpu().numpy(), expected, rtol=0, atol=1e-5)
        wide = ToDecibel(unit)(x.double()).cpu().numpy()
        np.testing.assert_allclose(wide, expected, rtol=0, atol=1e-12)
        floored = ToDecibel(unit, floor=-5.0)(x.double()).cpu().numpy()
        np.testing.assert_allclose(floored, np.maximum(expected, -5), rtol=0, atol=1e-12)


def test_decibels_of_zero_nan_and_negative_numbers() -> None:
    x = torch.tensor([[[0.0, math.nan, 1e-3, math.inf]]])
    assert ToDecibel()(x).tolist()[0][0][0] == -math.inf
    floored = ToDecibel(floor=-25)(x)[0, 0]
    assert (floored[0].item(), floored[2].item(), floored[3].item()) == (-25.0, -25.0, math.inf)
    assert math.isnan(floored[1].item())
    for floor in (-500.0, -800.0):  # below the smallest normal number of float32
        assert ToDecibel(floor=floor)(x)[0, 0, 0].item() == floor
        assert ToDecibel("amplitude", floor)(x)[0, 0, 2].item() == pytest.approx(-60)
    for transform in (ToDecibel(), ToDecibel(floor=-25)):
        with pytest.raises(ValueError, match=r"no negative values for domain='intensity', its smallest is -12"):
            transform(torch.tensor([[[3.0, -12.0]]]))


@pytest.mark.cuda
def test_negative_numbers_become_nan_on_cuda(device: torch.device) -> None:
    if device.type == "cuda":
        x = torch.tensor([[[3.0, -12.0]]], device=device)
        assert ToDecibel()(x).isnan().tolist() == ToDecibel(floor=-25)(x).isnan().tolist() == [[[False, True]]]
