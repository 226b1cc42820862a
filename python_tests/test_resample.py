"""resample against PyTorch, Pillow and dense matrices; types, no-data, and what a resampled image must keep."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from sarcore import reference
from sarcore.ops import resample
from sarcore.ops.resample import MODES

from .golden_values import compare_with_golden

NAN = float("nan")
WINDOWS = ("bilinear", "bicubic", "lanczos")
PAIRS = [((80, 80), (160, 160)), ((160, 160), (80, 80)), ((37, 53), (61, 20)), ((12, 7), (5, 40)), ((1, 9), (4, 1))]
every_mode = pytest.mark.parametrize("mode", MODES)
sizes = st.integers(1, 70)


def of_torch(x: torch.Tensor, mode: str, antialias: bool = True, **target: object) -> torch.Tensor:
    """F.interpolate, antialiased where an axis shrinks and that was asked for."""
    if mode == "nearest-exact" and "size" in target:
        return nearest_of_torch_for_large_results(x, *target["size"])
    if mode in ("nearest", "nearest-exact", "area"):
        return functional.interpolate(x, mode=mode, **target)
    plain = functional.interpolate(x, mode=mode, align_corners=False, **target)
    shrinks = any(after < before for before, after in zip(x.shape[2:], plain.shape[2:], strict=True))
    if not (antialias and shrinks):
        return plain
    # torch 2.13 takes a result one column wide for a column-first image in its antialiased passes: flipped, it is right
    if plain.shape[3] == 1 and plain.shape[2] > 1:
        size = tuple(plain.shape[:1:-1])
        return functional.interpolate(x.mT, size=size, mode=mode, align_corners=False, antialias=True).mT
    return functional.interpolate(x, mode=mode, align_corners=False, antialias=True, **target)


def nearest_of_torch_for_large_results(x: torch.Tensor, h: int, w: int) -> torch.Tensor:
    """nearest-exact with the kernel that torch keeps for results of more than 128 rows and columns together.

    Its other kernel rounds whole positions differently: of 2 pixels made 47, the middle one is 0 there and 1 here.
    """
    for size in (w, h):  # columns, then rows as columns; the repeated rows keep their number and make the result large
        many = x.repeat(1, 1, 129, 1)
        x = functional.interpolate(many, size=(many.shape[2], size), mode="nearest-exact")[:, :, : x.shape[2]].mT
    return x


def test_equals_torch_where_a_nearest_position_is_whole():
    for before in range(1, 71):
        x = torch.arange(before, dtype=torch.float32).expand(1, 1, 1, before)
        for after in range(1, 71):
            expected = nearest_of_torch_for_large_results(x, 1, after)
            assert torch.equal(resample(x, (1, after), mode="nearest-exact"), expected), (before, after)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("antialias", [True, False])
@given(height=sizes, width=sizes, h=sizes, w=sizes, seed=st.integers(0, 99))
def test_equals_torch_at_any_size(mode, antialias, height, width, h, w, seed):
    x = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(seed))
    expected = of_torch(x, mode, antialias, size=(h, w))
    torch.testing.assert_close(resample(x, (h, w), mode=mode, antialias=antialias), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["nearest-exact", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("antialias", [True, False])
@given(height=sizes, width=sizes, y=st.floats(0.2, 3), x=st.floats(0.2, 3))
def test_equals_torch_at_any_scale(mode, antialias, height, width, y, x):
    image = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(height))
    if int(height * y) < 1 or int(width * x) < 2:
        return
    expected = of_torch(image, mode, antialias, scale_factor=(y, x))
    found = resample(image, scale=(y, x), mode=mode, antialias=antialias)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_scales_and_sizes_are_one_or_two_numbers():
    x = torch.rand(2, 3, 20, 30)
    assert torch.equal(resample(x, 7), resample(x, (7, 7)))
    assert torch.equal(resample(x, torch.Size([40, 60])), resample(x, scale=2))
    assert torch.equal(resample(x, scale=2.0), resample(x, scale=[2.0, np.float64(2)]))
    assert resample(x, scale=0.37, mode="nearest").shape == functional.interpolate(x, scale_factor=0.37).shape
    for scale in (0.5, 1.5, 3.0):
        torch.testing.assert_close(resample(x, scale=scale, mode="nearest"), of_torch(x, "nearest", scale_factor=scale))


@pytest.mark.parametrize("source", [(80, 80), (37, 53), (9, 160), (1, 5)])
@pytest.mark.parametrize("target", [(160, 160), (40, 41), (20, 90), (3, 2), (1, 1)])
def test_lanczos_equals_pillow(source, target):
    x = torch.rand(1, 1, *source, generator=torch.Generator().manual_seed(0))
    of_pillow = Image.fromarray(x[0, 0].numpy()).resize(target[::-1], Image.Resampling.LANCZOS)
    found = resample(x, target, mode="lanczos")
    torch.testing.assert_close(found[0, 0], torch.from_numpy(np.array(of_pillow)), rtol=0, atol=1e-5)
    # Pillow rounds and clips to 8 bit between the two passes, here only at the end: alike where nothing overshoots
    grey = (70 + x * 115).round().to(torch.uint8)
    of_pillow = Image.fromarray(grey[0, 0].numpy()).resize(target[::-1], Image.Resampling.LANCZOS)
    difference = resample(grey, target, mode="lanczos")[0, 0].int() - torch.from_numpy(np.array(of_pillow)).int()
    assert difference.abs().max() <= 1


@every_mode
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_equals_dense_matrices(mode, antialias, source, target):
    x = torch.rand(2, 2, *source, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.3
    if mode == "nearest":  # whose floor(s j) meets whole numbers, where only one rounding is right
        source, target = (16, 24), (40, 12)
        x = x[..., :1, :1].expand(2, 2, *source) * torch.arange(24)
    for limits in (None, (0.0, 0.5)):
        expected = reference.resample(x, target, mode=mode, antialias=antialias, range=limits)
        found = resample(x, target, mode=mode, antialias=antialias, range=limits)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@every_mode
def test_large_images_in_many_tiles_equal_dense_matrices(mode):
    x = torch.rand(1, 1, 260, 1100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for target in ((600, 1050), (130, 2100), (40, 30), (1, 1300)):
        found = resample(x, target, mode=mode)
        # the two may differ in which pixel is nearest where a position is whole
        if mode.startswith("nearest"):
            rows, columns = (
                resample(torch.arange(n).double()[None, None, :, None], (m, 1), mode=mode).flatten().long()
                for n, m in zip(x.shape[2:], target, strict=True)
            )
            assert torch.equal(found, x[:, :, rows][..., columns])
        else:
            torch.testing.assert_close(found, reference.resample(x, target, mode=mode), rtol=0, atol=1e-12)


@every_mode
@pytest.mark.parametrize(("source", "target"), PAIRS[:3])
def test_integers_are_rounded_and_half_precision_is_computed_in_float32(mode, source, target):
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.uint8, torch.uint16, torch.int16, torch.float16, torch.bfloat16):
        if dtype.is_floating_point:
            x = (torch.rand(1, 2, *source, generator=generator) - 0.5).to(dtype)
            expected = resample(x.float(), target, mode=mode).to(dtype)
        else:
            low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
            x = torch.randint(0, 2, (1, 2, *source), generator=generator) * (high - low) + low  # which overshoots
            x = x.to(dtype)
            exact = resample(x.float(), target, mode=mode)
            expected = exact.round().clamp(low, high).to(dtype)
        assert torch.equal(resample(x, target, mode=mode), expected)


def test_ties_go_to_the_even_number():
    x = torch.tensor([[0, 1, 1, 2, 4, 5]], dtype=torch.uint8).view(1, 1, 1, 6)
    assert resample(x, (1, 3), mode="area").flatten().tolist() == [0, 2, 4]
    assert resample(-x.to(torch.int16), (1, 3), mode="area").flatten().tolist() == [0, -2, -4]


@every_mode
def test_both_parts_of_complex_numbers_are_treated_alike(mode):
    z = torch.randn(2, 3, 21, 18, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    for target in ((40, 50), (10, 30), (21, 9)):
        found = resample(z, target, mode=mode)
        assert torch.equal(found.real, resample(z.real, target, mode=mode))
        assert torch.equal(found.imag, resample(z.imag, target, mode=mode))


@every_mode
@pytest.mark.parametrize("target", [(40, 40), (10, 10), (33, 7), (20, 20)])
def test_nan_reaches_exactly_the_results_that_it_has_weight_in(mode, target):
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    for row, column in ((0, 0), (7, 12), (19, 19)):
        one = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
        one[..., row, column] = 1
        weight = resample(one, target, mode=mode)
        broken = x.clone()
        broken[..., row, column] = NAN
        found = resample(broken, target, mode=mode)
        assert torch.equal(found.isnan(), (weight != 0) & (weight.abs() > 1e-9))
        assert torch.equal(found[~found.isnan()], resample(x, target, mode=mode)[~found.isnan()])


@every_mode
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bfloat16, torch.float32, torch.complex64])
def test_the_same_size_gives_the_same_image(mode, dtype):
    x = (torch.rand(2, 3, 17, 40) * 200).to(dtype)
    found = resample(x, (17, 40), mode=mode)
    assert torch.equal(found, x)
    assert found.data_ptr() != x.data_ptr()
    across = resample(x, (17, 80), mode=mode)  # one axis alone
    assert torch.equal(across, resample(x.flatten(0, 2)[:, None, None], (1, 80), mode=mode).view(across.shape))


@every_mode
def test_range_clamps_overshoot_and_keeps_nan(mode):
    x = (torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    plain, found = resample(x, 30, mode=mode), resample(x, 30, mode=mode, range=(0.0, 1.0))
    assert torch.equal(found, plain.clamp(0, 1))
    assert torch.equal(found, plain) == (mode not in ("bicubic", "lanczos"))
    x[..., 3, 3] = NAN
    assert torch.equal(resample(x, 30, mode=mode, range=(0, 1)).isnan(), resample(x, 30, mode=mode).isnan())
    codes = (x.nan_to_num() * 255).to(torch.uint8)
    expected = resample(codes.float(), 30, mode=mode).clamp(20, 200).round().to(torch.uint8)
    assert torch.equal(resample(codes, 30, mode=mode, range=(20, 200)), expected)


@given(height=sizes, width=sizes, h=sizes, w=sizes, mode=st.sampled_from((*WINDOWS, "area")), antialias=st.booleans())
def test_constant_images_stay_constant_and_flips_commute(height, width, h, w, mode, antialias):
    flat = torch.full((1, 1, height, width), 3.7, dtype=torch.float64)
    found = resample(flat, (h, w), mode=mode, antialias=antialias)
    torch.testing.assert_close(found, torch.full_like(found, 3.7))
    x = torch.rand(1, 1, height, width, dtype=torch.float64)
    flipped = resample(x.flip(2, 3), (h, w), mode=mode, antialias=antialias).flip(2, 3)
    torch.testing.assert_close(flipped, resample(x, (h, w), mode=mode, antialias=antialias), rtol=0, atol=1e-11)
    turned = resample(x.mT, (w, h), mode=mode, antialias=antialias).mT
    torch.testing.assert_close(turned, resample(x, (h, w), mode=mode, antialias=antialias), rtol=0, atol=1e-12)


def test_halving_by_area_is_the_mean_of_blocks():
    x = torch.rand(3, 2, 40, 60, dtype=torch.float64)
    torch.testing.assert_close(resample(x, (20, 30), mode="area"), functional.avg_pool2d(x, 2))


def test_empty_batches_give_empty_results():
    for shape in ((0, 1, 5, 5), (2, 0, 5, 5)):
        assert resample(torch.zeros(shape), (7, 3)).shape == (*shape[:2], 7, 3)


def test_golden_values(device):
    generator = torch.Generator().manual_seed(5)
    x, results = torch.rand(1, 1, 4, 5, generator=generator), {}
    for mode in MODES:
        for name, target in (("grown", (7, 6)), ("shrunk", (3, 2))):
            leaf = x.to(device).requires_grad_()
            found = resample(leaf, target, mode=mode)
            upstream = torch.linspace(-1, 1, found.numel()).view(found.shape).to(device)
            results[f"{mode} {name}"] = found
            results[f"{mode} {name} gradient"] = torch.autograd.grad(found, leaf, upstream)[0]
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.uint16, torch.int16):
        results[f"lanczos {dtype}"] = resample((x * 200).to(dtype).to(device), (3, 4), mode="lanczos")
    z = torch.complex(x, x.flip(2)).to(device)
    results["bicubic complex"] = resample(z, scale=(0.8, 1.3))
    results["bicubic without antialias"] = resample(x.to(device), scale=0.6, antialias=False, range=(0.2, 0.7))
    compare_with_golden("resample", results)
