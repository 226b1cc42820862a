"""The histogram loss of Marmanis et al.: distance of histograms plus a spatial term, and both gradients, fused."""

from __future__ import annotations

import math
from typing import Any

import torch

import sarcore._core as _core
from sarcore.ops import _checks
from sarcore.ops._register import borrow, borrow_mask, register, register_gradient, register_once_differentiable
from sarcore.ops.histogram import result_dtype


def _forward(
    input: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None,
    bins: int,
    lo: float,
    hi: float,
    omega: float,
    distance: str,
    spatial: str,
    normalize: str,
    kernel: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    n, c, h, w = input.shape
    loss = torch.empty((n,), dtype=result_dtype(input), device=input.device)
    table = torch.empty((n, c, bins + 1), dtype=loss.dtype, device=input.device)
    if input.numel() == 0:
        return loss.fill_(math.nan), table.zero_()  # the mean over no pixel
    workspace = None
    if input.is_cuda:
        size = _core.histogram_loss_workspace(n * c, h * w, bins)
        workspace = torch.empty(size, dtype=torch.uint8, device=input.device)
    _core.histogram_loss(
        borrow(input), borrow(target), borrow_mask(mask), loss, table, workspace,
        lo, hi, omega, distance, spatial, normalize, kernel, torch.get_num_threads(),
    )  # fmt: skip
    return loss, table


def _forward_fake(
    input: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None,
    bins: int,
    *settings: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    n, c = input.shape[:2]
    dtype = result_dtype(input)
    return input.new_empty((n,), dtype=dtype), input.new_empty((n, c, bins + 1), dtype=dtype)


def _backward(
    gradient: torch.Tensor,
    input: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None,
    table: torch.Tensor,
    lo: float,
    hi: float,
    spatial: str,
    need_input: bool,
    need_target: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    out_input = torch.empty(input.shape if need_input else (0,), dtype=input.dtype, device=input.device)
    out_target = torch.empty(input.shape if need_target else (0,), dtype=input.dtype, device=input.device)
    _core.histogram_loss_backward(
        borrow(gradient), borrow(input), borrow(target), borrow_mask(mask), borrow(table),
        out_input if need_input else None, out_target if need_target else None, lo, hi, spatial,
        torch.get_num_threads(),
    )  # fmt: skip
    return out_input, out_target


def _backward_fake(
    gradient: torch.Tensor,
    input: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None,
    table: torch.Tensor,
    lo: float,
    hi: float,
    spatial: str,
    need_input: bool,
    need_target: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    nothing = (0,)
    return (
        input.new_empty(input.shape if need_input else nothing),
        input.new_empty(input.shape if need_target else nothing),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    input, target, mask, _, ctx.lo, ctx.hi, _, _, ctx.spatial, _, _ = inputs
    table = output[1]
    ctx.mark_non_differentiable(table)
    ctx.save_for_backward(input, target, mask, table)


def _gradient(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    input, target, mask, table = ctx.saved_tensors
    need_input, need_target = ctx.needs_input_grad[:2]
    grad_input, grad_target = torch.ops.sarcore.histogram_loss_backward(
        gradient, input, target, mask, table, ctx.lo, ctx.hi, ctx.spatial, need_input, need_target
    )
    return (grad_input if need_input else None, grad_target if need_target else None, *(None,) * 9)


register(
    "histogram_loss(Tensor input, Tensor target, Tensor? mask, int bins, float lo, float hi, float omega, "
    "str distance, str spatial, str normalize, str kernel) -> (Tensor, Tensor)",
    _forward,
    _forward_fake,
)
register(
    "histogram_loss_backward(Tensor gradient, Tensor input, Tensor target, Tensor? mask, Tensor table, float lo, "
    "float hi, str spatial, bool need_input, bool need_target) -> (Tensor, Tensor)",
    _backward,
    _backward_fake,
)
register_gradient("histogram_loss", _gradient, _setup_context)
register_once_differentiable("histogram_loss_backward")


def histogram_loss(
    input: torch.Tensor,
    target: torch.Tensor,
    bins: int = 64,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    omega: float = 0.001,
    distance: str = "l2",
    spatial: str = "l2",
    normalize: str = "probability",
    kernel: str = "linear",
    mask: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Distance of two images' histograms plus omega times their pixel difference.

    >>> real, fake = torch.rand(4, 1, 32, 32), torch.rand(4, 1, 32, 32, requires_grad=True)
    >>> histogram_loss(fake, real).backward()
    >>> fake.grad.shape
    torch.Size([4, 1, 32, 32])

    Per image and channel, with V valid pixels, histograms h of `soft_histogram` and p = h / V,

        L = 1/bins sum_k (p_k(input) - p_k(target))^2  +  omega 1/V sum (input - target)^2

    averaged over channels.

    Args:
        input, target: (N, C, H, W), one shape and device; dtypes of `soft_histogram`. Both receive gradients.
        bins, range: as in `soft_histogram`.
        omega: weight of the spatial term, in 1 / unit^2 for ``l2``.
        distance: ``l2`` as above; ``l1``, mean of |p_k - q_k|; ``emd``, mean of |P_k - Q_k| of the cumulative
            histograms, which is the earth mover's distance in units of the range.
        spatial: ``l2`` as above, or ``l1``, mean of |input - target|.
        normalize: ``probability`` as above, or ``count``: h itself instead of h / V.
        kernel: ``linear``, or ``hard``: the paper's reading, whose histogram term has no gradient.
        mask: bool, broadcastable to input, True where a pixel counts. A pixel that is NaN in either image does not.
        reduction: ``mean`` or ``sum`` over the batch, or ``none``.

    Returns:
        Scalar, or (N,) with ``none``; float64 for float64 images, else float32. No valid pixel at all gives NaN.

    Note:
        The same bits for any thread count, on CPU and CUDA. Differentiable once. Where input and target differ in
        floating dtype (AMP), the wider one is used.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.

    Source: Marmanis et al., Artificial generation of big data for improving image classification, arXiv:1711.02010.
    """
    input, target = _checks.pair(input, target, "input", "target")
    bins = _checks.bin_count(bins)
    lo, hi = _checks.value_range(range)
    omega = _checks.number(omega, "omega")
    if not 0.0 <= omega < math.inf:
        raise ValueError(f"omega must be a finite number >= 0, got {omega}")
    distance = _checks.choice(distance, ("l2", "l1", "emd"), "distance")
    spatial = _checks.choice(spatial, ("l2", "l1"), "spatial")
    normalize = _checks.choice(normalize, ("probability", "count"), "normalize")
    kernel = _checks.choice(kernel, ("linear", "hard"), "kernel")
    reduction = _checks.choice(reduction, ("mean", "sum", "none"), "reduction")
    mask = _checks.mask_of(mask, input)
    per_image: torch.Tensor
    per_image, _ = torch.ops.sarcore.histogram_loss(
        input, target, mask, bins, lo, hi, omega, distance, spatial, normalize, kernel
    )
    if reduction == "none":
        return per_image
    return per_image.mean() if reduction == "mean" else per_image.sum()
