"""Patches in memory, and the three generation scenarios as views of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.ops import Radiometry, encode, resample

Scenario = Literal["simple", "intermediate", "hard"]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class PatchTensor(Dataset[tuple[Tensor, int]]):
    """Patches kept in memory in their native type and encoded to float32 in [0, 1] on access.

    ``images`` is (N,C,H,W), ``labels`` is (N,). With ``scenario`` each access returns what a generator of that
    scenario sees (`scenario_view`); the random crops draw from torch's global generator, whose state the
    engine stores in its checkpoints.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, radiometry: Radiometry, *, scenario: Scenario | None = None
    ) -> None:
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"images must be (N,C,H,W) with N labels, got {tuple(images.shape)} and {tuple(labels.shape)}"
            )
        self.images, self.labels, self.radiometry, self.scenario = images, labels, radiometry, scenario

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = encode(self.images[index], self.radiometry)
        if self.scenario is not None:
            image = scenario_view(image[None], self.scenario)[0]
        return image, int(self.labels[index])

    def encoded(self) -> Tensor:
        """All patches as float32 (N,C,H,W) in [0, 1], without the scenario."""
        return encode(self.images, self.radiometry)


def scenario_size(size: int, scenario: Scenario) -> int:
    """Side in pixels of what the generator makes for patches of side ``size``: half of it, or all in ``hard``.

    Raises ``ValueError`` for an odd size where half of it is needed.

    >>> scenario_size(160, "simple"), scenario_size(160, "hard")
    (80, 160)
    """
    if scenario == "hard":
        return size
    if size % 2:
        raise ValueError(f"scenario '{scenario}' halves the patch, so its side must be even, got {size}; use 'hard'")
    return size // 2


def scenario_view(images: Tensor, scenario: Scenario, *, generator: torch.Generator | None = None) -> Tensor:
    """What a generator learns from, of patches (N,C,S,S) in [0, 1] (Marmanis et al. 2017, section 3).

    ``simple`` is a random S/2 crop per patch at the native pixel spacing (a quarter of the footprint);
    ``intermediate`` is the whole footprint at twice the spacing, by 2x2 means; ``hard`` is the patch itself.

    >>> scenario_view(torch.rand(3, 1, 160, 160), "intermediate").shape
    torch.Size([3, 1, 80, 80])
    """
    size = images.shape[-1]
    if images.shape[-2] != size:
        raise ValueError(f"patches must be square for generation, got {images.shape[-2]}x{size}")
    half = scenario_size(size, scenario)
    if scenario == "hard":
        return images
    if scenario == "intermediate":
        return resample(images, half, mode="area")
    corners = torch.randint(0, size - half + 1, (len(images), 2), generator=generator).tolist()
    crops = [image[:, y : y + half, x : x + half] for image, (y, x) in zip(images, corners, strict=True)]
    return torch.stack(crops) if crops else images[..., :half, :half]


def to_uint8(images: Tensor) -> Tensor:
    """Round [0, 1] to 8 bit.

    >>> to_uint8(torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0, 128, 255]
    """
    return (images.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
