"""``sarcore watch``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg


def watch(run: Annotated[Positional[Path], arg(metavar="RUN")], /, *, once: bool = False, every: float = 2.0) -> None:
    """Show how a training goes, until Ctrl-C: progress, time left, the last scalars, validation, notes.

    It reads the files of the run folder and disturbs nothing, also from another machine that sees the folder.

    Args:
        run: Run folder of a training, or of an experiment, of which the training that goes on is shown.
        once: Print the state once and end.
        every: Seconds between two looks.
    """
    from rich.live import Live

    from sarcore.cli.live import watched

    if not every > 0.0:
        raise ValueError(f"every is {every}; give seconds above 0.")
    console = Console(highlight=False)
    shown = watched(run, console.width)
    if once:
        console.print(shown)
        return
    try:
        with Live(shown, console=console, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                live.update(watched(run, console.width), refresh=True)
    except KeyboardInterrupt:  # how it is meant to end
        return
