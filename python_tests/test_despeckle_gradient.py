"""The gradient of despeckle and what its op promises: gradcheck, opcheck, compile, no gradient where there is none."""

import pytest
import torch

from sarcore.ops import despeckle
from sarcore.ops.despeckle import DIFFERENTIABLE, METHODS

from .test_despeckle import holes, speckled, unit

differentiable = pytest.mark.parametrize("method", DIFFERENTIABLE)
every_domain = pytest.mark.parametrize("domain", ["intensity", "amplitude", "db", "log"])


@differentiable
@every_domain
@pytest.mark.parametrize("window", [3, 5])
def test_gradcheck(method, domain, window):
    x, mask = unit(speckled((1, 2, 6, 7)), domain), holes((1, 2, 6, 7))
    mask[..., 2:4, 2:5] = True
    for m in (None, mask):
        leaf = x.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda t, m=m: despeckle(t, method, window, 3.0, domain=domain, mask=m), leaf)


@differentiable
def test_gradcheck_of_scattered_nan_and_a_large_window(method):
    x = speckled((1, 1, 9, 10))
    x[..., 3, 4] = x[..., 0, 0] = x[..., 8, 9] = float("nan")
    leaf = x.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: despeckle(t, method, 9, 3.0)[~x.isnan()], leaf)
    assert bool(torch.isfinite(torch.autograd.grad(despeckle(leaf, method, 9, 3.0).nansum(), leaf)[0]).all())


def test_masked_pixels_pass_their_gradient_through_and_nan_pixels_get_none():
    x, mask = speckled((1, 1, 12, 12)).float(), holes((1, 1, 12, 12))
    x[..., 5, 5] = float("nan")
    x.requires_grad_()
    despeckle(x, "lee", 5, mask=mask).backward(torch.full_like(x, 2.0))
    assert bool((x.grad[~mask & ~x.isnan()] == 2).all())
    assert float(x.grad[..., 5, 5]) == 0


@differentiable
def test_the_mean_gets_a_gradient_of_one_each(method):
    """Away from the borders boxcar only spreads; Lee and Kuan give constants back as they were."""
    x = torch.full((1, 1, 30, 30), 0.7, requires_grad=True)
    upstream = torch.zeros_like(x)
    upstream[..., 10:20, 10:20] = 1
    despeckle(x, method).backward(upstream)
    torch.testing.assert_close(x.grad.sum().item(), 100.0, rtol=1e-5, atol=0)


@differentiable
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_gradient_dtypes_threads_and_repeats(method, dtype):
    x = speckled((2, 2, 40, 41)).to(dtype).requires_grad_()
    upstream = torch.linspace(-1, 1, x.numel()).reshape(x.shape).to(dtype)

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(despeckle(x, method, looks=2.0), x, upstream)[0]

    first = gradient()
    assert first.dtype == dtype
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(gradient(), first)
    finally:
        torch.set_num_threads(before)
    wide = x.detach().float().requires_grad_()
    expected = torch.autograd.grad(despeckle(wide, method, looks=2.0), wide, upstream.float())[0]
    assert torch.equal(first, expected.to(dtype))


def test_zeros_have_finite_gradients():
    for domain in ("intensity", "amplitude"):
        x = torch.zeros(1, 1, 9, 9, requires_grad=True)
        despeckle(x, domain=domain).sum().backward()
        assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("method", [m for m in METHODS if m not in DIFFERENTIABLE])
def test_other_methods_say_which_ones_have_a_gradient(method):
    x = torch.rand(1, 1, 9, 9, requires_grad=True)
    with pytest.raises(RuntimeError, match=f"no gradient for method '{method}'; the methods boxcar, lee, kuan"):
        despeckle(x, method).sum().backward()


def test_no_second_derivative():
    x = torch.rand(1, 1, 9, 9, requires_grad=True)
    (gradient,) = torch.autograd.grad(despeckle(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable once"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_opcheck(dtype):
    x, mask = speckled((2, 1, 9, 10)).to(dtype), holes((2, 1, 9, 10))
    ops = torch.ops.sarcore
    for m in (None, mask):
        for method in METHODS:
            leaf = x.clone().requires_grad_(method in DIFFERENTIABLE)
            torch.library.opcheck(ops.despeckle.default, (leaf, m, method, 7, 2.0, "db", 1.0))
        torch.library.opcheck(ops.despeckle_backward.default, (torch.ones_like(x), x, m, "lee", 5, 2.0, "amplitude"))


def test_compiled_equals_eager_forward_and_backward():
    torch._dynamo.reset()

    def step(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return despeckle(x * 0.5, "lee", 5, 2.0, mask=mask).square()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    x, mask = speckled((1, 2, 14, 15)).float(), holes((1, 2, 14, 15))
    for m in (None, mask):
        results = []
        for function in (step, compiled):
            leaf = x.clone().requires_grad_()
            out = function(leaf, m)
            out.sum().backward()
            results.append((out.detach(), leaf.grad))
        for a, b in zip(*results, strict=True):
            assert torch.equal(a, b)


def test_inference_mode_meta_and_autocast():
    x = speckled((1, 1, 20, 20)).float()
    expected = despeckle(x)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = despeckle(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert despeckle(x.to("meta")).shape == x.shape
