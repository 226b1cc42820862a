"""The differentiable joint histogram of two images, and the mutual information it gives."""

from __future__ import annotations

from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, borrow_mask, register, register_gradient, register_once_differentiable
from sarcore.ops.histogram import result_dtype

MAX_BINS = 256


def _forward(
    x: torch.Tensor,
    y: torch.Tensor,
    mask: torch.Tensor | None,
    bins: int,
    lo_x: float,
    hi_x: float,
    lo_y: float,
    hi_y: float,
) -> torch.Tensor:
    n, c, h, w = x.shape
    out = torch.empty((n, c, bins, bins), dtype=result_dtype(x), device=x.device)
    workspace = None
    if x.is_cuda:
        size = _core.joint_histogram_workspace(n * c, h * w, bins, bins)
        workspace = torch.empty(size, dtype=torch.uint8, device=x.device)
    _core.joint_histogram(
        borrow(x), borrow(y), borrow_mask(mask), out, workspace, lo_x, hi_x, lo_y, hi_y, torch.get_num_threads()
    )
    return out


def _forward_fake(
    x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, bins: int, *limits: float
) -> torch.Tensor:
    return x.new_empty((x.shape[0], x.shape[1], bins, bins), dtype=result_dtype(x))


def _backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    mask: torch.Tensor | None,
    lo_x: float,
    hi_x: float,
    lo_y: float,
    hi_y: float,
    need_x: bool,
    need_y: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    out_x = torch.empty(x.shape if need_x else (0,), dtype=x.dtype, device=x.device)
    out_y = torch.empty(x.shape if need_y else (0,), dtype=x.dtype, device=x.device)
    _core.joint_histogram_backward(
        borrow(gradient), borrow(x), borrow(y), borrow_mask(mask), out_x if need_x else None, out_y if need_y else None,
        lo_x, hi_x, lo_y, hi_y, torch.get_num_threads(),
    )  # fmt: skip
    return out_x, out_y


def _backward_fake(
    gradient: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    mask: torch.Tensor | None,
    lo_x: float,
    hi_x: float,
    lo_y: float,
    hi_y: float,
    need_x: bool,
    need_y: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    nothing = (0,)
    return x.new_empty(x.shape if need_x else nothing), x.new_empty(x.shape if need_y else nothing)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, y, mask, _, *ctx.limits = inputs
    ctx.save_for_backward(x, y, mask)


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, y, mask = ctx.saved_tensors
    need_x, need_y = ctx.needs_input_grad[:2]
    grad_x, grad_y = torch.ops.sarcore.joint_histogram_backward(gradient, x, y, mask, *ctx.limits, need_x, need_y)
    return (grad_x if need_x else None, grad_y if need_y else None, *(None,) * 6)


register(
    "joint_histogram(Tensor x, Tensor y, Tensor? mask, int bins, float lo_x, float hi_x, float lo_y, float hi_y) "
    "-> Tensor",
    _forward,
    _forward_fake,
)
register(
    "joint_histogram_backward(Tensor gradient, Tensor x, Tensor y, Tensor? mask, float lo_x, float hi_x, float lo_y, "
    "float hi_y, bool need_x, bool need_y) -> (Tensor, Tensor)",
    _backward,
    _backward_fake,
)
register_gradient("joint_histogram", _gradient, _setup_context)
register_once_differentiable("joint_histogram_backward")


def joint_histogram(
    x: torch.Tensor,
    y: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    range_y: tuple[float, float] | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Differentiable joint histogram of two images, for every image and channel.

    >>> x, y = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    >>> h = joint_histogram(x, y, bins=8)
    >>> h.shape, round(h.sum().item(), 3)
    (torch.Size([1, 1, 8, 8]), 256.0)

    Every pixel pair adds one, shared between the 2 x 2 nearest bin centres:

        h[i, j] = sum over pixels of max(0, 1 - |x - c_i| / w_x) max(0, 1 - |y - c_j| / w_y)

    with values beyond the end centres counted there, as in `soft_histogram`.

    Args:
        x, y: (N, C, H, W), one shape and device; dtypes of `soft_histogram`. Both receive gradients.
        bins: bins of either axis, 2 to 256.
        range, range_y: (low, high) of x and of y, in their units; `range_y` defaults to `range`.
        mask: bool, broadcastable to x, True where a pixel counts. A pixel that is NaN in either image does not count.

    Returns:
        (N, C, bins, bins) in pixels, the bin of x first; float64 for float64 images, else float32.

    Note:
        Fixed-point sums: the same bits for any thread count, on CPU and CUDA. Differentiable once.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.
    """
    x, y = _checks.pair(x, y, "x", "y")
    bins = _checks.bin_count(bins, MAX_BINS)
    lo_x, hi_x = _checks.value_range(range)
    lo_y, hi_y = (lo_x, hi_x) if range_y is None else _checks.value_range(range_y, "range_y")
    mask = _checks.mask_of(mask, x)
    result: torch.Tensor = torch.ops.sarcore.joint_histogram(x, y, mask, bins, lo_x, hi_x, lo_y, hi_y)
    return result


def mutual_information(
    x: torch.Tensor,
    y: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    range_y: tuple[float, float] | None = None,
    mask: torch.Tensor | None = None,
    normalized: bool = False,
) -> torch.Tensor:
    """Mutual information of two images from their joint histogram, averaged over channels.

    >>> x = torch.rand(2, 1, 32, 32)
    >>> same, other = mutual_information(x, x, bins=16), mutual_information(x, torch.rand(2, 1, 32, 32), bins=16)
    >>> bool((same > other).all())
    True

    With p the joint histogram over its sum, p_x and p_y its marginals and H the entropy in nats,

        I = sum p log(p / (p_x p_y))            normalized: (H(x) + H(y)) / H(x, y), from 1 to 2

    Args:
        x, y, bins, range, range_y, mask: as in `joint_histogram`.
        normalized: Studholme's normalised mutual information, less sensitive to the size of the overlap.

    Returns:
        (N,), in nats or without unit; float64 for float64 images, else float32. NaN for an image without valid pixels.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.

    Source: Maes et al., IEEE Trans. Medical Imaging 16(2), 1997; Studholme et al., Pattern Recognition 32(1), 1999.
    """
    joint = joint_histogram(x, y, bins, range, range_y=range_y, mask=mask)
    pixels = joint.sum((-2, -1), keepdim=True)
    p = joint / pixels
    floor = (2.0 ** -(41 if p.dtype == torch.float64 else 17) / pixels).detach()  # half a unit of the fixed point
    entropy_x = _entropy(p.sum(-1), floor[..., 0]).sum(-1)
    entropy_y = _entropy(p.sum(-2), floor[..., 0]).sum(-1)
    entropy_joint = _entropy(p, floor).sum((-2, -1))
    if normalized:
        return ((entropy_x + entropy_y) / entropy_joint).mean(1)
    return (entropy_x + entropy_y - entropy_joint).mean(1)


def _entropy(p: torch.Tensor, floor: torch.Tensor) -> torch.Tensor:
    # log of a floor instead of xlogy: the derivative of p log p at an empty cell is -inf, which times the zero slope of
    # the joint histogram there would be NaN. The floor is what rounding to fixed point may have taken from the cell.
    return -p * torch.maximum(p, floor).log()
