"""Learning rates and weight decay that the networks of patches share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn


def cosine_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """The rate of a step counted from 0: a linear rise to the peak, then half a cosine to zero, where it stays.

    A schedule shorter than twice the warm-up rises for half of it.

    >>> [round(cosine_rate(step, peak=1.0, warmup_steps=1, total_steps=5), 2) for step in range(6)]
    [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    warmup = min(warmup_steps, total_steps // 2)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return peak * 0.5 * (1.0 + math.cos(math.pi * done))


def relative_rate(rate: Callable[[int], float], peak: float) -> Callable[[int], float]:
    """What PyTorch's ``LambdaLR`` asks for: the rate as a share of its peak."""
    return lambda step: rate(step) / peak


def weight_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters for an optimizer; vectors (biases, normalisation) take no weight decay.

    >>> [group["weight_decay"] for group in weight_groups(nn.Linear(2, 3), 0.1)]
    [0.1, 0.0]
    """
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
