"""The processes that share the rows of one scene, as a launcher like torchrun starts them: each knows of the others
through files that it locks while it lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from sarcore.errors import DataError

_PATIENCE = 1800.0  # seconds until a process that was never seen is taken for one that was never started
_EVERY = 0.1  # seconds between two looks


def process_of_environment() -> tuple[int, int]:
    """Number of this process and number of processes, from RANK and WORLD_SIZE; (0, 1) without them.

    >>> rank, count = process_of_environment()
    >>> rank < count
    True
    """
    names = ("RANK", "WORLD_SIZE")
    given = [os.environ.get(name) for name in names]
    if given == [None, None]:
        return 0, 1
    try:
        rank, count = (int(text or "") for text in given)
    except ValueError:
        rank, count = 0, 0
    if not 0 <= rank < count:
        raise DataError(
            f"the environment must set RANK and WORLD_SIZE to 0 <= RANK < WORLD_SIZE, or none of them, got {given}"
        )
    return rank, count


def share_of(rank: int, count: int, bands: int) -> range:
    """The bands of a process: contiguous, all shares equal but for one.

    >>> [list(share_of(rank, 3, 5)) for rank in range(3)]
    [[0], [1, 2], [3, 4]]
    """
    return range(rank * bands // count, (rank + 1) * bands // count)


class SceneProcesses:
    """This process among those that work in a folder; use it in a ``with`` block.

    All wait until the last has finished its rows, and that one puts the result together; so nobody can begin anew what
    others have just completed.
    """

    def __init__(self, folder: Path, rank: int, count: int) -> None:
        self._folder, self._rank, self._count = folder, rank, count
        self._own: IO[bytes] | None = None

    def join(self, prepare: Callable[[bool], None]) -> None:
        """Make this process known to the others; `prepare` hears whether it is the first of them.

        Raises DataError where another run works in the folder.
        """
        with self._together(create=True):
            living = self._living()
            if self._rank in living:
                raise DataError(
                    f"another process (number {self._rank}) is working in {self._folder}; wait for it or stop it"
                )
            if not living:
                for path in self._folder.glob("process_*"):  # of a run that was killed
                    path.unlink()
            self._own = open(self._file(self._rank, "lock"), "wb")  # noqa: SIM115  held until the block ends
            _try_lock(self._own)
            prepare(not living)

    def is_last(self) -> bool:
        """Say that the rows of this process are finished; True when it was the last, which completes the result."""
        with self._together():
            self._file(self._rank, "done").touch()
            done = [self._file(rank, "done").is_file() for rank in range(self._count)]
            return all(done) and self._living() == set(range(self._count))

    def wait(self) -> None:
        """Return when the process that was last has completed the result, and so removed the folder.

        Raises DataError when one of them failed or was killed.
        """
        begun = time.monotonic()
        while True:
            time.sleep(_EVERY)
            try:
                with self._together():
                    living = self._living()
                    started = {rank for rank in range(self._count) if self._file(rank, "lock").is_file()}
            except FileNotFoundError:
                return
            gone, missing = sorted(started - living), sorted(set(range(self._count)) - started)
            if gone or (missing and time.monotonic() - begun > _PATIENCE):
                what = "ended before its rows were finished" if gone else "was never started"
                raise DataError(
                    f"process {(gone or missing)[0]} of {self._count} {what}; give the same arguments again in all "
                    "processes, which goes on with the rows that are finished"
                )

    def __enter__(self) -> SceneProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()

    def alone(self) -> bool:
        """Whether no other process lives."""
        with self._together():
            return self._living() <= {self._rank}

    def _file(self, rank: int, kind: str) -> Path:
        return self._folder / f"process_{rank}.{kind}"

    def _living(self) -> set[int]:
        """The processes that hold their locks. Called while all are kept out, so that no lock is taken meanwhile."""
        living = set()
        for path in self._folder.glob("process_*.lock"):
            with open(path, "r+b") as file:
                if not _try_lock(file):
                    living.add(int(path.stem.removeprefix("process_")))
        return living

    @contextlib.contextmanager
    def _together(self, *, create: bool = False) -> Iterator[None]:
        """Keep the other processes out; FileNotFoundError when the folder is gone, unless it is to be made."""
        path = self._folder / ".lock"
        while True:
            try:
                if create:
                    self._folder.mkdir(exist_ok=True)
                file = open(path, "ab" if create else "r+b")  # noqa: SIM115
            except FileNotFoundError:
                if create and self._folder.parent.is_dir():
                    continue  # it was just removed by the run that had it
                raise
            except OSError as error:
                raise DataError(f"cannot write {self._folder}: {error.strerror or error}; make it possible") from error
            with file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # The folder may have been removed, and made again, while this process waited.
                if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
                yield
                return


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
