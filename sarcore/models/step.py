"""What a model asks of whoever trains it: parts of a batch, backward, update; and the plainest thing that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

Sampler = Callable[[int, torch.Generator], Tensor]


class Step(Protocol):
    """One training step, as the `training_step` of a model sees it.

    A batch may be worked off in parts whose gradients add up, by one process or by several that share it. A model that
    keeps to the following trains alike in every case: it draws with `draw`, loops over `parts`, calls `backward` once
    per part and loss, averages what it decides upon with `average`, and lets `update` step its optimizers.
    """

    optimizers: Mapping[str, Optimizer]

    def draw(self, sample: Sampler, count: int) -> Tensor:
        """Random rows for the `count` items of this process's batch, `sample(n, generator)` having n rows.

        They are drawn on the CPU for the whole batch of all processes, so that these are the same however many share
        it, and moved to the device of the model.
        """

    def parts(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Cut tensors (N, ...) into the equal parts of the batch; every call gives the same parts in the same order."""

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The batch whose parts these are, its items in the order they had before `parts`."""

    def zero_grad(self, *names: str) -> None:
        """Forget the gradients of the named optimizers; of all where none is named."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a part's mean loss, weighted so that the parts add up to the mean over the batch."""

    def update(self, *names: str) -> None:
        """Average the gradients over the processes, clip them, step the named optimizers (all where none is named)."""

    def average(self, values: Sequence[Tensor]) -> Tensor:
        """Mean of one scalar per part, over the parts and the processes."""


class PlainStep:
    """A `Step` in one part, by one process, in full precision: for loops of your own.

    >>> from sarcore.models import BEGAN, BEGANConfig
    >>> model = BEGAN(BEGANConfig(size=20, width=4))
    >>> step = PlainStep(model.configure_optimizers())
    >>> sorted(model.training_step((torch.rand(2, 1, 20, 20), torch.zeros(2)), step))[:3]
    ['M', 'balance', 'dead_fraction']

    Args:
        optimizers: those of the model, by name.
        seed: of the generator that `draw` hands on.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer], *, seed: int = 0) -> None:
        self.optimizers = optimizers
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, sample: Sampler, count: int) -> Tensor:
        """`sample(count, generator)` on the device of the first parameter."""
        first = next(iter(self.optimizers.values())).param_groups[0]["params"][0]
        return sample(count, self.generator).to(first.device)

    def parts(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The whole batch, once."""
        yield tensors

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The only part."""
        (whole,) = parts
        return whole

    def zero_grad(self, *names: str) -> None:
        """Set the gradients to None."""
        for name in names or self.optimizers:
            self.optimizers[name].zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """`loss.backward()`."""
        loss.backward()

    def update(self, *names: str) -> None:
        """Step the optimizers."""
        for name in names or self.optimizers:
            self.optimizers[name].step()

    def average(self, values: Sequence[Tensor]) -> Tensor:
        """Mean of the values, without gradient."""
        return torch.stack([value.detach() for value in values]).mean()
