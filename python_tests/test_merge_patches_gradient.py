"""The gradient of merge_patches and what its op promises: gradcheck, plain torch, opcheck, compile."""

import pytest
import torch

from sarcore.ops import PatchGrid, merge_patches
from sarcore.ops._blend_window import blend_window
from sarcore.ops.merge_patches import MODES

from . import patch_oracle as oracle
from .test_merge_patches import FLOATING, GRIDS, every_grid, merged, random_patches

SMALL = PatchGrid((7, 8), (4, 3), (2, 2))


def plain(patches: torch.Tensor, grid: PatchGrid, window: str = "hann", mode: str = "mean") -> torch.Tensor:
    """The same in plain torch."""
    (h, w), (down, across) = grid.size, grid.padded
    padding = [(x, across - x - w, y, down - y - h) for y, x in grid.positions().tolist()]
    spread = [
        torch.nn.functional.pad(p, around, value=float("nan")) for p, around in zip(patches, padding, strict=True)
    ]
    stack = torch.stack(spread)[:, :, : grid.shape[0], : grid.shape[1]]
    covered = ~stack.isnan()
    if mode == "max":
        return stack.nan_to_num(-1e9).max(0).values
    if mode == "min":
        return stack.nan_to_num(1e9).min(0).values
    if mode == "median":
        return torch.nanquantile(stack, 0.5, 0)
    one = torch.from_numpy(oracle.window_2d(window, grid.size)).to(patches.dtype)
    weights = torch.stack([torch.nn.functional.pad(one, around) for around in padding])[:, None]
    weights = weights[..., : grid.shape[0], : grid.shape[1]] * covered
    return (torch.where(covered, stack, 0) * weights).sum(0) / weights.sum(0)


@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode):
    patches = random_patches(SMALL, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: merged(p, SMALL, mode=mode), patches)
    if mode == "mean":
        window = torch.rand(4, 3) + 0.1
        assert torch.autograd.gradcheck(lambda p: merged(p, SMALL, window=window), patches)


@every_grid
@pytest.mark.parametrize("mode", MODES)
def test_equals_plain_torch(grid, mode):
    if len(grid) * grid.padded[0] * grid.padded[1] > 200_000:
        grid = PatchGrid((20, 13), 8, 2)
    patches = random_patches(grid, torch.float64)
    upstream = random_patches(PatchGrid(grid.shape, grid.shape), torch.float64)[0]
    expected = _gradient(lambda p: plain(p, grid, mode=mode), patches, upstream)
    torch.testing.assert_close(_gradient(lambda p: merged(p, grid, mode=mode), patches, upstream), expected)
    for dtype in FLOATING[:3]:
        narrow = _gradient(lambda p: merged(p, grid, mode=mode), patches.to(dtype), upstream.to(dtype))
        assert narrow.dtype == dtype
        if mode == "mean":
            rounding = 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(narrow.double(), expected, rtol=rounding, atol=rounding)


def _gradient(function, patches: torch.Tensor, upstream: torch.Tensor) -> torch.Tensor:
    leaf = patches.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf), leaf, upstream)
    return found


def test_complex_patches_have_the_gradient_of_pytorch():
    z = random_patches(SMALL, torch.complex64)
    upstream = random_patches(PatchGrid(SMALL.shape, SMALL.shape), torch.complex64, seed=1)[0]
    found = _gradient(lambda p: merged(p, SMALL), z, upstream)
    for part in (torch.real, torch.imag):
        expected = _gradient(lambda p: merged(p, SMALL), part(z).contiguous(), part(upstream).contiguous())
        torch.testing.assert_close(part(found), expected)


def test_equal_values_share_no_gradient_but_the_middle_two():
    patches = torch.zeros(3, 1, 1, 3, requires_grad=True)  # all three cover column 2 of (1, 5)
    for mode, expected in (("max", [1, 0, 0]), ("min", [1, 0, 0]), ("median", [0, 1, 0])):
        (found,) = torch.autograd.grad(merge_patches(patches, (1, 5), 1, mode=mode)[0, 0, 2], patches)
        assert [float(found[k, 0, 0, 2 - k]) for k in range(3)] == expected
        assert float(found.abs().sum()) == 1
    (found,) = torch.autograd.grad(merge_patches(patches, (1, 5), 1, mode="median")[0, 0, 1], patches)
    assert [float(found[k, 0, 0, 1 - k]) for k in range(2)] == [0.5, 0.5]


def test_what_lies_beyond_the_scene_gets_no_gradient():
    for grid in GRIDS:
        for mode in MODES:
            leaf = random_patches(grid, torch.float32).requires_grad_()
            merged(leaf, grid, mode=mode).sum().backward()
            rows, columns = grid.positions().unbind(1)
            y = rows[:, None, None, None] + torch.arange(grid.size[0])[:, None]
            x = columns[:, None, None, None] + torch.arange(grid.size[1])
            beyond = ((y >= grid.shape[0]) | (x >= grid.shape[1])).expand_as(leaf)
            assert bool((leaf.grad[beyond] == 0).all())
            height, width = grid.shape
            assert float(leaf.grad.sum()) == pytest.approx(2 * height * width, rel=1e-5)


def test_patches_are_not_kept_for_the_mean():
    leaf = random_patches(SMALL, torch.float32).requires_grad_()
    assert [t is None or t.numel() for t in merged(leaf, SMALL).grad_fn.saved_tensors] == [True, 4, 3, True]


def test_integers_have_no_gradient_and_second_derivatives_say_so():
    assert not merged(random_patches(SMALL, torch.uint8), SMALL).requires_grad
    leaf = random_patches(SMALL, torch.float32).requires_grad_()
    (g,) = torch.autograd.grad(merged(leaf, SMALL).square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable once"):
        g.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8, torch.complex64], ids=str)
def test_opcheck(dtype):
    ops, place = torch.ops.sarcore, (7, 8, (2, 2), "mean", 0)
    patches = random_patches(SMALL, dtype)
    weights = blend_window("hann", SMALL, patches)
    leaf = patches.requires_grad_() if dtype.is_floating_point or dtype.is_complex else patches
    torch.library.opcheck(ops.merge_patches.default, (leaf, *weights, *place, 0, 7))
    torch.library.opcheck(ops.merge_patches.default, (leaf, *weights[:2], torch.ones(4, 3), *place, 2, 5))
    if dtype == torch.float32:
        for mode in MODES[1:]:
            torch.library.opcheck(ops.merge_patches.default, (leaf, *weights, 7, 8, (2, 2), mode, 0, 0, 7))
        upstream = torch.rand(2, 7, 8)
        torch.library.opcheck(ops.merge_patches_backward.default, (upstream, None, *weights, len(SMALL), *place, 0, 7))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_compiled_equals_eager(backend):
    torch._dynamo.reset()
    window = (torch.rand(4) + 0.1, torch.rand(3) + 0.1)

    def step(p: torch.Tensor) -> torch.Tensor:
        return merged(p * 2, SMALL, window=window) + merged(p, SMALL, mode="median") * merged(p, SMALL)

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for channels in (1, 1, 3) if backend == "aot_eager" else (1,):
        leaf = random_patches(SMALL, torch.float32, channels).requires_grad_()
        torch.testing.assert_close(compiled(leaf), step(leaf))
        (a,), (b,) = (torch.autograd.grad(f(leaf).square().sum(), leaf) for f in (step, compiled))
        torch.testing.assert_close(a, b)
