"""`fit` beside bare loops of the same step: the same losses first, then times, in turn in one process.

Steps of the bare loops are taken within `on_step` of `fit`, a few at a time, while its clock stands still. So both
see the same minutes of a machine that others use, too.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timing
import torch
from torch import Tensor, nn
from workloads_train import Training

from sarcore.engine import BatchOrder, FitConfig, fit
from sarcore.engine.randomness import draw_generator
from sarcore.models import PlainStep

SEED = 0
COMPARED = 4  # steps
SWITCHES: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16-mixed"},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "bf16, channels_last": {"precision": "bf16-mixed", "channels_last": True},
    "all three": {"precision": "bf16-mixed", "channels_last": True, "compile": True},
}
Losses = dict[str, float]
Loops = dict[str, Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Subject:
    """A training on a device: data, weights to start from, who takes part."""

    training: Training
    device: str
    task: nn.Module
    data: Any

    @classmethod
    def of(cls, training: Training, device: str) -> Subject:
        torch.manual_seed(SEED)
        return cls(training, device, training.build(), training.data())

    def fit(self, steps: int, log_every: int, on_step: Callable[[int, Losses], None], **switches: Any) -> None:
        """Train a copy of the task; neither samples nor checkpoints before the last step."""
        config = FitConfig(
            steps=steps,
            batch_size=self.training.batch,
            seed=SEED,
            accelerator=self.device,
            log_every=log_every,
            sample_every=2 * steps,
            checkpoint_every=2 * steps,
            **switches,
        )
        with tempfile.TemporaryDirectory() as folder:
            fit(copy.deepcopy(self.task), self.data, config, Path(folder), on_step=on_step)

    def loops(self) -> Loops:
        """The bare loop, and the model's own step in a bare loop."""
        return {
            "bare loop": self.training.loop(self._task(), self._batches(), draw_generator(SEED)),
            "bare loop of training_step": self._stepped(),
        }

    def _task(self) -> Any:
        return copy.deepcopy(self.task).to(self.device).train()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        first, second = self.data.tensors
        order = BatchOrder(len(first), self.training.batch, SEED)
        for step in itertools.count():
            yield first[order[step]].to(self.device), second[order[step]].to(self.device)

    def _stepped(self) -> Iterator[dict[str, Any]]:
        task = self._task()
        optimizers = task.configure_optimizers()
        schedulers = task.configure_schedulers(optimizers) if hasattr(task, "configure_schedulers") else {}
        step = PlainStep(optimizers)
        step.generator = draw_generator(SEED)
        for batch in self._batches():
            scalars = task.training_step(batch, step)
            for scheduler in schedulers.values():
                scheduler.step()
            yield scalars


def losses_of_fit(subject: Subject, **switches: Any) -> list[Losses]:
    found: list[Losses] = []
    subject.fit(COMPARED, 1, lambda _, logs: found.append(_losses(logs)), **switches)
    return found


def losses_of(loop: Iterator[dict[str, Any]]) -> list[Losses]:
    torch.manual_seed(SEED)  # dropout draws from the global generator, which fit seeds so
    return [_losses(next(loop)) for _ in range(COMPARED)]


def _losses(scalars: dict[str, Any]) -> Losses:
    return {name: float(value) for name, value in scalars.items() if name.startswith("loss")}


def compare(subject: Subject) -> None:
    """The losses of the first steps: on the CPU bit for bit or to 1e-5, where kernels add in any order to 1e-3."""
    tolerance = 1e-3 if subject.device != "cpu" else 0.0 if subject.training.exact else 1e-5
    ours = losses_of_fit(subject)
    for name, loop in subject.loops().items():
        for step, (mine, theirs) in enumerate(zip(ours, losses_of(loop), strict=True)):
            for key in theirs.keys() & mine.keys():
                close = abs(mine[key] - theirs[key]) <= tolerance * abs(theirs[key])
                what = f"{subject.training.model} {subject.training.name}: {key} of step {step + 1}"
                assert close, f"{what} is {mine[key]} in fit and {theirs[key]} in the {name}"
            assert theirs.keys() & mine.keys(), f"the {name} tells no loss that fit tells"


def compare_switch(subject: Subject, name: str) -> None:
    """A switch changes the rounding, not the training."""
    tolerance = 0.05 if "precision" in SWITCHES[name] else 1e-3
    for mine, plain in zip(losses_of_fit(subject, **SWITCHES[name]), losses_of_fit(subject), strict=True):
        for key, value in plain.items():
            what = f"{subject.training.model} {subject.training.name}, {name}: {key}"
            assert abs(mine[key] - value) <= tolerance * abs(value), f"{what} is {mine[key]} and was {value}"


def measure(subject: Subject, rounds: int, chunk: int, **switches: Any) -> dict[str, list[float | None]]:
    """Seconds per step of `fit` and of the bare loops, one sample of `chunk` steps each in every round."""
    names = {"sarcore": None, **subject.loops()}
    samples: dict[str, list[float | None]] = {name: [] for name in names}
    clock = [_now(subject.device)]

    def on_step(step: int, _logs: Losses) -> None:
        if step % chunk or step > chunk * (rounds + 1):
            return
        timing.synchronize(subject.device)
        seconds = {"sarcore": _now(subject.device) - clock[0]}
        for name, loop in names.items():
            if loop is not None:
                seconds[name] = _timed(loop, chunk, subject.device)
        if step > chunk:  # the first round warms up
            for name, value in seconds.items():
                samples[name].append(value / chunk)
        timing.synchronize(subject.device)
        clock[0] = _now(subject.device)

    # The step after the last round saves the checkpoint, which is not measured.
    subject.fit(chunk * (rounds + 1) + 1, min(chunk, 10), on_step, **switches)
    return samples


def _timed(loop: Iterator[Any], chunk: int, device: str) -> float:
    start = _now(device)
    for _ in range(chunk):
        next(loop)
    timing.synchronize(device)
    return _now(device) - start


def _now(device: str) -> float:
    # One thread on a CPU: the time of the processor, which what else runs on the machine changes least.
    return time.process_time() if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter()


def seconds_per_step(subject: Subject) -> float:
    loop = subject.loops()["bare loop"]
    _timed(loop, 2, subject.device)
    return _timed(loop, 2, subject.device) / 2
