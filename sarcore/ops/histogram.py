"""The differentiable histogram: `soft_histogram` and its registered op."""

from __future__ import annotations

import math
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, borrow_mask, register, register_gradient, register_once_differentiable

# Fine bins per bandwidth of a smooth kernel K; the linear interpolation error is at most max|K''| / (8 * 16^2).
_OVERSAMPLING = 16


def result_dtype(x: torch.Tensor) -> torch.dtype:
    """float64 for float64 images, float32 for all others: a count needs more digits than float16 has."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _forward(x: torch.Tensor, mask: torch.Tensor | None, bins: int, lo: float, hi: float, kernel: str) -> torch.Tensor:
    out = x.new_empty((x.shape[0], x.shape[1], bins), dtype=result_dtype(x))
    workspace = None
    if x.is_cuda:
        n, c, h, w = x.shape
        size = _core.soft_histogram_workspace(n * c, h * w, bins, out.element_size())
        workspace = torch.empty(size, dtype=torch.uint8, device=x.device)
    _core.soft_histogram(borrow(x), borrow_mask(mask), out, workspace, lo, hi, kernel, torch.get_num_threads())
    return out


def _forward_fake(
    x: torch.Tensor, mask: torch.Tensor | None, bins: int, lo: float, hi: float, kernel: str
) -> torch.Tensor:
    return x.new_empty((x.shape[0], x.shape[1], bins), dtype=result_dtype(x))


def _backward(gradient: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None, lo: float, hi: float) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _core.soft_histogram_backward(borrow(gradient), borrow(x), borrow_mask(mask), out, lo, hi, torch.get_num_threads())
    return out


def _backward_fake(
    gradient: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None, lo: float, hi: float
) -> torch.Tensor:
    return x.new_empty(x.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, mask, _, ctx.lo, ctx.hi, ctx.kernel = inputs
    ctx.save_for_backward(x, mask)


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, mask = ctx.saved_tensors
    if ctx.kernel == "hard":  # a step function: zero wherever it has a derivative
        return torch.zeros_like(x), None, None, None, None, None
    grad_x = torch.ops.sarcore.soft_histogram_backward(gradient, x, mask, ctx.lo, ctx.hi)
    return grad_x, None, None, None, None, None


register(
    "soft_histogram(Tensor x, Tensor? mask, int bins, float lo, float hi, str kernel) -> Tensor",
    _forward,
    _forward_fake,
)
register(
    "soft_histogram_backward(Tensor gradient, Tensor x, Tensor? mask, float lo, float hi) -> Tensor",
    _backward,
    _backward_fake,
)
register_gradient("soft_histogram", _gradient, _setup_context)
register_once_differentiable("soft_histogram_backward")


def soft_histogram(
    x: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    kernel: str = "linear",
    bandwidth: float | None = None,
    mask: torch.Tensor | None = None,
    density: bool = False,
) -> torch.Tensor:
    """Differentiable histogram of every image and channel.

    >>> x = torch.rand(2, 1, 32, 32, requires_grad=True)
    >>> h = soft_histogram(x, bins=8)
    >>> h.shape, h.sum(-1).flatten().tolist()
    (torch.Size([2, 1, 8]), [1024.0, 1024.0])

    With bin width w = (high - low) / bins and centres c_k = low + (k + 1/2) w, ``linear`` adds to bin k

        sum over pixels of max(0, 1 - |x - c_k| / w)

    where x beyond the first or last centre counts fully for that end bin; dh/dx is +-1/w between centres, 0 beyond.

    Args:
        x: (N, C, H, W), uint8, uint16, float16, bfloat16, float32 or float64, in the unit of `range`.
        bins: number of bins, 2 to 4096.
        range: (low, high), the outer bin edges, in the unit of x.
        kernel: ``linear``; ``hard`` is `numpy.histogram` bit for bit (values outside `range` are not counted, zero
            gradient); ``gaussian`` and ``bspline`` (cubic) spread each pixel by `bandwidth`: a fine linear histogram,
            then a convolution whose weights sum to one per pixel (error per pixel for bandwidths of a bin and more: at
            most 5e-4 of the largest weight for ``gaussian``, 1.3e-3 for ``bspline``).
        bandwidth: standard deviation of ``gaussian`` or knot distance of ``bspline``, in the unit of x; default one
            bin width.
        mask: bool, broadcastable to x, True where a pixel counts. NaN pixels never count.
        density: divide by count and bin width, so that the histogram integrates to 1 over `range`; an image without
            valid pixels gives 0.

    Returns:
        (N, C, bins), float64 for float64 images, else float32. Unless `density`, in pixels.

    Note:
        Sums are integers in fixed point (16 fractional bits, 40 for float64): the same bits for any thread count, on
        CPU and CUDA. ``linear`` sums to the number of valid pixels exactly, in any order of additions, up to 2^24
        pixels (2^53 for float64): a float32 result is rounded to multiples of 2^-s, the largest s <= 16 with
        pixels * 2^s <= 2^24. Differentiable once in x.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.
    """
    x = _checks.images(x, "x")
    bins = _checks.bin_count(bins)
    lo, hi = _checks.value_range(range)
    kernel = _checks.choice(kernel, ("linear", "hard", "gaussian", "bspline"), "kernel")
    mask = _checks.mask_of(mask, x)
    if bandwidth is not None and kernel in ("linear", "hard"):
        raise ValueError(
            f"bandwidth belongs to the kernels 'gaussian' and 'bspline', got {bandwidth} with kernel {kernel!r}"
        )
    if kernel in ("linear", "hard"):
        result: torch.Tensor = torch.ops.sarcore.soft_histogram(x, mask, bins, lo, hi, kernel)
    else:
        result = _smooth(x, mask, bins, lo, hi, kernel, bandwidth)
    if density:
        width = (hi - lo) / bins
        result = result / (result.detach().sum(-1, keepdim=True).clamp_min(torch.finfo(result.dtype).tiny) * width)
    return result


def _smooth(
    x: torch.Tensor, mask: torch.Tensor | None, bins: int, lo: float, hi: float, kernel: str, bandwidth: float | None
) -> torch.Tensor:
    width = (hi - lo) / bins
    bandwidth = width if bandwidth is None else _checks.number(bandwidth, "bandwidth")
    smallest = _OVERSAMPLING * (hi - lo) / _checks.MAX_BINS
    if not smallest <= bandwidth < math.inf:
        raise ValueError(
            f"bandwidth must be finite and at least {smallest:.3g}, in the unit of x, for this range, got {bandwidth}"
        )
    fine_per_bin = max(1, math.ceil(_OVERSAMPLING * width / bandwidth))
    fine_per_bin = min(fine_per_bin, _checks.MAX_BINS // bins)
    fine = torch.ops.sarcore.soft_histogram(x, mask, bins * fine_per_bin, lo, hi, "linear")
    # In float64, which autocast leaves alone in both directions: bfloat16 cannot hold a count.
    result: torch.Tensor = fine.double() @ kernel_weights(bins, fine_per_bin, bandwidth / width, kernel, fine.device)
    return result.to(fine.dtype)


def kernel_weights(bins: int, oversampling: int, bandwidth: float, kernel: str, device: torch.device) -> torch.Tensor:
    """(bins * oversampling, bins) float64 weights of a pixel at each fine centre, rows sum to 1, bandwidth in bins."""
    fine = (torch.arange(bins * oversampling, dtype=torch.float64, device=device) + 0.5) / oversampling
    centres = torch.arange(bins, dtype=torch.float64, device=device) + 0.5
    u = (fine[:, None] - centres[None, :]).abs() / bandwidth
    if kernel == "gaussian":
        return torch.softmax(-0.5 * u * u, dim=1)
    # Cubic B-spline, support of two knots on either side.
    inner, outer = 2.0 / 3.0 - u * u * (1.0 - u / 2.0), (2.0 - u).clamp_min(0.0) ** 3 / 6.0
    weights = torch.where(u < 1.0, inner, outer)
    # One much narrower than a bin can miss every centre: such a pixel belongs to the nearest one.
    nearest = torch.nn.functional.one_hot(fine.floor().long().clamp_max(bins - 1), bins).to(torch.float64)
    total = weights.sum(1, keepdim=True)
    return torch.where(total > 0, weights / total.clamp_min(torch.finfo(torch.float64).tiny), nearest)
