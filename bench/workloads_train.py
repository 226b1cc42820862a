"""Training steps: the models, their shapes, random images to train on, and the loop each is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import peers_train
import peers_translate
import torch
from torch import nn
from torch.utils.data import TensorDataset

from sarcore.models import (
    BEGAN,
    BEGANConfig,
    Classifier,
    ClassifierConfig,
    CycleGAN,
    CycleGANConfig,
    Pix2Pix,
    Pix2PixConfig,
)

IMAGES = 256


@dataclass(frozen=True)
class Training:
    """A model at one shape, and the bare loop that does the same."""

    model: str
    name: str
    batch: int
    build: Callable[[], nn.Module]
    data: Callable[[], TensorDataset]
    loop: peers_train.Loop
    exact: bool = True  # bit for bit on the CPU; else the loop adds the terms of its losses in another order


def began(size: int, width: int, batch: int) -> Training:
    config = BEGANConfig(size=size, width=width)
    name = f"{size} x {size}, width {width}"
    return Training("BEGAN", name, batch, lambda: BEGAN(config), lambda: _labelled(size), peers_train.began)


def classifier(depth: int, size: int, batch: int) -> Training:
    config = ClassifierConfig(depth=depth)
    return Training(
        f"ResNet-{depth}",
        f"{size} x {size}",
        batch,
        lambda: Classifier(config),
        lambda: _labelled(size),
        peers_train.classifier,
    )


def cycle(size: int, width: int, blocks: int, batch: int, pool: int = 50) -> Training:
    """`junyanz`, one channel on either side, so that there is an identity loss."""
    name = f"{size} x {size}, width {width}, {blocks} blocks"
    ends = {"channels_a": 1, "channels_b": 1, "width": width, "d_width": width}
    config = CycleGANConfig.preset("junyanz", **ends, depth=blocks, pool=pool, pool_size=size)
    return Training(
        "CycleGAN", name, batch, lambda: CycleGAN(config), lambda: _pairs(size), peers_translate.cycle, exact=False
    )


def pix(size: int, width: int, batch: int) -> Training:
    name = f"{size} x {size}, width {width}"
    ends = {"channels_a": 1, "channels_b": 1, "width": width, "d_width": width}
    config = Pix2PixConfig.preset("junyanz", **ends, depth=size.bit_length() - 1)
    return Training(
        "Pix2Pix", name, batch, lambda: Pix2Pix(config), lambda: _pairs(size), peers_translate.pix, exact=False
    )


def trainings(device: str, quick: bool) -> list[Training]:
    """What is timed on a device, or networks so small that they only show that everything runs and agrees."""
    if quick:
        return [
            began(20, 4, 4),
            classifier(18, 32, 4),
            cycle(32, 4, 1, 2, pool=3),
            pix(64, 4, 2),
        ]  # 64: the U-Net has a layer of dropout
    if device == "cpu":
        return [
            *(began(80, width, 16) for width in (16, 32, 64)),
            classifier(50, 80, 16),
            cycle(64, 16, 3, 1),
            pix(128, 16, 4),
        ]
    return [
        *(began(80, width, 16) for width in (16, 32, 64)),
        began(160, 64, 64),
        classifier(50, 160, 64),
        cycle(256, 64, 9, 1),
        cycle(256, 64, 9, 4),
        pix(256, 64, 1),
        pix(256, 64, 16),
    ]


def _labelled(size: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(IMAGES, 1, size, size, generator=generator)
    return TensorDataset(images, torch.randint(7, (IMAGES,), generator=generator))


def _pairs(size: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    images: Any = torch.rand(2, IMAGES, 1, size, size, generator=generator)
    return TensorDataset(*images)
