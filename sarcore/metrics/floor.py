"""What real images score against real images: the floor beside which the score of generated ones means something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AgainstFloor:
    """A score of real images against other real ones (the floor) and of generated images against the same real ones.

    Means and standard deviations over the random halves; the deviations are 0 for one repeat.
    """

    floor: float
    floor_deviation: float
    generated: float
    generated_deviation: float


def against_floor(
    score: Callable[[Tensor, Tensor], Mapping[str, float]],
    real: Tensor,
    generated: Tensor,
    *,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, AgainstFloor]:
    """Score two halves of the real images against each other, and as many generated ones against the first half.

    >>> from sarcore.metrics import frechet_distance
    >>> fid = lambda real, generated: {"fid": frechet_distance(real, generated)}
    >>> found = against_floor(fid, torch.rand(64, 4), torch.rand(80, 4) + 1.0)["fid"]
    >>> found.floor < 0.5 < 2.0 < found.generated
    True

    Scores of sets depend on how many images there are; here both columns see n = min(N // 2, M) of each, so that they
    carry the same bias and a perfect generator gets the floor. Halves are drawn anew for every repeat.

    Args:
        score: of (real, generated), n rows each, to numbers by name.
        real, generated: (N, ...), (M, ...): features or images.

    Raises:
        ValueError: fewer than 4 real or 2 generated images, repeats < 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    count = min(len(real) // 2, len(generated))
    if count < 2:
        raise ValueError(f"at least 4 real and 2 generated images are needed, got {len(real)} and {len(generated)}")
    generator = torch.Generator().manual_seed(seed)
    rows: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    for _ in range(repeats):
        order = torch.randperm(len(real), generator=generator).to(real.device)
        some = torch.randperm(len(generated), generator=generator)[:count].to(generated.device)
        first, second = real[order[:count]], real[order[count : 2 * count]]
        rows.append((score(first, second), score(first, generated[some])))
    return {name: _summary([a[name] for a, _ in rows], [b[name] for _, b in rows]) for name in rows[0][0]}


def _summary(floors: list[float], values: list[float]) -> AgainstFloor:
    return AgainstFloor(*_mean_and_deviation(floors), *_mean_and_deviation(values))


def _mean_and_deviation(values: list[float]) -> tuple[float, float]:
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std()) if len(values) > 1 else 0.0
