"""Processes that read beside the training: their errors, their signals and their end."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from sarcore.errors import DataError

_PREFETCH = 2  # batches that each worker has ready
_PR_SET_PDEATHSIG = 1  # of Linux' prctl
_STOP = (signal.SIGINT, signal.SIGTERM)
_END = object()
# A worker that dies while a tensor of its is fetched: errors of the data set arrive as values (`_Reported`).
_CUT_OFF = (ConnectionError, EOFError, FileNotFoundError)


def read_by_workers(
    source: Dataset[Any], numbers: Iterable[int], num_workers: int, *, pinned: bool = False
) -> Generator[Any, None, None]:
    """`source[number]` of the numbers in their order, read ahead by processes that end with the generator.

    Raises:
        DataError: what reading the data raises, when its turn has come; or a process that reads was killed.
    """
    with warnings.catch_warnings(), _stop_signals_wait():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores may help
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        loader = DataLoader(
            _Reported(source),
            batch_size=None,  # the items of the loader are whole batches
            sampler=numbers,
            num_workers=num_workers,
            prefetch_factor=_PREFETCH,
            pin_memory=pinned,
            collate_fn=_as_is,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else it would draw from the global one
        )
        found: Iterator[Any] = iter(loader)
    try:
        while (batch := _next(found)) is not _END:
            if isinstance(batch, _Failure):
                raise batch.error from _InWorker(batch.trace)
            yield batch
    finally:
        # PyTorch ends them when nothing holds the iterator any more, as the traceback of an error does; at its end
        # Python would then send them SIGTERM, which they ignore, and wait for ever.
        found._shutdown_workers()  # type: ignore[attr-defined]


@contextlib.contextmanager
def _stop_signals_wait() -> Iterator[None]:
    # Until a new worker ignores them: a scheduler sends SIGTERM to all processes, and PyTorch's own handler would end
    # this one, and with it the training before it is saved.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _next(found: Iterator[Any]) -> Any:
    try:
        return next(found, _END)
    except (RuntimeError, *_CUT_OFF) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"A process that reads the data ended unexpectedly ({' '.join(str(error).split())}); memory may be short: "
            "use fewer (num_workers), or none to see an error of the data set."
        ) from error


def _as_is(batch: Any) -> Any:
    return batch


class _Reported(Dataset[Any]):
    """Exceptions as values: a DataLoader would turn those of its workers into others, with a traceback as message."""

    def __init__(self, source: Dataset[Any]) -> None:
        self._source = source

    def __getitem__(self, number: int) -> Any:
        try:
            return self._source[number]
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


def _start_worker(_number: int) -> None:
    # The main process is asked to stop, and saves its state; the batches must keep coming meanwhile.
    for number in _STOP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)
    main = multiprocessing.parent_process()
    if main is None or main.pid != os.getppid():  # started by a server: nothing of the main process is held open
        return
    if sys.platform == "linux":
        # A killed main process takes its readers along at once: forks hold its open files, the run's lock among them.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not main.is_alive():
        os._exit(1)
