"""Which labels of a training set are known: nested shares of them, drawn by scene and stratified by class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

UNLABELLED = -1


def labelled(labels: Tensor, scenes: Sequence[str], fraction: float, seed: int) -> list[int]:
    """Indices of the patches whose label is known, ascending: the share ``fraction`` of every class, at least one.

    >>> labelled(torch.tensor([0, 0, 0, 0, 1, 1]), ["a", "a", "b", "b", "b", "c"], 0.5, seed=0)
    [2, 3, 4]
    >>> len(labelled(torch.tensor([0, 0, 0, 0, 1, 1]), ["a", "a", "b", "b", "b", "c"], 0.01, seed=0))
    2

    The scenes are put in an order by the seed, and each class is labelled from the first scenes on: who labels 5 % of
    a set opens a few scenes, not a patch in each of them. Of n patches of a class max(1, [fraction n + 1/2]) are
    labelled. Of one seed smaller shares lie within larger ones. Raises ``ValueError`` for labels (N,) that do not
    fit the scenes, and for a share outside (0, 1].
    """
    if labels.ndim != 1 or len(labels) != len(scenes) or not len(labels):
        raise ValueError(f"labels must be (N,) with N > 0 scenes, got {tuple(labels.shape)} and {len(scenes)} scenes")
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction must lie in (0, 1], got {fraction}")
    source = torch.Generator().manual_seed(seed)
    names = sorted(set(scenes))
    place = dict(zip(names, torch.randperm(len(names), generator=source).tolist(), strict=True))
    drawn = torch.randperm(len(labels), generator=source).tolist()
    order = sorted(range(len(labels)), key=lambda i: (place[scenes[i]], drawn[i]))
    chosen: list[int] = []
    for label in sorted(set(labels.tolist())):
        own = [i for i in order if labels[i] == label]
        chosen += own[: max(1, int(fraction * len(own) + 0.5))]
    return sorted(chosen)


def hidden(labels: Tensor, known: Sequence[int]) -> Tensor:
    """The labels (N,) with `UNLABELLED` where they are not among ``known``.

    >>> hidden(torch.tensor([2, 0, 1]), [1]).tolist()
    [-1, 0, -1]
    """
    out = torch.full_like(labels, UNLABELLED)
    index = torch.as_tensor(known, dtype=torch.int64)
    out[index] = labels[index]
    return out
