"""What is seen of a training: rows of numbers, samples, validations, notes and the state of the run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.engine.config import FitConfig
from sarcore.engine.detectors import Detectors
from sarcore.engine.distributed import is_main_process, mean, rank, world_size
from sarcore.engine.logs import RunLogs, real_images
from sarcore.engine.randomness import preserved_rng
from sarcore.engine.status import RunStatus, State
from sarcore.engine.task import Diverged, Interrupted, Samples, SampleSheets
from sarcore.engine.training import Training
from sarcore.engine.validation import Validation, run_validation

SAMPLES = 16  # images of a sample grid


class Observer:
    """Looks at a training between two steps without changing it; the main process alone writes."""

    def __init__(
        self,
        training: Training,
        config: FitConfig,
        run_dir: Path,
        items: int,
        seconds: float,
        notes: list[str],
        on_note: Callable[[str], None] | None,
    ) -> None:
        self.training = training
        self.config = config
        self.notes: list[str] = []
        self._on_note = on_note
        self._targets = training.task.sample_targets() if isinstance(training.task, SampleSheets) else {}
        self.shows_samples = bool(self._targets) or isinstance(training.task, Samples)
        self._items = items  # of the data set
        self._earlier = seconds  # of training in earlier sessions
        self._logs = RunLogs(run_dir, training.step) if is_main_process() else None
        self._status = (
            RunStatus(run_dir, config.steps, step=training.step, seconds=seconds, world_size=world_size())
            if is_main_process()
            else None
        )
        self.detectors = Detectors()
        self.state: State = "finished"
        self.begin()
        for note in [*notes, *([self._logs.note_at_start] if self._logs and self._logs.note_at_start else [])]:
            self.note(note)

    def begin(self) -> None:
        """Start the clocks."""
        self._begin = self._mark = time.perf_counter()
        self._first = self._marked = self.training.step
        self._looked = 0.0  # seconds that were spent looking

    @property
    def seconds(self) -> float:
        """Training time over all sessions of the run, with what was spent looking and saving."""
        return self._earlier + time.perf_counter() - self._begin

    @property
    def rate(self) -> float:
        """Images per second of this session."""
        spent = time.perf_counter() - self._begin - self._looked
        return (self.training.step - self._first) * self.config.batch_size / max(spent, 1e-9)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """The time within the block is not taken for that of training steps."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self._looked += spent
            self._mark += spent

    def show_real(self, dataset: Dataset[Any]) -> None:
        """Show real images, once per run, to be compared with the samples."""
        if self._logs is None or not self.shows_samples:
            return
        with self.looking():
            if self._targets:
                self.detectors.real = self._logs.targets(self._targets)
            else:
                self.detectors.real = {"": self._logs.real(real_images(dataset, SAMPLES, self.config.seed))}

    def note(self, text: str) -> None:
        """A sentence for the user, at once and in the files of the run."""
        self.notes.append(text)
        if self._on_note is not None and is_main_process():
            self._on_note(text)
        if self._logs is not None:
            self._logs.note(self.training.step, text)

    def scalars(self, scalars: Mapping[str, Tensor | float]) -> dict[str, float]:
        """The scalars of a step as numbers, tensors as their mean over the processes; waits for the device."""
        device = self.training.fabric.device
        tensors = [v.detach().reshape(()).to(device, torch.float64) for v in scalars.values() if isinstance(v, Tensor)]
        means = iter(mean(torch.stack(tensors)).tolist() if tensors else [])
        return {name: next(means) if isinstance(v, Tensor) else float(v) for name, v in scalars.items()}

    def log(self, values: Mapping[str, float]) -> dict[str, float]:
        """Write a row with the images met so far, how often that is all of them, and the speed since the last row."""
        now, step = time.perf_counter(), self.training.step
        rate = (step - self._marked) * self.config.batch_size / max(now - self._mark, 1e-9)
        self._mark, self._marked = now, step
        met = step * self.config.batch_size
        row = {**values, "images": met, "epoch": met / self._items, "images_per_second": rate, "seconds": self.seconds}
        if self._logs is not None and self._status is not None:
            self._logs.scalars(step, row)
            self._status.update(step, rate, self.seconds)
        return row

    def samples(self) -> dict[str, dict[str, Any]]:
        """Show what the task generates; the statistics of the images by direction ("" where there is none).

        In the main process, {} in the others.
        """
        task, step = self.training.task, self.training.step
        with preserved_rng(), torch.no_grad(), self.training.averaged_weights():
            shown = task.sample_sheet() if self._targets else task.sample_grid(SAMPLES)  # type: ignore[operator]
        if self._logs is None:
            return {}
        return self._logs.sheet(step, shown) if self._targets else {"": self._logs.samples(step, shown)}

    def flush(self) -> None:
        """Have everything that was logged on the disk."""
        if self._logs is not None:
            self._logs.flush()

    def detect(self, values: Mapping[str, float], statistics: Mapping[str, Mapping[str, Any]]) -> None:
        """Note what goes wrong without an error."""
        for sentence in self.detectors.observe(self.training.step, values, statistics):
            self.note(sentence)

    def validate(self, validation: Validation) -> dict[str, float]:
        """Compute and log the metrics; the numbers."""
        training = self.training
        with training.averaged_weights(), training.fabric.autocast():
            scalars, arrays = run_validation(
                training.task,
                validation,
                device=training.fabric.device,
                num_workers=self.config.num_workers,
                rank=rank(),
                world_size=world_size(),
            )
        if self._logs is not None:
            self._logs.validation(training.step, scalars, arrays)
        return scalars

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ends: dict[type, State] = {Interrupted: "interrupted", Diverged: "diverged"}
        state = self.state if kind is None else ends.get(kind, "failed")
        message = "" if error is None else str(error) or type(error).__name__
        # On a full disk neither can be closed, which must not hide the error that says so.
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            if self._status is not None:
                self._status.end(state, message, step=self.training.step)
        if self._logs is not None:
            self._logs.__exit__(kind, error, traceback)
