"""Ctrl-C that lets the step in progress finish, so that the state that is saved is that of a whole step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """Set by the first Ctrl-C, read by the loop between two steps."""

    requested: bool = False


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """Within the block the first Ctrl-C only sets the request; a second one raises KeyboardInterrupt as usual."""
    stop = StopRequest()
    previous = signal.getsignal(signal.SIGINT)
    # Python delivers signals to the main thread alone; a background job that ignores Ctrl-C goes on ignoring it.
    if threading.current_thread() is not threading.main_thread() or previous in (None, signal.SIG_IGN):
        yield stop
        return

    def request(_signal: int, _frame: FrameType | None) -> None:
        stop.requested = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, request)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
