"""extract_patches on a GPU: the bits of the CPU, other streams, CUDA graphs. Needs torch, NumPy and pytest alone."""

from __future__ import annotations

import itertools

import pytest
import torch

import sarcore
from sarcore import Radiometry
from sarcore.ops import encode, extract_patches

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

NAN = float("nan")
PADDINGS = ["reflect", "edge", "constant"]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
DTYPES = [torch.uint8, torch.uint16, torch.int16, *FLOATING, torch.complex64]
OUTPUTS = ["float32", "uint8", "uint16", "float16", "bfloat16", "float64"]
# Shape of the scene, patch, stride: aligned rows, odd rows, gaps, a scene smaller than a patch, many copies of a pixel.
GRIDS = [
    ((2, 500, 700), (160, 160), (80, 80)),
    ((1, 131, 97), (33, 17), (7, 5)),
    ((3, 61, 300), (5, 20), (11, 64)),
    ((1, 9, 5), (40, 70), (3, 3)),
    ((1, 40, 1000), (16, 600), (16, 1)),
]


def scene_of(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """0.01 to 240 with no-data: 7, and NaN in floating types."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = 0.01 + 240 * torch.rand(shape, generator=generator, dtype=torch.float64)
    x[..., 2::9] = 7
    if dtype.is_floating_point or dtype.is_complex:
        x[..., 3::41] = NAN
    return torch.complex(x.float().sqrt(), x.flip(-1).float().nan_to_num(0)) if dtype.is_complex else x.to(dtype)


def same(first: torch.Tensor, second: torch.Tensor) -> None:
    assert first.dtype == second.dtype
    torch.testing.assert_close(first.detach().cpu(), second.detach().cpu(), rtol=0, atol=0, equal_nan=True)


def positions_of(shape: tuple[int, ...], size: tuple[int, int], count: int) -> torch.Tensor:
    """Anywhere that overlaps the scene."""
    generator = torch.Generator().manual_seed(count)
    sides = [torch.randint(1 - size[i], shape[1 + i], (count,), generator=generator) for i in (0, 1)]
    return torch.stack(sides, dim=1)


@pytest.mark.parametrize(("shape", "size", "stride"), GRIDS)
@pytest.mark.parametrize("pad", PADDINGS)
def test_every_type_has_the_bits_of_the_cpu(shape, size, stride, pad):
    for dtype in DTYPES:
        x = scene_of(shape, dtype)
        for out in [None, *FLOATING] if not dtype.is_complex else [None]:
            expected = extract_patches(x, size, stride, pad=pad, dtype=out, valid=True)
            for a, b in zip(
                extract_patches(x.cuda(), size, stride, pad=pad, dtype=out, valid=True), expected, strict=True
            ):
                same(a, b)
    for out in (torch.int16, torch.int32, torch.int64):
        x = scene_of(shape, torch.uint8)
        same(
            extract_patches(x.cuda(), size, stride, pad=pad, dtype=out),
            extract_patches(x, size, stride, pad=pad).to(out),
        )


@pytest.mark.parametrize(("shape", "size", "stride"), GRIDS)
@pytest.mark.parametrize("pad", PADDINGS)
def test_every_radiometry_has_the_bits_of_the_cpu(shape, size, stride, pad):
    for dtype, out, nodata in itertools.product(DTYPES, OUTPUTS, (7.0, NAN)):
        x = scene_of(shape, dtype)
        unit = "complex" if dtype.is_complex else "intensity"
        for scale, limits in (("db", (-10.0, 22.0)), ("amplitude", (1.0, 14.0)), ("intensity", (1.0, 200.0))):
            r = Radiometry(unit, *limits, nodata, out, scale=scale)
            expected = extract_patches(x, size, stride, pad=pad, radiometry=r, valid=True)
            found = extract_patches(x.cuda(), size, stride, pad=pad, radiometry=r, valid=True)
            for a, b in zip(found, expected, strict=True):
                same(a, b)


@pytest.mark.parametrize(("shape", "size", "stride"), GRIDS)
@pytest.mark.parametrize("pad", PADDINGS)
@pytest.mark.parametrize("count", [1, 7, 900])
def test_positions_on_either_device(shape, size, stride, pad, count):
    count = min(count, 40_000_000 // (shape[0] * size[0] * size[1]))
    index = positions_of(shape, size, count)
    r = Radiometry("intensity", -10, 22, 7.0, scale="db")
    for dtype in (torch.uint16, torch.float32):
        x = scene_of(shape, dtype)
        expected = extract_patches(x, size, index=index, pad=pad, radiometry=r, valid=True)
        for where in (index, index.cuda()):
            found = extract_patches(x.cuda(), size, index=where, pad=pad, radiometry=r, valid=True)
            for a, b in zip(found, expected, strict=True):
                same(a, b)


def test_positions_are_checked_where_that_needs_no_waiting():
    x = torch.rand(1, 20, 20).cuda()
    with pytest.raises(ValueError, match="index must hold positions whose patches overlap the scene"):
        extract_patches(x, 4, index=[(0, 20)])
    beyond = torch.tensor([[0, 20], [0, 0]]).cuda()
    found = extract_patches(x, 4, index=beyond, pad="constant")
    same(found, torch.cat([torch.zeros(1, 1, 4, 4), x[None, :, :4, :4].cpu()]))


@pytest.mark.parametrize(("shape", "size", "stride"), GRIDS)
@pytest.mark.parametrize("pad", PADDINGS)
def test_gradients_have_the_bits_of_the_cpu(shape, size, stride, pad):
    index = positions_of(shape, size, 40)
    for dtype, out in itertools.product(
        [*FLOATING, torch.complex64], ["float32", "float16", "bfloat16", "float64", None]
    ):
        unit = "complex" if dtype.is_complex else "intensity"
        r = Radiometry(unit, -10, 22, 7.0, out, scale="db") if out else None
        for places in ({"stride": stride}, {"index": index}):
            found = []
            for device in ("cpu", "cuda"):
                x = scene_of(shape, dtype).to(device).requires_grad_()
                patches = extract_patches(x, size, pad=pad, radiometry=r, **places)
                upstream = torch.linspace(-1, 1, patches.numel()).view(patches.shape).to(patches.dtype)
                found.append(torch.autograd.grad(patches, x, upstream.to(device))[0])
            same(found[1], found[0])


def test_memory_layouts_and_unaligned_tensors():
    x = torch.rand(3, 64, 96).cuda()
    expected = extract_patches(x, 32, 16, valid=True)
    wide = torch.zeros(3, 130, 200).cuda()
    wide[:, 1:129:2, 3:195:2] = x
    shifted = torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    for other in (wide[:, 1:129:2, 3:195:2], shifted, x.mT.contiguous().mT):
        for a, b in zip(extract_patches(other, 32, 16, valid=True), expected, strict=True):
            same(a, b)
    assert extract_patches(x, 32, index=[]).shape == (0, 3, 32, 32)
    assert extract_patches(x[:0], 32, valid=True)[1].tolist() == [1.0] * 6


def test_what_the_cpu_refuses_becomes_nan_or_code_zero():
    x = torch.tensor([[0.5, -1.0, NAN]]).cuda()
    r = Radiometry("intensity", 0, 1)
    assert extract_patches(x, (1, 3), radiometry=r).isnan().flatten().tolist() == [False, True, True]
    assert extract_patches(x, (1, 3), radiometry=r, dtype="uint8").flatten().tolist() == [128, 0, 0]


def test_side_streams_and_graphs():
    r = Radiometry("intensity", -20, 3, scale="db")
    x = torch.rand(1, 512, 512) + 0.01
    expected = encode(extract_patches(x * 0.5, 64, 32), r)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        a = x.cuda()
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `a * 0.5` before it is written
        found = extract_patches(a * 0.5, 64, 32, radiometry=r)
    side.synchronize()
    same(found, expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = extract_patches(a, 64, 32, radiometry=r)
    a.copy_(x.flip(1))
    graph.replay()
    same(captured, extract_patches(x.flip(1), 64, 32, radiometry=r))
