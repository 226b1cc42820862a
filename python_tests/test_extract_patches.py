"""extract_patches against NumPy slices of np.pad: every type, stride, padding, position and memory layout."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore import Radiometry
from sarcore.ops import PatchGrid, encode, extract_patches

from .golden_values import compare_with_golden

NAN = float("nan")
PADDINGS = ["reflect", "edge", "constant"]
TORCH = [torch.uint8, torch.uint16, torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.float64]
DTYPES = [*TORCH, torch.complex64]


def scene_of(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Values that no two pixels share by accident, 0 to 255 for small types."""
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_complex:
        return torch.randn(shape, dtype=dtype, generator=generator)
    top = 256 if dtype == torch.uint8 else 30000
    numbers = torch.randint(0, top, shape, generator=generator)
    return numbers.to(dtype) if not dtype.is_floating_point else (numbers / 7.0 + 0.01).to(dtype)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    raw = (bits(each.contiguous()).contiguous().reshape(-1).view(torch.uint8) for each in (found, expected))
    assert torch.equal(*raw)


def sliced(scene: torch.Tensor, size: tuple[int, int], positions: list[list[int]], pad: str) -> torch.Tensor:
    """The oracle: np.pad by more than any patch can need, and slices. bfloat16 travels as its bits."""
    h, w = size
    carrier = scene.view(torch.int16) if scene.dtype == torch.bfloat16 else scene
    y, x = h + max(0, *(r + h for r, _ in positions), 1), w + max(0, *(c + w for _, c in positions), 1)
    padded = np.pad(carrier.numpy(), ((0, 0), (h, y), (w, x)), mode=pad)
    cut = [padded[:, r + h : r + 2 * h, c + w : c + 2 * w] for r, c in positions]
    patches = torch.from_numpy(np.stack(cut) if cut else np.empty((0, len(scene), h, w), padded.dtype))
    return patches.view(scene.dtype)


sides = st.integers(1, 33)
shapes = st.tuples(st.integers(1, 3), sides, sides)


@given(shapes, st.tuples(sides, sides), st.tuples(sides, sides), st.sampled_from(PADDINGS), st.sampled_from(DTYPES))
def test_a_grid_is_slices_of_the_padded_scene(shape, size, stride, pad, dtype):
    scene = scene_of(shape, dtype)
    positions = PatchGrid(shape, size, stride).positions()
    same(extract_patches(scene, size, stride, pad=pad), sliced(scene, size, positions.tolist(), pad))


@given(shapes, st.tuples(sides, sides), st.sampled_from(PADDINGS), st.sampled_from(DTYPES), st.data())
def test_positions_may_come_in_any_order_and_reach_beyond_every_side(shape, size, pad, dtype, data):
    scene = scene_of(shape, dtype)
    position = st.tuples(st.integers(1 - size[0], shape[1] - 1), st.integers(1 - size[1], shape[2] - 1))
    index = data.draw(st.lists(position, min_size=1, max_size=12))
    index += index[:2]
    expected = sliced(scene, size, [list(each) for each in index], pad)
    for given_as in (index, np.array(index, dtype=np.int32), torch.tensor(index)):
        same(extract_patches(scene, size, index=given_as, pad=pad), expected)


@pytest.mark.parametrize("size", [(160, 160), (37, 101), (201, 1)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.complex64])
def test_results_too_large_for_the_cache(dtype, size):
    scene = scene_of((2, 700, 650), dtype)
    stride = (size[0] // 10, max(1, size[1] // 4))
    grid = PatchGrid(scene.shape, size, stride)
    found = extract_patches(scene, size, stride)
    assert found.numel() * found.element_size() > 16 << 20 or dtype == torch.uint8
    for k in torch.linspace(0, len(grid) - 1, 40).long().tolist():
        same(found[k : k + 1], sliced(scene, size, grid.positions(k, k + 1).tolist(), "reflect"))


def test_a_single_image_and_default_stride():
    scene = scene_of((5, 7), torch.uint16)
    same(extract_patches(scene, 3), extract_patches(scene[None], (3, 3), (3, 3)))
    assert extract_patches(scene.numpy(), 3).shape == (6, 1, 3, 3)


# ------ casts


@pytest.mark.parametrize("source", TORCH)
def test_casts_are_those_of_torch_or_are_refused(source):
    scene = scene_of((1, 9, 11), source)
    if source in (torch.uint16, torch.float64):
        scene[0, 0, 0] = 65535 if source == torch.uint16 else 1e300
    for target in (*DTYPES, torch.int32, torch.int64):
        lossless = target.is_floating_point or (
            not source.is_floating_point
            and not target.is_complex
            and torch.iinfo(target).min <= torch.iinfo(source).min
            and torch.iinfo(target).max >= torch.iinfo(source).max
        )
        for name in (target, str(target).removeprefix("torch.")):
            if lossless:
                same(extract_patches(scene, 4, 3, dtype=name), extract_patches(scene, 4, 3).to(target))
            else:
                with pytest.raises(TypeError, match="dtype must be .*would lose values; declare a sarcore.Radiometry"):
                    extract_patches(scene, 4, 3, dtype=name)


def test_the_phase_is_not_dropped_by_a_cast():
    with pytest.raises(TypeError, match=r"dtype must be complex64 for a scene of complex64, got float32"):
        extract_patches(scene_of((1, 4, 4), torch.complex64), 2, dtype=torch.float32)


# ------ radiometry

LIMITS = {"intensity": (10.0, 900.0), "amplitude": (3.0, 60.0), "db": (5.0, 30.0), "digital": (10.0, 250.0)}
PAIRS = [*itertools.product(("intensity", "amplitude", "db", "complex"), LIMITS), ("digital", "digital")]
PAIRS = [pair for pair in PAIRS if "digital" not in pair or pair[0] == pair[1]]


@pytest.mark.parametrize(("unit", "scale"), PAIRS)
@pytest.mark.parametrize("pad", PADDINGS)
def test_patches_have_the_bits_of_encode(unit, scale, pad):
    sources = [torch.complex64] if unit == "complex" else [d for d in TORCH if unit != "db" or d.is_floating_point]
    for source, out, nodata in itertools.product(sources, ("float32", "uint8", "float64", "bfloat16"), (None, 7.0)):
        scene = scene_of((2, 13, 10), source) if source != torch.complex64 else 20 * scene_of((2, 13, 10), source)
        scene = scene if unit != "db" or source.is_complex else (scene / 100 - 20).to(source)
        scene[:, 3:5, 2:4] = 7
        r = Radiometry(unit, *LIMITS[scale], nodata, out, scale=scale)
        found = extract_patches(scene, (5, 4), (3, 4), radiometry=r, pad=pad)
        plain = extract_patches(scene, (5, 4), (3, 4), pad="edge" if pad == "constant" else pad)
        expected = encode(plain, r)
        if pad == "constant":
            inside = extract_patches(torch.ones(1, 13, 10), (5, 4), (3, 4), pad="constant") > 0
            void = NAN if nodata is not None and out != "uint8" else 0
            expected = torch.where(inside, expected, torch.tensor(void, dtype=expected.dtype))
        same(found, expected)
        codes = dataclasses.replace(r, out="uint16")
        same(extract_patches(scene, 5, 4, radiometry=r, dtype="uint16"), encode(extract_patches(scene, 5, 4), codes))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16])
@pytest.mark.parametrize("nodata", [None, 7.0, -9999.0, -9999.5, 1e9])
def test_integer_scenes_encoded_by_a_table(dtype, nodata):
    scene = scene_of((1, 520, 520), dtype)
    scene[0, 0, :2] = torch.iinfo(dtype).max
    if nodata == -9999.0 and dtype == torch.int16:
        scene[0, 1, :3] = -9999
    for unit, scale, out in (
        ("intensity", "db", "float32"),
        ("amplitude", "db", "uint8"),
        ("digital",) * 2 + ("uint16",),
    ):
        r = Radiometry(unit, *LIMITS[scale], nodata, out, scale=scale)
        same(extract_patches(scene, 260, radiometry=r), encode(extract_patches(scene, 260), r))
    if dtype == torch.int16 and nodata != -9999.0:
        scene[0, 519, 519] = -9999
        with pytest.raises(ValueError, match="1 of its .* values are negative"):
            extract_patches(scene, 260, radiometry=Radiometry("intensity", 0, 40, nodata, scale="db"))


def test_refusals_count_each_pixel_of_the_scene_once():
    scene = torch.rand(1, 40, 40) + 0.1
    scene[0, 20, 20:23] = -1
    intensity = Radiometry("intensity", 0, 1)
    with pytest.raises(ValueError, match="scene contradicts unit='intensity': 3 of its 1600 values are negative"):
        extract_patches(scene, 16, 2, radiometry=intensity)
    assert extract_patches(scene, 16, index=[(0, 0)], radiometry=intensity).shape == (1, 1, 16, 16)
    with pytest.raises(ValueError, match="3 of its 1600"):  # seen in the padding alone
        extract_patches(scene, (60, 1), index=[(-59, 20)], radiometry=intensity)
    with pytest.raises(ValueError, match="scene contradicts unit='db': none of its 1600 values is negative"):
        extract_patches(scene.abs() * 300, 16, radiometry=Radiometry("db", -25, 0))
    scene[0, 5, 5] = NAN
    with pytest.raises(ValueError, match="scene holds 1 NaN, for which integer codes have no place"):
        extract_patches(scene, 8, index=[(1, 1)] * 3, radiometry=Radiometry("digital", 0, 1, out="uint8"))


# ------ valid fraction


@given(shapes, st.tuples(sides, sides), st.tuples(sides, sides), st.booleans(), st.sampled_from(DTYPES))
def test_the_valid_fraction_counts_pixels_with_data_in_all_channels(shape, size, stride, declared, dtype):
    scene = scene_of(shape, dtype)
    generator = np.random.default_rng(3)
    if dtype.is_floating_point or dtype.is_complex:
        scene[torch.from_numpy(generator.random(shape) < 0.05)] = NAN
    carrier = scene.view(torch.int16) if dtype == torch.uint16 else scene  # torch fills no uint16
    carrier[torch.from_numpy(generator.random(shape) < 0.05)] = 7
    r = Radiometry("complex" if dtype.is_complex else "intensity", 0, 9e4, 7.0) if declared else None
    patches, fraction = extract_patches(scene, size, stride, radiometry=r, valid=True)
    data = ~bits(scene).isnan().reshape(*shape, -1).any(-1)
    data = (data & (scene != 7) if declared else data).all(0, keepdim=True)
    inside = extract_patches(data.to(torch.uint8), size, stride, pad="constant").double()
    assert torch.equal(fraction, inside.mean((1, 2, 3)).float())
    same(patches, extract_patches(scene, size, stride, radiometry=r))


def test_real_single_look_complex(test_data: Path):
    """A memory-mapped scene, encoded as it is read."""
    mapped = np.load(test_data / "misc" / "isce3_uavsar_slc" / "winnipeg_frequencyA_HH.npy", mmap_mode="r")
    r = Radiometry("complex", -30, 10, nodata=0.0, scale="db")
    patches, fraction = extract_patches(mapped, 64, 48, radiometry=r, valid=True)
    grid = PatchGrid(mapped.shape, 64, 48)
    assert patches.shape == (len(grid), 1, 64, 64)
    row, column = grid.positions(1, 2)[0].tolist()
    whole = torch.from_numpy(np.array(mapped[row : row + 64, column : column + 64]))
    same(patches[1, 0], encode(whole, r))
    assert 0 < fraction.min() <= fraction.max() <= 1


def test_golden_values(device):
    results = {}
    index = [(-1, 4), (3, -1), (0, 0)]
    for dtype, pad in itertools.product((torch.uint8, torch.float16, torch.float32, torch.complex64), PADDINGS):
        scene = scene_of((2, 5, 6), dtype, seed=4).to(device)
        results[f"{dtype} {pad}"] = extract_patches(scene, (3, 2), index=index, pad=pad)
    for dtype, out, pad in itertools.product((torch.uint16, torch.float32), ("float32", "uint8"), PADDINGS):
        scene = scene_of((1, 5, 6), dtype, seed=5)
        scene[0, 1, 2] = 7
        r = Radiometry("intensity", 5, 40, 7.0, out, scale="db")
        patches, fraction = extract_patches(scene.to(device), 4, 3, radiometry=r, pad=pad, valid=True)
        results |= {f"{dtype} {out} {pad}": patches, f"{dtype} {out} {pad} valid": fraction}
    for pad in PADDINGS:
        a = scene_of((1, 5, 6), torch.float32, seed=6).to(device).requires_grad_()
        patches = extract_patches(a, 4, 2, pad=pad, radiometry=Radiometry("intensity", 0, 40, scale="db"))
        upstream = torch.linspace(-1, 1, patches.numel(), device=device).view(patches.shape)
        (results[f"gradient {pad}"],) = torch.autograd.grad(patches, a, upstream)
    compare_with_golden("extract_patches", results)
