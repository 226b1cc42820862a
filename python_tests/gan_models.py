"""Small GANs for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sarcore.models import GAN, GANConfig

CLASSES = 3
SPECKLED = {"speckle": "fixed", "looks": 4.0, "oversampling": 2.5}
LEARNED = {"speckle": "learned", "looks": 3.0}


def small(**changes: Any) -> GANConfig:
    return GANConfig(**{"size": 20, "width": 2, "latent": 8, "classes": CLASSES, "features_width": 2, **changes})


def batch(n: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 1, 20, 20, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % CLASSES


def made(config_seed: int = 0, config: GANConfig | None = None, **more: Any) -> GAN:
    torch.manual_seed(config_seed)
    return GAN(config or small(), **more)
