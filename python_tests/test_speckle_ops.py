"""speckle as an operator: gradients, opcheck, compile without recompilation, meta tensors, autocast, inference mode."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from sarcore.ops import speckle, speckle_field

TAPS = (torch.tensor([0.3, 1.0, -0.2]), torch.tensor([0.1, 0.5, 1.0, 0.4, 0.2]))
CASES: dict[str, dict[str, Any]] = {
    "intensity": {"looks": 2.7},
    "amplitude": {"looks": 4.0, "domain": "amplitude", "texture": 2.0},
    "db": {"looks": 0.5, "domain": "db"},
    "log": {"domain": "log", "psf": "box"},
    "correlated": {"looks": 1.5, "psf": TAPS, "origin": (-3, 5), "index": 9},
    "each": {
        "looks": torch.tensor([1.0, 2.5]),
        "index": torch.tensor([3, 1]),
        "origin": torch.tensor([[0, 1], [5, 2]]),
    },
}
every_case = pytest.mark.parametrize("case", CASES)


def images(shape: tuple[int, ...] = (2, 2, 5, 7), dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x = (0.1 + torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)
    return x, torch.rand(shape, generator=generator) > 0.3


def complex_images(shape: tuple[int, ...] = (2, 2, 5, 7)) -> torch.Tensor:
    return torch.complex(*torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))


@every_case
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck_once_and_twice(case, masked):
    x, mask = images((2, 1, 3, 4))
    x.requires_grad_()

    def function(x: torch.Tensor) -> torch.Tensor:
        return speckle(x, seed=3, mask=mask if masked else None, **CASES[case])

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every_case
def test_gradient_is_the_field_times_the_upstream_whatever_its_sign(case, dtype):
    x, mask = images(dtype=dtype)
    upstream = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).reshape(x.shape).to(dtype)
    field = speckle_field(x.shape, seed=3, **CASES[case])
    field = torch.ones_like(field) if CASES[case].get("domain") in ("db", "log") else field
    for m in (None, mask):
        y = x.clone().requires_grad_()
        speckle(y, seed=3, mask=m, **CASES[case]).backward(upstream)
        wide = upstream.to(torch.promote_types(dtype, torch.float32))
        expected = wide * field if m is None else torch.where(m, wide * field, wide)
        assert torch.equal(y.grad, expected.to(dtype))


@pytest.mark.parametrize("psf", [None, TAPS], ids=["white", "correlated"])
def test_complex_gradients_take_the_conjugate_field(psf):
    z, mask = complex_images(), images()[1]
    upstream = complex_images().flip(-1)
    field = speckle_field(z.shape, seed=3, domain="complex", psf=psf)
    for m in (None, mask):
        w = z.clone().requires_grad_()
        out = speckle(w, seed=3, domain="complex", psf=psf, mask=m)
        (gradient,) = torch.autograd.grad(out, w, upstream, create_graph=True)
        expected = upstream * (field.conj() if m is None else torch.where(m, field.conj(), 1))
        torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)
    w = z.clone().requires_grad_()
    speckle(w, seed=3, domain="complex", psf=psf).abs().square().sum().backward()
    torch.testing.assert_close(w.grad, 2 * z * field.abs().square(), rtol=1e-5, atol=1e-5)


def test_complex_speckle_twice_differentiated():
    z = complex_images((1, 1, 3, 4)).requires_grad_()
    field = speckle_field(z.shape, seed=3, domain="complex")
    upstream = torch.ones_like(z).requires_grad_()
    (gradient,) = torch.autograd.grad(speckle(z, seed=3, domain="complex"), z, upstream, create_graph=True)
    (second,) = torch.autograd.grad(gradient, upstream, torch.ones_like(z))
    torch.testing.assert_close(second, field, rtol=1e-6, atol=1e-6)


def sample_inputs() -> Iterator[tuple[str, tuple[Any, ...]]]:
    looks, index, origin = torch.tensor([1.0, 2.5]), torch.tensor([3, 1]), torch.tensor([[0, 1], [-5, 2]])
    nothing = (None,) * 5
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x, mask = images(dtype=dtype)
        x.requires_grad_()
        yield "speckle", (x, None, True, *nothing, 1.0, 0, 0, 7, "intensity", 0.0, False)
        yield "speckle", (x, mask, True, looks, index, origin, *TAPS, 1.0, 0, 0, -1, "amplitude", 2.0, False)
        yield "speckle", (x, mask, False, None, index, None, None, None, 0.5, -3, 9, 2**62, "db", 0.0, False)
        yield "speckle_field", (x.detach(), looks, index, origin, *TAPS, 1.0, 0, 0, 7, "log", 1.5, False)
        yield "speckle_field", (x.detach(), *nothing, 2.7, 4, 4, 7, "intensity", 0.0, False)
    z, mask = complex_images().requires_grad_(), images()[1]
    yield "speckle", (z, mask, True, None, index, origin, *TAPS, 1.0, 0, 0, 7, "complex", 0.0, False)
    yield "speckle", (z, None, False, *nothing, 1.0, 0, 0, 7, "complex", 2.0, True)
    yield "speckle_field", (z.detach(), *nothing, 1.0, 0, 0, 7, "complex", 2.0, True)


@pytest.mark.parametrize("name", ["speckle", "speckle_field"])
def test_opcheck(name):
    for op, arguments in sample_inputs():
        if op == name:
            torch.library.opcheck(getattr(torch.ops.sarcore, name).default, arguments)


def compiled(function: Any, dynamic: bool | None = None) -> tuple[Any, CompileCounterWithBackend]:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(function, backend=counter, fullgraph=True, dynamic=dynamic), counter


NUMBERS = {
    "seed": lambda x, n: speckle(x, 4, seed=n),
    "field": lambda x, n: x * speckle_field(x.shape, 2.7, seed=n),
    "origin": lambda x, n: speckle(x, 4, seed=3, origin=(n, -n)),
    "index": lambda x, n: speckle(x, 4, seed=3, index=n),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_change_do_not_recompile(name):
    """The first change makes a number symbolic; 0 and 1 are no exception (but index=0, which takes no tensor)."""
    x, _ = images(dtype=torch.float32)
    function, counter = compiled(NUMBERS[name])
    function(x, 5), function(x, 6)
    before = counter.frame_count
    others = {"index": (2**31,), "origin": (0, 2**30, -7)}.get(name, (0, 2**30, 2**40, 2**63 - 1))
    for n in (7, 1, 2**20, *others):
        assert torch.equal(function(x, n), NUMBERS[name](x, n))
    assert counter.frame_count == before <= 2


def test_seeds_beyond_63_bits_compile():
    x, _ = images(dtype=torch.float32)
    function, _ = compiled(NUMBERS["seed"])
    for seed in (2**63, 2**64 - 1, 3):
        assert torch.equal(function(x, seed), NUMBERS["seed"](x, seed))


def test_looks_per_image_change_without_recompilation():
    x, _ = images(dtype=torch.float32)
    function, counter = compiled(lambda x, looks: speckle(x, looks, seed=3))
    for looks in ([1.0, 2.0], [0.5, 8.0], [2.7, 9.0]):
        assert torch.equal(function(x, torch.tensor(looks)), speckle(x, looks, seed=3))
    assert counter.frame_count == 1


@every_case
def test_compiled_equals_eager_with_gradients(case):
    x, mask = images(dtype=torch.float32)

    def step(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return speckle(2 * x, seed=3, mask=mask, **CASES[case]).square()

    function, _ = compiled(step)
    results = []
    for run in (step, function):
        y = x.clone().requires_grad_()
        out = run(y, mask)
        out.sum().backward()
        results.append((out.detach(), y.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_compiled_complex_and_dynamic_shapes():
    def step(z: torch.Tensor) -> torch.Tensor:
        return speckle(z, seed=3, domain="complex", psf=("hamming", 1.5))

    function, _ = compiled(step)
    assert torch.equal(function(complex_images()), step(complex_images()))
    function, counter = compiled(lambda x: speckle(x, 2.7, seed=3, psf="gaussian"), dynamic=True)
    frames = []
    for shape in ((2, 3, 8, 9), (3, 2, 10, 5), (4, 5, 6, 30)):
        x, _ = images(shape, torch.float32)
        assert torch.equal(function(x), speckle(x, 2.7, seed=3, psf="gaussian"))
        frames.append(counter.frame_count)
    assert len(set(frames)) == 1


@every_case
def test_meta_tensors_have_the_shape_alone(case):
    x, _ = images(dtype=torch.bfloat16)
    found = speckle(x.to("meta"), seed=3, **CASES[case])
    assert (found.shape, found.dtype, found.device.type) == (x.shape, x.dtype, "meta")
    found = speckle_field(x.shape, seed=3, device="meta", **CASES[case])
    assert (found.shape, found.dtype, found.device.type) == (x.shape, torch.float32, "meta")


@every_case
def test_autocast_and_inference_mode_change_nothing(case):
    x, mask = images(dtype=torch.float32)
    expected = speckle(x, seed=3, mask=mask, **CASES[case])
    with torch.autocast("cpu", torch.bfloat16):
        found = speckle(x, seed=3, mask=mask, **CASES[case])
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    with torch.inference_mode():
        assert torch.equal(speckle(x, seed=3, mask=mask, **CASES[case]), expected)
        assert torch.equal(speckle(x.clone(), seed=3, mask=mask.clone(), **CASES[case]), expected)


def test_taps_made_in_inference_mode_serve_in_training():
    with torch.inference_mode():
        speckle_field((1, 1, 4, 4), seed=1, psf=("gaussian", 1.2345))
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    speckle(x, seed=1, psf=("gaussian", 1.2345)).sum().backward()
    assert x.grad is not None


def test_a_result_without_gradient_has_none():
    x, _ = images()
    assert not speckle(x, seed=1).requires_grad
    with torch.no_grad():
        assert not speckle(x.requires_grad_(), seed=1).requires_grad
