"""soft_histogram: gradients, the error of second derivatives, ranges at the limits of the dtype, bad arguments."""

import math

import numpy as np
import pytest
import torch

from sarcore import reference
from sarcore.ops import soft_histogram


def off_kinks(shape: tuple[int, ...], bins: int, limits: tuple[float, float] = (0.0, 1.0)) -> torch.Tensor:
    """float64 values whose positions are at least 0.2 away from every bin centre, some of them out of range."""
    generator = torch.Generator().manual_seed(1)
    whole = torch.randint(-2, bins + 1, shape, generator=generator)
    fraction = 0.2 + 0.6 * torch.rand(shape, dtype=torch.float64, generator=generator)
    return limits[0] + (whole + fraction + 0.5) * ((limits[1] - limits[0]) / bins)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("kernel", ["linear", "hard", "gaussian", "bspline"])
def test_gradcheck(kernel, density, masked):
    bins, limits = 4, (-0.3, 1.7)
    x = off_kinks((2, 1, 2, 3), bins if kernel in ("linear", "hard") else bins * 16, limits)
    x[0, 0, 0, 0] = float("inf")
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) > 0.3 if masked else None
    if masked:
        x[1, 0, 1, 1] = float("nan")
        mask[1, 0, 1, 1] = False
    moving = x.isfinite()

    def call(values: torch.Tensor) -> torch.Tensor:
        return soft_histogram(torch.where(moving, values, x), bins, limits, kernel=kernel, density=density, mask=mask)

    values = torch.where(moving, x, 0.5).requires_grad_()
    assert torch.autograd.gradcheck(call, values)


@pytest.mark.parametrize("bins", [2, 3, 64, 4096])
@pytest.mark.parametrize("shape", [(2, 2, 13, 17), (1, 1, 300, 301)])
def test_gradient_is_the_slope_between_the_bins(bins, shape):
    limits = (-0.3, 1.7)
    x = off_kinks(shape, bins, limits)
    x[0, 0, 0, :3] = torch.tensor([float("nan"), float("inf"), float("-inf")])
    x.requires_grad_()
    upstream = torch.rand(*shape[:2], bins, dtype=torch.float64)
    soft_histogram(x, bins, limits).backward(upstream)
    width = (limits[1] - limits[0]) / bins
    position = (x.detach() - limits[0]) / width - 0.5
    inside = (position > 0) & (position < bins - 1)
    k = torch.where(inside, position, 0).floor().long().flatten(2)
    slope = (upstream.gather(2, (k + 1).clamp_max(bins - 1)) - upstream.gather(2, k)).reshape(shape) / width
    torch.testing.assert_close(x.grad, torch.where(inside, slope, 0.0), rtol=1e-10, atol=1e-10)


def test_gradient_equals_the_reference():
    x = off_kinks((2, 1, 9, 9), 16)
    upstream = torch.rand(2, 1, 16, dtype=torch.float64)
    mask = torch.rand(2, 1, 9, 9) > 0.2
    ours, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    soft_histogram(ours, 16, mask=mask).backward(upstream)
    reference.soft_histogram(plain, 16, mask=mask).backward(upstream)
    torch.testing.assert_close(ours.grad, plain.grad)


def test_gradients_of_half_precision_are_rounded_to_nearest():
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
        for scale in (1.0, 1e-6, 1e-8, 3e4):
            upstream = scale * torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(1))
            narrow, wide = x.clone().requires_grad_(), x.float().requires_grad_()
            soft_histogram(narrow, 32).backward(upstream)
            soft_histogram(wide, 32).backward(upstream)
            assert narrow.grad.dtype == dtype
            assert torch.equal(narrow.grad, wide.grad.to(dtype)), (dtype, scale)
    # Just above the tie between 0 and the smallest float16: rounding in two steps would give 0.
    x = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float16, requires_grad=True)
    above = 2.0**-25 * (1 + 2.0**-20)
    soft_histogram(x, 2).backward(torch.tensor([[[0.0, above / 2]]]))
    assert float(x.grad) == 2.0**-24


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
def test_second_derivative_is_a_clear_error(kernel):
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(soft_histogram(x, 8, kernel=kernel).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="soft_histogram is differentiable once"):
        grad.sum().backward()


def test_16_bit_data_over_its_full_range():
    x = torch.arange(65536, dtype=torch.int32).reshape(1, 1, 256, 256).to(torch.uint16)
    hard = soft_histogram(x, 256, (0.0, 65536.0), kernel="hard")
    assert torch.equal(hard, torch.full((1, 1, 256), 256.0))
    linear = soft_histogram(x, 256, (0.0, 65536.0))
    assert float(linear.sum()) == 65536
    torch.testing.assert_close(linear[..., 1:-1], torch.full((1, 1, 254), 256.0), rtol=0, atol=2**-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limits", [(-1e39, 1e39), (0.0, 1e-38), (-1e308, 1e308), (0.0, 1e-310)], ids=str)
def test_ranges_at_the_limits_of_the_dtype(dtype, limits):
    """Right, or refused by name: never a histogram with every pixel in one wrong bin."""
    fractions = (torch.arange(8, dtype=torch.float64) + 0.5) / 8
    x = (limits[0] * (1 - fractions) + limits[1] * fractions).to(dtype).reshape(1, 1, 2, 4)
    try:
        found = soft_histogram(x, 8, limits)
    except ValueError as refusal:
        named = "range" in str(refusal)
        assert named, refusal  # noqa: PT017
    else:
        torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-3)


@pytest.mark.parametrize("limits", [(1e6, 1e6 + 1), (-1e-20, 1e-20), (1e30, 1e30 + 1e27)], ids=str)
def test_adversarial_values_stay_finite_and_counted(limits):
    values = [0.0, -0.0, 1e-45, -1e-45, 1e-38, 1.0, -1.0, 1e30, -1e30, 3.4e38, -3.4e38, limits[0], limits[1]]
    values += [math.nextafter(limits[0], math.inf), float("inf"), float("-inf"), float("nan"), 1e6 + 0.5]
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor(values, dtype=dtype).reshape(1, 1, 1, -1).requires_grad_()
        h = soft_histogram(x, 64, limits)
        h.backward(torch.rand(1, 1, 64, dtype=dtype))
        assert float(h.detach().sum()) == len(values) - 1
        assert float(h.detach()[..., 0]) >= 4  # low, -1, -1e30, -3.4e38 and -inf, of which one may lie inside
        assert bool(x.grad.isfinite().all())


IMAGE = torch.rand(1, 1, 4, 4)
BAD = [
    ({"x": "image"}, TypeError, "x"),
    ({"x": None}, TypeError, "x"),
    ({"x": np.zeros((1, 1, 4, 4), np.float32)}, TypeError, "x"),
    ({"x": IMAGE[0]}, ValueError, "x"),
    ({"x": IMAGE[None]}, ValueError, "x"),
    ({"x": IMAGE.long()}, TypeError, "x"),
    ({"x": IMAGE.to(torch.int8)}, TypeError, "x"),
    ({"x": IMAGE.to(torch.complex64)}, TypeError, "x"),
    ({"x": IMAGE > 0.5}, TypeError, "x"),
    ({"x": IMAGE.to_sparse()}, (TypeError, ValueError), "x"),
    ({"bins": 1}, ValueError, "bins"),
    ({"bins": 0}, ValueError, "bins"),
    ({"bins": -5}, ValueError, "bins"),
    ({"bins": 4097}, ValueError, "bins"),
    ({"bins": 2**40}, ValueError, "bins"),
    ({"bins": 8.0}, TypeError, "bins"),
    ({"bins": True}, TypeError, "bins"),
    ({"bins": None}, TypeError, "bins"),
    ({"range": (1.0, 0.0)}, ValueError, "range"),
    ({"range": (0.5, 0.5)}, ValueError, "range"),
    ({"range": (0.0, float("nan"))}, ValueError, "range"),
    ({"range": (0.0, float("inf"))}, ValueError, "range"),
    ({"range": (0.0, 1.0, 2.0)}, ValueError, "range"),
    ({"range": 1.0}, (TypeError, ValueError), "range"),
    ({"range": None}, (TypeError, ValueError), "range"),
    ({"range": "01"}, (TypeError, ValueError), "range"),
    ({"range": (0.0, "high")}, (TypeError, ValueError), "range"),
    ({"range": (0.0, None)}, (TypeError, ValueError), "range"),
    ({"range": (0.0, 1j)}, (TypeError, ValueError), "range"),
    ({"range": torch.tensor(1.0)}, (TypeError, ValueError), "range"),
    ({"range": {"low": 0.0, "high": 1.0}}, (TypeError, ValueError), "range"),
    ({"range": (0, 10**400)}, (TypeError, ValueError), "range"),
    ({"kernel": "cubic"}, ValueError, "kernel"),
    ({"kernel": None}, (TypeError, ValueError), "kernel"),
    ({"kernel": np.array(["linear", "hard"])}, (TypeError, ValueError), "kernel"),
    ({"bandwidth": 0.1}, ValueError, "bandwidth"),
    ({"kernel": "gaussian", "bandwidth": 0.0}, ValueError, "bandwidth"),
    ({"kernel": "gaussian", "bandwidth": -0.1}, ValueError, "bandwidth"),
    ({"kernel": "bspline", "bandwidth": float("nan")}, ValueError, "bandwidth"),
    ({"kernel": "bspline", "bandwidth": float("inf")}, ValueError, "bandwidth"),
    ({"kernel": "bspline", "bandwidth": 1e-6}, ValueError, "bandwidth"),
    ({"kernel": "gaussian", "bandwidth": 1e-310}, ValueError, "bandwidth"),
    ({"kernel": "gaussian", "bandwidth": "wide"}, (TypeError, ValueError), "bandwidth"),
    ({"kernel": "gaussian", "bandwidth": [0.1]}, (TypeError, ValueError), "bandwidth"),
    ({"mask": torch.ones(1, 1, 4, 4)}, TypeError, "mask"),
    ({"mask": torch.ones(1, 1, 4, 4, dtype=torch.uint8)}, TypeError, "mask"),
    ({"mask": np.ones((1, 1, 4, 4), bool)}, TypeError, "mask"),
    ({"mask": torch.ones(1, 1, 5, 4, dtype=torch.bool)}, ValueError, "mask"),
    ({"mask": torch.ones(1, 1, 1, 4, 4, dtype=torch.bool)}, ValueError, "mask"),
    ({"mask": torch.ones(1, 1, 4, 4, dtype=torch.bool, device="meta")}, ValueError, "mask"),
]


@pytest.mark.parametrize(("arguments", "error", "name"), BAD, ids=[f"{i}-{b[2]}" for i, b in enumerate(BAD)])
def test_bad_arguments_are_named(arguments, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        soft_histogram(**{"x": IMAGE, "bins": 8, **arguments})
