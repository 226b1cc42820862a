"""What a process reads for a step: its share of the batch, from tensors, native patches, or items of any data set."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

from sarcore.engine.order import BatchOrder
from sarcore.ops import Radiometry, encode
from sarcore.transforms._random import draws_of_item

_HELD_OUT = 2**64 - 1  # in place of the seed of a training: what is held out is drawn alike in all of them


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
        """One number per item, a hash of the seed and of the position of the item in the run."""
        return _hashed(self.order.seed, self._positions(step))

    def epochs(self, step: int) -> list[int]:
        """How often all items had been met before each item."""
        epochs: list[int] = (self._positions(step) // self.order.length).tolist()
        return epochs

    def _positions(self, step: int) -> npt.NDArray[np.int64]:
        count = self.order.batch_size // self.world_size
        first = step * self.order.batch_size + self.rank * count
        return np.arange(first, first + count)


def _hashed(seed: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A number per number and seed (SplitMix64)."""
    return _mixed(_mixed(np.array([seed % 2**64], dtype=np.uint64)) + numbers.astype(np.uint64))


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
    """The batches of any other data set, by step, from items that may draw."""

    in_memory = threaded = False

    def __init__(self, dataset: Dataset[Any], share: Share) -> None:
        self._dataset, self.share = dataset, share
        self._tell = listeners(dataset)

    def __getitem__(self, step: int) -> Any:
        share, items, told = self.share, [], None
        for index, seed, epoch in zip(
            share.indices(step).tolist(), share.seeds(step).tolist(), share.epochs(step), strict=True
        ):
            if epoch != told:  # for the first item always: others may have told it something else meanwhile
                told = _told(self._tell, epoch)
            items.append(_item(self._dataset, index, seed))
        return default_collate(items)

    def finish(self, batch: Any, _step: int) -> Any:
        return batch


class HeldOut(Dataset[Any]):
    """The batches of a data set in its order, by number: every `world_size`-th item from item `rank` on.

    What an item draws follows from its index alone; it is of epoch 0.

    >>> [batch[0].tolist() for batch in HeldOut(TensorDataset(torch.arange(7)), 2, rank=1, world_size=2)]
    [[1, 3], [5]]
    """

    in_memory = threaded = False

    def __init__(self, dataset: Dataset[Any], batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self._dataset, self._batch_size = dataset, batch_size
        self._indices = range(rank, len(dataset), world_size)  # type: ignore[arg-type]  # map-style data sets
        self._tell = listeners(dataset)

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch_size)

    def __getitem__(self, number: int) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        indices = self._indices[number * self._batch_size : (number + 1) * self._batch_size]
        return default_collate(self.items(list(indices)))

    def items(self, indices: list[int]) -> list[Any]:
        """The items of these indices."""
        _told(self._tell, 0)
        seeds = _hashed(_HELD_OUT, np.array(indices, dtype=np.int64)).tolist()
        return [_item(self._dataset, index, seed) for index, seed in zip(indices, seeds, strict=True)]

    def finish(self, batch: Any, _number: int) -> Any:
        return batch


Source: TypeAlias = _Tensors | _Native | _Items | HeldOut


def source_of(dataset: Dataset[Any], share: Share, memory_limit: int) -> Source:
    if type(dataset) is TensorDataset:  # a subclass may have items of its own
        return _Tensors(dataset, share)
    return _Native(dataset, share, memory_limit) if isinstance(dataset, NativePatches) else _Items(dataset, share)


def listeners(dataset: Any) -> list[Callable[[int], Any]]:
    """The `set_epoch` of a data set, or those of the ones it is made of, as Subset and ConcatDataset are.

    >>> listeners(TensorDataset(torch.arange(3)))
    []
    """
    own = getattr(dataset, "set_epoch", None)
    if callable(own):
        return [own]
    parts = getattr(dataset, "datasets", ())
    inner = [*(parts.values() if isinstance(parts, Mapping) else parts), getattr(dataset, "dataset", None)]
    return [found for part in inner if isinstance(part, Dataset) for found in listeners(part)]


def _told(tell: list[Callable[[int], Any]], epoch: int) -> int:
    for set_epoch in tell:
        set_epoch(epoch)
    return epoch


def _item(dataset: Dataset[Any], index: int, seed: int) -> Any:
    """An item all of whose draws follow from the seed."""
    torch.default_generator.manual_seed(seed % 2**63)  # not torch.manual_seed, which would seed the GPU's as well
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the legacy generator is what items may draw from
    random.seed(seed)
    with draws_of_item(seed):
        return dataset[index]
