"""`resample`: images on another grid of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, register, register_gradient, register_once_differentiable
from sarcore.ops.patch_grid import LONGEST, sides

MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "area")
DTYPES = (*_checks.DTYPES, torch.int16, torch.complex64)


# ------ the registered ops


def _resample(
    x: torch.Tensor,
    height: int,
    width: int,
    mode: str,
    antialias: bool,
    scale_y: float,
    scale_x: float,
    low: float | None,
    high: float | None,
) -> torch.Tensor:
    out = torch.empty((*x.shape[:2], height, width), dtype=x.dtype, device=x.device)
    _forward(x, out, None, mode, antialias, (scale_y, scale_x), low, high)
    return out


def _resample_fake(
    x: torch.Tensor,
    height: int,
    width: int,
    mode: str,
    antialias: bool,
    scale_y: float,
    scale_x: float,
    low: float | None,
    high: float | None,
) -> torch.Tensor:
    return x.new_empty((*x.shape[:2], height, width))


def _resample_backward(
    gradient: torch.Tensor,
    x: torch.Tensor | None,
    height: int,
    width: int,
    mode: str,
    antialias: bool,
    scale_y: float,
    scale_x: float,
    low: float | None,
    high: float | None,
) -> torch.Tensor:
    scale = (scale_y, scale_x)
    if x is not None:  # only what was not clamped passes
        passed = torch.empty(gradient.shape, dtype=gradient.dtype, device=gradient.device)
        _forward(x, passed, borrow(gradient), mode, antialias, scale, low, high)
        gradient = passed
    out = torch.empty((*gradient.shape[:2], height, width), dtype=gradient.dtype, device=gradient.device)
    workspace = _workspace(gradient, (height, width), tuple(gradient.shape[2:]), mode, antialias, scale, backward=True)
    threads = torch.get_num_threads()
    _core.resample_backward(borrow(gradient), out, workspace, mode, antialias, scale, threads)
    return out


def _resample_backward_fake(
    gradient: torch.Tensor,
    x: torch.Tensor | None,
    height: int,
    width: int,
    mode: str,
    antialias: bool,
    scale_y: float,
    scale_x: float,
    low: float | None,
    high: float | None,
) -> torch.Tensor:
    return gradient.new_empty((*gradient.shape[:2], height, width))


def _forward(
    x: torch.Tensor,
    out: torch.Tensor,
    upstream: torch.Tensor | None,
    mode: str,
    antialias: bool,
    scale: tuple[float, float],
    low: float | None,
    high: float | None,
) -> None:
    workspace = _workspace(x, tuple(x.shape[2:]), tuple(out.shape[2:]), mode, antialias, scale, backward=False)
    threads = torch.get_num_threads()
    _core.resample(borrow(x), out, upstream, workspace, mode, antialias, scale, low, high, threads)


def _workspace(
    tensor: torch.Tensor,
    source: tuple[int, ...],
    result: tuple[int, ...],
    mode: str,
    antialias: bool,
    scale: tuple[float, float],
    *,
    backward: bool,
) -> torch.Tensor | None:
    """Room for the tables of weights, which CUDA computes itself: nothing is copied and nothing waits."""
    if not tensor.is_cuda:
        return None
    wide = tensor.dtype == torch.float64
    size = _core.resample_workspace(source, result, mode, antialias, scale, wide, backward)
    return torch.empty(size, dtype=torch.uint8, device=tensor.device)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, _, _, *ctx.how = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(*([x] if ctx.how[-1] is not None else []))


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x = ctx.saved_tensors[0] if ctx.saved_tensors else None
    grad_x = torch.ops.sarcore.resample_backward(gradient, x, *ctx.size, *ctx.how)
    return grad_x, *([None] * 8)


_HOW = "SymInt height, SymInt width, str mode, bool antialias, float scale_y, float scale_x, float? low, float? high"
register(f"resample(Tensor x, {_HOW}) -> Tensor", _resample, _resample_fake)
register(
    f"resample_backward(Tensor gradient, Tensor? x, {_HOW}) -> Tensor", _resample_backward, _resample_backward_fake
)
register_gradient("resample", _gradient, _keep)
register_once_differentiable("resample_backward")


# ------ the public function


def resample(
    x: torch.Tensor,
    size: int | Sequence[int] | None = None,
    scale: float | Sequence[float] | None = None,
    *,
    mode: str = "bicubic",
    antialias: bool = True,
    range: tuple[float, float] | None = None,
) -> torch.Tensor:
    """Images on another grid of pixels over the same area.

    >>> x = torch.tensor([[[[0.0, 8.0], [0.0, 8.0]]]])
    >>> resample(x, (1, 4), mode="bilinear")
    tensor([[[[0., 2., 6., 8.]]]])
    >>> resample(torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4), scale=0.5, mode="area")
    tensor([[[[ 2,  4],
              [10, 12]]]], dtype=torch.uint8)

    Pixel j of the result, s input pixels wide, lies around c = s (j + 1/2), and is the sum of the pixels i with weights

        nearest         1 for i = floor(s j)
        nearest-exact   1 for i = floor(c)
        bilinear        max(1 - |u|, 0)
        bicubic         Keys' convolution of |u| < 2, a = -3/4; a = -1/2 where antialiased
        lanczos         sinc(u) sinc(u / 3) for |u| < 3, normalised to sum 1
        area            1 / n for the n pixels that it covers, if only in part

    of u = i + 1/2 - c, along each axis. Pixels beyond the border are the border's; where windows are stretched, and for
    `lanczos`, they are left out. With `antialias`, where the result has fewer rows or columns, u is divided by
    max(s, 1) and the weights are normalised: every pixel counts, and nothing aliases.

    Args:
        x: (N, C, H, W): uint8, uint16, int16, float16, bfloat16, float32, float64 or complex64 (both parts alike).
        size: side of the result, or (h, w), in pixels: s = H / h.
        scale: instead of `size`, result pixels per input pixel, or (y, x): h = floor(H scale), s = 1 / scale.
        mode: the filter, one of the above.
        antialias: stretch `bilinear`, `bicubic` and `lanczos` where they shrink; the others ignore it.
        range: (low, high) to which results are clamped, for `bicubic` and `lanczos` overshoot edges.

    Returns:
        (N, C, h, w) of the type of x. Computed in float32, float64 for float64: integers are rounded to the nearest,
        ties to even, and to the ends of their type. NaN spreads to the results in which it has a weight. The same bits
        for any thread count, on CPU and CUDA.

    Raises:
        TypeError: x is no tensor or of another dtype, a size that is no integer, a range for complex numbers.
        ValueError: x is not (N, C, H, W) or has no pixels, both or neither of `size` and `scale`, a result without
            pixels, an unknown `mode`, low >= high.

    Note:
        Differentiable once in floating and complex x, zero where clamped. The gradient is gathered: deterministic.

    Source:
        `torch.nn.functional.interpolate` (align_corners=False), to its rounding; `lanczos` is Pillow's. Its CPU kernels
        for results of up to 128 rows and columns together take another pixel than those for larger ones where a nearest
        position is whole, and ignore a scale that gives one or two times the size: here all are as the larger ones.
        Its antialiased `bicubic` has a = -1/2 where nothing shrinks, too; here that is antialias=False.
    """
    tensor = _checks.images(x, "x", DTYPES)
    if min(tensor.shape[2:]) == 0:
        raise ValueError(f"x must have at least one row and one column, got {_checks.describe(tensor)}")
    height, width, scale_y, scale_x = _result_size(tensor, size, scale)
    _checks.choice(mode, MODES, "mode")
    if not isinstance(antialias, bool):
        raise TypeError(f"antialias must be True or False, got {antialias!r}")
    low, high = (None, None) if range is None else _checks.value_range(range)
    if low is not None and tensor.is_complex():
        raise TypeError(f"range must be None for complex numbers, which have no order, got {range!r}")
    return torch.ops.sarcore.resample(  # type: ignore[no-any-return]
        tensor, height, width, mode, antialias, scale_y, scale_x, low, high
    )


def _result_size(x: torch.Tensor, size: object, scale: object) -> tuple[int, int, float, float]:
    """Height and width of the result, and the given scales, 0 where they follow from the size."""
    if (size is None) == (scale is None):
        raise ValueError(f"exactly one of size and scale must be given, got size={size!r} and scale={scale!r}")
    if size is not None:
        return *sides(size, "size"), 0.0, 0.0
    both = tuple(scale) if isinstance(scale, Sequence) and not isinstance(scale, str) else (scale, scale)
    if len(both) != 2:
        raise ValueError(f"scale must be a number or a pair (vertical, horizontal), got {scale!r}")
    factors = [_checks.number(each, "scale") for each in both]
    if not all(0.0 < each < math.inf for each in factors):
        raise ValueError(f"scale must be positive and finite, got {scale!r}")
    # A greater factor is too much for any side, and the product may be more than an integer can hold.
    limited = [min(each, LONGEST + 1.0) for each in factors]
    height, width = (torch.sym_int(side * each) for side, each in zip(x.shape[2:], limited, strict=True))
    if not (1 <= height <= LONGEST and 1 <= width <= LONGEST):
        raise ValueError(
            f"scale must give a result of 1 to {LONGEST} rows and columns, got {scale!r} for {_checks.describe(x)}"
        )
    return height, width, *factors
