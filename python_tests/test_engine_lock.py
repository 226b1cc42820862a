"""One training per run folder, and no lock that outlives its process."""

import contextlib
import errno
import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

from sarcore.engine import RunLock
from sarcore.errors import SarcoreError

from .processes import PROCESSES, start


def hold(folder, said):
    with RunLock(folder):
        child = os.fork()  # as the workers of a DataLoader are made
        if child:
            said.put(child)
        time.sleep(600)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path, and the number of a child it has forked since."""
    said = PROCESSES.Queue()
    process = start(hold, tmp_path, said)
    child = said.get()
    yield process, child
    os.kill(child, signal.SIGKILL)
    process.kill()
    process.join()


def test_a_second_process_is_refused_with_the_number_of_the_first(holder, tmp_path):
    process, _ = holder
    with (
        pytest.raises(SarcoreError, match=rf"in use by process {process.pid} on .*give another folder"),
        RunLock(tmp_path),
    ):
        pytest.fail("two trainings in one folder")
    with RunLock(tmp_path / "other"):
        pass


def test_a_kill_frees_the_lock_although_a_forked_worker_lives_on(holder, tmp_path):
    process, child = holder
    process.kill()
    process.join()
    os.kill(child, 0)  # still there
    with RunLock(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / "run.lock").read_text()


def test_one_process_cannot_lock_twice_and_can_lock_again(tmp_path):
    with RunLock(tmp_path / "run") as lock:
        assert lock.note is None
        with pytest.raises(SarcoreError, match=f"process {os.getpid()}"), RunLock(tmp_path / "run"):
            pytest.fail("locked twice")
    with RunLock(tmp_path / "run"):
        pass
    assert (tmp_path / "run/run.lock").read_text() == ""


def test_an_error_within_frees_it(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        _ = 1 / 0
    with RunLock(tmp_path):
        pass


def test_a_forked_child_that_leaves_the_block_changes_nothing(tmp_path):
    with RunLock(tmp_path) as lock:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                lock.__exit__(None, None, None)
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert f"process {os.getpid()} on" in (tmp_path / "run.lock").read_text()
        with pytest.raises(SarcoreError), RunLock(tmp_path):
            pytest.fail("two trainings in one folder")


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refuse(_handle, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunLock(tmp_path) as lock:
        assert "has no locks: start no second run" in lock.note


def test_no_file_stays_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with RunLock(tmp_path), pytest.raises(SarcoreError), RunLock(tmp_path):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
