"""What every op promises: opcheck, compile, one result for any layout and thread count, dtypes, AMP, broken input."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from sarcore.ops import histogram_loss, joint_histogram, mutual_information, soft_histogram

Case = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]

CASES: dict[str, Case] = {
    "linear": lambda x, y, m: soft_histogram(x, 16, mask=m),
    "many-bins": lambda x, y, m: soft_histogram(x, 2000, (-0.5, 1.5), mask=m),
    "hard": lambda x, y, m: soft_histogram(x, 16, kernel="hard", mask=m),
    "gaussian": lambda x, y, m: soft_histogram(x, 16, kernel="gaussian", mask=m),
    "bspline": lambda x, y, m: soft_histogram(x, 16, kernel="bspline", bandwidth=0.1, mask=m),
    "density": lambda x, y, m: soft_histogram(x, 16, mask=m, density=True),
    "loss": lambda x, y, m: histogram_loss(x, y, 16, mask=m, reduction="none"),
    "loss-emd": lambda x, y, m: histogram_loss(
        x, y, 16, distance="emd", spatial="l1", normalize="count", omega=0.5, mask=m
    ),
    "loss-hard": lambda x, y, m: histogram_loss(x, y, 16, kernel="hard", distance="l1", mask=m, reduction="sum"),
    "joint": lambda x, y, m: joint_histogram(x, y, 16, mask=m),
    "joint-two-ranges": lambda x, y, m: joint_histogram(x, y, 100, range_y=(-0.2, 0.9), mask=m),
    "information": lambda x, y, m: mutual_information(x, y, 16, mask=m),
    "normalized": lambda x, y, m: mutual_information(x, y, 16, normalized=True, mask=m),
}
every_case = pytest.mark.parametrize("case", CASES)


def images(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two images with a tenth of their values out of range, and a mask."""
    generator = torch.Generator().manual_seed(0)
    x, y = (1.1 * torch.rand(2, *shape, generator=generator, dtype=torch.float64) - 0.05).to(dtype)
    return x, y, torch.rand(shape, generator=generator) > 0.2


def run(
    case: str, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, function: Case | None = None
) -> list[Any]:
    """Result and both gradients, for a fixed upstream gradient."""
    x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
    out = (function or CASES[case])(x, y, mask)
    upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    out.backward(upstream)
    return [out.detach(), x.grad, y.grad]


def same(first: list[Any], second: list[Any]) -> None:
    for a, b in zip(first, second, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def sample_inputs() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Arguments of every registered op, forward and backward."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.uint8):
        floating = dtype.is_floating_point
        x, y, mask = images((2, 3, 5, 7), dtype if floating else torch.float32)
        x, y = (x, y) if floating else ((x * 255).to(dtype), (y * 255).to(dtype))
        result = torch.float64 if dtype == torch.float64 else torch.float32
        a, b = x.clone().requires_grad_(floating), y.clone().requires_grad_(floating)
        m = None if dtype == torch.bfloat16 else mask
        yield "soft_histogram", (a, m, 8, 0.0, 1.0, "linear")
        yield "histogram_loss", (a, b, m, 8, -0.3, 1.7, 0.01, "emd", "l1", "count", "linear")
        yield "joint_histogram", (a, b, m, 8, 0.0, 1.0, -0.3, 1.7)
        if dtype == torch.float32:
            yield "soft_histogram", (a, None, 8, 0.0, 1.0, "hard")
            yield "histogram_loss", (a, y, None, 2, 0.0, 1.0, 0.0, "l1", "l2", "probability", "hard")
            yield "histogram_loss", (x, b, m, 2, 0.0, 1.0, 0.1, "l2", "l2", "probability", "linear")
            yield "joint_histogram", (x, b, None, 8, 0.0, 1.0, -0.3, 1.7)
        if floating:
            table, gradient = torch.rand(2, 3, 10, dtype=result), torch.rand(2, dtype=result)
            joint = torch.rand(2, 3, 8, 8, dtype=result)
            yield "soft_histogram_backward", (joint[..., 0].contiguous(), x, m, 0.0, 1.0)
            need = {torch.float32: (True, True), torch.float64: (True, False), torch.bfloat16: (False, True)}[dtype]
            yield "histogram_loss_backward", (gradient, x, y, m, table, 0.0, 1.0, "l2", *need)
            yield "joint_histogram_backward", (joint, x, y, m, 0.0, 1.0, -0.3, 1.7, *need)


@pytest.mark.parametrize("name", sorted({name for name, _ in sample_inputs()}))
def test_opcheck(name):
    for op, arguments in sample_inputs():
        if op == name:
            torch.library.opcheck(getattr(torch.ops.sarcore, name).default, arguments)


@pytest.mark.parametrize(
    "case", ["linear", "hard", "bspline", "density", "loss-emd", "joint-two-ranges", "information"]
)
def test_compiled_equals_eager(case):
    torch._dynamo.reset()
    x, y, mask = images((2, 2, 9, 11))
    mask = None if case == "linear" else mask
    compiled = torch.compile(CASES[case], fullgraph=True, backend="aot_eager")
    same(run(case, x, y, mask), run(case, x, y, mask, compiled))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_compiled_by_inductor_and_with_dynamic_shapes():
    torch._dynamo.reset()

    def step(x: torch.Tensor, y: torch.Tensor, m: torch.Tensor | None) -> torch.Tensor:
        return histogram_loss(x * 0.5, y, 16, mask=m) + soft_histogram(x * 0.5, 16, density=True).square().mean()

    compiled = torch.compile(step, fullgraph=True, dynamic=True)
    for shape in ((2, 1, 9, 11), (3, 2, 8, 30)):
        x, y, mask = images(shape)
        for a, b in zip(run("", x, y, mask, step), run("", x, y, mask, compiled), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 300, 301), (3, 2, 40, 50), (300, 1, 8, 9), (1, 2, 1100, 1000)], ids=str)
@pytest.mark.parametrize("case", [c for c in CASES if c not in ("gaussian", "bspline", "information", "normalized")])
def test_thread_count_does_not_change_a_bit(case, shape):
    if shape[-1] == 1000 and case not in ("linear", "loss", "joint"):
        pytest.skip("one large image per op is enough")
    x, y, mask = images(shape)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = run(case, x, y, mask)
        for threads in (2, 3):
            torch.set_num_threads(threads)
            same(run(case, x, y, mask), expected)
    finally:
        torch.set_num_threads(before)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_layout_does_not_change_a_bit(case, dtype):
    x, y, mask = images((2, 3, 13, 17), dtype)
    expected = run(case, x, y, mask)

    def strided(t: torch.Tensor) -> torch.Tensor:
        wide = torch.zeros(2, 6, 13, 40, dtype=t.dtype)
        wide[:, ::2, :, 3:37:2] = t
        return wide[:, ::2, :, 3:37:2]

    def unaligned(t: torch.Tensor) -> torch.Tensor:
        return torch.cat([t.new_zeros(1), t.flatten()])[1:].view(t.shape)

    for layout in (
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
        lambda t: t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        strided,
        unaligned,
    ):
        same(run(case, layout(x), layout(y), layout(mask)), expected)
    one, other, _ = images((1, 1, 13, 17), dtype)
    wide, whole = one.expand(2, 3, 13, 17), one.expand(2, 3, 13, 17).contiguous()
    same(
        run(case, wide, other.expand(2, 3, 13, 17), mask[:1, :1]),
        run(case, whole, other.expand(2, 3, 13, 17), mask[:1, :1]),
    )


@every_case
@pytest.mark.parametrize(
    "shape", [(0, 1, 4, 4), (0, 3, 5, 7), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 0, 0, 0)], ids=str
)
def test_empty_batches_forward_and_backward(case, shape, monkeypatch):
    """No pixel, no crash: zeros for counts, NaN for means over nothing, never memory that nobody wrote."""
    x, y, mask = images(shape)
    empty = torch.empty

    def dirty(*size: Any, **options: Any) -> torch.Tensor:
        return empty(*size, **options).fill_(77)

    monkeypatch.setattr(torch, "empty", dirty)
    for m in (None, mask):
        out, grad_x, _ = run(case, x, y, m)
        assert grad_x.shape == torch.Size(shape)
        assert not (out == 77).any()
        if case.startswith(("loss", "information", "normalized")):
            assert out.ndim == 0 or bool(out.isnan().all())
        else:
            assert not out.any()


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_result_and_gradient_dtypes(case, dtype):
    x, y, mask = images((2, 2, 8, 8), dtype)
    out, grad_x, grad_y = run(case, x, y, mask)
    assert out.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert grad_x.dtype == dtype
    assert grad_y is None or grad_y.dtype == dtype
    if dtype.itemsize == 2:  # the same as float32 on the widened images, with rounded gradients
        wide = run(case, x.float(), y.float(), mask)
        same([out, grad_x, grad_y], [wide[0], *(g if g is None else g.to(dtype) for g in wide[1:])])


@every_case
def test_float64_gradients_have_float64_digits(case):
    x, y, mask = images((2, 2, 8, 8), torch.float64)
    for gradient in run(case, x, y, mask)[1:]:
        if gradient is not None and gradient.any():
            assert not torch.equal(gradient, gradient.float().double()), "rounded to float32"


@every_case
def test_autocast_changes_nothing(case):
    x, y, mask = images((2, 2, 12, 12))
    expected = run(case, x, y, mask)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(case, x, y, mask)
    assert found[0].dtype == torch.float32
    same(found, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith(("loss", "joint", "info"))])
def test_two_floating_dtypes_meet_in_the_wider_one(case):
    x, y, mask = images((2, 2, 8, 8))
    for narrow, wide in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float64),
        (torch.float16, torch.bfloat16),
    ):
        a, b = x.to(narrow), y.to(wide)
        both = torch.promote_types(narrow, wide)
        out, grad_a, grad_b = run(case, a, b, mask)
        expected = run(case, a.to(both), b.to(both), mask)
        same([out, grad_a, grad_b], [expected[0], expected[1].to(narrow), expected[2].to(wide)])


@every_case
def test_nan_pixels_are_masked_pixels(case):
    x, y, mask = images((2, 2, 9, 9))
    expected = run(case, x, y, mask)
    broken = torch.where(mask, x, float("nan"))
    same(run(case, broken, y, None), expected)
    same(run(case, broken, y, mask), expected)


@every_case
def test_inference_mode_meta_and_second_derivatives(case):
    x, y, mask = images((2, 2, 9, 9))
    expected = CASES[case](x, y, mask)
    with torch.inference_mode():
        assert torch.equal(CASES[case](x, y, mask), expected)
    shape_only = CASES[case](x.to("meta"), y.to("meta"), mask.to("meta"))
    assert (shape_only.shape, shape_only.dtype) == (expected.shape, expected.dtype)
    if case != "hard":
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(CASES[case](x, y, mask).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiable once"):
            gradient.sum().backward()
