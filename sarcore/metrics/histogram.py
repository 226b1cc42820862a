"""Grey values of image sets: one histogram for all of them, and the earth mover's distance of two."""

from __future__ import annotations

import torch

from sarcore.ops import _checks, soft_histogram

BINS = 64
_AT_ONCE = 1 << 22  # pixels, so that the float64 copy stays small


def histogram_density(images: torch.Tensor, bins: int = BINS, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Density of the grey values of all images and channels together.

    >>> density = histogram_density(torch.rand(4, 1, 16, 16), bins=8)
    >>> density.shape, round(float(density.mean()), 6)
    (torch.Size([8]), 1.0)

    `sarcore.ops.soft_histogram` with the linear kernel in float64: a pixel counts for the two bins whose centres
    enclose it; one beyond the range counts for the end bin, so saturation shows there.

    Args:
        images: (N, C, H, W), of the dtypes of `soft_histogram`, in the unit of `low` and `high`. NaN is no-data.
        bins: 2 to 4096.
        low, high: outer bin edges.

    Returns:
        (bins,) float64, integrating to 1 over the range; NaN where there is no valid pixel.

    Raises:
        ValueError, TypeError: naming the argument, what it was and what is allowed.
    """
    counts = histogram_counts(images, bins, low, high)
    return counts / (counts.sum() * ((high - low) / bins))


def histogram_counts(images: torch.Tensor, bins: int, low: float, high: float) -> torch.Tensor:
    """(bins,) float64 pixels of all images and channels; sums of several calls are histograms of all their images."""
    x = _checks.images(images, "images").detach()
    _checks.bin_count(bins)
    _checks.value_range((low, high), "low and high")
    total = torch.zeros(bins, dtype=torch.float64, device=x.device)
    for chunk in x.split(max(1, _AT_ONCE // max(1, x[:1].numel()))):
        total += soft_histogram(chunk.double(), bins, (low, high)).sum((0, 1))
    return total


def histogram_emd(first: torch.Tensor, second: torch.Tensor, low: float = 0.0, high: float = 1.0) -> float:
    """Earth mover's distance of two histograms over one range, in the unit of the range.

    >>> histogram_emd(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]))
    0.5

    With P and Q the cumulative shares of the bins and w their width, w sum_k |P_k - Q_k|: 0.01 on the scale [0, 1] is
    a mean move of 2.55 of 255 grey values.

    Args:
        first, second: (bins,), counts or densities of 0 and more; each is divided by its sum.
        low, high: outer edges of the bins.

    Returns:
        A number from 0 to (high - low) (1 - 1 / bins); NaN where one of them is empty.

    Raises:
        ValueError: shapes that differ or are not (bins,), negative counts.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"first and second must be histograms (bins,) of one length, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    # On the CPU: CUDA has no deterministic cumulative sum.
    p, q = first.double().cpu(), second.double().cpu()
    if bool((p < 0).any()) or bool((q < 0).any()):
        raise ValueError("first and second must be counts or densities of 0 and more, got negative ones")
    moved = (p / p.sum()).cumsum(0) - (q / q.sum()).cumsum(0)
    return float(moved.abs().sum()) * (high - low) / len(p)
