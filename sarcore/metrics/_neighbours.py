"""Nearest neighbours among features: exact distances in float64, by blocks of a matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024  # rows of the distance matrix in memory at a time
_CLOSE = 1e-6  # of the squared lengths: below it the product has lost digits, and the difference is taken
_MANY = 16  # close ones per row up to which they are repeated one by one
_PAIRS = 1 << 22  # elements of differences in memory at a time


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances (N, M) of float64 features (N, d) and (M, d), to 1e-9 of themselves; copies give 0.

    >>> x = torch.rand(3, 5, dtype=torch.float64)
    >>> squared_distances(x, x).diagonal().tolist()
    [0.0, 0.0, 0.0]

    |x|^2 + |y|^2 - 2 x y is ten times as fast as differences, and wrong where these cancel: there it is repeated.
    """
    centre = y.mean(0)  # lengths about the middle are smaller, and so is what can cancel
    u, v = x - centre, y - centre
    lengths = u.square().sum(1)[:, None] + v.square().sum(1)
    found = torch.addmm(lengths, u, v.T, alpha=-2.0)
    close = found <= _CLOSE * lengths
    if int(close.sum()) > _MANY * len(x):  # a generator that makes one image only
        exact = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
        return torch.where(close, exact, found)
    rows, columns = close.nonzero(as_tuple=True)
    step = max(1, _PAIRS // x.shape[1])
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        found[i, j] = (x[i] - y[j]).square().sum(1)
    return found


def kth_neighbour(x: Tensor, k: int) -> Tensor:
    """Squared distance (N,) of every image to its k-th nearest other one of the same set."""
    radii = []
    for start in range(0, len(x), _BLOCK):
        distances = squared_distances(x[start : start + _BLOCK], x)
        own = torch.arange(len(distances), device=x.device)
        distances[own, own + start] = float("inf")
        radii.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(radii)


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance (N,) of every x to its nearest y, and the index (N,) of that y."""
    found = [squared_distances(rows, y).min(dim=1) for rows in x.split(_BLOCK)]
    return torch.cat([pair.values for pair in found]), torch.cat([pair.indices for pair in found])
