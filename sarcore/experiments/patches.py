"""Patches as data sets: in memory or mapped, in their native type, and as the three generation scenarios show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.data import PatchFolder
from sarcore.data.patch_cache import MEMORY_LIMIT
from sarcore.ops import Radiometry, encode, resample

Scenario = Literal["simple", "intermediate", "hard"]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]  # as the engine has it, which commands need not load
StudyPreset = Literal["sarcore", "marmanis", "berthelot", "gan"]  # what a study trains: a BEGAN of a preset, or a GAN
GENERATED = Radiometry("digital", 0.0, 255.0)  # generated patches are kept as 8 bit of the encoded range
_AT_ONCE = 256  # patches that are encoded together


class PatchTensor(Dataset[tuple[Tensor, int]]):
    """Patches kept in memory in their native type and encoded to float32 in [0, 1] on access.

    ``images`` is (N,C,H,W), ``labels`` is (N,).

    >>> patches = PatchTensor(torch.full((2, 1, 4, 4), 51.0), torch.zeros(2), Radiometry("digital", 0.0, 255.0))
    >>> round(float(patches[1][0].max()), 6)
    0.2
    """

    def __init__(self, images: Tensor, labels: Tensor, radiometry: Radiometry) -> None:
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"images must be (N,C,H,W) with N labels, got {tuple(images.shape)} and {tuple(labels.shape)}"
            )
        self.images, self.labels, self.radiometry = images, labels, radiometry

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return encode(self.images[index], self.radiometry), int(self.labels[index])

    @property
    def nbytes(self) -> int:
        """Bytes of the images."""
        return self.images.nbytes

    def native(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images (n,C,H,W) in native units and labels (n,)."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return self.images[chosen], self.labels[chosen]

    def arrays(self) -> tuple[Tensor, Tensor]:
        """All images and labels."""
        return self.images, self.labels

    def subset(self, indices: Sequence[int]) -> PatchTensor:
        """The patches at ``indices``, in that order."""
        return PatchTensor(*self.native(indices), self.radiometry)


Patches: TypeAlias = PatchFolder | PatchTensor
"""Labelled patches in their native type, in memory or mapped; neither is encoded before it is on the device."""


class ScenarioPatches(Dataset[tuple[Tensor, int]]):
    """Patches as a generator of a scenario sees them: `scenario_view` of the encoded images.

    The engine encodes on its device and calls `view` with seeds that follow from the position in the run. An item that
    is asked for by number is always the same.
    """

    def __init__(self, patches: Patches, scenario: Scenario) -> None:
        self.patches, self.scenario, self.radiometry = patches, scenario, patches.radiometry
        self._seeds = torch.randint(2**62, (len(patches),), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.patches[index]
        return self.view(image[None], self._seeds[index : index + 1])[0], label

    @property
    def nbytes(self) -> int:
        """Bytes of the whole patches."""
        return self.patches.nbytes

    def native(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Whole patches in native units, and labels."""
        return self.patches.native(indices)

    def arrays(self) -> tuple[Tensor, Tensor]:
        """All whole patches in native units, and labels."""
        return self.patches.arrays()

    def view(self, images: Tensor, seeds: Tensor) -> Tensor:
        """What the scenario shows of encoded patches (n,C,S,S), the random crops by the seeds (n,), int64."""
        if self.scenario != "simple":
            return scenario_view(images, self.scenario)
        places = images.shape[-1] - scenario_size(images.shape[-1], self.scenario) + 1
        return _crops(images, torch.stack((seeds % places, (seeds >> 32) % places), dim=1))


def in_memory(patches: Patches) -> Patches:
    """The patches as a `PatchTensor`, or as they are where they take more than 2 GiB."""
    return PatchTensor(*patches.arrays(), patches.radiometry) if patches.nbytes <= MEMORY_LIMIT else patches


def balanced_indices(labels: Tensor, power: float = 0.5) -> list[int]:
    """Indices of labels (N,) in which a class of n labels stands as often as n^(1 - power), the largest as it is.

    Each label of a class is repeated equally often, give or take one, those repeated once more being spread evenly; the
    label -1, of patches whose class nobody knows, is a class like the others. Sorted.

    >>> balanced_indices(torch.tensor([0, 0, 0, 0, 1]), power=0.5), balanced_indices(torch.tensor([0, 0, 1]), power=1.0)
    ([0, 1, 2, 3, 4, 4], [0, 1, 2, 2])
    """
    if power < 0.0 or labels.ndim != 1:
        raise ValueError(f"labels must be (N,) and power 0 or more, got {tuple(labels.shape)} and {power}")
    if not len(labels):
        return []
    found: list[int] = []
    _, groups, counts = labels.unique(return_inverse=True, return_counts=True)
    for group, count in enumerate(counts.tolist()):
        wanted = round(count * (int(counts.max()) / count) ** power)
        members = torch.nonzero(groups == group).flatten()
        found += members[torch.arange(wanted) * count // wanted].tolist()
    return sorted(found)


def balanced(patches: Patches, power: float = 0.5) -> Patches:
    """The patches of `balanced_indices`: those of rare classes several times."""
    indices = balanced_indices(patches.labels, power)
    return patches if len(indices) == len(patches) else patches.subset(indices)


def encoded(patches: Patches, indices: Sequence[int] | None = None) -> Tensor:
    """All patches, or those at ``indices``, as float32 (n,C,H,W) in [0, 1]."""
    images = patches.arrays()[0] if indices is None else patches.native(indices)[0]
    return encode(images, patches.radiometry)


def mean_and_deviation(patches: Patches) -> tuple[float, float]:
    """Mean and standard deviation of the grey values in [0, 1] over all patches, in float64.

    >>> images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    >>> mean_and_deviation(PatchTensor(images, torch.zeros(2), Radiometry("digital", 0.0, 255.0)))
    (0.5, 0.5)
    """
    total = squares = torch.zeros((), dtype=torch.float64)
    count = 0
    for start in range(0, len(patches), _AT_ONCE):
        images = encoded(patches, range(start, min(start + _AT_ONCE, len(patches)))).double()
        total, squares, count = total + images.sum(), squares + images.square().sum(), count + images.numel()
    mean = float(total) / count
    return mean, max(0.0, float(squares) / count - mean**2) ** 0.5


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
    return _crops(images, torch.randint(0, size - half + 1, (len(images), 2), generator=generator))


def _crops(images: Tensor, corners: Tensor) -> Tensor:
    half = scenario_size(images.shape[-1], "simple")
    crops = [image[:, y : y + half, x : x + half] for image, (y, x) in zip(images, corners.tolist(), strict=True)]
    return torch.stack(crops) if crops else images[..., :half, :half]


def to_uint8(images: Tensor) -> Tensor:
    """Round [0, 1] to 8 bit.

    >>> to_uint8(torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0, 128, 255]
    """
    return (images.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
