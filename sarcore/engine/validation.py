"""Validation during a training: metrics of held-out items, the best score so far, and when to stop waiting for it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.utils.data import Dataset

from sarcore.engine.batches import read
from sarcore.engine.randomness import preserved_rng, seed_all
from sarcore.engine.sources import HeldOut
from sarcore.errors import DataError

if TYPE_CHECKING:
    from torchmetrics import Metric

Mode: TypeAlias = Literal["max", "min"]


@dataclass(frozen=True)
class Validation:
    """What a training is judged by: held-out items, metrics, and the one that names the best checkpoint.

    >>> from torchmetrics import MeanMetric
    >>> step = lambda task, batch, metrics: metrics["mean"].update(task(batch[0]))
    >>> data = torch.utils.data.TensorDataset(torch.ones(3, 1))
    >>> run_validation(nn.Identity(), Validation(data, {"mean": MeanMetric()}, step, "mean", "max"), device="cpu")
    ({'mean': 1.0}, {})

    Raises:
        ValueError: the mode is neither max nor min, or the batch size is below 1.
    """

    dataset: Dataset[Any]
    metrics: Mapping[str, Metric]
    step: Callable[[nn.Module, Any, Mapping[str, Metric]], None]
    """`step(task, batch, metrics)` updates the metrics with a batch; the task is in eval mode, without gradients."""
    monitor: str
    """Name of the metric that decides, or `metric/key` of one that returns a dict."""
    mode: Mode
    """Whether the largest or the smallest value is the best."""
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ValueError(f"mode is {self.mode!r}; give 'max' or 'min'.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; give at least 1.")


def run_validation(
    task: nn.Module,
    validation: Validation,
    *,
    device: torch.device | str,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Compute the metrics over the whole set: (numbers by name, values with several elements by name).

    Process `rank` of `world_size` takes every `world_size`-th item, so that each is counted once, and the states of
    the metrics are put together when they are computed. Draws are the same in every validation: those of an item
    follow from its index, with any number of workers and processes; a data set with `set_epoch` is told epoch 0.
    Neither the modes of the modules nor the random generators are changed. Half-precision arithmetic is the caller's
    `autocast`.

    Raises:
        DataError: there are fewer items than processes; what reading them raises; a process that reads was killed.
        ValueError: no metric gives the number that `monitor` names.
        TypeError: a metric returns something else than tensors or a dict of tensors.
    """
    length = len(validation.dataset)  # type: ignore[arg-type]  # map-style data sets
    if length < world_size:
        raise DataError(
            f"{length} images are held out for validation, fewer than the {world_size} processes; hold out more."
        )
    metrics = {name: metric.to(device) for name, metric in validation.metrics.items()}
    for metric in metrics.values():
        metric.reset()
    source = HeldOut(validation.dataset, validation.batch_size, rank=rank, world_size=world_size)
    found = read(source, range(len(source)), num_workers=num_workers, to_device=_mover(device))
    with preserved_rng(), torch.no_grad(), _evaluating(task), contextlib.closing(found):
        seed_all(rank)
        for batch in found:
            validation.step(task, batch, metrics)
        values = {name: metric.compute() for name, metric in metrics.items()}
    for metric in metrics.values():
        metric.reset()
    scalars, arrays = _split(values)
    if validation.monitor not in scalars:
        raise ValueError(
            f"The validation has no number {validation.monitor!r} to monitor; it gives {', '.join(scalars) or 'none'}."
        )
    return scalars, arrays


def _mover(device: torch.device | str) -> Callable[[Any], Any]:
    return lambda batch: apply_to_collection(batch, Tensor, Tensor.to, device, non_blocking=True)


@contextlib.contextmanager
def _evaluating(task: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in task.modules()]
    task.eval()
    try:
        yield
    finally:
        for module, training in modes:  # one by one: a part of a model may be kept in eval mode
            module.training = training


def _split(values: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, list[Any]]]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update({f"{name}/{key}": v for key, v in value.items()} if isinstance(value, Mapping) else {name: value})
    for name, value in flat.items():
        if not isinstance(value, (Tensor, int, float)):
            raise TypeError(f"The metric {name} returns a {type(value).__name__}; give a tensor or a dict of tensors.")
    arrays = {name: value for name, value in flat.items() if isinstance(value, Tensor) and value.numel() != 1}
    scalars = {name: float(value) for name, value in flat.items() if name not in arrays}
    return scalars, {name: value.tolist() for name, value in arrays.items()}


class BestSoFar:
    """The best score of the validations and how many have passed since; what is not finite never is the best.

    >>> best = BestSoFar("max")
    >>> [best.update(step, score) for step, score in ((10, 0.5), (20, 0.4), (30, 0.6))]
    [True, False, True]
    >>> best.step, best.since
    (30, 0)
    """

    def __init__(self, mode: Mode, monitor: str = "") -> None:
        self.mode = mode
        self.monitor = monitor
        self.score: float | None = None
        self.step: int | None = None
        self.since = 0
        """Validations since the best one."""
        self.place: int | None = None
        """How many earlier scores are at least as good as the latest one; None where that is not finite."""
        self._scores: list[float] = []

    def update(self, step: int, value: float) -> bool:
        """Take the score of a step; whether it is better than all before it."""
        sign = 1.0 if self.mode == "max" else -1.0
        self.place = None
        if math.isfinite(value):
            self.place = sum(sign * score >= sign * value for score in self._scores)
            self._scores.append(float(value))
        better = self.place == 0
        if better:
            self.score, self.step = float(value), step
        self.since = 0 if better else self.since + 1
        return better

    def exhausted(self, patience: int) -> bool:
        """Whether `patience` validations have brought nothing better; 0 waits forever."""
        return 0 < patience <= self.since

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "mode": self.mode,
            "monitor": self.monitor,
            "score": self.score,
            "step": self.step,
            "since": self.since,
            "scores": list(self._scores),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept; scores of another metric or of the other direction are forgotten."""
        if (state["mode"], state["monitor"]) == (self.mode, self.monitor):
            self.score, self.step, self.since = state["score"], state["step"], int(state["since"])
            self._scores = list(state["scores"])


def ranked(metas: Sequence[Mapping[str, Any]]) -> list[int]:
    """Places in a row of `meta.json`, oldest first, of those with a score: best first, by the metric of the newest.

    >>> ranked([{"score": {"name": "emd", "value": v, "mode": "min"}} for v in (0.3, 0.1, 0.2)] + [{}])
    [1, 2, 0]
    """
    scores = [(place, score) for place, meta in enumerate(metas) if (score := _score(meta))]
    if not scores:
        return []
    name, _, mode = scores[-1][1]
    sign = -1.0 if mode == "max" else 1.0
    same = [(sign * score[1], place) for place, score in scores if (score[0], score[2]) == (name, mode)]
    return [place for _, place in sorted(same)]  # of equal ones the earlier


def _score(meta: Mapping[str, Any]) -> tuple[str, float, str] | None:
    try:
        score = meta["score"]
        value = float(score["value"])
        return (str(score["name"]), value, str(score["mode"])) if math.isfinite(value) else None
    except (ValueError, KeyError, TypeError):
        return None  # not validated
