"""The adversarial losses on the score maps of discriminators, in float32 at least."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

LossName: TypeAlias = Literal["lsgan", "bce", "hinge"]


def generator_loss(scores: Tensor, loss: LossName) -> Tensor:
    """What a generator pays for the scores that a discriminator gives its images; a scalar.

    lsgan: mean (s - 1)^2; bce: mean softplus(-s), which is -log of the probability of real; hinge: mean -s.

    >>> generator_loss(torch.zeros(1, 1, 4, 4), "lsgan")
    tensor(1.)

    Source: Mao et al., arXiv 1611.04076; Goodfellow et al., arXiv 1406.2661 (non-saturating); Lim and Ye, arXiv
    1705.02894.
    """
    return -_full(scores).mean() if loss == "hinge" else score_loss(scores, loss, real=True)


def score_loss(scores: Tensor, loss: LossName, *, real: bool) -> Tensor:
    """What a discriminator pays for its scores of real images, or of generated ones; a scalar.

    lsgan: mean (s - t)^2 with t = 1 for real and 0; bce: mean softplus(-s) for real and softplus(s); hinge: mean
    max(0, 1 - s) for real and max(0, 1 + s).

    >>> score_loss(torch.full((1, 1, 2, 2), 0.5), "hinge", real=True)
    tensor(0.5000)
    """
    scores = _full(scores)
    if loss == "lsgan":
        return (scores - 1.0 if real else scores).square().mean()
    signed = scores if real else -scores
    return F.softplus(-signed).mean() if loss == "bce" else F.relu(1.0 - signed).mean()


def mean_difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference (L1) in float32 at least: cycle, identity and paired losses.

    >>> mean_difference(torch.zeros(2, 3), torch.ones(2, 3))
    tensor(1.)
    """
    return F.l1_loss(_full(a), _full(b))


def _full(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
