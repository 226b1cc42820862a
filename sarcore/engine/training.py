"""Everything that changes from step to step in one training, and the step itself."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sarcore.engine.config import FitConfig
from sarcore.engine.distributed import gather, rank, world_size
from sarcore.engine.ema import WeightAverage
from sarcore.engine.networks import channels_last
from sarcore.engine.randomness import draw_generator, rng_state, set_rng_state
from sarcore.engine.step import TrainingStep
from sarcore.engine.task import Scheduled
from sarcore.errors import CheckpointError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Training:
    """A task with its optimizers, schedulers, loss scale, averaged weights and draws, after `step` steps."""

    def __init__(self, task: nn.Module, config: FitConfig, fabric: Fabric) -> None:
        self.task = task
        self.fabric = fabric
        self.step = 0
        self.optimizers: dict[str, Optimizer] = task.configure_optimizers()  # type: ignore[operator]  # checked by fit
        self.schedulers: dict[str, LRScheduler] = {}
        if isinstance(task, Scheduled):
            self.schedulers = task.configure_schedulers(self.optimizers)
        self.average = WeightAverage(task, config.ema) if config.ema else None
        self._channels_last = config.channels_last
        self._scaler = getattr(fabric.strategy.precision, "scaler", None)
        self._draws = draw_generator(config.seed)
        self._step = TrainingStep(
            self.optimizers,
            self._draws,
            accumulate=config.accumulate,
            clip_norm=config.clip_norm,
            device=fabric.device,
            mixed=config.precision != "32-true",
            scaler=self._scaler,
        )

    def advance(self, batch: Any) -> Mapping[str, Tensor | float]:
        """One training step on this process's share of the batch; the scalars of the task."""
        if self._channels_last:
            batch = channels_last(batch)
        with self.fabric.autocast():
            scalars: Mapping[str, Tensor | float] = self.task.training_step(batch, self._step)  # type: ignore[operator]
        self._step.finish()
        self.step += 1
        self._advance_schedulers()
        if self.average is not None:
            self.average.update(self.step)
        return scalars

    def _advance_schedulers(self) -> None:
        if self._scaler is None:
            for scheduler in self.schedulers.values():
                scheduler.step()
        elif self.schedulers:
            with warnings.catch_warnings():
                # The optimizer did not step where a gradient overflowed, as it does at first in float16.
                warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step")
                for scheduler in self.schedulers.values():
                    scheduler.step()

    def averaged_weights(self) -> contextlib.AbstractContextManager[None]:
        """Within the block the task has its averaged weights, where an average is kept."""
        return contextlib.nullcontext() if self.average is None else self.average.swapped()

    def state(self) -> dict[str, Any]:
        """What goes into a checkpoint beside the weights; asks all processes for their random generators."""
        return {
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in self.schedulers.items()},
            "scaler": {} if self._scaler is None else self._scaler.state_dict(),
            "draws": self._draws.get_state(),
            "rng": gather(rng_state()),
        }

    def load(
        self, step: int, weights: Mapping[str, Tensor], state: Mapping[str, Any], ema: Mapping[str, Tensor] | None
    ) -> list[str]:
        """Go on from a checkpoint; sentences on what cannot go on exactly.

        Raises:
            CheckpointError: it does not fit this model.
        """
        try:
            self.task.load_state_dict(weights)
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            for name, scheduler in self.schedulers.items():
                scheduler.load_state_dict(state["schedulers"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"does not fit this model, give the config it was trained with: {reason}") from error
        self.step = step
        self._draws.set_state(state["draws"])
        if self._scaler is not None and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        return self._load_average(ema, weights) + self._load_rng(state["rng"])

    def _load_average(self, ema: Mapping[str, Tensor] | None, weights: Mapping[str, Tensor]) -> list[str]:
        if self.average is None:
            return []
        self.average.load_state_dict(weights if ema is None else ema)
        return [] if ema is not None else ["No running mean of the weights was saved: it starts from the last weights."]

    def _load_rng(self, saved: list[dict[str, Any]]) -> list[str]:
        if rank() < len(saved):
            set_rng_state(saved[rank()])
        if world_size() == len(saved):
            return []
        processes = "1 process" if len(saved) == 1 else f"{len(saved)} processes"
        return [f"The run was saved by {processes}: what draws from the global generators differs from now on."]
