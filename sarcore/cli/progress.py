"""Progress of an experiment: bars on a terminal, plain lines elsewhere, and plain lines in the run folder always."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

SHOWN = {
    "epoch": "epoch", "loss": "loss", "loss_d": "D", "loss_g": "G", "l1": "L1", "cycle_a": "cycle A",
    "cycle_b": "cycle B", "identity_a": "identity A", "identity_b": "identity B", "M": "M", "k": "k",
    "accuracy": "accuracy", "images_per_second": "images/s",
}  # fmt: skip
LOG_FILE = "progress.log"


class ConsoleProgress:
    """A `sarcore.experiments.progress.Progress` for the command line; use it in a ``with`` block.

    Lines go to ``run_dir/progress.log`` once the folder exists, at most one per ``every`` seconds and stage.
    """

    def __init__(self, run_dir: Path | None = None, *, console: Console | None = None, every: float = 20.0) -> None:
        self.console = console or Console(highlight=False)
        self._log = None if run_dir is None else run_dir / LOG_FILE
        self._every = every
        self._title, self._total, self._started, self._last = "", 0, 0.0, 0.0
        self._task: TaskID | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            # Where the terminal is narrow the logs are cut, not the counts.
            BarColumn(bar_width=10, table_column=Column(min_width=4)),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=11)),
            TimeRemainingColumn(
                compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True, min_width=5)
            ),
            TextColumn("{task.fields[logs]}", style="dim"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> ConsoleProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, title: str, total: int) -> None:
        """Begin a bar, and write that the stage begins."""
        self._title, self._total = title, total
        self._started = self._last = time.monotonic()
        self._task = self._bars.add_task(title, total=total, logs="")
        self._line(f"{title}: {total} to do", show=False)

    def step(self, step: int, logs: Mapping[str, float]) -> None:
        """Move the bar; write a line now and then and at the end of the stage."""
        text = "  ".join(f"{label} {logs[name]:.3g}" for name, label in SHOWN.items() if name in logs)
        if self._task is not None:
            self._bars.update(self._task, completed=step, logs=text)
        now = time.monotonic()
        if step >= self._total or now - self._last >= self._every:
            self._last = now
            self._line(f"{self._title}: {step}/{self._total}  {text}  {now - self._started:.0f} s")

    def note(self, text: str) -> None:
        """Print and write a sentence."""
        if self.console.is_terminal:
            self.console.print(text)
        self._line(text)

    def _line(self, text: str, *, show: bool = True) -> None:
        stamped = f"{time.strftime('%H:%M:%S')}  {text.rstrip()}"
        if show and not self.console.is_terminal:
            self.console.print(stamped, markup=False, soft_wrap=True)
        if self._log is not None and self._log.parent.is_dir():
            with self._log.open("a", encoding="utf-8") as file:
                file.write(stamped + "\n")
