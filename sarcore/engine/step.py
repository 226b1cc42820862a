"""The engine's `Step`: parts of a batch, several processes, mixed precision, clipped gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from sarcore.engine.distributed import average_gradients, mean, rank, world_size
from sarcore.models.step import Sampler


class TrainingStep:
    """What `fit` hands to a model's `training_step`; see `sarcore.models.Step` for what each method means.

    >>> net = torch.nn.Linear(3, 1)
    >>> step = TrainingStep({"net": torch.optim.SGD(net.parameters(), lr=0.1)}, torch.Generator(), accumulate=2)
    >>> [part.flatten().tolist() for (part,) in step.parts(torch.arange(4))]
    [[0, 2], [1, 3]]

    Args:
        optimizers: those of the model, by name.
        generator: on the CPU, in the same state in every process.
        accumulate: parts of a batch. Part a is every `accumulate`-th item from item a on, so that the items which all
            processes work on together are the same however many there are.
        clip_norm: largest norm of the gradient of one optimizer's weights; 0 does not clip.
        device: where the model is.
        mixed: whether the model's step runs under autocast.
        scaler: of the losses, for float16.
    """

    def __init__(
        self,
        optimizers: Mapping[str, Optimizer],
        generator: torch.Generator,
        *,
        accumulate: int = 1,
        clip_norm: float = 0.0,
        device: torch.device | None = None,
        mixed: bool = False,
        scaler: GradScaler | None = None,
    ) -> None:
        self.optimizers = optimizers
        self.generator = generator
        self._accumulate = accumulate
        self._clip_norm = clip_norm
        self._device = device or torch.device("cpu")
        self._mixed = mixed
        self._scaler = scaler
        self._weights: dict[str, list[nn.Parameter]] = {
            name: [p for group in optimizer.param_groups for p in group["params"]]
            for name, optimizer in optimizers.items()
        }
        self._stepped: set[str] = set()  # since the scale of the losses was last adapted

    def draw(self, sample: Sampler, count: int) -> Tensor:
        """This process's rows of what is drawn for the batch of all."""
        drawn = sample(count * world_size(), self.generator)
        if world_size() > 1:
            drawn = drawn[rank() * count : (rank() + 1) * count]
        return drawn.to(self._device, non_blocking=True)

    def parts(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Every `accumulate`-th item, from each of the first ones on."""
        count = self._accumulate
        for tensor in tensors:
            if tensor.shape[0] % count:
                raise ValueError(f"A batch of {tensor.shape[0]} items has no {count} equal parts; change accumulate.")
        if count == 1:
            yield tensors
            return
        for first in range(count):
            yield tuple(tensor[first::count] for tensor in tensors)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The batch whose parts these are, its items in their order."""
        return parts[0] if len(parts) == 1 else torch.stack(tuple(parts), dim=1).flatten(0, 1)

    def zero_grad(self, *names: str) -> None:
        """Forget gradients."""
        names = names or tuple(self.optimizers)
        if self._scaler is not None and not self._stepped.isdisjoint(names):
            self.finish()  # an optimizer's second turn within one step, as of a critic: its scale may change now
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a part's mean loss to those of the other parts."""
        if self._accumulate > 1:
            loss = loss / self._accumulate
        if self._scaler is not None:
            loss = self._scaler.scale(loss)
        if not self._mixed:
            loss.backward()
            return
        with torch.autocast(self._device.type, enabled=False):
            loss.backward()

    def update(self, *names: str) -> None:
        """Average over the processes, unscale, clip and step."""
        names = names or tuple(self.optimizers)
        if world_size() > 1:
            average_gradients([p for name in names for p in self._weights[name]])
        for name in names:
            self._update(name)
        if self._mixed:
            # Autocast keeps its low-precision copies of the weights until its block ends, and this is within it: the
            # next forward pass must see the new weights.
            torch.clear_autocast_cache()

    def _update(self, name: str) -> None:
        optimizer, weights, scaler = self.optimizers[name], self._weights[name], self._scaler
        if scaler is not None:
            if all(p.grad is None for p in weights):  # the scaler has nothing to look at and would say so
                return
            scaler.unscale_(optimizer)
        if self._clip_norm:
            clip_grad_norm_(weights, self._clip_norm)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)  # steps unless a gradient overflowed
            self._stepped.add(name)

    def finish(self) -> None:
        """Adapt the scale of the losses: at the end of a step, when no gradient of the old scale is waiting."""
        if self._scaler is not None and self._stepped:
            self._scaler.update()
            self._stepped.clear()

    def average(self, values: Sequence[Tensor]) -> Tensor:
        """Mean over the parts and the processes, without gradient."""
        if len(values) == 1:
            return mean(values[0].detach())
        return mean(torch.stack([value.detach() for value in values]).mean())
