"""`status.json`: whether a run goes on, where it is and how fast; for `sarcore watch`, reports and schedulers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sarcore.engine.run import explained, json_text, write_bytes

STATUS = "status.json"
State: TypeAlias = Literal["running", "finished", "interrupted", "diverged", "stopped early", "failed"]
_SECONDS = 1.0  # between two writings while the run goes on


class RunStatus:
    """The status file of one session of a run, written whole or not at all.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> RunStatus(folder, steps=100).end("finished", "100 steps done.")
    >>> '"state": "finished"' in (folder / STATUS).read_text()
    True

    Raises:
        SarcoreError: the disk is full or the folder cannot be written; OSError where `end` finds it so.
    """

    def __init__(self, run_dir: Path, steps: int, *, step: int = 0, seconds: float = 0.0, world_size: int = 1) -> None:
        self._path = Path(run_dir) / STATUS
        self._written = time.monotonic()
        now = time.time()
        self._fields: dict[str, Any] = {
            "state": "running",
            "pid": os.getpid(),
            "step": step,
            "steps": steps,
            "started": now,
            "updated": now,
            "images_per_second": None,
            "seconds": seconds,
            "world_size": world_size,
            "message": "",
        }
        with explained(self._path):
            self._write()

    def update(self, step: int, images_per_second: float, seconds: float) -> None:
        """Where the run is: images per second now, and seconds of training over all its sessions."""
        self._fields |= {"step": step, "images_per_second": images_per_second, "seconds": seconds}
        if time.monotonic() - self._written >= _SECONDS:
            with explained(self._path):
                self._write()

    def end(self, state: State, message: str = "", *, step: int | None = None) -> None:
        """How the session ended, in a word and a sentence."""
        self._fields |= {"state": state, "message": message}
        if step is not None:
            self._fields["step"] = step
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        self._fields["updated"] = time.time()
        # Not synced: it is soon written again, and a slow disk must not hold up the training.
        write_bytes(self._path, json_text(self._fields).encode(), durable=False)
