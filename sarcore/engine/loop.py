"""The training loop: steps, not epochs; any number of optimizers; a stopped run resumes with the same bits."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset

from sarcore.engine.batches import batches
from sarcore.engine.checkpoint import check_kind, last_checkpoint, prune, read_checkpoint, save_checkpoint
from sarcore.engine.config import FitConfig, FitResult
from sarcore.engine.interrupt import StopRequest, stop_on_interrupt
from sarcore.engine.logs import RunLogs, read_metrics
from sarcore.engine.order import BatchOrder
from sarcore.engine.randomness import preserved_rng, rng_state, seed_all, set_rng_state
from sarcore.engine.task import Diverged, Interrupted, Samples, Task
from sarcore.errors import CheckpointError, SarcoreError

# Fabric logs hints on stderr at level INFO; only the command line prints.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

SAMPLES = 16  # images of a sample grid
OnStep = Callable[[int, dict[str, float]], None]


def fit(
    task: nn.Module,
    dataset: Dataset[Any],
    config: FitConfig,
    run_dir: Path,
    *,
    resume: bool = True,
    on_step: OnStep | None = None,
    meta: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train `task` (see `Task`) on `dataset` up to step `config.steps`, writing logs and checkpoints into `run_dir`.

    The global random generators are seeded from `config.seed` and put back afterwards. `task` ends on the training
    device. `on_step(step, logs)` is called after every step with the scalars of the latest logged one and
    `images_per_second`. `meta` goes into each checkpoint: kind, config, radiometry, classes; `command`, if given, is
    named to the user as the way to resume.

    Raises:
        TypeError: `task` lacks a method of the protocol.
        DataError: the data set is smaller than one batch.
        CheckpointError: the run's checkpoints are of another model or of other data, are all damaged, cannot be
            written, or exist although `resume` is False.
        Interrupted: Ctrl-C; the step in progress was finished and saved.
        Diverged: a loss or a weight became NaN or infinite; the checkpoint before it is kept.
    """
    if not isinstance(task, Task):
        raise TypeError(
            f"{type(task).__name__} has no training_step and configure_optimizers; see sarcore.engine.Task."
        )
    order = BatchOrder(len(dataset), config.batch_size, config.seed)  # type: ignore[arg-type]  # map-style data sets
    with preserved_rng():
        seed_all(config.seed)
        training = _Training(task, order, config, Path(run_dir), dict(meta or {}))
        training.restore(resume)
        if not task.training:
            task.train()
        with RunLogs(training.run_dir, training.step) as logs, stop_on_interrupt() as stop:
            return training.run(dataset, logs, stop, on_step)


class _Training:
    """The state of one call of `fit`."""

    def __init__(
        self, task: nn.Module, order: BatchOrder, config: FitConfig, run_dir: Path, meta: dict[str, Any]
    ) -> None:
        self.task = task
        self.order = order
        self.config = config
        self.run_dir = run_dir
        self.meta = {"kind": type(task).__name__.lower(), **meta}
        self.step = 0
        self.saved = 0
        self.checkpoint: Path | None = None
        self.notes: tuple[str, ...] = ()
        self.fabric = _fabric(config)
        self.optimizers = task.configure_optimizers()  # type: ignore[operator]  # checked by fit
        self.module, *wrapped = self.fabric.setup(task, *self.optimizers.values())
        self.stepped = dict(zip(self.optimizers, wrapped, strict=True))

    def restore(self, resume: bool) -> None:
        found, problems = last_checkpoint(self.run_dir)
        if found is None:
            return
        if not resume:
            raise CheckpointError(f"{self.run_dir} holds the run saved in {found}; resume it or give another folder.")
        meta, weights, state = read_checkpoint(found)
        check_kind(found, meta, self.meta["kind"])
        self.step = self.saved = int(meta["step"])
        self._check_data(found, state["sampler"])
        try:
            self.task.load_state_dict(weights)
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{found} does not fit this model, give the config it was trained with: {reason}"
            ) from error
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        set_rng_state(state["rng"])
        self.checkpoint = found
        self.notes = (*problems, f"Resumed from {found}.") if problems else ()

    def _check_data(self, found: Path, saved: Mapping[str, int]) -> None:
        for name, value in self.order.state(self.step).items():
            if saved[name] != value:
                raise CheckpointError(
                    f"{found} was trained with {name} {saved[name]}, now it is {value}: the run cannot go on exactly; "
                    f"resume it with the same data, batch size and seed, or give another folder."
                )

    def run(self, dataset: Dataset[Any], logs: RunLogs, stop: StopRequest, on_step: OnStep | None) -> FitResult:
        for note in self.notes:
            logs.note(self.step, note)
        first = self.step
        begin, _ = self._mark = (time.perf_counter(), first)
        workers = self.config.num_workers
        source = batches(dataset, self.order, first, num_workers=workers, to_device=self.fabric.to_device)
        current: dict[str, float] = {}
        try:
            with contextlib.closing(source):
                # The range comes first in the zip: no batch is drawn that no step uses.
                for step, batch in zip(range(first, self.config.steps), source, strict=False):
                    scalars = self._train_on(batch)
                    self.step = step + 1
                    current = self._record(scalars, logs) or current
                    if on_step is not None:
                        _call(on_step, self.step, current, stop)
                    if stop.requested:
                        self._save()
                        raise self._interrupted()
        except KeyboardInterrupt:  # a second Ctrl-C, within a step: half a step is not saved
            raise self._interrupted() from None
        rate = (self.step - first) * self.config.batch_size / max(time.perf_counter() - begin, 1e-9)
        return self._result(current, rate)

    def _train_on(self, batch: Any) -> Mapping[str, Tensor | float]:
        # Fabric applies autocast to methods other than forward under DDP alone, hence here.
        with self.fabric.autocast():
            return self.module.training_step(batch, self.stepped, self._backward)  # type: ignore[no-any-return]

    def _backward(self, loss: Tensor) -> None:
        if self.config.precision == "32-true":
            self.fabric.backward(loss)
            return
        with torch.autocast(self.fabric.device.type, enabled=False):
            self.fabric.backward(loss)
        # Autocast keeps its low-precision copies of the weights until its block ends, but here an optimizer steps
        # within the block: the next forward pass must see the new weights.
        torch.clear_autocast_cache()

    def _record(self, scalars: Mapping[str, Tensor | float], logs: RunLogs) -> dict[str, float]:
        """Log, sample and save where this step is due; the scalars as floats, empty on a step that logs nothing."""
        config, step = self.config, self.step
        last = step == config.steps
        log = last or step % config.log_every == 0
        save = last or step % config.checkpoint_every == 0
        if not (log or save or step % config.sample_every == 0):
            return {}  # reading a scalar waits for a GPU: not on every step
        values = {name: float(v.detach() if isinstance(v, Tensor) else v) for name, v in scalars.items()}
        if log:
            values["images_per_second"] = self._speed()
            logs.scalars(step, values)
        self._check_losses(values)
        if isinstance(self.task, Samples) and (last or step % config.sample_every == 0):
            with preserved_rng(), torch.no_grad():  # looking must not change the training
                logs.samples(step, self.task.sample_grid(SAMPLES))
        if save:
            self._save()
        return values if log else {}

    def _speed(self) -> float:
        now, (then, step) = time.perf_counter(), self._mark
        self._mark = (now, self.step)
        return (self.step - step) * self.config.batch_size / max(now - then, 1e-9)

    def _check_losses(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if "loss" in name and not math.isfinite(value):
                raise self._diverged(f"{name} became {value}")

    def _diverged(self, what: str) -> Diverged:
        kept = f"the last good checkpoint is {self.checkpoint}" if self.checkpoint else "no checkpoint was written yet"
        return Diverged(
            f"{what} at step {self.step} in {self.run_dir}; {kept}: start again with a lower learning rate."
        )

    def _save(self) -> None:
        if self.saved == self.step:
            return
        for name, parameter in self.task.named_parameters():  # buffers may be infinite, as a best value so far is
            if not torch.isfinite(parameter).all():
                raise self._diverged(f"The weight {name} became NaN or infinite")
        state = {
            "sampler": self.order.state(self.step),
            "precision": self.fabric.strategy.precision.state_dict(),
            "rng": rng_state(),
        }
        self.checkpoint = save_checkpoint(self.run_dir, self.step, self.task, self.optimizers, state, self.meta)
        self.saved = self.step
        prune(self.run_dir, self.step, self.config.keep_last)

    def _interrupted(self) -> Interrupted:
        again = f"`{self.meta['command']}`" if "command" in self.meta else "the same command again"
        where = f"its state is saved in {self.checkpoint}" if self.checkpoint else "nothing was saved yet"
        return Interrupted(
            f"Interrupted after step {self.step} of {self.config.steps}: {where}; run {again} to continue.",
            self.step,
            self.checkpoint,
        )

    def _result(self, current: dict[str, float], rate: float) -> FitResult:
        if not current:  # the run was complete already
            rows = read_metrics(self.run_dir)
            current = {k: v for k, v in (rows[-1] if rows else {}).items() if k != "step" and v is not None}
        if self.checkpoint is None:  # the last step always saves
            raise AssertionError("a finished run has a checkpoint")
        return FitResult(self.step, current, rate, self.checkpoint, self.notes)


def _call(on_step: OnStep, step: int, logs: dict[str, float], stop: StopRequest) -> None:
    try:
        on_step(step, dict(logs))
    except KeyboardInterrupt:  # between two steps: the state is whole, as when `stop` caught it
        stop.requested = True


def _fabric(config: FitConfig) -> Fabric:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would warn of is refused below
            fabric = Fabric(accelerator=config.accelerator, devices=1, precision=config.precision)
    except (ValueError, RuntimeError) as error:
        raise SarcoreError(
            f"accelerator {config.accelerator!r} cannot be used on this machine ({error}); give 'auto' or 'cpu'."
        ) from error
    if config.precision == "16-mixed" and fabric.device.type == "cpu":
        raise SarcoreError("precision '16-mixed' needs a GPU; on the CPU give '32-true' or 'bf16-mixed'.")
    return fabric
