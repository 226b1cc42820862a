"""encode and decode on a GPU: the bits of the CPU, other streams, CUDA graphs. Needs torch, NumPy and pytest alone."""

import dataclasses
import itertools

import pytest
import torch

import sarcore
from sarcore import Radiometry
from sarcore.ops import decode, encode

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

NAN = float("nan")
REAL = ("intensity", "amplitude", "db")
LIMITS = {"intensity": (0.01, 2.0), "amplitude": (0.1, 1.4), "db": (-20.0, 3.0), "digital": (20.0, 200.0)}
PAIRS = [*itertools.product((*REAL, "complex"), REAL), ("digital", "digital")]
OUTPUTS = ["float32", "uint8", "uint16", "float16", "bfloat16", "float64"]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGER = [torch.uint8, torch.uint16, torch.int16]
COUNTS = [1, 3, 17, 4099, 300_007]


def values(unit: str, count: int, dtype: torch.dtype) -> torch.Tensor:
    """-26 to 6 dB in the unit, with no-data (3.0 and, in floating types, NaN), zeros and infinities."""
    generator = torch.Generator().manual_seed(count)
    decibel = torch.empty(count, dtype=torch.float64).uniform_(-26, 6, generator=generator)
    if not (dtype.is_floating_point or dtype.is_complex):
        return torch.randint(0, 250, (count,), generator=generator).to(dtype)
    x = {"intensity": 10 ** (decibel / 10), "db": decibel, "digital": 8 * (decibel + 27)}.get(
        unit, 10 ** (decibel / 20)
    )
    for k, special in enumerate((3.0, NAN, 0.0, float("inf"))):
        x[5 + k :: 97] = special
    return torch.polar(x.nan_to_num(0.5, 0.5, 0.5).float(), decibel.float()) if unit == "complex" else x.to(dtype)


def same(first: torch.Tensor, second: torch.Tensor) -> None:
    assert first.dtype == second.dtype
    torch.testing.assert_close(first.detach().cpu(), second.detach().cpu(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("unit", "scale"), PAIRS)
def test_every_type_has_the_bits_of_the_cpu(unit, scale, count):
    dtypes = [torch.complex64] if unit == "complex" else [*FLOATING, *(INTEGER if unit != "db" else [])]
    for dtype, out, nodata in itertools.product(dtypes, OUTPUTS, (3.0, NAN)):
        r = Radiometry(unit, *LIMITS[scale], nodata, out, scale=scale)
        x = values(unit, count, dtype)
        q, found = encode(x, r), encode(x.cuda(), r)
        same(found, q)
        same(decode(found, r), decode(q, r))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("unit", "scale"), PAIRS)
def test_gradients_have_the_bits_of_the_cpu(unit, scale, count):
    dtypes = [torch.complex64] if unit == "complex" else FLOATING
    for dtype, out in itertools.product(dtypes, ("float32", "float16", "bfloat16", "float64")):
        r = Radiometry(unit, *LIMITS[scale], NAN, out, scale=scale)
        found = []
        for device in ("cpu", "cuda"):
            x = values(unit, count, dtype).to(device).requires_grad_()
            q = encode(x, r)
            upstream = torch.linspace(-1, 1, count, dtype=q.dtype).to(device)
            (grad_x,) = torch.autograd.grad(q, x, upstream)
            p = q.detach().requires_grad_()
            (grad_q,) = torch.autograd.grad(decode(p, r).sum(), p)
            found.append((grad_x, grad_q))
        for a, b in zip(*found, strict=True):
            same(a, b)


def test_memory_layouts_and_unaligned_tensors():
    r = Radiometry("intensity", -20, 3, NAN, scale="db")
    for out in OUTPUTS:
        codes = dataclasses.replace(r, out=out)
        x = torch.rand(2, 3, 33, 35).cuda() + 0.01
        q = encode(x, codes)
        unaligned = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
        for other in (unaligned, x.to(memory_format=torch.channels_last), x.mT.contiguous().mT):
            same(encode(other, codes), q)
        same(decode(q.mT.contiguous().mT, codes), decode(q, codes))
        shifted = torch.cat([q.flatten()[:1], q.flatten()])[1:].view(q.shape)
        same(decode(shifted, codes), decode(q, codes))
    assert encode(x[:0], r).shape == (0, 3, 33, 35)


def test_what_the_cpu_refuses_becomes_nan_or_code_zero():
    x = torch.tensor([0.5, -1.0, NAN]).cuda()
    r = Radiometry("intensity", 0, 1)
    assert encode(x, r).isnan().tolist() == [False, True, True]
    assert encode(x, dataclasses.replace(r, out="uint8")).tolist() == [128, 0, 0]
    assert decode(torch.tensor([0.5, -0.1, 1.1]).cuda(), r).isnan().tolist() == [False, True, True]
    with pytest.raises(TypeError, match="declares decibels"):
        encode(x.to(torch.uint8), Radiometry("db", -25, 0))


def test_side_streams_and_graphs():
    r = Radiometry("intensity", -20, 3, scale="db")
    x = torch.rand(1 << 20) + 0.01
    expected = encode(x * 0.5, r)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        a = x.cuda()
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `a * 0.5` before it is written
        found = encode(a * 0.5, r)
    side.synchronize()
    same(found, expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = decode(encode(a, r), r)
    a.copy_(x.flip(0))
    graph.replay()
    same(captured, decode(encode(x.flip(0), r), r))
