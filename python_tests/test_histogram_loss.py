"""histogram_loss: values and gradients against a float64 oracle written from the formula, gradcheck, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore import reference
from sarcore.ops import histogram_loss

every_choice = [
    pytest.mark.parametrize("distance", ["l2", "l1", "emd"]),
    pytest.mark.parametrize("spatial", ["l2", "l1"]),
    pytest.mark.parametrize("normalize", ["probability", "count"]),
]


def all_choices(function):
    for mark in every_choice:
        function = mark(function)
    return function


def oracle(x, y, bins, limits, omega, distance, spatial, normalize, kernel="linear", mask=None) -> np.ndarray:
    """The loss per image in float64, straight from the formulas."""
    low, high = limits
    rows = np.zeros(x.shape[:2])
    for n, c in np.ndindex(*x.shape[:2]):
        a, b = x[n, c].double().numpy(), y[n, c].double().numpy()
        valid = ~np.isnan(a) & ~np.isnan(b) & (True if mask is None else mask.expand(x.shape)[n, c].numpy())
        a, b = a[valid], b[valid]
        if a.size == 0:
            rows[n, c] = np.nan
            continue
        histograms = []
        for image in (a, b):
            if kernel == "hard":
                histograms.append(np.histogram(image, bins, limits)[0].astype(float))
                continue
            position = np.clip((image - low) / ((high - low) / bins) - 0.5, 0, bins - 1)
            histograms.append(np.maximum(0, 1 - np.abs(position[:, None] - np.arange(bins))).sum(0))
        d = histograms[0] - histograms[1]
        d = d / a.size if normalize == "probability" else d
        d = np.cumsum(d) if distance == "emd" else d
        term = np.mean(d**2 if distance == "l2" else np.abs(d))
        rows[n, c] = term + omega * np.mean((a - b) ** 2 if spatial == "l2" else np.abs(a - b))
    return rows.mean(1)


def random_pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    x = 1.3 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.15
    y = 1.3 * torch.rand(shape, generator=generator, dtype=torch.float64).square() - 0.15
    return x.to(dtype), y.to(dtype), torch.rand(shape, generator=generator) > 0.25


def off_kinks(shape: tuple[int, ...], bins: int, seed: int) -> torch.Tensor:
    """float64 values at least 0.2 bins away from every bin centre, some of them out of range."""
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-2, bins + 1, shape, generator=generator)
    return (whole + 0.7 + 0.6 * torch.rand(shape, generator=generator, dtype=torch.float64)) / bins


@all_choices
@pytest.mark.parametrize("kernel", ["linear", "hard"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_formula(distance, spatial, normalize, kernel, dtype):
    for shape, bins, limits, omega in (
        ((2, 3, 13, 17), 16, (0.0, 1.0), 0.001),
        ((1, 1, 1, 7), 3, (-0.3, 1.7), 1.0),
        ((2, 1, 1, 1), 2, (0.0, 1.0), 0.0),
        ((1, 1, 300, 301), 64, (0.0, 1.0), 0.1),
    ):
        x, y, mask = random_pair(shape, dtype)
        for m in (None, mask):
            found = histogram_loss(
                x, y, bins, limits, omega=omega, distance=distance, spatial=spatial, normalize=normalize,
                kernel=kernel, mask=m, reduction="none",
            )  # fmt: skip
            expected = oracle(x, y, bins, limits, omega, distance, spatial, normalize, kernel, m)
            relative = 1e-10 if dtype == torch.float64 else 2e-5
            np.testing.assert_allclose(
                found.double().numpy(), expected, rtol=relative, atol=1e-7 if relative > 1e-9 else 1e-14
            )


@all_choices
def test_equals_the_reference_with_both_gradients(distance, spatial, normalize):
    choices = {"distance": distance, "spatial": spatial, "normalize": normalize, "omega": 0.3}
    for mask in (None, torch.rand(2, 1, 9, 8, generator=torch.Generator().manual_seed(5)) > 0.3):
        results = []
        for function in (lambda *a, **k: histogram_loss(*a, reduction="none", **k), reference.histogram_loss):
            x, y = off_kinks((2, 2, 9, 8), 16, 1).requires_grad_(), off_kinks((2, 2, 9, 8), 16, 2).requires_grad_()
            loss = function(x, y, 16, mask=mask, **choices)
            loss.backward(torch.tensor([1.0, -2.5], dtype=torch.float64))
            results.append((loss.detach(), x.grad, y.grad))
        for ours, plain in zip(*results, strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-13)


@all_choices
@pytest.mark.parametrize("kernel", ["linear", "hard"])
def test_gradcheck(distance, spatial, normalize, kernel):
    # The hard kernel steps at the bin edges, half a bin from the centres: keep away from those instead.
    shift = 0.5 / 6 if kernel == "hard" else 0.0
    x, y = off_kinks((2, 2, 2, 3), 6, 1) + shift, off_kinks((2, 2, 2, 3), 6, 2) + shift
    assert float((x - y).abs().min()) > 1e-4
    mask = torch.rand(2, 1, 2, 3, generator=torch.Generator().manual_seed(5)) > 0.2

    def call(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return histogram_loss(
            a, b, 6, omega=0.7, distance=distance, spatial=spatial, normalize=normalize, kernel=kernel, mask=mask,
            reduction="none",
        )  # fmt: skip

    assert torch.autograd.gradcheck(call, (x.requires_grad_(), y.requires_grad_()))


def test_gradient_of_one_side_alone():
    x, y, mask = random_pair((2, 2, 8, 8))
    a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
    histogram_loss(a, b, mask=mask).backward()
    for left, right, expected in ((True, False, a.grad), (False, True, b.grad)):
        p, q = x.clone().requires_grad_(left), y.clone().requires_grad_(right)
        histogram_loss(p, q, mask=mask).backward()
        assert torch.equal(p.grad if left else q.grad, expected)
        assert (q if left else p).grad is None


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)),
    bins=st.integers(2, 200),
    distance=st.sampled_from(["l2", "l1", "emd"]),
    low=st.floats(-50, 0),
    width=st.floats(0.5, 100),
    seed=st.integers(0, 1000),
)
def test_properties(shape, bins, distance, low, width, seed):
    x, y, mask = random_pair(shape, torch.float64, seed)
    limits = (low, low + width)
    options = {"distance": distance, "omega": 0.2, "mask": mask, "reduction": "none"}
    loss = histogram_loss(x, y, bins, limits, **options)
    expected = oracle(x, y, bins, limits, 0.2, distance, "l2", "probability", "linear", mask)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-8, atol=1e-12)
    assert torch.equal(loss.nan_to_num(), histogram_loss(y, x, bins, limits, **options).nan_to_num())
    itself = histogram_loss(x, x, bins, limits, **options)
    assert torch.equal(itself.nan_to_num(), torch.zeros_like(itself))


def test_emd_is_the_distance_two_constants_are_apart():
    x, y = torch.full((1, 1, 9, 9), 0.25), torch.full((1, 1, 9, 9), 0.75)
    assert float(histogram_loss(x, y, 64, distance="emd", omega=0.0)) == pytest.approx(0.5, rel=1e-6)


def test_reductions_and_integer_images():
    x, y = (torch.randint(0, 65536, (3, 2, 20, 20)).to(torch.uint16) for _ in range(2))
    none, mean, total = (histogram_loss(x, y, 32, (0.0, 65535.0), reduction=r) for r in ("none", "mean", "sum"))
    expected = oracle(x.int(), y.int(), 32, (0.0, 65535.0), 0.001, "l2", "l2", "probability")
    np.testing.assert_allclose(none.numpy(), expected, rtol=1e-6)
    torch.testing.assert_close(mean, none.mean())
    torch.testing.assert_close(total, none.sum())
    small = histogram_loss(
        x.int().div(257, rounding_mode="floor").to(torch.uint8), torch.zeros_like(x, dtype=torch.uint8)
    )
    assert small.dtype == torch.float32


def test_image_without_valid_pixels_is_nan_with_zero_gradient():
    x, y, _ = random_pair((2, 1, 4, 4))
    x[0] = float("nan")
    x.requires_grad_()
    loss = histogram_loss(x, y, reduction="none")
    assert loss.isnan().tolist() == [True, False]
    loss[1].backward()
    assert not x.grad[0].any()
    assert x.grad[1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_infinite_pixels_without_a_spatial_term(dtype):
    """Infinity counts in an end bin; with omega 0 there is no residual that could turn it into NaN."""
    x = torch.tensor([float("inf"), 0.3, float("-inf"), 0.9], dtype=dtype).reshape(1, 1, 2, 2).requires_grad_()
    y = torch.tensor([1.0, 0.3, 0.0, 0.9], dtype=dtype).reshape(1, 1, 2, 2)
    loss = histogram_loss(x, y, 8, omega=0.0)
    loss.backward()
    assert loss.item() == 0.0
    assert not x.grad.any()


def test_error_in_float32_is_at_most_twice_that_of_plain_pytorch():
    worst = {"ours": 0.0, "plain": 0.0}
    for seed in range(20):
        x, y, _ = random_pair((2, 1, 40, 40), torch.float32, seed)
        exact = oracle(x, y, 64, (0.0, 1.0), 0.001, "l2", "l2", "probability")
        worst["ours"] = max(
            worst["ours"], np.abs(histogram_loss(x, y, reduction="none").double().numpy() - exact).max()
        )
        worst["plain"] = max(worst["plain"], np.abs(reference.histogram_loss(x, y, 64).double().numpy() - exact).max())
    assert worst["ours"] <= 2 * worst["plain"] + 2.0**-17 * 2 / 64  # fixed point: half a step of 2^-16 on either side


IMAGE = torch.rand(1, 1, 4, 4)
BAD = [
    ({"input": 1.0}, TypeError, "input"),
    ({"input": IMAGE[0]}, ValueError, "input"),
    ({"input": IMAGE.int()}, TypeError, "input"),
    ({"target": [1.0]}, TypeError, "target"),
    ({"target": IMAGE[0, 0]}, ValueError, "target"),
    ({"target": torch.rand(1, 1, 4, 5)}, ValueError, "target"),
    ({"target": torch.rand(2, 1, 4, 4)}, ValueError, "target"),
    ({"target": IMAGE.to("meta")}, ValueError, "target"),
    ({"target": (IMAGE * 255).to(torch.uint8)}, TypeError, "target"),
    ({"bins": 1}, ValueError, "bins"),
    ({"bins": 5000}, ValueError, "bins"),
    ({"bins": "64"}, TypeError, "bins"),
    ({"range": (1, 0)}, ValueError, "range"),
    ({"range": (0, float("inf"))}, ValueError, "range"),
    ({"omega": -0.1}, ValueError, "omega"),
    ({"omega": float("nan")}, ValueError, "omega"),
    ({"omega": float("inf")}, ValueError, "omega"),
    ({"omega": None}, (TypeError, ValueError), "omega"),
    ({"omega": "1"}, (TypeError, ValueError), "omega"),
    ({"omega": 10**400}, ValueError, "omega"),
    ({"distance": "l3"}, ValueError, "distance"),
    ({"distance": np.array(["l1", "l2"])}, (TypeError, ValueError), "distance"),
    ({"spatial": "emd"}, ValueError, "spatial"),
    ({"normalize": True}, (TypeError, ValueError), "normalize"),
    ({"kernel": "gaussian"}, ValueError, "kernel"),
    ({"reduction": "max"}, ValueError, "reduction"),
    ({"mask": torch.ones(1, 1, 4, 4)}, TypeError, "mask"),
    ({"mask": torch.ones(1, 1, 3, 4, dtype=torch.bool)}, ValueError, "mask"),
]


@pytest.mark.parametrize(("arguments", "error", "name"), BAD, ids=[f"{i}-{b[2]}" for i, b in enumerate(BAD)])
def test_bad_arguments_are_named(arguments, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        histogram_loss(**{"input": IMAGE, "target": IMAGE, "bins": 8, **arguments})
