"""What reads batches beside the training: its errors, signals, and end."""

import collections
import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import BatchOrder
from sarcore.engine.batches import batches
from sarcore.errors import DataError

from .batch_sets import Broken, Drawn, TwoWordsError, as_is, read
from .engine_pair import same


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "error", [DataError("the image a.png is corrupt"), KeyError("b"), OSError(5, "I/O error", "c.png")]
)
def test_errors_of_items_reach_the_loop_as_they_were(workers, error):
    order = BatchOrder(4, 4, seed=0)
    with pytest.raises(type(error)) as caught:
        read(Broken(error), order, num_workers=workers)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert multiprocessing.active_children() == []
    if workers:
        assert "in __getitem__" in str(caught.value.__cause__)  # where it was raised, in the other process


def test_an_error_that_cannot_be_sent_is_told():
    with pytest.raises(Exception, match="no words"):
        read(Broken(TwoWordsError("no", "words")), BatchOrder(4, 4, seed=0), num_workers=1)


def test_errors_of_the_reading_thread_reach_the_loop_when_their_batch_is_due(tmp_path):
    out = write_simulated(tmp_path / "set", scenes_per_class=2, size=32)
    broken = PatchFolder.open(out)
    order = BatchOrder(len(broken), 2, seed=0)
    path = broken.paths[order[3][0]]
    path.write_bytes(path.read_bytes()[:80])
    source = batches(broken, order, 0, num_workers=0, to_device=as_is, memory_limit=0)
    with contextlib.closing(source):
        for _ in range(3):
            next(source)
        with pytest.raises(DataError, match=f"{path} is corrupt"):
            next(source)


def test_closing_ends_what_reads_ahead(tmp_path):
    folder = PatchFolder.open(write_simulated(tmp_path / "set", scenes_per_class=2, size=32))
    order = BatchOrder(len(folder), 2, seed=0)
    for options in ({"num_workers": 0}, {"num_workers": 2}):
        source = batches(folder, order, 0, to_device=as_is, memory_limit=0, **options)
        next(source)
        readers = [t for t in threading.enumerate() if t.name.startswith("sarcore-input")]
        assert len(readers) + len(multiprocessing.active_children()) == max(1, options["num_workers"])
        source.close()
        assert not any(reader.is_alive() for reader in readers)
        assert multiprocessing.active_children() == []


def test_workers_leave_signals_to_the_main_process():
    order = BatchOrder(7, 3, seed=0)
    expected = read(Drawn(), order, 0, 12)
    source = batches(Drawn(), order, 0, num_workers=2, to_device=as_is)
    with contextlib.closing(source):
        found = [list(next(source)) for _ in range(2)]  # one from each: now both have begun
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)
            os.kill(worker.pid, signal.SIGTERM)
        found += [list(next(source)) for _ in range(10)]
        assert same(found, expected)
        assert all(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_finds_no_worker_unprepared(monkeypatch, number):
    """As schedulers send it, at the worst moment: PyTorch's handler is there, and ours not yet."""
    prepare = signal_handling._set_worker_signal_handlers

    def prepare_and_be_hit():
        prepare()
        os.kill(os.getpid(), number)

    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", prepare_and_be_hit)
    order = BatchOrder(7, 3, seed=0)
    assert same(read(Drawn(), order, num_workers=2), read(Drawn(), order))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint({signal.SIGINT, signal.SIGTERM})


def test_a_killed_worker_is_an_error_that_says_so_and_the_others_end():
    """Also while the error is kept, and with it the frames that read: at its end Python would wait for them."""
    source = batches(Drawn(), BatchOrder(7, 3, seed=0), 0, num_workers=2, to_device=as_is)
    next(source)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"ended unexpectedly .*num_workers") as kept:
        collections.deque(source, maxlen=0)
    assert multiprocessing.active_children() == []
    assert kept.value.__cause__ is not None


@pytest.mark.parametrize("cut_off", [ConnectionResetError, ConnectionRefusedError, EOFError, FileNotFoundError])
def test_a_worker_that_dies_while_a_tensor_is_fetched_is_the_same_error(cut_off, monkeypatch):
    """Which of them it is, is a matter of the moment: the iterator of the loader raises it here."""
    original = DataLoader.__iter__

    def dies(loader):
        found = original(loader)
        monkeypatch.setattr(type(found), "__next__", lambda _self: (_ for _ in ()).throw(cut_off("gone")))
        return found

    monkeypatch.setattr(DataLoader, "__iter__", dies)
    source = batches(Drawn(), BatchOrder(7, 3, seed=0), 0, num_workers=1, to_device=as_is)
    with pytest.raises(DataError, match=r"ended unexpectedly .*num_workers"):
        next(source)
    assert multiprocessing.active_children() == []


PARENT = """
import fcntl, sys
sys.path.insert(0, {tests!r})
import batch_sets as t
from sarcore.engine import BatchOrder
lock = open({lock!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
source = t.batches(t.Slow(), BatchOrder(1000, 1, seed=0), 0, num_workers=2, to_device=t.as_is)
print(int(next(source)), int(next(source)), flush=True)
next(source)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "prctl"), reason="needs Linux' prctl")
def test_workers_and_what_they_hold_open_end_with_a_killed_main_process(tmp_path):
    """The workers are inside an item, where PyTorch's own watch does not look."""
    code = PARENT.format(tests=str(Path(__file__).parent), lock=str(tmp_path / "lock"))
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(set(pids)) == 2
    parent.kill()
    parent.wait()
    # The write end of the pipe and the lock are shared with the workers: both are free once they are gone.
    assert select.select([parent.stdout], [], [], 60)[0]
    assert parent.stdout.read() == ""
    parent.stdout.close()
    assert not any(Path(f"/proc/{pid}/fd/0").exists() for pid in pids)
    with open(tmp_path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
