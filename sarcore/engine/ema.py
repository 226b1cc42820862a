"""A running mean of the weights, which is smoother than the weights themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from sarcore.errors import CheckpointError


class WeightAverage:
    """Exponential moving average of a model's parameters: m <- d m + (1 - d) w after every step.

    d is min(decay, (1 + t) / (10 + t)) at step t, so that the initial weights are soon forgotten. Buffers (running
    statistics, counters) are those of the model.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(net, decay=0.999)
    >>> with average.swapped():
    ...     list(average.state_dict())
    ['weight']

    Source: Polyak and Juditsky, 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights: list[Tensor] = [p for p in module.parameters() if p.is_floating_point()]
        self._means = [p.detach().clone() for p in self._weights]
        number: dict[Tensor, int] = {p: index for index, p in enumerate(self._weights)}
        # Every name of a weight that has several.
        self._names = {n: number[p] for n, p in module.named_parameters(remove_duplicate=False) if p in number}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        if self._means:
            torch._foreach_lerp_(self._means, self._weights, 1.0 - decay)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        # By exchanging the memory, not by copying it.
        for index, weight in enumerate(self._weights):
            weight.data, self._means[index] = self._means[index], weight.data

    def state_dict(self) -> dict[str, Tensor]:
        """The means by the names of their weights; within `swapped` they would be the weights."""
        return {name: self._means[index] for name, index in self._names.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved means.

        Raises:
            CheckpointError: they are of another model.
        """
        for name, mean in self.state_dict().items():
            if name not in state or state[name].shape != mean.shape:
                raise CheckpointError(
                    f"has no running mean of the weight {name} {tuple(mean.shape)}: give the config of its training."
                )
            mean.copy_(state[name])
