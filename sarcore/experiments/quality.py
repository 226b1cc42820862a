"""How close the grey values of generated patches are to real ones, with two halves of the real ones as the floor."""

from __future__ import annotations

import torch
from torch import Tensor

from sarcore.metrics import histogram_density, histogram_emd

BINS = 64


def pooled_histogram(images: Tensor) -> Tensor:
    """Share of the grey values of all images (N,C,H,W) in each of 64 bins on [0, 1], float64 (64,), summing to 1.

    >>> round(float(pooled_histogram(torch.rand(2, 1, 16, 16)).sum()), 6)
    1.0
    """
    return histogram_density(images, bins=BINS) / BINS


def histogram_distances(p: Tensor, q: Tensor) -> dict[str, float]:
    """Distances of two histograms on [0, 1]: ``l2`` = mean (p-q)^2, and the earth mover's distance ``emd``.

    >>> histogram_distances(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    {'l2': 1.0, 'emd': 0.5}
    """
    return {"l2": float((p - q).square().mean()), "emd": histogram_emd(p, q)}


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
