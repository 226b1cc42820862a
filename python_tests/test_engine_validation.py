"""Validation: every item counted once, nothing of the training changed; the best score and when to give up."""

import json
import math
import multiprocessing
import os
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from sarcore.engine.randomness import preserved_rng, rng_state
from sarcore.engine.validation import BestSoFar, Validation, run_validation
from sarcore.errors import DataError

from .batch_sets import Broken
from .processes import run_group


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))

    def forward(self, x):
        return self.net(x)


def held_out(n: int = 23) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(n, 3, generator=generator), torch.arange(n) % 4)


def step(task, batch, metrics):
    logits = task(batch[0])
    metrics["accuracy"].update(logits, batch[1])
    metrics["confusion"].update(logits, batch[1])
    metrics["loss"].update(nn.functional.cross_entropy(logits, batch[1]), weight=len(logits))


def judge(dataset=None, monitor: str = "accuracy", **changes) -> Validation:
    metrics = {
        "accuracy": MulticlassAccuracy(4, average="micro"),
        "confusion": MulticlassConfusionMatrix(4),
        "loss": MeanMetric(),
    }
    given = {"batch_size": 5, "mode": "max", **changes}
    return Validation(held_out() if dataset is None else dataset, metrics, step, monitor=monitor, **given)


def run(task=None, validation=None, **given):
    torch.manual_seed(3)
    return run_validation(task or Small(), validation or judge(), device="cpu", **given)


def test_numbers_are_those_of_the_whole_set_at_once():
    torch.manual_seed(3)
    task = Small()
    scalars, arrays = run(task)
    images, labels = held_out().tensors
    with torch.no_grad():
        logits = task.eval()(images)
    confusion = np.zeros((4, 4), dtype=int)
    np.add.at(confusion, (labels.numpy(), logits.argmax(1).numpy()), 1)
    assert arrays == {"confusion": confusion.tolist()}
    assert confusion.sum() == 23
    assert scalars == {
        "accuracy": pytest.approx(np.trace(confusion) / 23),
        "loss": pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5),
    }


def test_nothing_of_the_training_changes():
    torch.manual_seed(3)
    task = Small()
    task.train()
    task.net[1].eval()  # a part that is frozen
    modes = [m.training for m in task.modules()]
    weights = {k: v.clone() for k, v in task.state_dict().items()}
    before = rng_state()
    run_validation(task, judge(), device="cpu")
    assert [m.training for m in task.modules()] == modes
    assert all(torch.equal(v, weights[k]) for k, v in task.state_dict().items())
    assert torch.equal(rng_state()["torch"], before["torch"])
    assert all(p.grad is None for p in task.parameters())


class Drawing(Dataset):
    """Items that draw, as augmentations do."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.rand(3), int(np.random.rand() > 2)  # noqa: NPY002


def test_items_that_draw_leave_the_generators_alone():
    with preserved_rng():
        task = Small()
        torch.manual_seed(5)
        expected = torch.rand(2)
        torch.manual_seed(5)
        first = run_validation(task, judge(Drawing()), device="cpu")
        assert torch.equal(torch.rand(2), expected)
        assert run_validation(task, judge(Drawing()), device="cpu") == first, "every validation sees the same items"


def test_metrics_start_anew_every_time():
    validation = judge()
    assert run(validation=validation) == run(validation=validation)


def test_any_batch_size_and_workers_give_the_same():
    """Without a warning that there are more of them than processors: a user asks for them because they wait."""
    expected = run()
    assert run(validation=judge(batch_size=23))[1] == expected[1]
    assert run(num_workers=1 + (os.cpu_count() or 1))[1] == expected[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_the_data_arrive_as_they_were(workers):
    with pytest.raises(DataError) as caught:
        run(validation=judge(Broken(DataError("the image a.png is corrupt"))), num_workers=workers)
    assert str(caught.value) == "the image a.png is corrupt"
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("n", "world_size"), [(23, 2), (23, 3), (4, 4)])
def test_processes_share_the_items_without_counting_one_twice(n, world_size):
    seen: Counter[float] = Counter()

    def count(_task, batch, metrics):
        seen.update(batch[0][:, 0].tolist())
        metrics["loss"].update(1.0)

    numbers = TensorDataset(torch.arange(float(n))[:, None])
    for rank in range(world_size):
        validation = Validation(numbers, {"loss": MeanMetric()}, count, "loss", "min", batch_size=2)
        run(validation=validation, rank=rank, world_size=world_size)
    assert seen == Counter(map(float, range(n)))


def one_of_two(rank, out):
    (out / f"{rank}.json").write_text(json.dumps(run(rank=rank, world_size=2)))


def test_two_processes_find_what_one_does(tmp_path):
    run_group(2, one_of_two, tmp_path)
    scalars, arrays = run()
    for rank in range(2):
        shared = json.loads((tmp_path / f"{rank}.json").read_text())
        assert shared == [{name: pytest.approx(value, rel=1e-6) for name, value in scalars.items()}, arrays]


class Named(Metric):
    """A metric of one's own that returns what it is given."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value
        self.add_state("n", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, *_):
        self.n += 1

    def compute(self):
        return self.value


def of(value, monitor: str):
    return Validation(held_out(), {"m": Named(value)}, lambda t, b, m: m["m"].update(), monitor, "max")


def test_dicts_numbers_and_arrays():
    value = {"a": torch.tensor(0.5, dtype=torch.float64), "recall": torch.tensor([0.25, 1.0]), "b": torch.tensor([2])}
    scalars, arrays = run(validation=of(value, "m/a"))
    assert scalars == {"m/a": 0.5, "m/b": 2.0}
    assert arrays == {"m/recall": [0.25, 1.0]}


def test_bad_requests():
    with pytest.raises(ValueError, match=r"no number 'speed' to monitor; it gives accuracy, loss"):
        run(validation=judge(monitor="speed"))
    with pytest.raises(ValueError, match="no number 'm' to monitor; it gives none"):
        run(validation=of(torch.ones(2), "m"))
    with pytest.raises(TypeError, match="The metric m returns a tuple"):
        run(validation=of((1.0, 2.0), "m"))
    with pytest.raises(DataError, match="1 images are held out for validation, fewer than the 2 processes"):
        run(validation=judge(held_out(1)), world_size=2)
    with pytest.raises(ValueError, match="mode is 'best'"):
        judge(mode="best")
    with pytest.raises(ValueError, match="batch_size is 0"):
        judge(batch_size=0)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_best_so_far(mode):
    sign = 1 if mode == "max" else -1
    best = BestSoFar(mode)
    assert not best.update(10, math.nan)
    assert best.score is None
    scores = [(20, 1.0), (30, 2.0), (40, 2.0), (50, math.nan), (60, 1.5), (70, 3.0)]
    assert [best.update(step, sign * score) for step, score in scores] == [True, True, False, False, False, True]
    assert (best.step, best.score, best.since) == (70, 3.0 * sign, 0)
    assert not any(best.update(step, value) for step, value in ((80, math.inf), (90, -math.inf)))


def test_the_place_of_a_score_among_all():
    best, places = BestSoFar("max"), []
    for step, score in enumerate((0.5, 0.9, math.nan, 0.7, 0.9, 0.1, 1.0)):
        best.update(step, score)
        places.append(best.place)
    assert places == [0, 0, None, 1, 1, 4, 0]


def test_patience():
    best = BestSoFar("max")
    best.update(1, 1.0)
    assert not best.exhausted(1)
    for step in (2, 3):
        best.update(step, 0.5)
    assert best.exhausted(2)
    assert best.exhausted(1)
    assert not best.exhausted(3)
    assert not best.exhausted(0)


def test_the_record_survives_a_checkpoint():
    first, second = BestSoFar("min", "error"), BestSoFar("min", "error")
    for step, score in ((1, 0.5), (2, 0.4), (3, 0.9)):
        first.update(step, score)
    second.load(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    assert (second.score, second.step, second.since) == (0.4, 2, 1)
    for best in (first, second):
        best.update(4, 0.6)
        assert best.place == 2
    for other in (BestSoFar("max", "error"), BestSoFar("min", "distance")):
        other.load(first.state())
        assert (other.score, other.since) == (None, 0), "an error is no accuracy"
        other.update(5, 0.8)
        assert other.place == 0
