"""The training loop: steps, not epochs; any number of optimizers; a stopped run resumes with the same bits."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from sarcore.engine.batches import batches
from sarcore.engine.config import FitConfig, FitResult
from sarcore.engine.distributed import agree, from_main, is_main_process, make_fabric, rank, together, world_size
from sarcore.engine.interrupt import StopRequest, stop_on_interrupt
from sarcore.engine.lock import RunLock
from sarcore.engine.logs import read_metrics
from sarcore.engine.networks import prepared
from sarcore.engine.observer import Observer
from sarcore.engine.order import BatchOrder
from sarcore.engine.randomness import preserved_rng, seed_all
from sarcore.engine.saving import Checkpoints, first_not_finite
from sarcore.engine.task import Diverged, Interrupted, Task
from sarcore.engine.training import Training
from sarcore.engine.validation import BestSoFar, Validation

OnStep = Callable[[int, dict[str, float]], None]
OnNote = Callable[[str], None]


def fit(
    task: nn.Module,
    dataset: Dataset[Any],
    config: FitConfig,
    run_dir: Path,
    *,
    validation: Validation | None = None,
    resume: bool = True,
    on_step: OnStep | None = None,
    on_note: OnNote | None = None,
    meta: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train `task` (see `Task`) on `dataset` up to step `config.steps`, writing logs and checkpoints into `run_dir`.

    Under torchrun all processes call it alike and share every batch; the main process alone writes and calls back.
    The global random generators are seeded from `config.seed` and put back afterwards. `task` ends on the training
    device with the last weights. `on_step(step, logs)` gets the latest value of every logged scalar after each step,
    `on_note(sentence)` from where a run goes on, what was damaged and what the detectors notice. `meta` goes into each
    checkpoint: kind, config, radiometry, classes; `command`, if given, is named to the user as the way to resume.

    Raises:
        TypeError: `task` lacks a method of the protocol.
        ValueError: the processes and parts do not divide the batch.
        DataError: the data set is smaller than one batch.
        CheckpointError: the run's checkpoints are of another model or of other data, are all damaged, cannot be
            written, or exist although `resume` is False.
        SarcoreError: the accelerator is not there; another process trains in the folder; or one of those that train
            together has ended.
        Interrupted: Ctrl-C or SIGTERM; the step in progress was finished and saved.
        Diverged: a loss or a weight became NaN or infinite; the checkpoint before it is kept.
    """
    order = _check(task, dataset, config)
    facts = {"kind": type(task).__name__.lower(), **(meta or {})}
    with contextlib.ExitStack() as stack:
        stack.enter_context(preserved_rng())
        fabric = make_fabric(config)
        # From here on, and until all is closed: a signal while the run is read or its last status written is none less.
        stop = stack.enter_context(stop_on_interrupt())
        seed_all(config.seed + rank())
        stack.enter_context(prepared(task, config, fabric.device))
        lock = RunLock(run_dir)
        from_main(lambda: stack.enter_context(lock) and None)
        training = Training(task, config, fabric)
        checkpoints = Checkpoints(Path(run_dir), config, order, facts)
        state, notes = checkpoints.restore(training, resume=resume)
        if not task.training:
            task.train()
        _say_resumed(training.step, config.steps, checkpoints.last, on_note if not notes else None)
        notes += [lock.note] if lock.note else []
        seconds = state.get("seconds", 0.0)
        observer = Observer(training, config, Path(run_dir), order.length, seconds, notes, on_note)
        stack.enter_context(observer)
        stack.enter_context(together())
        return _Loop(training, checkpoints, observer, order, validation, state).run(dataset, stop, on_step)


def _check(task: nn.Module, dataset: Dataset[Any], config: FitConfig) -> BatchOrder:
    if not isinstance(task, Task):
        raise TypeError(
            f"{type(task).__name__} has no training_step and configure_optimizers; see sarcore.engine.Task."
        )
    order = BatchOrder(len(dataset), config.batch_size, config.seed)  # type: ignore[arg-type]  # map-style data sets
    shares = world_size() * config.accumulate
    if config.batch_size % shares:
        raise ValueError(
            f"batch_size {config.batch_size} is no multiple of {world_size()} processes times accumulate "
            f"{config.accumulate}; give a multiple of {shares}."
        )
    return order


def _say_resumed(step: int, steps: int, last: Path | None, on_note: OnNote | None) -> None:
    if last is not None and on_note is not None and is_main_process():
        done = step >= steps
        on_note(f"All {steps} steps are made already, the last in {last}." if done else f"Resumed from {last}.")


class _Loop:
    """One call of `fit`: what is due after which step. All processes decide alike."""

    def __init__(
        self,
        training: Training,
        checkpoints: Checkpoints,
        observer: Observer,
        order: BatchOrder,
        validation: Validation | None,
        state: Mapping[str, Any],
    ) -> None:
        self.training = training
        self.checkpoints = checkpoints
        self.observer = observer
        self.order = order
        self.config = observer.config
        self.validation = validation
        self.best = BestSoFar(validation.mode, validation.monitor) if validation else None
        if self.best is not None and state.get("best"):
            self.best.load(state["best"])
        if "detectors" in state:
            observer.detectors.load(state["detectors"])
        self.logs: dict[str, float] = {}

    def run(self, dataset: Dataset[Any], stop: StopRequest, on_step: OnStep | None) -> FitResult:
        training, config = self.training, self.config
        self.observer.show_real(dataset)
        source = batches(
            dataset,
            self.order,
            training.step,
            num_workers=config.num_workers,
            to_device=training.fabric.to_device,
            rank=rank(),
            world_size=world_size(),
        )
        self.observer.begin()
        try:
            with contextlib.closing(source):
                while not agree(stop.requested) and training.step < config.steps and not self._exhausted():
                    self._observe(training.advance(next(source)))
                    if on_step is not None and is_main_process():
                        _call(on_step, training.step, self.logs, stop)
                if training.step:
                    self._save()
            if agree(stop.requested):
                raise self._interrupted(signal.SIGTERM if agree(stop.signal == signal.SIGTERM) else signal.SIGINT)
        except KeyboardInterrupt:  # a second Ctrl-C, within a step: half a step is not saved
            raise self._interrupted(signal.SIGINT) from None
        return self._result()

    def _exhausted(self) -> bool:
        return self.best is not None and self.best.exhausted(self.config.patience)

    def _observe(self, scalars: Mapping[str, Tensor | float]) -> None:
        """Log, validate, sample and save where this step is due."""
        config, step, validation = self.config, self.training.step, self.validation
        last = step == config.steps
        log = last or step % config.log_every == 0
        save = last or step % config.checkpoint_every == 0
        validate = validation is not None and (
            last or (step % config.validate_every == 0 if config.validate_every else save)
        )
        sample = self.observer.shows_samples and (last or step % config.sample_every == 0)
        if not (log or save or validate or sample):
            return  # reading a scalar waits for a GPU: not on every step
        values = self.observer.scalars(scalars)
        if log:
            self.logs |= self.observer.log(values)
        self._check_losses(values)
        with self.observer.looking():
            statistics = self.observer.samples() if sample else {}
            if log or sample:
                self.observer.detect(values, statistics)
            score, keep = self._validate(validation) if validation is not None and validate else (None, False)
            if save or keep or self._exhausted():
                self._save(score)

    def _validate(self, validation: Validation) -> tuple[dict[str, Any], bool]:
        """The score, and whether it is one of the best, which are kept."""
        found = self.observer.validate(validation)
        # One word for all: were two processes of two minds about the last bit, one would wait for the other for ever.
        scalars = from_main(lambda: found)
        self.logs |= {f"val/{name}": value for name, value in scalars.items()}
        value, keep = scalars[validation.monitor], False
        if self.best is not None:
            self.best.update(self.training.step, value)
            keep = self.best.place is not None and self.best.place < self.config.keep_best
        return {"name": validation.monitor, "value": value, "mode": validation.mode}, keep

    def _check_losses(self, values: Mapping[str, float]) -> None:
        wrong = next((name for name, v in values.items() if "loss" in name and not math.isfinite(v)), None)
        if agree(wrong is not None):
            raise self._diverged(f"{wrong} became {values[wrong]}" if wrong else "A loss of another process overflowed")

    def _diverged(self, what: str) -> Diverged:
        last, run_dir = self.checkpoints.last, self.checkpoints.run_dir
        kept = f"the last good checkpoint is {last}" if last else "no checkpoint was written yet"
        return Diverged(
            f"{what} at step {self.training.step} in {run_dir}; {kept}: start again with a lower learning rate."
        )

    def _save(self, score: Mapping[str, Any] | None = None) -> None:
        broken = first_not_finite(self.training.task)
        if broken is not None:
            raise self._diverged(f"The weight {broken} became NaN or infinite")
        self.observer.flush()
        extra = {
            "seconds": self.observer.seconds,
            "best": self.best.state() if self.best else None,
            "detectors": self.observer.detectors.state(),
        }
        self.checkpoints.save(self.training, extra, score)

    def _interrupted(self, number: int) -> Interrupted:
        last, command = self.checkpoints.last, self.checkpoints.meta.get("command")
        again = f"`{command}`" if command else "the same command again"
        step = self.training.step
        where = f"the last state that is saved is {last}" if last else "nothing was saved yet"
        if self.checkpoints.holds(step):
            where = f"its state is saved in {last}"
        return Interrupted(
            f"Interrupted after step {step} of {self.config.steps}: {where}; run {again} to continue.",
            step,
            last,
            number,
        )

    def _result(self) -> FitResult:
        if not self.logs:  # the run was complete already
            rows = read_metrics(self.checkpoints.run_dir)
            self.logs = {k: v for k, v in (rows[-1] if rows else {}).items() if k != "step" and v is not None}
        if self.checkpoints.last is None:  # the last step always saves
            raise AssertionError("a finished run has a checkpoint")
        early = self.training.step < self.config.steps
        self.observer.state = "stopped early" if early else "finished"
        best = None
        if self.best is not None and self.best.step is not None:
            best = self.checkpoints.last.with_name(f"step_{self.best.step:06d}")
        return FitResult(
            self.training.step,
            self.logs,
            self.observer.rate,
            self.checkpoints.last,
            tuple(self.observer.notes),
            best if best is not None and best.is_dir() else None,
            early,
        )


def _call(on_step: OnStep, step: int, logs: dict[str, float], stop: StopRequest) -> None:
    try:
        on_step(step, dict(logs))
    except KeyboardInterrupt:  # between two steps: the state is whole, as when `stop` caught it
        stop.requested = True
