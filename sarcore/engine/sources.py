"""What a process reads for a step: its share of the batch, from tensors, native patches, or items of any data set."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

from sarcore.engine.order import BatchOrder
from sarcore.ops import Radiometry, encode


@runtime_checkable
class NativePatches(Protocol):
    """A data set that hands out patches in their native type, to be encoded on the device; `PatchFolder` is one.

    With a method ``view(images, seeds)`` the model sees its result of the encoded images (N, C, H, W) on the device;
    its random draws follow from the seeds (N,), int64, one per item of the run.
    """

    radiometry: Radiometry

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""

    def native(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) in native units and labels (n,)."""

    def arrays(self) -> tuple[Tensor, Tensor]:
        """All images and labels."""


@dataclass(frozen=True)
class Share:
    """The contiguous part of the batch of a step that one process works on."""

    order: BatchOrder
    rank: int
    world_size: int

    def indices(self, step: int) -> Tensor:
        count = self.order.batch_size // self.world_size
        return self.order[step][self.rank * count : (self.rank + 1) * count]

    def seeds(self, step: int) -> npt.NDArray[np.uint64]:
        """One number per item, a hash of the seed and of the position of the item in the run (SplitMix64)."""
        count = self.order.batch_size // self.world_size
        first = step * self.order.batch_size + self.rank * count
        seed = _mixed(np.array([self.order.seed % 2**64], dtype=np.uint64))
        return _mixed(seed + np.arange(first, first + count).astype(np.uint64))


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)  # arrays wrap around without a warning
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


class _Tensors(Dataset[Any]):
    """The batches of a TensorDataset, by step."""

    in_memory, threaded = True, False

    def __init__(self, dataset: TensorDataset, share: Share) -> None:
        self._tensors, self.share = dataset.tensors, share

    def __getitem__(self, step: int) -> Any:
        indices = self.share.indices(step)
        return tuple(t[indices] for t in self._tensors)

    def finish(self, batch: Any, _step: int) -> Any:
        return batch


class _Native(Dataset[Any]):
    """The batches of native patches, by step: one byte per pixel crosses to the device, and is encoded there."""

    def __init__(self, dataset: NativePatches, share: Share, memory_limit: int) -> None:
        self._dataset, self.share = dataset, share
        self.in_memory = dataset.nbytes <= memory_limit
        self.threaded = not self.in_memory
        self._arrays = dataset.arrays() if self.in_memory else None

    def __getitem__(self, step: int) -> Any:
        indices = self.share.indices(step)
        if self._arrays is None:
            return self._dataset.native(indices.tolist())
        images, labels = self._arrays
        return images[indices], labels[indices]

    def finish(self, batch: Any, step: int) -> Any:
        images, labels = batch
        images = encode(images, self._dataset.radiometry)
        view = getattr(self._dataset, "view", None)
        if view is not None:
            images = view(images, torch.from_numpy(self.share.seeds(step).view(np.int64)))
        return images, labels


class _Items(Dataset[Any]):
    """The batches of any other data set, by step, from items that may draw from the global generators."""

    in_memory = threaded = False

    def __init__(self, dataset: Dataset[Any], share: Share) -> None:
        self._dataset, self.share = dataset, share

    def __getitem__(self, step: int) -> Any:
        items = []
        for index, seed in zip(self.share.indices(step).tolist(), self.share.seeds(step).tolist(), strict=True):
            _seed_cpu(seed)
            items.append(self._dataset[index])
        return default_collate(items)

    def finish(self, batch: Any, _step: int) -> Any:
        return batch


Source: TypeAlias = _Tensors | _Native | _Items


def source_of(dataset: Dataset[Any], share: Share, memory_limit: int) -> Source:
    if type(dataset) is TensorDataset:  # a subclass may have items of its own
        return _Tensors(dataset, share)
    return _Native(dataset, share, memory_limit) if isinstance(dataset, NativePatches) else _Items(dataset, share)


def _seed_cpu(seed: int) -> None:
    torch.default_generator.manual_seed(seed % 2**63)  # not torch.manual_seed, which would seed the GPU's as well
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the legacy generator is what items may draw from
    random.seed(seed)
