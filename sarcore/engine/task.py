"""What the engine asks of a model, and the two ways in which a training ends early."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sarcore.errors import SarcoreError
from sarcore.models.sample_sheet import SampleSheet
from sarcore.models.step import Step


@runtime_checkable
class Task(Protocol):
    """A `torch.nn.Module` that knows its own training step; the engine knows no model, a model knows no loop.

    Whatever must survive a resume is a parameter, a persistent buffer or the state of an optimizer or scheduler.
    Random draws come from `Step.draw`, or from PyTorch's global generators (dropout), whose states are saved as well.
    Buffers must come out equal in all processes: what decides them is averaged with `Step.average`.
    """

    def configure_optimizers(self) -> dict[str, Optimizer]:
        """Optimizers by name, e.g. `{"generator": ..., "discriminator": ...}`."""

    def training_step(self, batch: Any, step: Step) -> Mapping[str, Tensor | float]:
        """One step with `step.zero_grad`, `step.backward` and `step.update`; returns the scalars to log.

        `batch` is what the data set yields, collated: images (N, C, H, W) and labels (N,). A scalar with `loss` in
        its name must be finite, else the engine stops the run. Tensors are averaged over the processes.
        """


@runtime_checkable
class Scheduled(Protocol):
    """A task whose learning rates follow schedulers."""

    def configure_schedulers(self, optimizers: Mapping[str, Optimizer]) -> dict[str, LRScheduler]:
        """Schedulers by name, which the engine steps after every training step."""


@runtime_checkable
class Samples(Protocol):
    """A task that can show what it generates."""

    def sample_grid(self, n: int) -> Tensor:
        """n images (n, C, H, W) in [0, 1] from a fixed latent batch; leaves the mode of the modules as it was."""


@runtime_checkable
class SampleSheets(Protocol):
    """A task that can show fixed samples of several domains beside each other, as translations are."""

    def sample_targets(self) -> Mapping[str, Tensor]:
        """Real images (n, C, H, W) in [0, 1] by direction, those of its target; empty where there are no samples."""

    def sample_sheet(self) -> SampleSheet:
        """The samples as they come out now; leaves the mode of the modules as it was."""


class Interrupted(SarcoreError):  # noqa: N818  # an end the user asked for is no error
    """The training was stopped by a signal; its last state lies in `checkpoint` (None before the first one)."""

    def __init__(self, message: str, step: int, checkpoint: Path | None, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.step = step
        self.checkpoint = checkpoint
        self.signal = number
        """SIGINT (Ctrl-C), or SIGTERM, with which schedulers of clusters end a job."""


class Diverged(SarcoreError):  # noqa: N818
    """A loss or a weight became NaN or infinite."""
