"""When a training is saved, and how it goes on from what was saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sarcore.engine.checkpoint import (
    check_kind,
    checkpoint_dirs,
    last_checkpoint,
    prune,
    read_checkpoint,
    read_ema,
    save_checkpoint,
    sweep,
)
from sarcore.engine.config import FitConfig
from sarcore.engine.distributed import from_main, world_size
from sarcore.engine.order import BatchOrder
from sarcore.engine.training import Training
from sarcore.errors import CheckpointError


class Checkpoints:
    """The checkpoints of one run: read and written by the main process, on behalf of all."""

    def __init__(self, run_dir: Path, config: FitConfig, order: BatchOrder, meta: Mapping[str, Any]) -> None:
        self.run_dir = run_dir
        self.meta = meta
        self.last: Path | None = None
        self._saved: int | None = None
        self._damaged: set[Path] = set()  # newer than the one that the run went on from
        self._config = config
        self._order = order

    def restore(self, training: Training, *, resume: bool) -> tuple[dict[str, Any], list[str]]:
        """Go on from the newest whole checkpoint: the rest of its state (empty without one), and sentences about it.

        Raises:
            CheckpointError: there is one although `resume` is False, or it is of another model or of other data, or
                all are damaged.
        """
        found, problems, meta, weights, state, ema = from_main(lambda: self._read(resume))
        if found is None:
            return {}, []
        self._check_data(found, state["sampler"], int(meta["step"]))
        try:
            notes = training.load(int(meta["step"]), weights, state, ema)
        except CheckpointError as error:
            raise CheckpointError(f"{found} {error}") from error
        self.last, self._saved = found, training.step
        return state, [*problems, *([f"Resumed from {found}."] if problems else []), *notes]

    def _read(self, resume: bool) -> tuple[Path | None, list[str], Any, Any, Any, dict[str, Tensor] | None]:
        sweep(self.run_dir)  # also of a run that is complete, and where it fills the disk
        found, problems = last_checkpoint(self.run_dir)
        if found is None:
            return None, [], {}, {}, {}, None
        if not resume:
            raise CheckpointError(f"{self.run_dir} holds the run saved in {found}; resume it or give another folder.")
        saved = [path for _, path in checkpoint_dirs(self.run_dir)]
        self._damaged = set(saved[saved.index(found) + 1 :])
        meta, weights, state = read_checkpoint(found)
        check_kind(found, meta, self.meta["kind"])
        return found, problems, meta, weights, state, read_ema(found)

    def _check_data(self, found: Path, saved: Mapping[str, int], step: int) -> None:
        for name, value in self._order.state(step).items():
            if saved[name] != value:
                raise CheckpointError(
                    f"{found} was trained with {name} {saved[name]}, now it is {value}: the run cannot go on exactly; "
                    "resume it with the same data, batch size and seed, or give another folder."
                )

    def holds(self, step: int) -> bool:
        """Whether the last checkpoint is of this step."""
        return self._saved == step

    def save(self, training: Training, extra: Mapping[str, Any], score: Mapping[str, Any] | None) -> None:
        """Save the step that was just made, unless it is saved already, and remove what need not be kept.

        Raises:
            CheckpointError: it cannot be written; raised in every process.
        """
        if self.holds(training.step) and score is None:
            return
        state = {**extra, **training.state(), "sampler": self._order.state(training.step)}
        meta = {**self.meta, "world_size": world_size(), **({} if score is None else {"score": dict(score)})}
        ema = None if training.average is None else training.average.state_dict()
        step, config = training.step, self._config

        def write() -> Path:
            path = save_checkpoint(self.run_dir, step, training.task, state, meta, ema=ema)
            self._damaged.discard(path)
            prune(self.run_dir, step, config.keep_last, config.keep_best, damaged=self._damaged)
            return path

        self.last, self._saved = from_main(write), step


def first_not_finite(module: nn.Module) -> str | None:
    """Name of a parameter, or of a running statistic of a norm, that holds NaN or infinity.

    Other buffers may, as a best value so far does. Statistics may be lost although the weights are not: float16 passes
    over the update of a batch that overflowed, and the means keep it.
    """
    named: dict[str, Tensor] = dict(module.named_parameters())
    for name, part in module.named_modules():
        if isinstance(part, _NormBase):
            named |= {f"{name}.{key}".lstrip("."): value for key, value in part.named_buffers() if "running" in key}
    if not named:
        return None
    finite = torch.stack([torch.isfinite(p.detach()).all() for p in named.values()])  # looked at once, not one by one
    return next((name for name, good in zip(named, finite.tolist(), strict=True) if not good), None)
