"""`merge_patches`: overlapping patches back to one scene, and its registered op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._blend_window import Window, blend_window
from sarcore.ops._register import borrow, register, register_gradient, register_once_differentiable
from sarcore.ops.patch_grid import PatchGrid, sides

MODES = ("mean", "max", "min", "median")
DTYPES = (
    torch.uint8,
    torch.uint16,
    torch.int16,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
)


# ------ the registered ops


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """What the core reads and writes: complex numbers as two columns."""
    tensor = borrow(tensor.resolve_conj().resolve_neg())
    return torch.view_as_real(tensor).flatten(-2) if tensor.is_complex() else tensor


def _columns(twice: bool, width: int, stride: Sequence[int], *weights: torch.Tensor | None) -> tuple[Any, ...]:
    """Width, stride and weights of these columns."""
    if not twice:
        return (int(width), (int(stride[0]), int(stride[1])), *weights)
    doubled = (None if w is None else w.repeat_interleave(2, dim=-1) for w in weights)
    return (2 * int(width), (int(stride[0]), 2 * int(stride[1])), *doubled)


def _merge(
    patches: torch.Tensor,
    window_y: torch.Tensor,
    window_x: torch.Tensor,
    window_2d: torch.Tensor | None,
    height: int,
    width: int,
    stride: Sequence[int],
    mode: str,
    first_patch_row: int,
    row_begin: int,
    row_end: int,
) -> torch.Tensor:
    out = torch.empty((patches.shape[1], row_end - row_begin, width), dtype=patches.dtype, device=patches.device)
    columns, step, along, grid = _columns(patches.is_complex(), width, stride, window_x, window_2d)
    rows = (mode, first_patch_row, int(row_begin), int(row_end), torch.get_num_threads())
    _core.merge_patches(_plain(patches), window_y, along, grid, _plain(out), int(height), columns, step, *rows)
    return out


def _merge_fake(
    patches: torch.Tensor,
    window_y: torch.Tensor,
    window_x: torch.Tensor,
    window_2d: torch.Tensor | None,
    height: int,
    width: int,
    stride: Sequence[int],
    mode: str,
    first_patch_row: int,
    row_begin: int,
    row_end: int,
) -> torch.Tensor:
    return patches.new_empty((patches.shape[1], row_end - row_begin, width))


def _backward(
    gradient: torch.Tensor,
    patches: torch.Tensor | None,
    window_y: torch.Tensor,
    window_x: torch.Tensor,
    window_2d: torch.Tensor | None,
    count: int,
    height: int,
    width: int,
    stride: Sequence[int],
    mode: str,
    first_patch_row: int,
    row_begin: int,
    row_end: int,
) -> torch.Tensor:
    size = (int(count), gradient.shape[0], window_y.numel(), window_x.numel())
    out = torch.empty(size, dtype=gradient.dtype, device=gradient.device)
    columns, step, along, grid = _columns(gradient.is_complex(), width, stride, window_x, window_2d)
    values = None if patches is None else borrow(patches)
    rows = (mode, first_patch_row, int(row_begin), int(row_end), torch.get_num_threads())
    _core.merge_patches_backward(
        _plain(gradient), values, window_y, along, grid, _plain(out), int(height), columns, step, *rows
    )
    return out


def _backward_fake(
    gradient: torch.Tensor,
    patches: torch.Tensor | None,
    window_y: torch.Tensor,
    window_x: torch.Tensor,
    window_2d: torch.Tensor | None,
    count: int,
    height: int,
    width: int,
    stride: Sequence[int],
    mode: str,
    first_patch_row: int,
    row_begin: int,
    row_end: int,
) -> torch.Tensor:
    return gradient.new_empty((count, gradient.shape[0], window_y.numel(), window_x.numel()))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    patches, *weights = inputs[:4]
    ctx.geometry = inputs[4:]
    ctx.count = patches.shape[0]
    # The mean needs no patch: 1 GB of them is not kept alive for it.
    ctx.save_for_backward(None if ctx.geometry[3] == "mean" else patches, *weights)


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    patches, *weights = ctx.saved_tensors
    found = torch.ops.sarcore.merge_patches_backward(gradient, patches, *weights, ctx.count, *ctx.geometry)
    return (found, *(None,) * 10)


_WEIGHTS = "Tensor window_y, Tensor window_x, Tensor? window_2d"
_PLACE = "SymInt height, SymInt width, int[] stride, str mode, int first_patch_row, SymInt row_begin, SymInt row_end"
register(f"merge_patches(Tensor patches, {_WEIGHTS}, {_PLACE}) -> Tensor", _merge, _merge_fake)
register(
    f"merge_patches_backward(Tensor gradient, Tensor? patches, {_WEIGHTS}, SymInt count, {_PLACE}) -> Tensor",
    _backward,
    _backward_fake,
)
register_gradient("merge_patches", _gradient, _keep)
register_once_differentiable("merge_patches_backward")


# ------ the public function


def merge_patches(
    patches: torch.Tensor,
    shape: Sequence[int],
    stride: int | Sequence[int],
    *,
    window: Window = "hann",
    mode: str = "mean",
) -> torch.Tensor:
    """Overlapping patches back to one scene, blended so that no seam is seen.

    >>> patches = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])  # of PatchGrid((4, 6), size=4, stride=2)
    >>> merge_patches(patches, (4, 6), stride=2)[0, 0]
    tensor([0.0000, 0.0000, 0.2764, 0.7236, 1.0000, 1.0000])
    >>> merge_patches(patches, (4, 6), stride=2, mode="max")[0, 0]
    tensor([0., 0., 1., 1., 1., 1.])

    With p_k the value that patch k holds for a pixel and w_k its weight there, over all patches that cover the pixel,

        mean = sum_k w_k p_k / sum_k w_k

    and never beyond the smallest and largest p_k: patches that agree (those of `extract_patches`) give back their
    scene exactly, whatever the window, and infinity stays infinity. NaN of a patch is NaN of the scene, unless its
    weight there is 0: such a patch does not count.

    Args:
        patches: (P, C, h, w), all patches of ``PatchGrid(shape, (h, w), stride)`` in its order: uint8, uint16, int16,
            float16, bfloat16, float32, float64, complex64 (for the mean alone). What reaches beyond the scene is cut.
        shape: (H, W) or (C, H, W) of the scene, in pixels.
        stride: step from patch to patch, or (y, x), in pixels; at most the size of a patch.
        window: weights w = w_y w_x for the mean: ``hann`` (``torch.hann_window(n + 2, periodic=False)[1:-1]``),
            ``gaussian`` (sigma n / 8, as MONAI's), ``triangular``, ``flat`` (the plain mean), a 1-D tensor (square
            patches), a pair of these (y, x), or one 2-D tensor (h, w). Weights are 0 or more, the scale is free.
        mode: ``mean``, ``max``, ``min`` or ``median`` (of an even number the mean of the middle two) of the values.

    Returns:
        (C, H, W) of the dtype of the patches, computed in float32 (float64 patches: float64). Integers are rounded to
        nearest, ties to even. The same bits for any thread count, on CPU and CUDA.

    Raises:
        TypeError: patches that are no tensor of these dtypes; complex numbers, which have no order, with another mode.
        ValueError: another number of patches than the grid has, a stride beyond the size (pixels without a value), a
            window of another size, one that is negative or leaves a pixel without weight (which is NaN, or 0 of
            integers, in compiled graphs, where a check would break the graph), a window with another mode.

    Note:
        Differentiable once in floating and complex patches. max and min: the gradient goes to the first patch that
        holds the value; median: half to each of the middle two.
    """
    patches = _checks.images(patches, "patches", DTYPES)
    mode = check_mode(mode, window, patches.dtype)
    grid = check_grid(shape, (patches.shape[2], patches.shape[3]), stride)
    if len(shape) == 3 and shape[0] != patches.shape[1]:
        raise ValueError(
            f"shape must have the {patches.shape[1]} channels of the patches, got {tuple(shape)} for "
            f"{_checks.describe(patches)}"
        )
    down, across = grid.counts
    if patches.shape[0] != down * across:
        raise ValueError(
            f"patches must be the {down * across} patches ({down} x {across}) of PatchGrid({grid.shape}, {grid.size}, "
            f"{grid.stride}), got {_checks.describe(patches)}; PatchMerger takes them batch by batch"
        )
    height, width = grid.shape
    result: torch.Tensor = torch.ops.sarcore.merge_patches(
        patches, *blend_window(window, grid, patches), height, width, grid.stride, mode, 0, 0, height
    )
    return result


def check_mode(mode: object, window: object, dtype: torch.dtype) -> str:
    """One of MODES that goes with the window and the dtype."""
    name = _checks.choice(mode, MODES, "mode")
    if name != "mean" and not (isinstance(window, str) and window == "hann"):
        raise ValueError(f"window is for mode='mean' alone, got mode={name!r}; leave it out")
    if name != "mean" and dtype.is_complex:
        raise TypeError(f"mode must be 'mean' for complex patches, which have no order, got {name!r}")
    return name


def check_grid(shape: Sequence[int], size: tuple[int, int], stride: int | Sequence[int]) -> PatchGrid:
    """The grid of a scene that its patches cover."""
    grid = PatchGrid(shape, size, sides(stride, "stride"))
    for step, side in zip(grid.stride, grid.size, strict=True):
        if step > side:
            raise ValueError(
                f"stride must be at most the size of a patch, {grid.size}, got {grid.stride}: pixels between the "
                "patches would have no value"
            )
    return grid
