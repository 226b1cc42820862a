"""The gradient of resample and what its op promises: gradcheck, opcheck, compile, threads, memory layouts, errors."""

import itertools

import pytest
import torch

from sarcore import reference
from sarcore.ops import resample
from sarcore.ops.resample import MODES

from .test_resample import of_torch

SHAPES = [((6, 7), (11, 9)), ((12, 11), (5, 4)), ((5, 9), (8, 4)), ((4, 4), (4, 9))]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
every_mode = pytest.mark.parametrize("mode", MODES)


@every_mode
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_gradcheck(mode, antialias, source, target):
    x = torch.rand(1, 2, *source, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: resample(t, target, mode=mode, antialias=antialias), x)
    assert torch.autograd.gradcheck(lambda t: resample(t, scale=(0.7, 1.4), mode=mode, antialias=antialias), x)


@every_mode
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("source", "target"), [((80, 80), (160, 160)), ((160, 160), (80, 80)), ((33, 47), (60, 20))])
def test_gradients_equal_those_of_torch(mode, antialias, source, target):
    if mode == "lanczos":  # which torch has not had for long
        x = torch.rand(2, 1, *source, dtype=torch.float64)
        of_peer = lambda t: reference.resample(t, target, mode=mode, antialias=antialias)  # noqa: E731
    else:
        x = torch.rand(2, 1, *source)
        of_peer = lambda t: of_torch(t, mode, antialias, size=target)  # noqa: E731
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = resample(leaf, target, mode=mode, antialias=antialias)
    upstream = torch.rand(found.shape, dtype=x.dtype)
    (a,) = torch.autograd.grad(found, leaf, upstream)
    (b,) = torch.autograd.grad(of_peer(other), other, upstream)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


@every_mode
@pytest.mark.parametrize("dtype", [*FLOATING, torch.complex64])
def test_the_backward_pass_is_the_adjoint_in_every_type(mode, dtype):
    for (source, target), antialias in itertools.product(SHAPES, (True, False)):
        x = torch.randn(2, 3, *source, dtype=dtype).requires_grad_()
        y = resample(x, target, mode=mode, antialias=antialias)
        upstream = torch.randn(y.shape, dtype=dtype)
        (gradient,) = torch.autograd.grad(y, x, upstream)
        assert gradient.dtype == dtype
        wide = torch.complex128 if dtype.is_complex else torch.float64
        forward = (y.detach().to(wide).conj() * upstream.to(wide)).sum()
        backward = (x.detach().to(wide).conj() * gradient.to(wide)).sum()
        tolerance = 200 * torch.finfo(dtype).eps
        torch.testing.assert_close(forward, backward, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["bicubic", "lanczos"])
@pytest.mark.parametrize("dtype", FLOATING)
def test_clamped_results_pass_no_gradient(mode, dtype):
    x = (torch.rand(2, 1, 13, 14, generator=torch.Generator().manual_seed(0)) > 0.5).to(dtype).requires_grad_()
    for target in ((30, 31), (7, 20)):
        plain = resample(x, target, mode=mode)
        upstream = torch.rand(plain.shape).to(dtype)
        (found,) = torch.autograd.grad(resample(x, target, mode=mode, range=(0.0, 1.0)), x, upstream)
        inside = resample(x.detach().float(), target, mode=mode)  # before it is rounded to the type
        inside = inside if dtype != torch.float64 else plain.detach()
        passed = torch.where((inside >= 0) & (inside <= 1), upstream, 0)
        (expected,) = torch.autograd.grad(plain, x, passed)
        assert torch.equal(found, expected)
        assert not torch.equal(passed, upstream)


def test_gradcheck_of_a_range():
    x = torch.rand(1, 1, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: resample(t, (12, 15), range=(0.2, 0.8)), x)
    plain, kept = resample(x, (12, 15)), resample(x, (12, 15), range=(0.2, 0.8))
    assert 0.1 < float((plain == kept).double().mean()) < 0.95


def test_second_derivatives_are_refused():
    x = torch.rand(1, 1, 5, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(resample(x, 9).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"sarcore\.ops\.resample is differentiable once"):
        gradient.sum().backward()


def test_opcheck():
    x, op = torch.rand(2, 3, 6, 7), torch.ops.sarcore.resample.default
    for mode, size, limits in (("bicubic", (9, 4), (None, None)), ("lanczos", (3, 9), (0.2, 0.8))):
        arguments = (*size, mode, True, 0.0, 0.0, *limits)
        torch.library.opcheck(op, (x.clone().requires_grad_(), *arguments))
        torch.library.opcheck(op, (torch.randint(0, 99, x.shape, dtype=torch.int16), *arguments))
        source = x if limits[0] is not None else None
        backward = (torch.rand(2, 3, *size), source, 6, 7, mode, True, 0.0, 0.0, *limits)
        torch.library.opcheck(torch.ops.sarcore.resample_backward.default, backward)
    z = torch.randn(1, 2, 5, 5, dtype=torch.complex64, requires_grad=True)
    torch.library.opcheck(op, (z, 7, 3, "bilinear", False, 1.4, 0.6, None, None))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_compiled_equals_eager(backend):
    torch._dynamo.reset()

    def step(x: torch.Tensor) -> torch.Tensor:
        grown = resample(x * 2, (x.shape[2] * 2, 31), mode="bicubic", range=(0.0, 1.0))
        return resample(grown, scale=(0.5, 0.7), mode="lanczos") * 3

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    shapes = ((2, 1, 9, 8), (1, 2, 14, 11)) if backend == "aot_eager" else ((2, 1, 9, 8),)
    for shape in shapes:
        x = torch.rand(shape, requires_grad=True)
        torch.testing.assert_close(compiled(x), step(x))
        (a,), (b,) = (torch.autograd.grad(f(x).sum(), x) for f in (step, compiled))
        torch.testing.assert_close(a, b)


def test_meta_inference_and_autocast():
    x = torch.rand(2, 3, 8, 9)
    assert resample(x.to("meta"), scale=2).shape == (2, 3, 16, 18)
    assert resample(x.to("meta", torch.complex64), 3).dtype == torch.complex64
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resample(x, 5), resample(x.clone(), 5))


@every_mode
def test_thread_count_and_batches_do_not_change_a_bit(mode):
    generator = torch.Generator().manual_seed(0)
    before = torch.get_num_threads()
    for shape, target in (((70, 1, 40, 40), (80, 80)), ((3, 1, 161, 300), (77, 120)), ((1, 1, 500, 90), (333, 700))):
        x = torch.rand(shape, generator=generator)
        found = []
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                leaf = x.clone().requires_grad_()
                y = resample(leaf, target, mode=mode)
                found.append((y.detach(), torch.autograd.grad(y, leaf, y.detach())[0]))
        finally:
            torch.set_num_threads(before)
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
        assert torch.equal(torch.cat([resample(part, target, mode=mode) for part in x.split(1)]), found[0][0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.complex64])
def test_memory_layouts_do_not_change_a_bit(dtype):
    x = (torch.rand(2, 3, 13, 17) * 100).to(dtype)
    wide = torch.zeros(2, 6, 13, 40, dtype=dtype)
    wide[:, ::2, :, 3:37:2] = x
    unaligned = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    others = [x.to(memory_format=torch.channels_last), wide[:, ::2, :, 3:37:2], unaligned, x.mT.contiguous().mT]
    others += [torch._neg_view(-x)] if dtype.is_floating_point else []
    others += [x.conj().resolve_conj().conj()] if dtype.is_complex else []
    for other, target in itertools.product(others, ((30, 40), (6, 5))):
        assert torch.equal(resample(other, target), resample(x, target))
    if dtype == torch.uint8:
        return
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(resample(leaf, (20, 9)).abs().square().sum(), leaf)[0]
    turned = x.mT.contiguous().mT.requires_grad_()
    y = resample(turned, (20, 9))
    upstream = (2 * y.detach()).mT.contiguous().mT
    torch.testing.assert_close(torch.autograd.grad(y, turned, upstream)[0], gradient)


def test_expanded_inputs():
    x = torch.rand(1, 1, 8, 9)
    assert torch.equal(resample(x.expand(4, 3, 8, 9), 12), resample(x, 12).expand(4, 3, 12, 12))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_errors_say_what_is_wrong():
    x = torch.rand(1, 1, 8, 8)
    for arguments, options, message in [
        ((x,), {}, "exactly one of size and scale must be given, got size=None and scale=None"),
        ((x, 4, 2.0), {}, "exactly one of size and scale"),
        ((x, 0), {}, "size must be 1 to 2147483647, got 0"),
        ((x, (4, -1)), {}, "size must be 1 to"),
        ((x, (4, 4, 4)), {}, "size must be an integer or a pair"),
        ((x, None, 0.0), {}, "scale must be positive and finite"),
        ((x, None, (1, float("nan"))), {}, "scale must be positive and finite"),
        ((x, None, (1, 2, 3)), {}, "scale must be a number or a pair"),
        ((x, None, 0.1), {}, "scale must give a result of 1 to .*got 0.1"),
        ((x, None, 1e12), {}, "scale must give a result of 1 to"),
        ((x, None, 1e308), {}, "scale must give a result of 1 to"),
        ((x, 4), {"mode": "cubic"}, "mode must be one of 'nearest', .*got 'cubic'"),
        ((x, 4), {"range": (1, 0)}, "range must be low < high"),
        ((x[0], 4), {}, "x must be \\(N, C, H, W\\)"),
        ((x[..., :0], 4), {}, "x must have at least one row and one column"),
        ((x.to_sparse(), 4), {}, "x must be a dense tensor, got layout torch.sparse_coo"),
        ((torch.nested.nested_tensor([x[0], x[0, :, 2:]]), 4), {}, "x must be a dense tensor, got a nested tensor"),
    ]:
        with pytest.raises(ValueError, match=message):
            resample(*arguments, **options)
    for arguments, options, message in [
        ((x.numpy(), 4), {}, "x must be a torch.Tensor, got ndarray"),
        ((x.long(), 4), {}, "x must be one of uint8, .*complex64, got .*int64"),
        ((x.to(torch.complex128), 4), {}, "x must be one of"),
        ((x, 4.0), {}, "size must be an int, got float"),
        ((x, True), {}, "size must be an int, got bool"),
        ((x, None, "2"), {}, "scale must be a number"),
        ((x, 4), {"antialias": 1}, "antialias must be True or False"),
        ((x, 4), {"range": 3}, "range must be a pair"),
        ((x.to(torch.complex64), 4), {"range": (0, 1)}, "range must be None for complex numbers"),
    ]:
        with pytest.raises(TypeError, match=message):
            resample(*arguments, **options)
