"""The peers of the histogram ops: packages as their users call them, and the best compositions of PyTorch ops."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from peers import load

Histogram = Callable[[torch.Tensor, int], torch.Tensor]


# ------ packages, as their users call them


def kornia_histogram() -> Histogram | None:
    """`kornia.enhance.image_histogram2d` with its default triangular kernel."""
    enhance = load("kornia.enhance")
    if enhance is None:
        return None
    return lambda x, bins: enhance.image_histogram2d(x, 0.0, 1.0, bins)[0]


def kornia_information() -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor] | None:
    """`kornia.losses.mutual_information_loss_2d` (new in kornia 0.9), one value per image."""
    losses = load("kornia.losses")
    if losses is None or not hasattr(losses, "mutual_information_loss_2d"):
        return None
    return lambda x, y, bins: -losses.mutual_information_loss_2d(x, y, num_bins=bins).mean(1)


def monai_information(bins: int, device: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """`monai.losses.GlobalMutualInformationLoss` with its default Gaussian window, one value per image."""
    losses = load("monai.losses")
    if losses is None:
        return None
    loss = losses.GlobalMutualInformationLoss(num_bins=bins, reduction="none").to(device)
    return lambda x, y: -loss(x, y)


# ------ the packages' formulas in plain PyTorch, where a package is missing


def dense_histogram(x: torch.Tensor, bins: int) -> torch.Tensor:
    """kornia's formula: the distance of every pixel from every bin centre."""
    centres = (torch.arange(bins, device=x.device, dtype=x.dtype) + 0.5) / bins
    u = (x.unsqueeze(0) - centres.reshape(-1, 1, 1, 1, 1)).abs() * bins
    return ((1.0 - u) * (u <= 1).to(u.dtype)).sum((-2, -1)).permute(1, 2, 0)


def dense_joint(x: torch.Tensor, y: torch.Tensor, bins: int) -> torch.Tensor:
    """Two pixels x bins matrices and their product, which is how kornia and MONAI do it."""

    def weights(image: torch.Tensor) -> torch.Tensor:
        position = (image.flatten(2) * bins - 0.5).clamp(0, bins - 1)
        return (1 - (position[..., None] - torch.arange(bins, device=x.device)).abs()).clamp_min(0)

    return weights(x).transpose(2, 3) @ weights(y)


def dense_information(x: torch.Tensor, y: torch.Tensor, bins: int) -> torch.Tensor:
    """MONAI's formula: normalised Gaussian windows around every bin centre, and a matrix product."""
    centres = torch.linspace(0.0, 1.0, bins, device=x.device)
    precision = 0.5 / (0.5 / (bins - 1)) ** 2

    def window(image: torch.Tensor) -> torch.Tensor:
        weight = torch.exp(-precision * (image.flatten(1)[..., None] - centres) ** 2)
        return weight / weight.sum(-1, keepdim=True)

    wx, wy = window(x), window(y)
    joint = wx.transpose(1, 2) @ wy / wx.shape[1]
    product = wx.mean(1)[:, :, None] * wy.mean(1)[:, None, :]
    return (joint * torch.log((joint + 1e-7) / (product + 1e-7) + 1e-7)).sum((1, 2))


# ------ the best compositions of PyTorch ops


def _taps(x: torch.Tensor, bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The lower of the two nearest bins, and the share of the upper one."""
    position = (x.flatten(2) * bins - 0.5).clamp(0, bins - 1)
    lower = position.detach().long().clamp_max(bins - 2)
    return lower, position - lower


def scatter_histogram(x: torch.Tensor, bins: int) -> torch.Tensor:
    """Two-tap `scatter_add`."""
    lower, share = _taps(x, bins)
    empty = x.new_zeros(*x.shape[:2], bins)
    return empty.scatter_add(2, lower, 1 - share).scatter_add(2, lower + 1, share)


class _Tuned(torch.autograd.Function):
    """In-place arithmetic, the cheapest counting op of the device, and a backward that looks its slope up."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor, bins: int) -> torch.Tensor:
        n, c = x.shape[:2]
        share = (x.flatten(2) * bins).sub_(0.5).clamp_(0, bins - 1)
        lower = share.long().clamp_max_(bins - 2)
        share.sub_(lower)
        ctx.save_for_backward(lower)
        ctx.bins, ctx.image_shape = bins, x.shape  # type: ignore[attr-defined]
        if x.is_cuda:
            counts = x.new_zeros(n, c, bins).scatter_add_(2, lower, torch.ones_like(share))
            shares = x.new_zeros(n, c, bins).scatter_add_(2, lower, share)
        else:
            rows = torch.arange(n * c, device=x.device).reshape(n, c, 1) * bins
            flat = (lower + rows).flatten()
            counts = torch.bincount(flat, minlength=n * c * bins).reshape(n, c, bins).to(x.dtype)
            shares = torch.bincount(flat, share.flatten(), minlength=n * c * bins).reshape(n, c, bins).to(x.dtype)
        counts -= shares
        counts[..., 1:] += shares[..., :-1]
        return counts

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (lower,) = ctx.saved_tensors  # type: ignore[attr-defined]
        slopes = gradient.diff(dim=-1) * ctx.bins  # type: ignore[attr-defined]
        return slopes.gather(2, lower).view(ctx.image_shape), None  # type: ignore[attr-defined]


def tuned_histogram(x: torch.Tensor, bins: int) -> torch.Tensor:
    """What a patient expert writes: an `autograd.Function` over `bincount` on the CPU and `scatter_add_` on CUDA."""
    return _Tuned.apply(x, bins)


def scatter_joint(x: torch.Tensor, y: torch.Tensor, bins: int) -> torch.Tensor:
    """Four-tap `scatter_add`."""
    (i, u), (j, v) = _taps(x, bins), _taps(y, bins)
    cell = i * bins + j
    joint = x.new_zeros(*x.shape[:2], bins * bins)
    joint = joint.scatter_add(2, cell, (1 - u) * (1 - v)).scatter_add(2, cell + 1, (1 - u) * v)
    joint = joint.scatter_add(2, cell + bins, u * (1 - v)).scatter_add(2, cell + bins + 1, u * v)
    return joint.unflatten(2, (bins, bins))


# ------ what is built on a histogram


def loss_of(histogram: Histogram, x: torch.Tensor, y: torch.Tensor, bins: int, omega: float) -> torch.Tensor:
    """The histogram loss composed around somebody's histogram."""
    pixels = x.shape[2] * x.shape[3]
    difference = (histogram(x, bins) - histogram(y, bins)) / pixels
    return difference.square().mean() + omega * F.mse_loss(x, y)


def information_of(joint: torch.Tensor) -> torch.Tensor:
    """Mutual information in nats, one value per image, from joint histograms."""
    p = joint / joint.sum((-2, -1), keepdim=True)

    def entropy(q: torch.Tensor) -> torch.Tensor:
        return -q * q.clamp_min(torch.finfo(q.dtype).tiny).log()

    marginals = entropy(p.sum(-1)).sum(-1) + entropy(p.sum(-2)).sum(-1)
    return (marginals - entropy(p).sum((-2, -1))).mean(1)
