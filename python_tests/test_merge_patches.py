"""merge_patches: values against NumPy slices, exact round trips, windows, infinities, threads, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore.ops import PatchGrid, merge_patches
from sarcore.ops.merge_patches import MODES

from . import patch_oracle as oracle
from .golden_values import compare_with_golden

WINDOWS = ("hann", "gaussian", "triangular", "flat")
INTEGER = [torch.uint8, torch.uint16, torch.int16]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
GRIDS = [
    PatchGrid((17, 23), (8, 6), (4, 3)),
    PatchGrid((17, 23), (8, 6), (3, 5)),
    PatchGrid((5, 4), (8, 6), (8, 6)),  # smaller than a patch
    PatchGrid((24, 18), (8, 6)),  # side by side
    PatchGrid((20, 13), 8, 1),  # 64 patches over a pixel
    PatchGrid((5, 2300), (4, 300), (2, 130)),  # more columns than the loops take at once
]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.shape}-{g.size}-{g.stride}")
NAN, INF = float("nan"), float("inf")


def random_patches(grid: PatchGrid, dtype: torch.dtype, channels: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(grid), channels, *grid.size)
    if dtype.is_complex:
        return torch.randn(shape, dtype=dtype, generator=generator)
    if dtype.is_floating_point:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)
    return torch.randint(-300 if dtype == torch.int16 else 0, 256, shape, generator=generator).to(dtype)


def merged(patches: torch.Tensor, grid: PatchGrid, **options: object) -> torch.Tensor:
    return merge_patches(patches, grid.shape, grid.stride, **options)


def compare(found: torch.Tensor, expected: np.ndarray) -> None:
    """To the rounding of the dtype, of integers to half a code."""
    wide = found.to(torch.complex128 if found.is_complex() else torch.float64).numpy()
    assert found.shape == expected.shape
    if found.dtype in INTEGER:
        assert np.abs(wide - expected).max() <= 0.5 + 1e-4
        return
    tolerance = {torch.complex64: 1e-6, torch.float32: 1e-6, torch.float64: 1e-14}.get(found.dtype)
    tolerance = torch.finfo(found.dtype).eps if tolerance is None else tolerance
    np.testing.assert_allclose(wide, expected, rtol=tolerance, atol=4 * tolerance)


@every_grid
@pytest.mark.parametrize("dtype", [*INTEGER, *FLOATING, torch.complex64], ids=str)
def test_equals_numpy(grid, dtype):
    patches = random_patches(grid, dtype)
    for window in WINDOWS:
        compare(merged(patches, grid, window=window), oracle.merge(patches, grid, window))
    two_dimensional = torch.rand(grid.size) + 0.1
    compare(merged(patches, grid, window=two_dimensional), oracle.merge(patches, grid, two_dimensional))
    for mode in ("max", "min", "median") if not dtype.is_complex else ():
        compare(merged(patches, grid, mode=mode), oracle.merge(patches, grid, mode=mode))


def test_equals_fold():
    grid = PatchGrid((32, 44), 8, 4)  # padded to no more than the scene
    patches = random_patches(grid, torch.float32)
    for window in ("flat", "hann"):
        w = torch.from_numpy(oracle.window_2d(window, (8, 8))).float()

        def fold(columns: torch.Tensor) -> torch.Tensor:
            columns = columns.flatten(1).t()[None]
            return torch.nn.functional.fold(columns, grid.shape, 8, stride=4)[0]

        expected = fold(patches * w) / fold(w.expand(len(grid), 1, 8, 8))
        torch.testing.assert_close(merged(patches, grid, window=window), expected, rtol=2e-6, atol=2e-6)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@given(st.data())
def test_patches_of_a_scene_give_it_back_exactly(data):
    shape = (data.draw(st.integers(1, 30), label="height"), data.draw(st.integers(1, 30), label="width"))
    size = (data.draw(st.integers(1, 12), label="h"), data.draw(st.integers(1, 12), label="w"))
    stride = (data.draw(st.integers(1, size[0]), label="y"), data.draw(st.integers(1, size[1]), label="x"))
    dtype = data.draw(st.sampled_from([*INTEGER, *FLOATING, torch.complex64]), label="dtype")
    window = data.draw(st.sampled_from([*WINDOWS, "pair", "2d"]), label="window")
    grid = PatchGrid(shape, size, stride)
    scene = random_patches(PatchGrid(shape, shape), dtype, seed=shape[0])[0]
    if not dtype.is_complex and dtype.is_floating_point:
        some = scene.view(-1)[:: 1 + scene.numel() // 7]
        specials = [NAN, INF, -INF, 0.0, -0.0, torch.finfo(dtype).max, torch.finfo(dtype).tiny]
        some.copy_(torch.tensor(specials, dtype=torch.float64)[: len(some)])
    patches = oracle.cut(scene, grid)
    if window == "2d":
        window = torch.rand(size) + 1e-3
    elif window == "pair":
        window = (torch.rand(size[0]) + 1e-3, torch.rand(size[1]) + 1e-3)
    same(merged(patches, grid, window=window), scene)
    for mode in MODES[1:] if not dtype.is_complex else ():
        same(merged(patches, grid, mode=mode), scene)


def test_zeros_keep_their_sign_and_infinities_their_place():
    grid = PatchGrid((6, 8), 4, 2)
    scene = torch.zeros(1, 6, 8)
    scene[0, ::2] = -0.0
    for window in WINDOWS:
        assert torch.equal(merged(oracle.cut(scene, grid), grid, window=window).signbit(), scene.signbit())
    patches = torch.ones(len(grid), 1, 4, 4)
    patches[0, 0, 3, 3] = INF  # pixel (3, 3), that three others cover too
    patches[1, 0, 0, 1] = NAN  # pixel (0, 3), that another one covers too
    for mode, expected in (("mean", INF), ("max", INF), ("min", 1.0), ("median", 1.0)):
        found = merged(patches, grid, mode=mode)
        assert float(found[0, 3, 3]) == expected
        assert found.isnan().nonzero().tolist() == [[0, 0, 3]]
    patches[4, 0, 1, 1] = -INF
    found = merged(patches, grid)
    assert found.isnan().nonzero().tolist() == [[0, 0, 3], [0, 3, 3]]  # infinity less infinity


def test_the_mean_stays_within_its_values():
    grid = PatchGrid((40, 40), 16, 5)
    for window in WINDOWS:
        p = torch.rand(1, 1, 16, 16).expand(len(grid), 1, 16, 16) * 0 + torch.rand(len(grid), 1, 1, 1)
        mean = merged(p, grid, window=window)
        assert bool((mean >= merged(p, grid, mode="min")).all())
        assert bool((mean <= merged(p, grid, mode="max")).all())
    large = torch.full((len(grid), 1, 16, 16), 3e38)
    assert torch.equal(merged(large, grid), torch.full((1, 40, 40), 3e38))


def test_integers_are_rounded_to_even():
    grid = PatchGrid((2, 3), 2, 1)
    for dtype, low in ((torch.uint8, 0), (torch.uint16, 65532), (torch.int16, -32768)):
        for a, b, middle in ((0, 1, 0), (1, 2, 2), (2, 3, 2)):
            patches = torch.tensor([a + low, b + low]).to(dtype)[:, None, None, None].expand(2, 1, 2, 2)
            for options in ({"window": "flat"}, {"mode": "median"}):
                assert merged(patches, grid, **options)[0, :, 1].tolist() == [middle + low] * 2


def test_patches_of_weight_zero_do_not_count():
    grid, flat, window = PatchGrid((4, 9), 4, (4, 1)), torch.ones(4), torch.tensor([1.0, 0.0, 2.0, 1.0])
    patches = random_patches(grid, torch.float32)
    expected = merged(patches, grid, window=flat[:, None] * window)
    compare(expected, oracle.merge(patches, grid, flat[:, None] * window))
    for value in (NAN, INF, -1e30):
        patches[..., 1] = value
        same(merged(patches, grid, window=(flat, window)), expected)
        same(merged(patches, grid, window=flat[:, None] * window), expected)
    for gap in (torch.tensor([0.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 1.0, 1e-40])):
        for weights in ((flat, gap), flat[:, None] * gap):
            with pytest.raises(ValueError, match="window leaves pixels of the scene without weight"):
                merged(patches, grid, window=weights)


def test_the_scale_of_a_window_is_free():
    grid = PatchGrid((30, 20), (8, 6), (3, 2))
    patches, w = random_patches(grid, torch.float32), torch.rand(8, 6) + 0.1
    expected = merged(patches, grid, window=w)
    for scale in (2.0**-40, 2.0**60):
        same(merged(patches, grid, window=w * scale), expected)
    ones = (torch.full((8,), 7), torch.full((6,), 3, dtype=torch.uint8))
    same(merged(patches, grid, window=ones), merged(patches, grid, window="flat"))


@pytest.mark.parametrize("mode", MODES)
def test_thread_count_and_row_ranges_do_not_change_a_bit(mode):
    grid = PatchGrid((300, 301), (40, 50), (20, 17))
    patches = random_patches(grid, torch.float32)
    ones = torch.ones(40), torch.rand(50) + 0.1
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = patches.clone().requires_grad_()
            scene = merged(leaf, grid, mode=mode)
            found.append((scene.detach(), torch.autograd.grad(scene.square().sum(), leaf)[0]))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    whole = torch.ops.sarcore.merge_patches(patches, *ones, None, 300, 301, (20, 17), mode, 0, 0, 300)
    across = grid.counts[1]
    for first, begin, end in ((0, 0, 7), (0, 3, 100), (3, 80, 100), (5, 120, 300)):
        part = torch.ops.sarcore.merge_patches(
            patches[first * across :], *ones, None, 300, 301, (20, 17), mode, first, begin, end
        )
        assert torch.equal(part, whole[:, begin:end])


def test_shapes_and_memory_layouts():
    grid = PatchGrid((30, 31), (8, 6), (3, 5))
    patches = random_patches(grid, torch.float32)
    expected = merged(patches, grid)
    wide = torch.zeros(len(grid), 4, 8, 12)
    wide[:, ::2, :, 3:9] = patches
    unaligned = torch.cat([patches.new_zeros(1), patches.flatten()])[1:].view(patches.shape)
    for other in (wide[:, ::2, :, 3:9], unaligned, patches.mT.contiguous().mT, torch._neg_view(-patches)):
        same(merged(other, grid), expected)
    z = random_patches(grid, torch.complex64)
    same(merged(z.conj(), grid), merged(z, grid).conj())
    assert torch.equal(merge_patches(patches, (2, 30, 31), [3, 5]), expected)
    assert merged(patches[:, :0], grid).shape == (0, 30, 31)
    assert merged(patches.to("meta"), grid).shape == (2, 30, 31)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        same(merged(patches, grid), expected)
    one = patches[:1, :1].expand(len(grid), 2, 8, 6)
    same(merged(one, grid), merged(one.clone(), grid))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": torch.zeros(3, 1, 4, 4)}, r"patches must be the 6 patches \(2 x 3\).*got \(3, 1, 4, 4\) float32"),
        ({"patches": torch.zeros(6, 4, 4)}, r"patches must be \(N, C, H, W\), got \(6, 4, 4\)"),
        ({"patches": torch.zeros(6, 1, 0, 4)}, "size must be 1 to"),
        ({"stride": 5}, r"stride must be at most the size of a patch, \(4, 4\), got \(5, 5\)"),
        ({"stride": 0}, "stride must be 1 to"),
        ({"shape": (6, 0)}, "shape must be 1 to"),
        ({"shape": 6}, r"shape must be \(H, W\)"),
        ({"shape": None}, r"shape must be \(H, W\) or \(C, H, W\), got None"),
        ({"shape": (3, 6, 8)}, r"shape must have the 1 channels of the patches, got \(3, 6, 8\)"),
        ({"mode": "sum"}, "mode must be one of 'mean', 'max', 'min', 'median', got 'sum'"),
        ({"mode": "max", "window": "flat"}, "window is for mode='mean' alone, got mode='max'"),
        ({"window": "hanning"}, "window must be one of 'hann'.*got 'hanning'"),
        ({"window": torch.ones(5)}, r"window must have the shape .*got \(5,\)"),
        ({"window": (torch.ones(4), torch.ones(3))}, r"window must have the shape .*got \(4,\) and \(3,\)"),
        ({"window": torch.tensor([1.0, -1.0, 1.0, 1.0])}, "window must be finite, 0 or more.*got -1 to 1"),
        ({"window": torch.tensor([1.0, NAN, 1.0, 1.0])}, "window must be finite, 0 or more"),
        ({"window": torch.zeros(4)}, "somewhere positive, got 0 to 0"),
        ({"window": torch.ones(4, requires_grad=True)}, "window must not require a gradient"),
    ],
)
def test_wrong_values_are_refused(change, message):
    given_ = {"patches": torch.zeros(6, 1, 4, 4), "shape": (6, 8), "stride": 2} | change
    with pytest.raises(ValueError, match=message):
        merge_patches(**given_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": np.zeros((6, 1, 4, 4))}, "patches must be a torch.Tensor, got ndarray"),
        ({"patches": torch.zeros(6, 1, 4, 4, dtype=torch.int64)}, "patches must be one of uint8.*got .* int64"),
        ({"patches": torch.zeros(6, 1, 4, 4, dtype=torch.complex64), "mode": "max"}, "which have no order"),
        ({"stride": 2.0}, "stride must be an int"),
        ({"window": 3}, "window must be one of 'hann'.*got int"),
        ({"window": [0.5, 0.5]}, "window must be one of 'hann'.*got list"),
        ({"window": torch.ones(4, dtype=torch.complex64)}, "window must hold real numbers"),
    ],
)
def test_wrong_types_are_refused(change, message):
    given_ = {"patches": torch.zeros(6, 1, 4, 4), "shape": (6, 8), "stride": 2} | change
    with pytest.raises(TypeError, match=message):
        merge_patches(**given_)


def test_golden_values(device):
    results = {}
    grid = PatchGrid((5, 7), (4, 5), (2, 2))
    for dtype in (torch.uint8, torch.int16, torch.float16, torch.float32, torch.float64, torch.complex64):
        patches = random_patches(grid, dtype, 1).to(device)
        name = str(dtype).removeprefix("torch.")
        # Of hann the last bits of float64 are those of the cosine of this torch.
        results[f"mean {name}"] = merged(patches, grid, window="triangular")
        for mode in MODES[1:] if dtype in (torch.int16, torch.float32) else ():
            results[f"{mode} {name}"] = merged(patches, grid, mode=mode)
    grid = PatchGrid((6, 8), 4, (3, 1))
    patches = random_patches(grid, torch.float32, 1).to(device)
    for window in WINDOWS:
        results[window] = merged(patches, grid, window=window)
    results["2d"] = merged(patches, grid, window=torch.arange(1.0, 17.0).view(4, 4))
    leaf = patches.clone().requires_grad_()
    results["gradient"] = torch.autograd.grad(merged(leaf, grid).square().sum(), leaf)[0][:3]
    compare_with_golden("merge_patches", results)
