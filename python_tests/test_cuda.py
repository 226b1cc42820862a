"""Every op on a GPU: the bits of the CPU, other streams, CUDA graphs, compile. Needs torch, NumPy and pytest alone."""

import itertools
from typing import Any

import pytest
import torch

import sarcore
from sarcore.ops import histogram_loss, joint_histogram, mutual_information, soft_histogram

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
# Lambdas are called before their loop moves on.
# ruff: noqa: B023
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = [(1, 1, 1, 1), (2, 3, 13, 17), (2, 1, 160, 160), (1, 2, 300, 301), (300, 1, 8, 9), (1, 1, 1, 8193)]
LOSSES = list(itertools.product(["l2", "l1", "emd"], ["l2", "l1"], ["probability", "count"], ["linear", "hard"]))


def images(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two images with values out of range, NaN and infinity, and a mask."""
    generator = torch.Generator().manual_seed(0)
    x, y = 1.2 * torch.rand(2, *shape, generator=generator, dtype=torch.float64) - 0.1
    mask = torch.rand(shape, generator=generator) > 0.2
    if not dtype.is_floating_point:
        top = 255 if dtype == torch.uint8 else 65535
        return (x.clamp(0, 1) * top).to(dtype), (y.clamp(0, 1) * top).to(dtype), mask
    x[torch.rand(shape, generator=generator) < 0.02] = float("nan")
    x[torch.rand(shape, generator=generator) < 0.02] = float("inf")
    return x.to(dtype), y.to(dtype), mask


def run(function: Any, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, device: str) -> list[Any]:
    """Result and both gradients on a device, brought back to the CPU."""
    x, y = x.to(device, copy=True), y.to(device, copy=True)
    if x.is_floating_point():
        x.requires_grad_(), y.requires_grad_()
    out = function(x, y, None if mask is None else mask.to(device))
    assert out.device.type == device
    if x.is_floating_point():
        out.backward(torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape).to(device))
    return [None if t is None else t.detach().cpu() for t in (out, x.grad, y.grad)]


def same(first: list[Any], second: list[Any], **tolerance: float) -> None:
    for a, b in zip(first, second, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, equal_nan=True, **(tolerance or {"rtol": 0, "atol": 0}))


def both(function: Any, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, **tolerance: float) -> None:
    same(run(function, x, y, mask, "cuda"), run(function, x, y, mask, "cpu"), **tolerance)


def limits(dtype: torch.dtype) -> tuple[float, float]:
    return {torch.uint8: (0.0, 255.0), torch.uint16: (0.0, 65535.0)}.get(dtype, (0.0, 1.0))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [*FLOATING, torch.uint8, torch.uint16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_histogram_has_the_bits_of_the_cpu(shape, dtype, masked):
    x, y, mask = images(shape, dtype)
    for bins, kernel in itertools.product((2, 3, 64, 255, 1025, 4096), ("linear", "hard")):
        both(
            lambda a, _, m: soft_histogram(a, bins, limits(dtype), kernel=kernel, mask=m),
            x,
            y,
            mask if masked else None,
        )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kernel", ["linear", "hard", "gaussian", "bspline"])
@pytest.mark.parametrize("dtype", FLOATING)
def test_smooth_kernels_and_density(kernel, dtype, masked):
    x, y, mask = images((2, 2, 40, 41), dtype)
    tolerance = {"rtol": 1e-10, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-2, "atol": 1e-3}
    for density in (False, True):
        both(
            lambda a, _, m: soft_histogram(a, 32, kernel=kernel, density=density, mask=m),
            x, y, mask if masked else None, **tolerance,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [*FLOATING, torch.uint8, torch.uint16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_loss_has_the_bits_of_the_cpu(shape, dtype):
    x, y, mask = images(shape, dtype)
    x = torch.where(x.isinf(), 1.5, x) if dtype.is_floating_point else x
    choices = LOSSES if x.numel() < 10_000 else LOSSES[::5]
    for (distance, spatial, normalize, kernel), masked in itertools.product(choices, (False, True)):
        both(
            lambda a, b, m: histogram_loss(
                a, b, 64, limits(dtype), omega=0.01, distance=distance, spatial=spatial, normalize=normalize,
                kernel=kernel, mask=m, reduction="none",
            ),
            x, y, mask if masked else None,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [2, 3, 255, 2048, 4096])
def test_loss_with_many_bins(bins, dtype):
    x, y, mask = images((2, 2, 90, 91), dtype)
    for distance, kernel in itertools.product(("l2", "emd"), ("linear", "hard")):
        both(
            lambda a, b, m: histogram_loss(a, b, bins, distance=distance, kernel=kernel, mask=m, reduction="none"),
            x.nan_to_num(0.5, 1.5), y, mask,
        )  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [*FLOATING, torch.uint8, torch.uint16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_joint_histogram_has_the_bits_of_the_cpu(shape, dtype, masked):
    x, y, mask = images(shape, dtype)
    low, high = limits(dtype)
    for bins in (2, 64, 109, 110, 111) if shape[0] > 1 else (2, 64, 256):
        for range_y in (None, (low - 0.2 * high, 0.9 * high)):
            both(
                lambda a, b, m: joint_histogram(a, b, bins, (low, high), range_y=range_y, mask=m),
                x, y, mask if masked else None,
            )  # fmt: skip


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_information_is_that_of_the_cpu(dtype, normalized):
    x, y, mask = images((2, 2, 40, 41), dtype)
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-5}
    both(lambda a, b, m: mutual_information(a, b, 32, normalized=normalized, mask=m), x, y, mask, **tolerance)


OPS = {
    "linear": lambda x, y, m: soft_histogram(x, 64, mask=m),
    "hard": lambda x, y, m: soft_histogram(x, 64, kernel="hard", mask=m),
    "loss": lambda x, y, m: histogram_loss(x, y, 64, distance="emd", mask=m, reduction="none"),
    "joint": lambda x, y, m: joint_histogram(x, y, 64, mask=m),
}
every_op = pytest.mark.parametrize("name", OPS)


@every_op
@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (0, 0, 0, 0)], ids=str)
def test_empty_batches(name, shape):
    x, y, mask = (torch.ones(shape, dtype=d) for d in (torch.float32, torch.float32, torch.bool))
    both(OPS[name], x, y, mask)


@every_op
@pytest.mark.parametrize("value", [0.0, 0.37, 1.0, 5.0, float("nan")])
def test_constant_images(name, value):
    x = torch.full((3, 1, 300, 301), value)
    both(OPS[name], x, torch.full_like(x, 0.4), None)
    if name == "linear" and value == value:
        assert soft_histogram(x.cuda()).sum((1, 2)).tolist() == [90300.0] * 3


@every_op
def test_memory_layout_does_not_change_a_bit(name):
    x, y, mask = images((2, 3, 24, 40), torch.float32)
    x = x.nan_to_num(0.5, 1.5)
    expected = run(OPS[name], x, y, mask, "cuda")
    wide = torch.zeros(2, 3, 24, 81)
    wide[..., 1::2] = x
    offset = torch.cat([torch.zeros(1, device="cuda"), x.flatten().cuda()])[1:].view(x.shape)  # not 16-byte aligned
    for other in (x.cuda().to(memory_format=torch.channels_last), wide.cuda()[..., 1::2], offset):
        other = other.detach().requires_grad_()
        out = OPS[name](other, y.cuda(), mask.cuda())
        out.backward(torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape).cuda())
        same([out.detach().cpu(), other.grad.cpu()], expected[:2])


@every_op
def test_repeats_give_the_same_bits(name):
    x, y, mask = images((8, 1, 160, 160), torch.float32)
    expected = run(OPS[name], x, y, mask, "cuda")
    for _ in range(5):
        same(run(OPS[name], x, y, mask, "cuda"), expected)


@every_op
def test_a_side_stream_waits_for_its_own_work_alone(name):
    x, y, mask = images((8, 1, 160, 160), torch.float32)
    x = x.nan_to_num(0.5, 1.5)
    expected = OPS[name](x * 0.5, y, mask)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        a, b, m = x.cuda(), y.cuda(), mask.cuda()
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `a * 0.5` before it is written
        found = OPS[name](a * 0.5, b, m).cpu()
    assert torch.equal(found, expected)


@every_op
def test_graph_capture_and_replay_forward_and_backward(name):
    x, y, mask = images((4, 1, 160, 160), torch.float32)
    a, b, m = x.nan_to_num(0.5, 1.5).cuda().requires_grad_(), y.cuda(), mask.cuda()

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        out = OPS[name](a, b, m)
        (gradient,) = torch.autograd.grad(out.square().sum(), a)
        return out, gradient

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for seed in range(3):
        with torch.no_grad():
            a.copy_(torch.rand(a.shape, generator=torch.Generator().manual_seed(seed)))
        graph.replay()
        for replayed, direct in zip(captured, step(), strict=True):
            assert torch.equal(replayed, direct)


@every_op
def test_compiled_equals_eager(name):
    torch._dynamo.reset()
    x, y, mask = images((2, 1, 64, 65), torch.float32)
    x = x.nan_to_num(0.5, 1.5)
    compiled = torch.compile(OPS[name], fullgraph=True, backend="aot_eager")
    same(run(compiled, x, y, mask, "cuda"), run(OPS[name], x, y, mask, "cuda"))


def test_autocast_keeps_float32():
    x = torch.rand(1, 1, 64, 64, device="cuda")
    with torch.autocast("cuda", torch.float16):
        for kernel in ("linear", "gaussian"):
            h = soft_histogram(x, kernel=kernel)
            assert h.dtype == torch.float32
            torch.testing.assert_close(h.sum().item(), 4096.0, rtol=1e-5, atol=0)
        assert histogram_loss(x.half(), x.float()).item() < 1e-4


def test_errors_name_the_device_and_gpu_memory_stays_small():
    x = torch.rand(64, 1, 160, 160, device="cuda")
    with pytest.raises(ValueError, match="target must be on the device of input"):
        histogram_loss(x, x.cpu())
    with pytest.raises(ValueError, match="mask must be on the device"):
        soft_histogram(x, mask=torch.ones(1, 1, 1, 1, dtype=torch.bool))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    histogram_loss(x, x)
    assert torch.cuda.max_memory_allocated() - before <= 1 << 20
