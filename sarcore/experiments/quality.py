"""How close the grey values of generated patches are to real ones, with two halves of the real ones as the floor."""

from __future__ import annotations

import torch
from torch import Tensor

from sarcore import ops

BINS = 64


def pooled_histogram(images: Tensor, bins: int = BINS) -> Tensor:
    """Probability mass of the grey values of all images (N,C,H,W) in [0, 1], float64 (bins,), summing to 1.

    Uses the package's own soft histogram (triangular kernel), image by image, then averages.

    >>> round(float(pooled_histogram(torch.rand(2, 1, 16, 16)).sum()), 6)
    1.0
    """
    total = torch.zeros(bins, dtype=torch.float64)
    for chunk in images.split(64):
        total += ops.soft_histogram(chunk.float(), bins=bins, range=(0.0, 1.0)).double().sum(dim=(0, 1))
    return total / total.sum()


def histogram_distances(p: Tensor, q: Tensor) -> dict[str, float]:
    """Distances of two histograms on [0, 1]: ``l2`` = mean (p-q)^2 and ``emd`` = sum |CDF_p - CDF_q| / bins.

    The earth mover's distance is in grey values of the [0, 1] scale: 0.01 is a mean move of 2.55 of 255.

    >>> histogram_distances(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    {'l2': 1.0, 'emd': 0.5}
    """
    l2 = (p - q).square().mean()
    emd = (p.cumsum(0) - q.cumsum(0)).abs().sum() / len(p)
    return {"l2": float(l2), "emd": float(emd)}


def moments(images: Tensor) -> dict[str, float]:
    """Mean and deviation of all pixels, deviation of the patch means, and mean of the patch deviations.

    The deviation of the patch means shows a generator that draws the same patch again and again.

    >>> moments(torch.full((2, 1, 4, 4), 0.5))["mean"]
    0.5
    """
    flat = images.flatten(1).double()
    return {
        "mean": float(flat.mean()),
        "std": float(flat.std(correction=0)),
        "std_of_patch_means": float(flat.mean(dim=1).std(correction=0)),
        "mean_of_patch_stds": float(flat.std(dim=1, correction=0).mean()),
    }


def compare(real: Tensor, generated: Tensor, *, seed: int = 0) -> dict[str, object]:
    """Histograms, their distances and the moments of real and generated patches, both (N,C,H,W) in [0, 1].

    ``floor`` compares two random halves of the real patches: no generator can be asked to do better.

    >>> sorted(compare(torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8)))
    ['distance', 'floor', 'generated', 'histogram_generated', 'histogram_real', 'real']
    """
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    first, second = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
    p, q = pooled_histogram(real), pooled_histogram(generated)
    return {
        "histogram_real": p.tolist(),
        "histogram_generated": q.tolist(),
        "distance": histogram_distances(p, q),
        "floor": histogram_distances(pooled_histogram(first), pooled_histogram(second)),
        "real": moments(real),
        "generated": moments(generated),
    }
