"""`extract_patches`: the patches of a scene in one pass, and its registered op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._extract_arguments import DTYPES, conversion_of, index_of, scene_of
from sarcore.ops._register import borrow, borrow_view, register, register_gradient, register_once_differentiable
from sarcore.ops.patch_grid import PADDINGS, PatchGrid, sides
from sarcore.ops.radiometry import Radiometry

# ------ the registered op


def _layout(scene: torch.Tensor, index: torch.Tensor | None, size: list[int], stride: list[int]) -> list[int]:
    """(P, C, h, w)."""
    count = len(PatchGrid(scene.shape, size, stride)) if index is None else index.shape[0]
    return [count, scene.shape[0], *size]


def _extract(
    scene: torch.Tensor,
    index: torch.Tensor | None,
    size: list[int],
    stride: list[int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    dtype: str,
    valid: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = _layout(scene, index, size, stride)
    patches = torch.empty(shape, dtype=DTYPES[dtype], device=scene.device)
    counts = torch.zeros(shape[0], dtype=torch.int64, device=scene.device) if valid else None
    places, order = _positions(scene, index, size)
    given = borrow(scene) if scene.is_cuda else borrow_view(scene)
    declared, steps = (unit, scale, low, high, reserve, nodata), (stride[0], stride[1])
    threads = torch.get_num_threads()
    _core.extract_patches(given, patches, counts, places, order, steps, pad, *declared, threads)
    if counts is None:
        return patches, torch.empty(0, dtype=torch.float32, device=scene.device)
    return patches, (counts.double() / (size[0] * size[1])).float()


def _positions(
    scene: torch.Tensor, index: torch.Tensor | None, size: list[int]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The positions where the scene is, and on CUDA their order by rows, if patches overlap so much that it pays.

    Positions on a CUDA device cannot be checked without waiting for it, and what was not checked is not sorted.
    """
    if index is None:
        return None, None
    order = None
    if index.device.type == "cpu":
        _core.check_positions(borrow(index), (scene.shape[1], scene.shape[2]), (size[0], size[1]))
        if scene.is_cuda and len(index) * size[0] * size[1] > 2 * scene.shape[1] * scene.shape[2]:
            order = _order_of(index).to(scene.device)
    return borrow(index.to(scene.device)), order


def _order_of(index: torch.Tensor) -> torch.Tensor:
    return torch.argsort(index[:, 0], stable=True)


def _extract_fake(
    scene: torch.Tensor,
    index: torch.Tensor | None,
    size: list[int],
    stride: list[int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
    dtype: str,
    valid: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = _layout(scene, index, size, stride)
    fraction = scene.new_empty(shape[0] if valid else 0, dtype=torch.float32)
    return scene.new_empty(shape, dtype=DTYPES[dtype]), fraction


def _backward(
    gradient: torch.Tensor,
    scene: torch.Tensor | None,
    index: torch.Tensor | None,
    shape: list[int],
    source: str,
    stride: list[int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
) -> torch.Tensor:
    out = torch.empty(shape, dtype=DTYPES[source], device=gradient.device)
    places = None if index is None else borrow(index.to(gradient.device))
    order = None if places is None or not places.is_cuda else _order_of(places)
    pixels = None if scene is None else borrow(scene)
    declared = unit, scale, low, high, reserve, nodata
    threads, steps = torch.get_num_threads(), (stride[0], stride[1])
    _core.extract_patches_backward(borrow(gradient), pixels, out, places, order, steps, pad, *declared, threads)
    return out


def _backward_fake(
    gradient: torch.Tensor,
    scene: torch.Tensor | None,
    index: torch.Tensor | None,
    shape: list[int],
    source: str,
    stride: list[int],
    pad: str,
    unit: str | None,
    scale: str,
    low: float,
    high: float,
    reserve: bool,
    nodata: float | None,
) -> torch.Tensor:
    return gradient.new_empty(shape, dtype=DTYPES[source])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    scene, index, _, ctx.stride, ctx.pad, *ctx.declared, _, _ = inputs
    ctx.shape, ctx.source = scene.shape, str(scene.dtype).removeprefix("torch.")
    # Without a radiometry the gradient does not depend on the pixels, which need not be kept.
    ctx.save_for_backward(None if ctx.declared[0] is None else scene, index)
    patches, fraction = output
    exact = patches.is_floating_point() or patches.is_complex()
    ctx.mark_non_differentiable(*((fraction,) if exact else (patches, fraction)))


def _gradient(ctx: Any, gradient: torch.Tensor, _: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    grad_scene = torch.ops.sarcore.extract_patches_backward(
        gradient, *ctx.saved_tensors, ctx.shape, ctx.source, ctx.stride, ctx.pad, *ctx.declared
    )
    return grad_scene, *[None] * 12


_DECLARED = "str? unit, str scale, float low, float high, bool reserve, float? nodata"
register(
    "extract_patches(Tensor scene, Tensor? index, int[] size, int[] stride, str pad, "
    f"{_DECLARED}, str dtype, bool valid) -> (Tensor, Tensor)",
    _extract,
    _extract_fake,
)
register(
    "extract_patches_backward(Tensor gradient, Tensor? scene, Tensor? index, SymInt[] shape, str source, int[] stride, "
    f"str pad, {_DECLARED}) -> Tensor",
    _backward,
    _backward_fake,
)
register_gradient("extract_patches", _gradient, _keep)
register_once_differentiable("extract_patches_backward")


# ------ the public function

Pixels = torch.Tensor | npt.NDArray[Any]
Positions = torch.Tensor | npt.NDArray[np.integer[Any]] | Sequence[Sequence[int]]


@overload
def extract_patches(
    scene: Pixels,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    radiometry: Radiometry | None = None,
    pad: str = "reflect",
    index: Positions | None = None,
    dtype: torch.dtype | str | None = None,
    valid: Literal[False] = False,
) -> torch.Tensor: ...
@overload
def extract_patches(
    scene: Pixels,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    radiometry: Radiometry | None = None,
    pad: str = "reflect",
    index: Positions | None = None,
    dtype: torch.dtype | str | None = None,
    valid: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...
def extract_patches(
    scene: Pixels,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    radiometry: Radiometry | None = None,
    pad: str = "reflect",
    index: Positions | None = None,
    dtype: torch.dtype | str | None = None,
    valid: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Patches of a scene, padded, encoded and cast in one pass; no row or column is dropped.

    >>> scene = np.arange(20, dtype=np.uint16).reshape(4, 5)
    >>> extract_patches(scene, 3, 2).shape
    torch.Size([4, 1, 3, 3])
    >>> extract_patches(scene, 3, 2)[3, 0].tolist()
    [[12, 13, 14], [17, 18, 19], [12, 13, 14]]
    >>> declared = Radiometry("amplitude", 0, 16, nodata=0)
    >>> corners = [(0, 0), (3, 4)]
    >>> patches, fraction = extract_patches(scene, 2, index=corners, radiometry=declared, pad="constant", valid=True)
    >>> patches[0, 0].tolist(), fraction.tolist()
    ([[nan, 0.0625], [0.3125, 0.375]], [0.75, 0.25])

    patches[k, c, y, x] = encode(scene[c, row_k + y, column_k + x]), with the rows and columns of
    `PatchGrid(scene.shape, size, stride)` or of `index`, and `pad` beyond the scene.

    Args:
        scene: (C, H, W) or (H, W): uint8, uint16, int16, float16, bfloat16, float32, float64 or complex64; a tensor, or
            an array, memory-mapped too: its rows are read where they are, and read-only memory is fine.
        size: side of a patch, or (h, w), in pixels.
        stride: step of the grid, or (y, x), in pixels; `size` unless given.
        radiometry: what the values are; the patches then are encoded, as `encode` does.
        pad: pixels beyond the scene: ``reflect`` (mirrored, the border pixel once), ``edge`` (the border pixel) or
            ``constant`` (0, and no-data where the radiometry declares it).
        index: (K, 2) integers instead of a grid: (row, column) of the upper left pixels, in any order; patches may
            reach beyond the scene on any side, and must overlap it.
        dtype: of the patches: by default that of the scene, or `radiometry.out`. Without a radiometry: types that hold
            every value of the scene, and floating types.
        valid: also returns how much of each patch is scene with data.

    Returns:
        (P, C, h, w). Without radiometry and dtype the bits of the scene. With `valid` also (P,) float32 in [0, 1]: the
        part of the pixels that lie within the scene and hold, in all channels, neither NaN nor the radiometry's
        no-data. The same bits for any thread count, on CPU and CUDA.

    Raises:
        TypeError: a scene, index or dtype of another type; a cast that would lose values.
        ValueError: another shape, a size or stride below 1, stride together with index, a position that does not
            overlap the scene (unchecked where `index` is on a CUDA device: then the patch is padding), and what
            `encode` refuses; its message counts the pixels of the scene.

    Note:
        Differentiable once in floating and complex scenes: a pixel gets the sum of the gradients of its copies.
    """
    tensor = scene_of(scene)
    height_width = list(sides(size, "size"))
    _checks.choice(pad, PADDINGS, "pad")
    if index is not None and stride is not None:
        raise ValueError("stride must be None where index gives the positions; pass one of them")
    steps = height_width if stride is None else list(sides(stride, "stride"))
    positions = None if index is None else index_of(index, tensor)
    if min(tensor.shape[1:]) < 1:
        raise ValueError(f"scene must have one row and one column or more, got {_checks.describe(tensor)}")
    declared, result = conversion_of(tensor, radiometry, dtype)
    patches, fraction = torch.ops.sarcore.extract_patches(
        tensor, positions, height_width, steps, pad, *declared, result, bool(valid)
    )
    return (patches, fraction) if valid else patches
