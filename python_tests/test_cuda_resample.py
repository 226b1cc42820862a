"""resample on a GPU: the bits of the CPU, other streams, CUDA graphs. Needs torch, NumPy and pytest alone."""

import itertools

import pytest
import torch

import sarcore
from sarcore.ops import resample
from sarcore.ops.resample import MODES

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
INTEGER = [torch.uint8, torch.uint16, torch.int16]
CASES = [
    ((3, 2, 80, 80), (160, 160)),
    ((3, 2, 160, 160), (80, 80)),
    ((2, 1, 37, 301), (61, 20)),
    ((1, 1, 5, 3), (200, 1)),
    ((70, 1, 8, 8), (16, 17)),
    ((1, 1, 1000, 900), (30, 1700)),
    ((1, 1, 3, 15000), (2, 1)),  # the inputs of one result do not fit into shared memory
]
every_mode = pytest.mark.parametrize("mode", MODES)


def values(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Noise that overshoots, with NaN and infinity in floating types."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator) * 2 - 0.5
    if not (dtype.is_floating_point or dtype.is_complex):
        return (x * 200).clamp(min=torch.iinfo(dtype).min).to(dtype)
    x[torch.rand(shape, generator=generator) < 0.002] = float("nan")
    x[torch.rand(shape, generator=generator) < 0.001] = float("inf")
    return torch.complex(x, x.flip(3)) if dtype.is_complex else x.to(dtype)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found.detach().cpu(), expected.detach(), rtol=0, atol=0, equal_nan=True)


@every_mode
@pytest.mark.parametrize(("shape", "target"), CASES, ids=str)
def test_every_type_has_the_bits_of_the_cpu(mode, shape, target):
    for dtype, antialias in itertools.product([*FLOATING, *INTEGER], (True, False)):
        x = values(shape, dtype)
        same(
            resample(x.cuda(), target, mode=mode, antialias=antialias),
            resample(x, target, mode=mode, antialias=antialias),
        )
        if not dtype.is_complex:
            same(
                resample(x.cuda(), target, mode=mode, range=(0.1, 0.9)),
                resample(x, target, mode=mode, range=(0.1, 0.9)),
            )


@every_mode
@pytest.mark.parametrize(("shape", "target"), CASES, ids=str)
def test_gradients_have_the_bits_of_the_cpu(mode, shape, target):
    for dtype, limits in itertools.product(FLOATING, (None, (0.0, 1.0))):
        if dtype.is_complex and limits:
            continue
        found = []
        for device in ("cpu", "cuda"):
            x = values(shape, dtype).to(device).requires_grad_()
            y = resample(x, target, mode=mode, range=limits)
            upstream = torch.linspace(-1, 1, y.numel()).view(y.shape).to(device, dtype)
            found.append(torch.autograd.grad(y, x, upstream)[0])
        same(found[1], found[0])


def test_scales_memory_layouts_and_unaligned_tensors():
    for dtype, scale in itertools.product((torch.uint8, torch.float32, torch.complex64), ((1.7, 0.6), (0.4, 2.0))):
        x = values((2, 3, 33, 35), dtype)
        expected, x = resample(x, scale=scale), x.cuda()
        unaligned = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
        for other in (x, unaligned, x.to(memory_format=torch.channels_last), x.mT.contiguous().mT):
            same(resample(other, scale=scale), expected)
    assert resample(x[:0], 7).shape == (0, 3, 7, 7)


def test_side_streams_and_graphs():
    x = torch.rand(64, 1, 80, 80)
    expected = resample(x * 0.5, 160)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        a = x.cuda()
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `a * 0.5` before it is written
        found = resample(a * 0.5, 160)
    side.synchronize()
    same(found, expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = resample(resample(a, 160, mode="lanczos", range=(0.0, 1.0)), 80)
    a.copy_(x.flip(0))
    graph.replay()
    same(captured, resample(resample(x.flip(0), 160, mode="lanczos", range=(0.0, 1.0)), 80))
