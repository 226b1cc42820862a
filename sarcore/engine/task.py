"""What the engine asks of a model, and the two ways in which a training ends early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from sarcore.errors import SarcoreError


@runtime_checkable
class Task(Protocol):
    """A `torch.nn.Module` that knows its own training step; the engine knows no model, a model knows no loop.

    Whatever must survive a resume is a parameter, a persistent buffer or the state of an optimizer; random draws come
    from PyTorch's global generators, whose states the engine saves.
    """

    def configure_optimizers(self) -> dict[str, Optimizer]:
        """Optimizers by name, e.g. `{"generator": ..., "discriminator": ...}`."""

    def training_step(
        self, batch: Any, optimizers: dict[str, Optimizer], backward: Callable[[Tensor], None]
    ) -> Mapping[str, Tensor | float]:
        """One step with its own `zero_grad`, `backward(loss)` and `optimizer.step`; returns the scalars to log.

        `batch` is what the data set yields, collated: images (N, C, H, W) and labels (N,). A scalar with `loss` in
        its name must be finite, else the engine stops the run.
        """


@runtime_checkable
class Samples(Protocol):
    """A task that can show what it generates."""

    def sample_grid(self, n: int) -> Tensor:
        """n images (n, C, H, W) in [0, 1] from a fixed latent batch; leaves the mode of the modules as it was."""


class Interrupted(SarcoreError):  # noqa: N818  # an end the user asked for is no error
    """The training was stopped by Ctrl-C; its last state lies in `checkpoint` (None before the first one)."""

    def __init__(self, message: str, step: int, checkpoint: Path | None) -> None:
        super().__init__(message)
        self.step = step
        self.checkpoint = checkpoint


class Diverged(SarcoreError):  # noqa: N818
    """A loss or a weight became NaN or infinite."""
