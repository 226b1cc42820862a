"""Ctrl-C and SIGTERM let the step in progress finish, so that the state that is saved is that of a whole step."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

_asked_to_end = False


def asked_to_end() -> bool:
    """Whether a training of this process was sent SIGTERM: then it saves, and the process is to end in its own time."""
    return _asked_to_end


@dataclass
class StopRequest:
    """Set by the first signal, read by the loop between two steps."""

    requested: bool = False
    signal: int = signal.SIGINT
    """SIGINT, or SIGTERM, which is how schedulers of clusters announce the end of a job."""


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """Within the block Ctrl-C and SIGTERM only set the request; a second Ctrl-C raises KeyboardInterrupt as usual.

    More SIGTERMs change nothing: schedulers send several. In other threads than the main one nothing is caught.
    """
    stop = StopRequest()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # torchrun hands a Ctrl-C on to its processes, which the terminal has sent it to already.
    patience = 2 if "TORCHELASTIC_RUN_ID" in os.environ else 1
    presses = 0

    def request(number: int, _frame: FrameType | None) -> None:
        global _asked_to_end
        nonlocal presses
        _asked_to_end |= number == signal.SIGTERM
        if not stop.requested:
            stop.requested, stop.signal = True, number
        presses += number == signal.SIGINT
        if presses >= patience:
            signal.signal(signal.SIGINT, previous[signal.SIGINT])

    # Python delivers signals to the main thread alone; a background job that ignores Ctrl-C goes on ignoring it.
    main = threading.current_thread() is threading.main_thread()
    caught = [n for n, handler in previous.items() if main and handler not in (None, signal.SIG_IGN)]
    for number in caught:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number in caught:
            signal.signal(number, previous[number])
