"""Items that are new in each epoch: told to the data set, drawn by its transforms, the same for any workers."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, get_worker_info

from sarcore import Radiometry
from sarcore.data import SceneWindows
from sarcore.engine import BatchOrder, Interrupted, Validation, fit
from sarcore.engine.logs import real_images
from sarcore.engine.validation import run_validation
from sarcore.transforms import Compose, RandomFlip, RandomSpeckle

from .batch_sets import read
from .engine_pair import Pair, config, data, rows, same, stop_at

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


class Told(Dataset):
    """Items that say which epoch they were told."""

    def __init__(self, length: int = 5) -> None:
        self.length, self.epoch = length, -1

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, i: int):
        return torch.tensor([i, self.epoch])


def expected(order: BatchOrder, steps: range) -> list[list[int]]:
    positions = torch.arange(steps.start * order.batch_size, steps.stop * order.batch_size)
    numbers = torch.cat([order[step] for step in steps])
    return torch.stack([numbers, positions // order.length], 1).tolist()


@WORKERS
@pytest.mark.parametrize("rank", [0, 1])
def test_a_data_set_is_told_the_epoch_of_each_item(workers, rank):
    """Batches of 4 out of 5: an epoch begins within most of them, and workers are in different ones."""
    order = BatchOrder(5, 4, seed=3)
    wrapped = {
        "itself": Told(),
        "part": Subset(Told(9), range(5)),
        "parts": ConcatDataset([Told(2), Subset(ConcatDataset([Told(3)]), range(3))]),
    }
    for name, dataset in wrapped.items():
        found = read(dataset, order, 2, 7, num_workers=workers, rank=rank, world_size=2)
        mine = [row for at, row in enumerate(expected(order, range(2, 9))) if at // 2 % 2 == rank]
        epochs = [row[1] for row in mine]
        assert [int(item[1]) for batch in found for item in batch] == epochs, name
        if name != "parts":  # whose parts number their items anew
            assert [item.tolist() for batch in found for item in batch] == mine


@pytest.fixture
def windows() -> SceneWindows:
    scene = np.random.default_rng(0).gamma(4, 0.25, (64, 64))
    augment = Compose([RandomFlip(seed=1), RandomSpeckle((4, 8), seed=2)])
    return SceneWindows([scene], 4, 21, radiometry=Radiometry("amplitude", 0, 3), seed=5, transform=augment)


@WORKERS
def test_windows_of_scenes_are_new_in_each_epoch(windows, workers):
    order = BatchOrder(21, 4, seed=0)
    found = torch.cat([images for images, _ in read(windows, order, 0, 16, num_workers=workers)])
    by_hand = []
    for epoch in range(4):
        windows.set_epoch(epoch)
        numbers = torch.cat([order[step] for step in range(21)])[epoch * 21 : (epoch + 1) * 21]
        by_hand += [windows[int(number)][0] for number in numbers]
    assert torch.equal(found, torch.stack(by_hand[:64]))
    assert len({image.numpy().tobytes() for image in found}) == 64


@WORKERS
def test_a_training_on_windows_goes_on_with_the_same_bits(windows, tmp_path, workers):
    """Also where the same windows are validated and shown in between, as those of epoch 0."""

    def step(task, batch, metrics):
        metrics["loss"].update(task.loss(batch[0].flatten(1)))

    from torchmetrics import MeanMetric

    judged = Validation(windows, {"loss": MeanMetric()}, step, "loss", "min", batch_size=4)
    settings = config(steps=14, validate_every=3, num_workers=workers)  # 56 of 21 items
    fit(Pair(), windows, settings, tmp_path / "whole", validation=judged)
    windows.set_epoch(9)
    with pytest.raises(Interrupted):
        fit(Pair(), windows, settings, tmp_path / "run", validation=judged, on_step=stop_at(9))
    windows.set_epoch(7)
    fit(Pair(), windows, settings, tmp_path / "run", validation=judged)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    for name in ("samples/real.png", "samples/statistics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    if workers:
        fit(Pair(), windows, config(steps=14, validate_every=3), tmp_path / "here", validation=judged)
        assert rows(tmp_path / "here") == rows(tmp_path / "whole")


class Augmented(Dataset):
    """Items whose transform is called with the image alone, twice."""

    def __init__(self, length: int = 7) -> None:
        self.length = length
        self.augment = Compose([RandomSpeckle((4, 8), seed=2)])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int):
        return torch.cat((self.augment(torch.ones(1, 2, 2)), self.augment(torch.ones(1, 2, 2)))), i


@WORKERS
def test_transforms_without_a_number_draw_by_the_position_in_the_run(workers):
    order = BatchOrder(7, 3, seed=11)
    expected = read(Augmented(), order, 0, 8)
    values = torch.cat([images for images, _ in expected])
    assert len(values.flatten().unique()) == values.numel()  # of an item met again, and of the second call, too
    dataset = Augmented()
    dataset[0], dataset[1]  # whatever it has counted
    assert same(read(dataset, order, 0, 8, num_workers=workers), expected)
    assert same(read(dataset, order, 5, 3, num_workers=workers), expected[5:])
    assert not same(read(dataset, BatchOrder(7, 3, seed=12), 0, 8, num_workers=workers), expected)


def test_transforms_count_as_before_elsewhere():
    dataset = Augmented()
    first = [dataset[0][0], dataset[0][0]]
    read(dataset, BatchOrder(7, 3, seed=11), 0, 2)
    again = Augmented()
    assert all(torch.equal(again[0][0], image) for image in first)
    assert not torch.equal(*first)
    assert torch.equal(dataset[0][0], again[0][0])  # items read by a training were not counted


class Drawing(Told):
    """Held-out items that draw from a global generator and by a transform, and that are told an epoch."""

    def __init__(self) -> None:
        super().__init__(11)
        self.augment = RandomSpeckle((4, 8), seed=2)

    def __getitem__(self, i: int):
        number = get_worker_info().id if get_worker_info() else -1
        return torch.rand(1) + self.augment(torch.ones(1, 1, 1)).flatten() + self.epoch, i, number


def test_a_validation_draws_the_same_with_any_number_of_workers_and_processes():
    from torchmetrics import MeanMetric

    class Seen(torch.nn.Module):
        pass

    def found(**options) -> dict[int, float]:
        seen: dict[int, float] = {}
        workers = set()

        def step(_task, batch, metrics):
            seen.update(zip(batch[1].tolist(), batch[0].flatten().tolist(), strict=True))
            workers.update(batch[2].tolist())
            seen[-1 - len(seen)] = torch.rand(()).item()  # a draw of the model's
            metrics["m"].update(1.0)

        dataset = Drawing()
        dataset.set_epoch(5)
        validation = Validation(dataset, {"m": MeanMetric()}, step, "m", "max", batch_size=3)
        run_validation(Seen(), validation, device="cpu", **options)
        assert workers == set(range(options.get("num_workers", 0)) or [-1])
        return seen

    expected = found()
    assert len(set(expected.values())) == 15
    assert max(value for index, value in expected.items() if index >= 0) < 5, "epoch 0"
    for workers in (1, 2):
        assert found(num_workers=workers) == expected
    for rank in (0, 1):
        shared = found(rank=rank, world_size=2)
        assert {i: v for i, v in shared.items() if i >= 0} == {
            i: v for i, v in expected.items() if i >= 0 and i % 2 == rank
        }


def test_the_real_images_that_are_shown_are_the_same_whenever_they_are():
    class Images(Drawing):
        def __getitem__(self, i):
            return (super().__getitem__(i)[0].reshape(1, 1, 1),)

    first = real_images(Images(), 8)
    torch.rand(5)
    again = Images()
    again.set_epoch(3)
    assert torch.equal(real_images(again, 8), first)
    assert data()[0][0].shape == (1, 4, 4)
