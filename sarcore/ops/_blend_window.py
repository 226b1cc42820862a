"""The weights with which overlapping patches are blended: named windows, and checks of those that users bring."""

from __future__ import annotations

import functools
from typing import TypeAlias

import torch

from sarcore.ops import _checks
from sarcore.ops.patch_grid import PatchGrid

WINDOWS = ("hann", "gaussian", "triangular", "flat")
SMALLEST = 1e-30  # of the largest weight: below, a total is no more than rounding

Window: TypeAlias = "str | torch.Tensor | tuple[torch.Tensor, torch.Tensor]"
Weights: TypeAlias = "tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]"


def blend_window(window: object, grid: PatchGrid, patches: torch.Tensor) -> Weights:
    """Weights along y, along x and, where they are no product of these, per pixel; as the op reads them."""
    dtype = torch.float64 if patches.dtype == torch.float64 else torch.float32
    if isinstance(window, str):
        name = _checks.choice(window, WINDOWS, "window")
        # A copy to the device would be lost in a CUDA graph; a traced or fake tensor must not stay in a cache.
        keep = patches.is_cuda and type(patches) is torch.Tensor and not torch.compiler.is_compiling()
        make = _kept if keep else _made
        return make(name, grid.size[0], dtype, patches.device), make(name, grid.size[1], dtype, patches.device), None
    given = _given(window, grid.size)
    if not torch.compiler.is_compiling():
        _refuse_gaps(given, grid)
    weights = tuple((w.detach().double() / w.max()).to(patches.device, dtype) for w in given)
    if len(weights) == 2:
        return weights[0], weights[1], None
    ones = (torch.ones(n, dtype=dtype, device=patches.device) for n in grid.size)
    return next(ones), next(ones), weights[0].contiguous()


def _made(name: str, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A named window, computed on the CPU: the same bits on every device."""
    here = torch.device("meta" if device.type == "meta" else "cpu")
    if name == "flat":
        w = torch.ones(size, dtype=torch.float64, device=here)
    elif name == "gaussian":
        at = torch.arange(size, dtype=torch.float64, device=here) - (size - 1) / 2
        w = torch.exp(-0.5 * (at / (0.125 * size)).square())
    elif name == "triangular":
        w = torch.bartlett_window(size + 2, periodic=False, dtype=torch.float64, device=here)[1:-1]
    else:
        w = torch.hann_window(size + 2, periodic=False, dtype=torch.float64, device=here)[1:-1]
    return w.to(device, dtype).contiguous()


@functools.cache  # never freed: a kernel of another stream may still read it
def _kept(name: str, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return _made(name, size, dtype, device)


# ------ windows of users


def _given(window: object, size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """(y, x) of two 1-D windows, or (window,) in two dimensions."""
    parts = tuple(window) if isinstance(window, (tuple, list)) else (window,)
    if not parts or len(parts) > 2 or not all(isinstance(part, torch.Tensor) for part in parts):
        raise TypeError(
            f"window must be one of {', '.join(map(repr, WINDOWS))}, a 1-D tensor, a pair of these (y, x) or a 2-D "
            f"tensor, got {type(window).__name__}"
        )
    parts = tuple(_checks.constant(part, "window") for part in parts)
    shapes = tuple(tuple(part.shape) for part in parts)
    if len(parts) == 1 and shapes[0] == (size[0],) == (size[1],):
        return parts[0], parts[0]
    if shapes not in (((size[0],), (size[1],)), (size,)):
        square = f"({size[0]},), " if size[0] == size[1] else ""
        raise ValueError(
            f"window must have the shape {square}(({size[0]},), ({size[1]},)) or {size} of the patches, got "
            f"{' and '.join(map(str, shapes))}"
        )
    return parts


def _refuse_gaps(parts: tuple[torch.Tensor, ...], grid: PatchGrid) -> None:
    """Weights must be finite, 0 or more, and leave no pixel without."""
    parts = tuple(part.cpu() for part in parts)
    for part in parts:
        if part.is_complex() or part.dtype == torch.bool:
            raise TypeError(f"window must hold real numbers, got {_checks.describe(part)}")
        if not (part.double().isfinite().all() and part.min() >= 0 and part.max() > 0):
            raise ValueError(
                "window must be finite, 0 or more, and somewhere positive, got "
                f"{float(part.min()):g} to {float(part.max()):g}"
            )
    smallest = 1.0
    axes = tuple(zip(grid.shape, grid.size, grid.stride, grid.counts, strict=True))
    if len(parts) == 2:
        for part, axis in zip(parts, axes, strict=True):
            smallest *= float(_totals(part.double()[:, None] / part.max(), (axis, (1, 1, 1, 1))).min())
    else:
        smallest = float(_totals(parts[0].double() / parts[0].max(), axes).min())
    if smallest < SMALLEST:
        raise ValueError(
            "window leaves pixels of the scene without weight: give a positive weight where one patch alone covers a "
            "pixel (always along the border of the scene), or take a smaller stride"
        )


def _totals(window: torch.Tensor, axes: tuple[tuple[int, int, int, int], ...]) -> torch.Tensor:
    """What the weights add up to, over a scene with as few patches as show every case of the real one."""
    if float(window.min()) >= 1e-15:
        return window.min()
    shape, starts = [], []
    for length, size, stride, count in axes:
        few = min(count, 2 * -(-size // stride) + 1)
        shape.append(length - (count - few) * stride)
        starts.append([k * stride for k in range(few)])
    total = torch.zeros(shape, dtype=torch.float64)
    for y in starts[0]:
        for x in starts[1]:
            place = total[y : y + window.shape[0], x : x + window.shape[1]]
            place += window[: place.shape[0], : place.shape[1]]
    return total
