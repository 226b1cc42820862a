"""Which items make up the batch of a step, and how they get to the device."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from sarcore.errors import DataError
from sarcore.ops import encode

MEMORY_LIMIT = 2 << 30  # bytes of float32 images above which a set is read item by item instead of held in memory


class BatchOrder:
    """Endless shuffled order: position p is item p mod N of the seeded permutation of epoch p // N.

    The batch of a step is a pure function of (length, batch_size, seed, step), so a resumed run needs no sampler
    state, only the step. A batch may span two epochs: no item is dropped and every batch is full.

    Raises:
        DataError: the data set has fewer items than one batch.

    >>> order = BatchOrder(length=5, batch_size=2, seed=0)
    >>> sorted(i for step in range(5) for i in order[step].tolist())
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        if length < batch_size:
            raise DataError(
                f"The data set has {length} images, fewer than one batch of {batch_size}; "
                f"give more images or a batch size of at most {max(length, 1)}."
            )
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self._epochs: dict[int, Tensor] = {}

    def __getitem__(self, step: int) -> Tensor:
        """Indices (batch_size,) of the batch that leads from `step` to `step + 1`."""
        start = step * self.batch_size
        stop = start + self.batch_size
        parts = []
        for epoch in range(start // self.length, (stop - 1) // self.length + 1):
            first = epoch * self.length
            parts.append(self._permutation(epoch)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e == epoch - 1}
            permutation = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            self._epochs[epoch] = torch.from_numpy(permutation)
        return self._epochs[epoch]

    def state(self, step: int) -> dict[str, int]:
        """What a checkpoint keeps, to refuse a resume with other data; `position` counts the items drawn so far."""
        return {
            "length": self.length,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "position": step * self.batch_size,
        }


class _IndexBatches:
    """The batch sampler of a DataLoader: lists of indices from a step on, without end."""

    def __init__(self, order: BatchOrder, start: int) -> None:
        self._order = order
        self._start = start

    def __iter__(self) -> Iterator[list[int]]:
        step = self._start
        while True:
            yield self._order[step].tolist()
            step += 1


def batches(
    dataset: Dataset[Any],
    order: BatchOrder,
    start: int,
    num_workers: int,
    to_device: Callable[[Any], Any],
) -> Generator[Any, None, None]:
    """Collated batches on the device, without end, from step `start` on.

    No workers: a set that fits in memory (a TensorDataset, or one with `arrays()` and `radiometry`) is indexed there,
    its native values moved first and encoded on the device; other sets are read item by item. Workers: a DataLoader.
    """
    if num_workers > 0:
        loader = DataLoader(
            dataset,
            batch_sampler=_IndexBatches(order, start),
            num_workers=num_workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_leave_interrupts_to_the_main_process,
            generator=torch.Generator().manual_seed(order.seed),  # else it would draw from the global generator
        )
        yield from map(to_device, loader)
        return
    fetch = _fetcher(dataset, order.length, to_device)
    step = start
    while True:
        yield fetch(order[step])
        step += 1


def _fetcher(dataset: Dataset[Any], length: int, to_device: Callable[[Any], Any]) -> Callable[[Tensor], Any]:
    if isinstance(dataset, TensorDataset):
        tensors = dataset.tensors
        return lambda indices: to_device(tuple(t[indices] for t in tensors))
    if hasattr(dataset, "arrays") and hasattr(dataset, "radiometry"):
        shape = dataset[0][0].shape
        if 4 * length * math.prod(shape) <= MEMORY_LIMIT:
            images, labels = dataset.arrays()
            limits = dataset.radiometry
            return lambda indices: (encode(to_device(images[indices]), limits), to_device(labels[indices]))
    return lambda indices: to_device(default_collate([dataset[i] for i in indices.tolist()]))


def _leave_interrupts_to_the_main_process(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
