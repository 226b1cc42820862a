"""How the items of a batch get to the device."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.data.patch_cache import MEMORY_LIMIT
from sarcore.engine.order import BatchOrder
from sarcore.engine.readers import read_by_workers
from sarcore.engine.sources import Share, Source, source_of


def batches(
    dataset: Dataset[Any],
    order: BatchOrder,
    start: int,
    *,
    num_workers: int,
    to_device: Callable[[Any], Any],
    rank: int = 0,
    world_size: int = 1,
    memory_limit: int = MEMORY_LIMIT,
) -> Generator[Any, None, None]:
    """Collated batches on the device, without end, from step `start` on: of each the share of process `rank`.

    A set in memory (a TensorDataset, or `NativePatches` of at most `memory_limit` bytes) is indexed there; others are
    read by `num_workers` processes. Without any, native patches are read by a thread, one batch ahead, and items of
    other sets in the caller's thread, because these may draw from the global generators, which the training uses, too.
    What an item draws, from those of the CPU or by transforms of sarcore, follows from (seed, position of the item in
    the run); the generators are put back afterwards. A set with a method `set_epoch`, or one made of such (`Subset`,
    `ConcatDataset`), is told before each batch, and where an epoch begins within one, how often all items were met.

    Raises:
        ValueError: the processes do not divide the batch.
        DataError: what reading the data raises; or a process that reads was killed.

    >>> images = torch.utils.data.TensorDataset(torch.arange(8.0))
    >>> source = batches(images, BatchOrder(8, 4, seed=0), 0, num_workers=0, to_device=lambda batch: batch)
    >>> [len(next(source)[0]) for _ in range(3)]
    [4, 4, 4]
    """
    if order.batch_size % world_size:
        raise ValueError(f"batch_size {order.batch_size} is no multiple of the {world_size} processes that share it.")
    source = source_of(dataset, Share(order, rank, world_size), memory_limit)
    return read(source, itertools.count(start), num_workers=num_workers, to_device=to_device)


def read(
    source: Source, numbers: Iterable[int], *, num_workers: int, to_device: Callable[[Any], Any]
) -> Generator[Any, None, None]:
    """The batches of these numbers on the device, as they are needed."""
    # Copies from pinned memory do not wait for the GPU.
    pinned = bool(to_device(torch.empty(0)).is_cuda)
    if source.in_memory or num_workers == 0:
        return _read_here(source, numbers, to_device, pinned)
    return _read_by_workers(source, numbers, to_device, pinned, num_workers)


def _read_here(
    source: Source, numbers: Iterable[int], to_device: Callable[[Any], Any], pinned: bool
) -> Generator[Any, None, None]:
    def finished(batch: Any, number: int) -> Any:
        return source.finish(to_device(_pin(batch) if pinned else batch), number)

    if not source.threaded:
        for number in numbers:
            with contextlib.nullcontext() if source.in_memory else _preserved_cpu_generators():
                batch = source[number]
            yield finished(batch, number)
        return
    with ThreadPoolExecutor(1, "sarcore-input") as thread:  # closing the generator waits for its end
        ahead: deque[tuple[Future[Any], int]] = deque()
        for number in numbers:
            ahead.append((thread.submit(source.__getitem__, number), number))
            if len(ahead) > 1:
                batch, due = ahead.popleft()
                yield finished(batch.result(), due)
        for batch, due in ahead:
            yield finished(batch.result(), due)


@contextlib.contextmanager
def _preserved_cpu_generators() -> Iterator[None]:
    state = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        random.setstate(state[2])


def _pin(batch: Any) -> Any:
    return apply_to_collection(batch, Tensor, Tensor.pin_memory)


def _read_by_workers(
    source: Source, numbers: Iterable[int], to_device: Callable[[Any], Any], pinned: bool, num_workers: int
) -> Generator[Any, None, None]:
    asked, counted = itertools.tee(numbers)
    with contextlib.closing(read_by_workers(source, asked, num_workers, pinned=pinned)) as found:
        for batch, number in zip(found, counted, strict=False):
            yield source.finish(to_device(batch), number)
