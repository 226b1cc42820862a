"""What every op promises, for extract_patches: memory layouts, threads, empty input, errors, opcheck, compile."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.ops import extract_patches

from .test_extract_patches import DTYPES, NAN, same, scene_of

# ------ memory


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_layouts_do_not_change_a_bit(dtype):
    scene = scene_of((3, 21, 26), dtype)
    expected = extract_patches(scene, 8, 5, valid=True)
    wide = torch.zeros(6, 50, 60, dtype=dtype)
    wide[::2, 3:45:2, 4:56:2] = scene
    unaligned = torch.cat([scene.new_zeros(1), scene.flatten()])[1:].view(scene.shape)
    others = [wide[::2, 3:45:2, 4:56:2], unaligned, scene.mT.contiguous().mT, scene.permute(1, 2, 0).contiguous()]
    others[-1] = others[-1].permute(2, 0, 1)
    others += [scene.conj().resolve_conj().conj()] if dtype.is_complex else []
    for other in others:
        for a, b in zip(extract_patches(other, 8, 5, valid=True), expected, strict=True):
            same(a, b)
    one = scene[:1, :1, :1].expand(2, 9, 9)
    same(extract_patches(one, 4), extract_patches(one.clone(), 4))


def test_arrays_are_read_where_they_are(tmp_path: Path):
    pixels = scene_of((2, 30, 40), torch.uint16).numpy()
    np.save(tmp_path / "scene.npy", pixels)
    mapped = np.load(tmp_path / "scene.npy", mmap_mode="r")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for view in (mapped, mapped[:, 3:, 5:20], mapped[1], mapped[:, ::-1, ::2], mapped.transpose(0, 2, 1)):
            same(extract_patches(view, 7, 4), extract_patches(view.copy(), 7, 4))
    assert not told
    assert not mapped.flags.writeable
    with pytest.raises(TypeError, match=r"byte order of this machine, got >u2; open the file with sarcore.data.Scene"):
        extract_patches(pixels.astype(">u2"), 7)
    with pytest.raises(TypeError, match="scene must be .*got .*complex128"):
        extract_patches(pixels.astype(np.complex128), 7)
    with pytest.raises(TypeError, match="scene must be an array of numbers that torch has, got dtype <U1"):
        extract_patches(np.full((4, 4), "a"), 2)
    masked = np.ma.masked_equal(pixels[0], pixels[0, 3, 4])
    with pytest.raises(TypeError, match="scene must not be a masked array, whose mask would be lost"):
        extract_patches(masked, 7)
    same(extract_patches(masked.filled(0), 7), extract_patches(np.ma.array(masked.filled(0)), 7))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_that_are_not_dense_are_refused():
    with pytest.raises(ValueError, match="scene must be a dense tensor, got layout torch.sparse_coo; call to_dense"):
        extract_patches(torch.zeros(4, 4).to_sparse(), 2)
    with pytest.raises(ValueError, match="scene must be a dense tensor, got a nested tensor"):
        extract_patches(torch.nested.nested_tensor([torch.zeros(4, 4), torch.zeros(4, 3)]), 2)


def test_thread_count_does_not_change_a_bit():
    scene = scene_of((2, 300, 301), torch.uint16)
    r = Radiometry("intensity", 0, 50, nodata=7.0, scale="db")
    before, found = torch.get_num_threads(), []
    index = torch.randint(-15, 290, (500, 2), generator=torch.Generator().manual_seed(0))
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            grid = extract_patches(scene, 32, 15, radiometry=r, valid=True)
            found.append((*grid, *extract_patches(scene, 16, index=index, valid=True)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            same(a, b)


def test_empty_inputs_give_empty_results():
    scene = torch.rand(2, 9, 8)
    for index in ([], torch.empty(0, 2, dtype=torch.int64), np.empty((0, 2), dtype=np.int64)):
        patches, fraction = extract_patches(scene, 4, index=index, valid=True)
        assert (patches.shape, fraction.shape) == ((0, 2, 4, 4), (0,))
    patches, fraction = extract_patches(scene[:0], 4, valid=True)
    assert patches.shape == (6, 0, 4, 4)
    assert fraction.tolist() == [1, 1, 1, 1, 0.25, 0.25]


# ------ errors


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (([[1]], 2), {}, TypeError, "scene must be a torch.Tensor or a NumPy array, got list"),
        ((torch.zeros(4), 2), {}, ValueError, "scene must be (C, H, W) or (H, W), got (4,) float32 on cpu"),
        ((torch.zeros(1, 1, 4, 4), 2), {}, ValueError, "scene must be (C, H, W) or (H, W)"),
        ((torch.zeros(1, 0, 4), 2), {}, ValueError, "scene must have one row and one column or more"),
        ((torch.zeros(4, 4, dtype=torch.int32), 2), {}, TypeError, "scene must be one of uint8"),
        ((torch.zeros(4, 4), 0), {}, ValueError, "size must be 1 to"),
        ((torch.zeros(4, 4), 2, 0), {}, ValueError, "stride must be 1 to"),
        ((torch.zeros(4, 4), 2.5), {}, TypeError, "size must be an int, got float"),
        ((torch.zeros(4, 4), 2), {"pad": "wrap"}, ValueError, "pad must be one of 'reflect', 'edge', 'constant'"),
        ((torch.zeros(4, 4), 2, 2), {"index": [(0, 0)]}, ValueError, "stride must be None where index gives"),
        ((torch.zeros(4, 4), 2), {"index": [(0, 4)]}, ValueError, "columns -1 to 3, got (0, 4) at position 0"),
        ((torch.zeros(4, 4), 2), {"index": [(0, 0), (-2, 0)]}, ValueError, "got (-2, 0) at position 1"),
        (
            (torch.zeros(4, 4), 2),
            {"index": [(2**62, 0)]},
            ValueError,
            "index must hold positions whose patches overlap",
        ),
        (
            (torch.zeros(4, 4), 2),
            {"index": [(0.5, 0)]},
            TypeError,
            "index must hold integers (row, column), got float64",
        ),
        ((torch.zeros(4, 4), 2), {"index": torch.zeros(1, 2)}, TypeError, "index must hold integers (row, column)"),
        ((torch.zeros(4, 4), 2), {"index": [0, 0]}, ValueError, "index must be (K, 2), a (row, column) for each patch"),
        (
            (torch.zeros(4, 4), 2),
            {"index": [(0, 0), (1,)]},
            ValueError,
            "index must be (K, 2), a (row, column) for each",
        ),
        (
            (torch.zeros(4, 4), 2),
            {"index": np.array([[2**64 - 1, 0]], dtype=np.uint64)},
            ValueError,
            "index must hold integers of 64 bits, got 18446744073709551615",
        ),
        ((torch.zeros(4, 4), 2), {"dtype": "int8"}, TypeError, "dtype must be one of uint8, uint16"),
        ((torch.zeros(4, 4), 2), {"dtype": float}, TypeError, "dtype must be one of uint8, uint16"),
        ((torch.zeros(4, 4), 2), {"radiometry": "db"}, TypeError, "radiometry must be a sarcore.Radiometry, got str"),
    ],
)
def test_errors_name_the_argument(arguments, options, error, words):
    with pytest.raises(error) as caught:
        extract_patches(*arguments, **options)
    assert words in str(caught.value)


def test_a_scene_that_contradicts_its_declaration_by_type():
    intensity, codes = Radiometry("intensity", 0, 1), torch.zeros(4, 4, dtype=torch.uint8)
    with pytest.raises(TypeError, match="scene must be complex64 for unit='complex' and real for others"):
        extract_patches(torch.zeros(4, 4, dtype=torch.complex64), 2, radiometry=intensity)
    with pytest.raises(TypeError, match="but unit='db' declares decibels"):
        extract_patches(codes, 2, radiometry=Radiometry("db", -25, 0))
    with pytest.raises(TypeError, match="dtype must be one of float32, uint8.* with a radiometry, got int64"):
        extract_patches(codes, 2, radiometry=intensity, dtype=torch.int64)


# ------ what every op promises


def test_opcheck():
    op = torch.ops.sarcore.extract_patches.default
    plain, db = (None, "digital", 0.0, 1.0, False, None), ("intensity", "db", -20.0, 3.0, True, 7.0)
    x, index = torch.rand(2, 9, 7) + 0.1, torch.tensor([[0, 0], [-2, 5], [8, 6]])
    torch.library.opcheck(op, (x.clone().requires_grad_(), None, [4, 3], [3, 3], "reflect", *plain, "float32", False))
    torch.library.opcheck(op, (x.clone().requires_grad_(), index, [4, 3], [4, 3], "edge", *db, "float16", True))
    torch.library.opcheck(op, (x.to(torch.uint16), index, [4, 3], [4, 3], "constant", *db, "uint8", True))
    backward = torch.ops.sarcore.extract_patches_backward.default
    gradient = torch.rand(3, 2, 4, 3)
    torch.library.opcheck(backward, (gradient, None, index, [2, 9, 7], "float32", [4, 3], "reflect", *plain))
    torch.library.opcheck(backward, (gradient, x, index, [2, 9, 7], "float32", [4, 3], "reflect", *db))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_compiled_equals_eager(backend):
    torch._dynamo.reset()
    r = Radiometry("intensity", -20, 3, nodata=NAN, scale="db")

    def step(x: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        grid = extract_patches(x * 2, 4, 3, radiometry=r, valid=True)
        return (*grid, extract_patches(x, (3, 5), index=index, dtype=torch.float64) * 2)

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for shape in ((2, 9, 8), (2, 9, 8), (2, 14, 11))[: 3 if backend == "aot_eager" else 1]:
        x, index = (torch.rand(shape) + 0.01).requires_grad_(), torch.tensor([[0, 0], [-2, 5], [8, 6]])
        first, second = step(x, index), compiled(x, index)
        for a, b in zip(first, second, strict=True):
            torch.testing.assert_close(a, b)
        (a,), (b,) = (torch.autograd.grad(p[0].sum() + p[2].sum(), x) for p in (first, second))
        torch.testing.assert_close(a, b)


def test_meta_inference_and_autocast():
    scene, r = torch.rand(2, 9, 8) + 0.1, Radiometry("intensity", 0, 1)
    expected = extract_patches(scene, 4, 3, radiometry=r)
    shape, fraction = extract_patches(scene.to("meta"), 4, 3, radiometry=r, valid=True)
    assert (shape.shape, shape.dtype, fraction.shape) == (expected.shape, expected.dtype, expected.shape[:1])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        same(extract_patches(scene, 4, 3, radiometry=r), expected)
