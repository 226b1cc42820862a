"""How the items of a batch get to the device."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import pickle
import random
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sarcore.data.patch_cache import MEMORY_LIMIT
from sarcore.engine.order import BatchOrder
from sarcore.engine.sources import Share, Source, source_of
from sarcore.errors import DataError

_PREFETCH = 2  # batches that each worker has ready
_PR_SET_PDEATHSIG = 1  # of Linux' prctl


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
    Before each item those of the CPU are seeded by (seed, position of the item in the run), and put back afterwards.

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
    share = Share(order, rank, world_size)
    # Copies from pinned memory do not wait for the GPU.
    pinned = bool(to_device(torch.empty(0)).is_cuda)
    source = source_of(dataset, share, memory_limit)
    if source.in_memory or num_workers == 0:
        return _read_here(source, start, to_device, pinned)
    return _read_by_workers(source, start, to_device, pinned, num_workers)


def _read_here(source: Source, start: int, to_device: Callable[[Any], Any], pinned: bool) -> Generator[Any, None, None]:
    def finished(batch: Any, step: int) -> Any:
        return source.finish(to_device(_pin(batch) if pinned else batch), step)

    if not source.threaded:
        for step in itertools.count(start):
            if source.in_memory:
                batch = source[step]
            else:
                state = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
                try:
                    batch = source[step]
                finally:
                    torch.set_rng_state(state[0])
                    np.random.set_state(state[1])  # noqa: NPY002
                    random.setstate(state[2])
            yield finished(batch, step)
    with ThreadPoolExecutor(1, "sarcore-input") as thread:  # closing the generator waits for its end
        ahead = thread.submit(source.__getitem__, start)
        for step in itertools.count(start):
            batch = ahead.result()
            ahead = thread.submit(source.__getitem__, step + 1)
            yield finished(batch, step)


def _pin(batch: Any) -> Any:
    return apply_to_collection(batch, Tensor, Tensor.pin_memory)


def _read_by_workers(
    source: Source, start: int, to_device: Callable[[Any], Any], pinned: bool, num_workers: int
) -> Generator[Any, None, None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores may help
        loader = DataLoader(
            _Reported(source),
            batch_size=None,  # the items of the loader are whole batches
            sampler=itertools.count(start),
            num_workers=num_workers,
            prefetch_factor=_PREFETCH,
            pin_memory=pinned,
            collate_fn=_as_is,
            worker_init_fn=start_worker,
            generator=torch.Generator().manual_seed(source.share.order.seed),  # else drawn from the global one
        )
    with workers_of(loader) as found:
        for step in itertools.count(start):
            batch = _next(found)
            if isinstance(batch, _Failure):
                raise batch.error from _InWorker(batch.trace)
            yield source.finish(to_device(batch), step)


@contextlib.contextmanager
def workers_of(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """The batches of a loader, whose processes end with the block.

    PyTorch ends them when nothing holds the iterator any more, as the traceback of an error does; at its end Python
    would then send them SIGTERM, which they ignore, and wait for ever.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        found = iter(loader)
    try:
        yield found
    finally:
        if hasattr(found, "_shutdown_workers"):
            found._shutdown_workers()


def _next(found: Iterator[Any]) -> Any:
    try:
        return next(found)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"A process that reads the data ended unexpectedly ({' '.join(str(error).split())}); memory may be short: "
            "use fewer (num_workers), or none to see an error of the data set."
        ) from error


def _as_is(batch: Any) -> Any:
    return batch


class _Reported(Dataset[Any]):
    """Exceptions as values: a DataLoader would turn those of its workers into others, with a traceback as message."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, step: int) -> Any:
        try:
            return self._source[step]
        except Exception as error:  # noqa: BLE001  # whatever it is, the loop is to see it
            trace = traceback.format_exc()
            try:
                pickle.loads(pickle.dumps(error))  # in this process's own words: nothing from outside is unpickled
            except Exception:  # noqa: BLE001  # an exception with arguments of its own; the loader's way, then
                raise error from None
            return _Failure(error, trace)


@dataclass(frozen=True)
class _Failure:
    error: Exception
    trace: str


class _InWorker(Exception):  # noqa: N818  # only the cause of an error: where it was raised
    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def start_worker(_number: int) -> None:
    """What a process that reads does first: signals are the main process's, and it does not outlive that."""
    # The main process is asked to stop, and saves its state; the batches must keep coming meanwhile.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    if main is None or main.pid != os.getppid():  # started by a server: nothing of the main process is held open
        return
    if sys.platform == "linux":
        # A killed main process takes its readers along at once: forks hold its open files, the run's lock among them.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not main.is_alive():
        os._exit(1)
