"""The batches of a step: the same whatever reads them, however many processes share them, wherever a run goes on."""

import contextlib
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from sarcore import Radiometry
from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import BatchOrder
from sarcore.engine.batches import batches
from sarcore.engine.sources import Share

from .batch_sets import Drawn, as_is, read
from .engine_pair import same


class Cropped:
    """Native patches of which the model sees one row, drawn by the seed of the item."""

    radiometry = Radiometry("digital", 0, 255)

    def __init__(self):
        self.images = torch.arange(10 * 4 * 3).to(torch.uint8).reshape(10, 1, 4, 3)

    def __len__(self):
        return len(self.images)

    @property
    def nbytes(self):
        return self.images.numel()

    def native(self, indices):
        return self.images[indices], torch.tensor(indices)

    def arrays(self):
        return self.images, torch.arange(len(self))

    def view(self, images, seeds):
        assert seeds.dtype == torch.int64
        return images[torch.arange(len(images)), :, (seeds % 4).long()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("batches") / "set"
    return PatchFolder.open(write_simulated(out, scenes_per_class=2, size=32))


WAYS = {"memory": {}, "thread": {"memory_limit": 0}, "workers": {"memory_limit": 0, "num_workers": 2}}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_patches_are_those_of_the_order_however_they_are_read(folder, way):
    order = BatchOrder(len(folder), 4, seed=3)
    found = read(folder, order, 2, 6, **way)
    for step, (images, labels) in enumerate(found, 2):
        items = [folder[i] for i in order[step].tolist()]
        assert images.dtype == torch.float32
        assert torch.equal(images, torch.stack([image for image, _ in items]))
        assert labels.tolist() == [label for _, label in items]


def test_tensors_are_indexed():
    tensors = torch.rand(9, 2), torch.arange(9)
    order = BatchOrder(9, 4, seed=0)
    for step, (values, numbers) in enumerate(read(TensorDataset(*tensors), order)):
        assert torch.equal(numbers, order[step])
        assert torch.equal(values, tensors[0][order[step]])


def test_a_tensor_dataset_with_items_of_its_own_keeps_them():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            return (2 * self.tensors[0][i],)

    order = BatchOrder(5, 5, seed=0)
    assert torch.equal(read(Doubled(torch.arange(5)), order, count=1)[0][0], 2 * order[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_draws_follow_from_seed_and_position(workers):
    order = BatchOrder(7, 3, seed=11)
    expected = read(Drawn(), order, 0, 8)
    values = torch.cat([numbers for numbers, _ in expected])
    assert len(values.flatten().unique()) == values.numel()  # an item met again is drawn anew
    assert same(read(Drawn(), order, 0, 8, num_workers=workers), expected)
    torch.manual_seed(77), np.random.seed(77), random.seed(77)  # noqa: NPY002
    assert same(read(Drawn(), order, 5, 3, num_workers=workers), expected[5:])
    assert not same(read(Drawn(), BatchOrder(7, 3, seed=12), 0, 8, num_workers=workers), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_training_draws_what_it_would_have_drawn(workers):
    def draw():
        return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002

    torch.manual_seed(5), np.random.seed(5), random.seed(5)  # noqa: NPY002
    expected = [draw() for _ in range(4)]
    torch.manual_seed(5), np.random.seed(5), random.seed(5)  # noqa: NPY002
    source = batches(Drawn(), BatchOrder(7, 3, seed=0), 0, num_workers=workers, to_device=as_is)
    with contextlib.closing(source):
        assert [draw() for _ in zip(range(4), source, strict=False)] == expected


@pytest.mark.parametrize(
    "dataset", [Drawn(), Cropped(), TensorDataset(torch.arange(9))], ids=lambda d: type(d).__name__
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_processes_share_a_batch_in_contiguous_parts(dataset, way):
    order = BatchOrder(len(dataset), 6, seed=1)
    whole = read(dataset, order, 1, 4, **way)
    for processes in (2, 3):
        shares = [read(dataset, order, 1, 4, rank=rank, world_size=processes, **way) for rank in range(processes)]
        joined = [[torch.cat(parts) for parts in zip(*step, strict=True)] for step in zip(*shares, strict=True)]
        assert same(joined, whole)


def test_processes_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="batch_size 4 is no multiple of the 3 processes"):
        batches(Drawn(), BatchOrder(7, 4, seed=0), 0, num_workers=0, to_device=as_is, world_size=3)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_view_is_drawn_by_position(way):
    order = BatchOrder(10, 5, seed=0)
    found = read(Cropped(), order, 0, 8, **way)
    assert [list(images.shape) for images, _ in found] == [[5, 1, 3]] * 8
    rows = {
        (int(i), round(float(row[0, 0]) * 255))
        for images, labels in found
        for row, i in zip(images, labels, strict=True)
    }
    assert len(rows) > 20  # of 40 pairs of patch and row: four passes draw other rows
    assert same(read(Cropped(), order, 3, 5), found[3:])


@given(seed=st.integers(0, 2**63), step=st.integers(0, 2**32), size=st.integers(1, 8))
def test_seeds_of_items_differ_and_are_numbered_by_position(seed, step, size):
    order = BatchOrder(100, 2 * size, seed)
    seeds = Share(order, 0, 1).seeds(step).tolist()
    assert seeds == [*Share(order, 0, 2).seeds(step).tolist(), *Share(order, 1, 2).seeds(step).tolist()]
    assert seeds == [Share(BatchOrder(100, 1, seed), 0, 1).seeds(2 * size * step + i)[0] for i in range(2 * size)]
    others = [
        *Share(order, 0, 1).seeds(step + 1).tolist(),
        *Share(BatchOrder(100, 2 * size, seed + 1), 0, 1).seeds(step),
    ]
    assert len({*seeds, *others}) == 3 * 2 * size


@pytest.mark.cuda
def test_batches_arrive_on_the_gpu(folder):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    order = BatchOrder(len(folder), 4, seed=0)
    expected = read(folder, order)
    for way in WAYS.values():
        source = batches(folder, order, 0, to_device=_to_gpu, **{"num_workers": 0, **way})
        with contextlib.closing(source):
            for images, labels in expected:
                found = next(source)
                assert found[0].is_cuda
                torch.testing.assert_close(found[0].cpu(), images, rtol=0, atol=1e-6)
                assert torch.equal(found[1].cpu(), labels)


def _to_gpu(batch):
    if isinstance(batch, torch.Tensor):
        return batch.to("cuda", non_blocking=True)
    return tuple(part.to("cuda", non_blocking=True) for part in batch)
