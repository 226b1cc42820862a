"""merge_patches on a GPU: the bits of the CPU, forward and backward, in batches, other streams, CUDA graphs."""

import pytest
import torch

import sarcore
from sarcore.ops import PatchGrid, PatchMerger, merge_patches
from sarcore.ops.merge_patches import MODES

USABLE = torch.cuda.is_available() and sarcore._core.build_info()["cuda"]
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not USABLE, reason="needs a CUDA device and a build of sarcore with CUDA kernels"),
]

INTEGER = [torch.uint8, torch.uint16, torch.int16]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
GRIDS = [
    PatchGrid((17, 23), (8, 6), (4, 3)),
    PatchGrid((5, 4), (8, 6), (8, 6)),
    PatchGrid((20, 13), 8, 1),
    PatchGrid((300, 320), 160, 80),  # aligned
    PatchGrid((301, 319), (160, 96), (53, 48)),
    PatchGrid((40, 4096), (16, 512), (8, 256)),
    PatchGrid((2000, 16), (64, 16), (16, 16)),  # narrow
]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.shape}-{g.size}-{g.stride}")


def random_patches(grid: PatchGrid, dtype: torch.dtype, channels: int = 2) -> torch.Tensor:
    """With infinities, NaN and zeros of both signs in floating patches."""
    generator = torch.Generator().manual_seed(0)
    shape = (len(grid), channels, *grid.size)
    if dtype.is_complex:
        return torch.randn(shape, dtype=dtype, generator=generator)
    if not dtype.is_floating_point:
        return torch.randint(-300 if dtype == torch.int16 else 0, 256, shape, generator=generator).to(dtype)
    patches = torch.randn(shape, dtype=torch.float64, generator=generator)
    for k, special in enumerate((float("nan"), float("inf"), -float("inf"), 0.0, -0.0)):
        patches.view(-1)[k::211] = special
    return patches.to(dtype)


def merged(patches: torch.Tensor, grid: PatchGrid, **options: object) -> torch.Tensor:
    return merge_patches(patches, grid.shape, grid.stride, **options)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.detach().cpu(), expected.detach(), rtol=0, atol=0, equal_nan=True)


@every_grid
@pytest.mark.parametrize("dtype", [*INTEGER, *FLOATING, torch.complex64], ids=str)
def test_has_the_bits_of_the_cpu(grid, dtype):
    patches = random_patches(grid, dtype)
    moved = patches.cuda()
    weights = torch.rand(grid.size) + 0.1
    for window in ("hann", "gaussian", "triangular", "flat", weights, (weights[:, 0], weights[0])):
        same(merged(moved, grid, window=window), merged(patches, grid, window=window))
    for mode in MODES[1:] if not dtype.is_complex else ():
        same(merged(moved, grid, mode=mode), merged(patches, grid, mode=mode))


@every_grid
@pytest.mark.parametrize("dtype", [*FLOATING, torch.complex64], ids=str)
def test_gradients_have_the_bits_of_the_cpu(grid, dtype):
    weights = torch.rand(grid.size) + 0.1
    for options in ({}, {"window": weights}, *({"mode": mode} for mode in MODES[1:] if not dtype.is_complex)):
        found = []
        for device in ("cpu", "cuda"):
            leaf = random_patches(grid, dtype).to(device).requires_grad_()
            scene = merged(leaf, grid, **options)
            upstream = torch.linspace(-1, 1, scene.numel()).view(scene.shape).to(device, dtype)
            found.append(torch.autograd.grad(scene, leaf, upstream)[0])
        same(found[1], found[0])


@every_grid
def test_batches_have_the_bits_of_the_whole(grid):
    patches = random_patches(grid, torch.float32)
    merger = PatchMerger(grid.shape, grid.size, grid.stride)
    rows = torch.cat([merger.add(batch.cuda()) for batch in patches.split(7)], dim=1)
    merger.finish()
    same(rows, merged(patches, grid))


def test_memory_layouts_and_unaligned_tensors():
    grid = PatchGrid((300, 320), 160, 80)
    patches = random_patches(grid, torch.float32)
    expected, moved = merged(patches, grid), patches.cuda()
    unaligned = torch.cat([moved.new_zeros(1), moved.flatten()])[1:].view(moved.shape)
    for other in (unaligned, moved.to(memory_format=torch.channels_last), moved.mT.contiguous().mT):
        same(merged(other, grid), expected)
    same(merged(moved[:, :0], grid), expected[:0])


def test_side_streams_and_graphs():
    grid = PatchGrid((512, 512), 64, 32)
    patches = random_patches(grid, torch.float32, 1)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        moved = patches.cuda()
        merged(moved, grid)  # the window is on the device before the graph
        torch.cuda._sleep(50_000_000)  # a kernel on another stream would read `moved * 0.5` before it is written
        found = merged(moved * 0.5, grid)
    side.synchronize()
    same(found, merged(patches * 0.5, grid))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = merged(moved, grid)
    moved.copy_(patches.flip(0))
    graph.replay()
    same(captured, merged(patches.flip(0), grid))
