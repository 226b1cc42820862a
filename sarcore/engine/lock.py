"""One training per run folder: a lock that lives exactly as long as the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from pathlib import Path
from types import TracebackType

from sarcore.errors import SarcoreError

LOCK = "run.lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some cluster file systems have no locks
_held: set[int] = set()


class RunLock:
    """Hold the lock of a run folder within a `with` block; the kernel frees it when the process ends, however it ends.

    `note` is a sentence where the file system has no locks and nothing was locked, else None.

    >>> import tempfile
    >>> with RunLock(Path(tempfile.mkdtemp())) as lock:
    ...     lock.note

    Raises:
        SarcoreError: another process trains in the folder; its number is named.
        OSError: the folder cannot be written.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = Path(run_dir) / LOCK
        self.note: str | None = None
        self._handle: int | None = None

    def __enter__(self) -> RunLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(handle, 256, 0).decode(errors="replace").strip()
            os.close(handle)
            if error.errno in _UNSUPPORTED:
                self.note = f"The file system of {self.path.parent} has no locks: start no second run in this folder."
                return self
            raise SarcoreError(
                f"{self.path.parent} is in use by {owner or 'another process'}; "
                "wait until it ends, stop it (kill lets it save), or give another folder."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
        self._handle = handle
        _held.add(handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle in _held:  # not so in a child that was forked within the block, whose handle was closed
            # The file stays: were it removed, one process could lock the old file and another a new one.
            os.ftruncate(self._handle, 0)
            _held.discard(self._handle)
            os.close(self._handle)
            self._handle = None


def _let_go_in_a_child() -> None:
    # A forked DataLoader worker shares the lock and outlives a killed parent for seconds.
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go_in_a_child)
