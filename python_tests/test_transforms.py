"""sarcore.transforms: what each does to an image, measured against the formulas of its docstring."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sarcore.ops import speckle
from sarcore.transforms import (
    Compose,
    RandomFlip,
    RandomLooks,
    RandomRadiometricOffset,
    RandomSpeckle,
    RandomTransform,
    ToDecibel,
)

RANDOM = [
    RandomSpeckle(seed=3),
    RandomSpeckle((2, 9), "amplitude", p=0.5, seed=3, texture=4.0, psf="hamming"),
    RandomLooks(9, (1, 3), seed=3),
    RandomFlip(seed=3),
    RandomRadiometricOffset(2.0, p=0.7, seed=3),
    RandomRadiometricOffset(domain="db", seed=3, limits=(-1, 2)),
]
ALL = [*RANDOM, ToDecibel(), ToDecibel("amplitude", floor=-30)]


def name_of(transform: object) -> str:
    return type(transform).__name__ if isinstance(transform, torch.nn.Module) else str(transform)


def images(n: int = 6, c: int = 2, h: int = 9, w: int = 14, seed: int = 0) -> Tensor:
    return 0.1 + torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed))


def measured_looks(sample: Tensor) -> float:
    values = sample.double().numpy()
    return float(values.mean() ** 2 / values.var())


# ---- what all have in common


@pytest.mark.parametrize("transform", ALL, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shape_dtype_and_device_stay(transform: Any, dtype: torch.dtype, device: torch.device) -> None:
    batch = images().to(device, dtype)
    arguments = (5,) if isinstance(transform, RandomTransform) else ()
    out = transform(batch, *arguments)
    assert (out.shape, out.dtype, out.device) == (batch.shape, dtype, batch.device)
    one = transform(batch[0], *arguments)
    assert one.shape == batch.shape[1:]
    assert torch.equal(one, out[0])
    assert transform(batch[:0], *arguments).shape == (0, 2, 9, 14)


@pytest.mark.parametrize("transform", RANDOM, ids=name_of)
def test_a_sample_follows_its_number_not_its_place(transform: Any, device: torch.device) -> None:
    batch = images().to(device)
    whole = transform(batch, index=10)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    assert torch.equal(transform(batch[order.to(device)], index=order + 10), whole[order.to(device)])
    assert torch.equal(transform(batch[2:], index=[12, 13, 14, 15]), whole[2:])
    assert torch.equal(torch.stack([transform(x, index=10 + i) for i, x in enumerate(batch)]), whole)
    assert torch.equal(transform(batch[3], index=torch.tensor(13)), whole[3])
    assert torch.equal(transform(batch[3], index=np.int64(13)), whole[3])
    strided = batch.to(memory_format=torch.channels_last)
    assert torch.equal(transform(strided, index=10), whole)


@pytest.mark.parametrize("transform", RANDOM, ids=name_of)
def test_samples_epochs_and_seeds_differ(transform: Any) -> None:
    batch = images(1).expand(40, 2, 9, 14)
    out = transform(batch, index=0)
    different = len(torch.unique(out.flatten(1), dim=0))
    assert different == 4 if isinstance(transform, RandomFlip) else different > 8
    transform.set_epoch(1)
    try:
        assert not torch.equal(transform(batch, index=0), out)
        assert "epoch=1" in repr(transform)
    finally:
        transform.set_epoch(0)
    assert torch.equal(transform(batch, index=0), out)


@pytest.mark.parametrize("make", [RandomSpeckle, lambda **k: RandomLooks(8, **k), RandomFlip, RandomRadiometricOffset])
def test_without_numbers_samples_are_counted(make: Any) -> None:
    batch = images()
    numbered, counted = make(seed=5)(batch, index=0), make(seed=5)
    parts = [counted(batch[:2]), counted(batch[2])[None], counted(batch[3:])]
    assert torch.equal(torch.cat(parts), numbered)
    counted.set_epoch(0)
    assert torch.equal(counted(batch), numbered)


def test_a_seed_of_none_follows_torch_and_is_shown() -> None:
    torch.manual_seed(11)
    first = RandomSpeckle()
    torch.manual_seed(11)
    second, third = RandomSpeckle(), RandomSpeckle()
    assert first.seed == second.seed != third.seed
    assert f"seed={first.seed}" in repr(first)


def test_the_draws_of_different_transforms_are_independent() -> None:
    batch = torch.ones(4000, 1, 1, 2)
    batch[..., 1] = 2.0
    flipped = RandomFlip(seed=3)(batch, index=0)[:, 0, 0, 0] == 2.0
    offset = RandomRadiometricOffset(seed=3)(batch, index=0)[:, 0, 0, 0] > 1.0
    agreement = (flipped == offset).double().mean().item()
    assert abs(agreement - 0.5) < 4 * 0.5 / math.sqrt(4000)


@pytest.mark.parametrize("transform", [t for t in ALL if name_of(t) != "RandomFlip"], ids=name_of)
def test_integers_and_wrong_ranks_are_refused(transform: Any) -> None:
    with pytest.raises(TypeError, match=r"x must be float16.*Radiometry"):
        transform(torch.ones(1, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"x must be \(C, H, W\) or \(N, C, H, W\), got \(4, 4\)"):
        transform(torch.ones(4, 4))
    with pytest.raises(TypeError, match=r"x must be a torch.Tensor, got ndarray.*from_numpy"):
        transform(np.ones((1, 4, 4), dtype=np.float32))


def test_the_number_of_a_sample_is_checked() -> None:
    for transform in RANDOM:
        with pytest.raises(ValueError, match="index must have the shape"):
            transform(images(), index=[1, 2])
        with pytest.raises(ValueError, match="index must be 0 to"):
            transform(images(), index=-1)
        with pytest.raises(TypeError, match="index must"):
            transform(images(), index=1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSpeckle(0.0), "looks must be a finite number above 0"),
        (lambda: RandomSpeckle((4.0, 1.0)), "low <= high"),
        (lambda: RandomSpeckle((1.0, 2.0, 3.0)), r"looks must be a number or a pair"),
        (lambda: RandomSpeckle((1.0, math.inf)), "looks must be a finite"),
        (lambda: RandomSpeckle(p=1.5), "p must be a probability, 0 to 1, got 1.5"),
        (lambda: RandomSpeckle(p=math.nan), "p must be a probability"),
        (lambda: RandomSpeckle(domain="decibel"), "domain must be one of 'intensity'"),
        (lambda: RandomSpeckle((1, 8), "complex"), "looks must be 1 for domain='complex'"),
        (lambda: RandomSpeckle(texture=-1.0), "texture must be"),
        (lambda: RandomSpeckle(psf="square"), "psf must be one of"),
        (lambda: RandomSpeckle(seed=-1), "seed must be 0 to"),
        (lambda: RandomLooks(0.0), "looks_in must be a finite number above 0"),
        (lambda: RandomLooks(4, (1, 8)), "looks_out must be at most looks_in, 4"),
        (lambda: RandomLooks(4, (0, 2)), "looks_out must be a finite number above 0"),
        (lambda: RandomLooks(4, domain="complex"), "domain must be one of"),
        (lambda: RandomFlip(p=-0.1), "p must be a probability"),
        (lambda: RandomFlip(range_axis=1), "range_axis must be -1"),
        (lambda: RandomRadiometricOffset(-1.0), "std_db must be a finite number of decibels"),
        (lambda: RandomRadiometricOffset(limits=(1.0, 1.0)), "limits must be low < high"),
        (lambda: RandomRadiometricOffset(domain="phase"), "domain must be one of"),
        (lambda: ToDecibel("power"), "domain must be one of 'intensity', 'amplitude'"),
        (lambda: ToDecibel(floor=-math.inf), "floor must be a finite number"),
        (lambda: RandomSpeckle().set_epoch(-1), "epoch must be 0 to"),
    ],
)
def test_bad_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_types_are_named() -> None:
    with pytest.raises(TypeError, match="looks must be a number"):
        RandomSpeckle("many")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="seed must be an int"):
        RandomFlip(seed=1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="looks_in must be a number"):
        RandomLooks((2, 4))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Compose([len])  # type: ignore[list-item]
    with pytest.raises(NotImplementedError, match=r"RandomTransform must define change"):
        RandomTransform()(images())


# ---- speckle


def test_complex_images_get_one_look_by_default() -> None:
    z = torch.ones(1, 1, 4, 4, dtype=torch.complex64)
    assert torch.equal(RandomSpeckle(domain="complex", seed=1)(z, 0), speckle(z, 1, seed=1, domain="complex"))
    assert RandomSpeckle(domain="db").looks == (1.0, 8.0)


def test_speckle_of_fixed_looks_is_that_of_the_op(device: torch.device) -> None:
    x = images().to(device)
    for domain in ("intensity", "amplitude", "db", "log"):
        expected = speckle(x, 3.5, seed=9, domain=domain, index=4)
        assert torch.equal(RandomSpeckle(3.5, domain, seed=9)(x, index=4), expected)
    z = torch.complex(x, x)
    got = RandomSpeckle(1, "complex", seed=9, psf="box")(z, index=4)
    assert torch.equal(got, speckle(z, seed=9, domain="complex", psf="box", index=4))


def test_looks_are_log_uniform_and_one_number_holds_for_a_sample() -> None:
    out = RandomSpeckle((1.0, 16.0), seed=1)(torch.full((300, 1, 64, 64), 0.3), index=0)
    looks = np.array([measured_looks(sample) for sample in out])
    position = np.sort(np.log(looks) / math.log(16.0))
    expected = (np.arange(300) + 0.5) / 300
    assert np.abs(position - expected).max() < 1.63 / math.sqrt(300) + 0.01  # Kolmogorov and Smirnov, 1 %
    halves = np.array([[measured_looks(s[:, :32]), measured_looks(s[:, 32:])] for s in out])
    assert np.abs(np.log(halves[:, 0] / halves[:, 1])).max() < 0.35  # sampling error of 2048 pixels, 5 sigma
    assert out.mean().item() == pytest.approx(0.3, rel=2e-3)


@pytest.mark.parametrize("transform", [RandomSpeckle(2, p=0.3, seed=2), RandomLooks(16, 2, p=0.3, seed=2)])
def test_samples_that_are_not_chosen_keep_their_bits(transform: RandomTransform) -> None:
    x = images(1000, 1, 4, 4)
    x[:, 0, 0, 0] = math.nan
    out = transform(x, index=0)
    kept = ((out == x) | x.isnan()).flatten(1).all(dim=1)
    assert abs(kept.double().mean().item() - 0.7) < 4 * math.sqrt(0.21 / 1000)
    assert bool(out[:, 0, 0, 0].isnan().all())


def test_probabilities_0_and_1() -> None:
    x = images(200)
    for make in (RandomSpeckle, lambda **k: RandomLooks(8, **k), RandomRadiometricOffset, RandomFlip):
        assert torch.equal(make(p=0.0, seed=1)(x, index=0), x)
        changed = make(p=1.0, seed=1)(x, index=0) != x
        assert bool(changed.flatten(1).any(dim=1).all())


def test_zeros_stay_and_negative_intensities_are_refused() -> None:
    x = images()
    x[..., 0] = 0.0
    assert bool((RandomSpeckle(seed=1)(x)[..., 0] == 0).all())
    assert bool((RandomSpeckle(seed=1)(x)[..., 1:] > 0).all())
    x[2, 0, 0, 0] = -3.0
    with pytest.raises(ValueError, match=r"x holds negative intensities \(smallest -3\)"):
        RandomSpeckle(seed=1)(x)


@pytest.mark.parametrize(("looks_in", "looks_out"), [(16.0, 1.0), (9.0, 4.0), (4.4, 3.3), (2.0, 0.7)])
@pytest.mark.parametrize("domain", ["intensity", "amplitude", "db"])
def test_looks_out_are_those_asked_for(looks_in: float, looks_out: float, domain: str) -> None:
    x = speckle(torch.ones(1, 1, 700, 700), looks_in, seed=1)
    native = {"intensity": x, "amplitude": x.sqrt(), "db": 10 * torch.log10(x)}[domain]
    y = RandomLooks(looks_in, looks_out, domain, seed=2)(native).double()
    intensity = {"intensity": y, "amplitude": y.square(), "db": 10 ** (y / 10)}[domain]
    assert intensity.mean().item() == pytest.approx(1.0, abs=5 / math.sqrt(490_000 * looks_out))
    assert measured_looks(intensity) == pytest.approx(looks_out, rel=0.03)


def test_third_moment_of_fewer_looks_is_that_of_the_docstring() -> None:
    x = speckle(torch.ones(16, 1, 1024, 1024), 16, seed=1)
    third = (RandomLooks(16, 1, seed=2)(x, index=0).double() ** 3).mean().item()
    added = (1 + 1 / 16) / (1 - 1 / 16)
    expected = (17 / 16) * (18 / 16) * (1 + 1 / added) * (1 + 2 / added)
    assert round(expected, 2) == 6.22
    assert third == pytest.approx(expected, rel=0.015)


def test_as_many_looks_as_there_are_change_nothing() -> None:
    x = images()
    assert torch.equal(RandomLooks(4, 4, seed=1)(x), x)


# ---- gradients


@pytest.mark.parametrize("transform", ALL, ids=name_of)
def test_gradients_flow_to_the_image(transform: Any) -> None:
    x = images(2, 1, 3, 4).double().requires_grad_()
    arguments = (5,) if isinstance(transform, RandomTransform) else ()
    if getattr(transform, "texture", None) is None:  # the op draws its field in float32: exact, but slow to difference
        assert torch.autograd.gradcheck(lambda v: transform(v, *arguments), (x,), atol=1e-6)
    transform(x, *arguments).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert bool((x.grad != 0).any())


def test_the_gradient_of_a_floored_zero_is_zero() -> None:
    x = torch.tensor([[[0.0, 1e-9, 1.0]]], requires_grad=True)
    ToDecibel(floor=-40)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[0.0, 0.0, pytest.approx(10 / math.log(10))]]]
