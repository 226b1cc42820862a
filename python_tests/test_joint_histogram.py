"""joint_histogram and mutual_information: float64 oracles written from the formulas, gradients, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore import _core, reference
from sarcore.ops import joint_histogram, mutual_information, soft_histogram


def taps(values: np.ndarray, bins: int, limits: tuple[float, float]) -> np.ndarray:
    position = np.clip((values - limits[0]) / ((limits[1] - limits[0]) / bins) - 0.5, 0, bins - 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(bins)))


def oracle(x, y, bins, limits, limits_y=None, mask=None, bins_y=None) -> np.ndarray:
    out = np.zeros((*x.shape[:2], bins, bins_y or bins))
    for n, c in np.ndindex(*x.shape[:2]):
        a, b = x[n, c].double().numpy(), y[n, c].double().numpy()
        valid = ~np.isnan(a) & ~np.isnan(b) & (True if mask is None else mask.expand(x.shape)[n, c].numpy())
        out[n, c] = taps(a[valid], bins, limits).T @ taps(b[valid], bins_y or bins, limits_y or limits)
    return out


def information(joint: np.ndarray, normalized: bool) -> np.ndarray:
    out = np.zeros(joint.shape[:2])
    for n, c in np.ndindex(*joint.shape[:2]):
        p = joint[n, c] / joint[n, c].sum()
        entropies = [-sum(v * math.log(v) for v in part.ravel() if v > 0) for part in (p.sum(1), p.sum(0), p)]
        hx, hy, hxy = entropies
        out[n, c] = (hx + hy) / hxy if normalized else hx + hy - hxy
    return out.mean(1)


def random_pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    x = 1.3 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.15
    y = 0.7 * x + 0.4 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype), torch.rand(shape, generator=generator) > 0.25


def off_kinks(shape: tuple[int, ...], bins: int, seed: int, limits: tuple[float, float] = (0.0, 1.0)) -> torch.Tensor:
    """float64 values at least 0.2 bins away from every bin centre, some of them out of range."""
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-2, bins + 1, shape, generator=generator)
    position = whole + 0.7 + 0.6 * torch.rand(shape, generator=generator, dtype=torch.float64)
    return limits[0] + position * (limits[1] - limits[0]) / bins


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limits_y", [None, (-0.2, 1.3)])
@pytest.mark.parametrize(
    ("shape", "bins"),
    [((1, 1, 1, 1), 2), ((2, 2, 1, 7), 3), ((2, 3, 13, 17), 64), ((1, 1, 13, 17), 256), ((1, 1, 300, 301), 20)],
)
def test_equals_the_formula(shape, bins, limits_y, dtype):
    x, y, mask = random_pair(shape, dtype)
    for m in (None, mask):
        found = joint_histogram(x, y, bins, range_y=limits_y, mask=m).double().numpy()
        expected = oracle(x, y, bins, (0.0, 1.0), limits_y, m)
        step, epsilon = (2.0**-40, 2.0**-53) if dtype == torch.float64 else (2.0**-16, 2.0**-24)
        # Per pixel: a step for the positions, one for the product, roundings of both; then one of the result.
        pixels = max(1.0, oracle(x, y, bins, (0.0, 1.0), limits_y, m).max() * 4)
        bound = pixels * (2 * step + 8 * epsilon * bins) + epsilon * expected.max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)
        valid = np.full(shape[:2], shape[2] * shape[3]) if m is None else m.sum((2, 3)).numpy()
        np.testing.assert_allclose(found.sum((2, 3)), valid, rtol=1e-12 if dtype == torch.float64 else 1e-6)


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 25), st.integers(1, 25)),
    bins=st.integers(2, 60),
    low=st.floats(-10, 0.4),
    width=st.floats(0.1, 30),
    seed=st.integers(0, 1000),
)
def test_properties(shape, bins, low, width, seed):
    x, y, mask = random_pair(shape, torch.float64, seed)
    x[torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.1] = float("nan")
    limits = (low, low + width)
    h = joint_histogram(x, y, bins, limits, mask=mask)
    np.testing.assert_allclose(h.numpy(), oracle(x, y, bins, limits, None, mask), rtol=0, atol=1e-9)
    assert bool((h >= 0).all())
    valid = mask & ~x.isnan()
    assert torch.equal(h.sum((2, 3)), valid.sum((2, 3)).double())
    assert torch.equal(h.transpose(2, 3), joint_histogram(y, x, bins, limits, mask=mask))
    marginal = soft_histogram(x, bins, limits, mask=valid)
    torch.testing.assert_close(h.sum(3), marginal, rtol=0, atol=1e-9)


def test_equals_the_reference_with_both_gradients():
    results = []
    mask = torch.rand(2, 2, 9, 8, generator=torch.Generator().manual_seed(5)) > 0.3
    upstream = torch.rand(2, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    for function in (joint_histogram, reference.joint_histogram):
        x, y = (
            off_kinks((2, 2, 9, 8), 16, 1).requires_grad_(),
            off_kinks((2, 2, 9, 8), 16, 2, (-0.3, 1.7)).requires_grad_(),
        )
        h = function(x, y, 16, range_y=(-0.3, 1.7), mask=mask)
        h.backward(upstream)
        results.append((h.detach(), x.grad, y.grad))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("limits_y", [(0.0, 1.0), (-0.3, 1.7)])
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(limits_y, masked):
    x, y = off_kinks((1, 2, 2, 3), 4, 1), off_kinks((1, 2, 2, 3), 4, 2, limits_y)
    mask = torch.rand(1, 1, 2, 3, generator=torch.Generator().manual_seed(5)) > 0.3 if masked else None
    inputs = (x.requires_grad_(), y.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: joint_histogram(a, b, 4, range_y=limits_y, mask=mask), inputs)
    for alone in (0, 1):
        pair = [t.detach().requires_grad_(i == alone) for i, t in enumerate(inputs)]
        assert torch.autograd.gradcheck(lambda a, b: joint_histogram(a, b, 4, range_y=limits_y, mask=mask), pair)


@pytest.mark.parametrize("normalized", [False, True])
def test_gradcheck_of_the_information(normalized):
    x, y = off_kinks((2, 1, 5, 4), 4, 1).requires_grad_(), off_kinks((2, 1, 5, 4), 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: mutual_information(a, b, 4, normalized=normalized), (x, y))


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_information_equals_the_formula(normalized, dtype):
    x, y, mask = random_pair((2, 2, 30, 31), dtype)
    found = mutual_information(x, y, 16, range_y=(-0.2, 1.3), mask=mask, normalized=normalized)
    expected = information(oracle(x, y, 16, (0.0, 1.0), (-0.2, 1.3), mask), normalized)
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=1e-8 if dtype == torch.float64 else 2e-5)
    if not normalized:
        plain = reference.mutual_information(x, y, 16, range_y=(-0.2, 1.3), mask=mask)
        torch.testing.assert_close(found, plain, rtol=1e-8 if dtype == torch.float64 else 2e-5, atol=1e-7)


def test_information_of_an_image_with_itself_and_with_noise():
    levels = (torch.arange(4096).reshape(1, 1, 64, 64) % 16 + 0.5).double() / 16  # on the 16 bin centres
    assert mutual_information(levels, levels, 16).item() == pytest.approx(math.log(16), rel=1e-12)
    assert mutual_information(levels, levels, 16, normalized=True).item() == pytest.approx(2.0, rel=1e-12)
    assert mutual_information(levels, 1 - levels, 16).item() == pytest.approx(math.log(16), rel=1e-12)
    unrelated = (torch.arange(4096).reshape(1, 1, 64, 64) // 16 % 16 + 0.5).double() / 16
    assert mutual_information(levels, unrelated, 16).item() == pytest.approx(0.0, abs=1e-12)
    constant = torch.full((1, 1, 64, 64), 0.5 / 16)
    assert mutual_information(constant, levels.float(), 16).item() == pytest.approx(0.0, abs=1e-6)
    assert mutual_information(constant, constant, 16).item() == 0.0


def test_information_without_valid_pixels_is_nan():
    x, y, mask = random_pair((2, 1, 5, 5))
    mask[1] = False
    assert mutual_information(x, y, 8, mask=mask).isnan().tolist() == [False, True]


def test_core_counts_with_different_bins_per_axis():
    x, y, _ = random_pair((2, 1, 13, 17), torch.float64)
    out = np.empty((2, 1, 7, 19))
    _core.joint_histogram(x.numpy(), y.numpy(), None, out, None, 0.0, 1.0, -0.2, 1.3, 1)
    np.testing.assert_allclose(out, oracle(x, y, 7, (0.0, 1.0), (-0.2, 1.3), None, 19), rtol=0, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 1e30, float("inf"), float("-inf")])
def test_constant_images(value):
    x = torch.full((1, 1, 300, 301), value)
    h = joint_histogram(x, x, 64)
    expected = oracle(x[..., :1, :1], x[..., :1, :1], 64, (0.0, 1.0)) * 300 * 301
    np.testing.assert_allclose(h.double().numpy(), expected, rtol=0, atol=0)


IMAGE = torch.rand(1, 1, 4, 4)
BAD = [
    ({"x": None}, TypeError, "x"),
    ({"x": IMAGE[0]}, ValueError, "x"),
    ({"x": IMAGE.short()}, TypeError, "x"),
    ({"y": "y"}, TypeError, "y"),
    ({"y": IMAGE[:, :, :3]}, ValueError, "y"),
    ({"y": IMAGE.to("meta")}, ValueError, "y"),
    ({"y": (IMAGE * 255).to(torch.uint8)}, TypeError, "y"),
    ({"bins": 1}, ValueError, "bins"),
    ({"bins": 257}, ValueError, "bins"),
    ({"bins": 3.0}, TypeError, "bins"),
    ({"range": (1.0, 1.0)}, ValueError, "range"),
    ({"range_y": (1.0, -1.0)}, ValueError, "range_y"),
    ({"range_y": (1.0,)}, ValueError, "range_y"),
    ({"range_y": (0.0, "a")}, (TypeError, ValueError), "range_y"),
    ({"mask": torch.ones(1, 1, 4, 4)}, TypeError, "mask"),
    ({"mask": torch.ones(4, 5, dtype=torch.bool)}, ValueError, "mask"),
]


@pytest.mark.parametrize("function", [joint_histogram, mutual_information])
@pytest.mark.parametrize(("arguments", "error", "name"), BAD, ids=[f"{i}-{b[2]}" for i, b in enumerate(BAD)])
def test_bad_arguments_are_named(function, arguments, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        function(**{"x": IMAGE, "y": IMAGE, "bins": 8, **arguments})
