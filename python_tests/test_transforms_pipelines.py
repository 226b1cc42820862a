"""sarcore.transforms where they are used: loaders with workers, collate functions, Compose of others, torch.compile."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from sarcore.ops import speckle
from sarcore.transforms import (
    Compose,
    RandomFlip,
    RandomLooks,
    RandomRadiometricOffset,
    RandomSpeckle,
    RandomTransform,
    ToDecibel,
)
from sarcore.transforms._random import Draw

# Python >= 3.12 warns of any fork in a process with threads, and PyTorch always has some.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def chain(seed: int = 7) -> Compose:
    offset = Compose([RandomRadiometricOffset(0.5, seed=seed)])
    return Compose([RandomFlip(seed=seed), RandomSpeckle(p=0.8, seed=seed), offset, ToDecibel(floor=-40.0)])


class Patches(Dataset[Any]):
    """Ten patches; the transform runs where the data set does."""

    def __init__(self, transform: Callable[..., Tensor] | None = None, *, numbered: bool = True) -> None:
        self.images = 0.1 + torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        self.transform, self.numbered = transform, numbered

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        if self.transform is None:
            return self.images[i], i
        return self.transform(self.images[i], index=i) if self.numbered else self.transform(self.images[i])


class Collate:
    """A collate function that transforms the batch by the numbers of its samples."""

    def __init__(self, transform: Compose) -> None:
        self.transform = transform

    def __call__(self, items: list[tuple[Tensor, int]]) -> Tensor:
        return self.transform(*default_collate(items))


class TorchvisionCompose:
    """What torchvision.transforms.Compose does."""

    def __init__(self, transforms: list[Callable[[Tensor], Tensor]]) -> None:
        self.transforms = transforms

    def __call__(self, image: Tensor) -> Tensor:
        for transform in self.transforms:
            image = transform(image)
        return image


def loaded(dataset: Patches, **options: Any) -> Tensor:
    return torch.cat(list(DataLoader(dataset, batch_size=3, **options)))


@forks
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_numbered_samples_are_the_same_for_any_number_of_workers(workers: int) -> None:
    transform = chain()
    expected = transform(Patches().images, index=0)
    assert torch.equal(loaded(Patches(transform), num_workers=workers), expected)
    assert torch.equal(loaded(Patches(), num_workers=workers, collate_fn=Collate(transform)), expected)
    transform.set_epoch(1)
    other = loaded(Patches(transform), num_workers=workers)
    assert torch.equal(other, transform(Patches().images, index=0))
    assert not torch.equal(other, expected)


@forks
@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffled_loader_gives_each_sample_its_own(workers: int) -> None:
    transform = chain()
    expected = transform(Patches().images, index=0)
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(5))
    got = loaded(Patches(transform), num_workers=workers, sampler=order.tolist(), generator=generator)
    assert torch.equal(got, expected[order])


def test_a_worker_that_was_spawned_gets_the_same() -> None:
    transform = chain()
    context = multiprocessing.get_context("spawn")
    got = loaded(Patches(transform), num_workers=1, multiprocessing_context=context)
    assert torch.equal(got, transform(Patches().images, index=0))


@forks
def test_samples_without_numbers_differ_between_workers_and_epochs() -> None:
    """They depend on the number of workers, as the docstring says, but are never drawn twice, and repeat by seed."""
    dataset = Patches(TorchvisionCompose([RandomSpeckle(1.0, seed=7)]), numbered=False)
    dataset.images = torch.ones(10, 1, 8, 8)
    torch.manual_seed(1)
    first, second = loaded(dataset, num_workers=2), loaded(dataset, num_workers=2)
    assert len(torch.unique(torch.cat([first, second]).flatten(1), dim=0)) == 20
    torch.manual_seed(1)
    assert torch.equal(loaded(dataset, num_workers=2), first)


def test_inside_a_torchvision_compose() -> None:
    parts: list[Any] = [RandomFlip(seed=1), RandomSpeckle(seed=2), ToDecibel(floor=-40.0)]
    x = Patches().images
    ours = Compose(copy.deepcopy(parts))(x, index=0)
    theirs = TorchvisionCompose(parts)
    assert torch.equal(torch.stack([theirs(image) for image in x]), ours)
    assert not torch.equal(theirs(x), ours)  # the next ten samples
    for part in parts[:2]:
        part.set_epoch(0)
    assert torch.equal(torch.nn.Sequential(*parts)(x), ours)


def test_inside_kornia() -> None:
    augmentation = pytest.importorskip("kornia.augmentation", reason="kornia is not installed")
    speckle = RandomSpeckle((1.0, 8.0), seed=7)
    x = Patches().images
    flip = augmentation.RandomHorizontalFlip(p=1.0)
    sequence = augmentation.AugmentationSequential(flip, speckle, ToDecibel(floor=-40.0), data_keys=["input"])
    expected = ToDecibel(floor=-40.0)(RandomSpeckle((1.0, 8.0), seed=7)(x.flip(-1), index=0))
    assert torch.equal(sequence(x), expected)


def test_masks_beside_images_in_kornia() -> None:
    augmentation = pytest.importorskip("kornia.augmentation", reason="kornia is not installed")
    x = Patches().images
    mask = (x > 0.5).float()
    sequence = augmentation.AugmentationSequential(
        augmentation.RandomHorizontalFlip(p=1.0), RandomSpeckle(4, seed=7), data_keys=["input", "mask"]
    )
    image, flipped = sequence(x, mask)
    assert torch.equal(flipped, mask.flip(-1))
    assert torch.equal(image, RandomSpeckle(4, seed=7)(x.flip(-1), index=0))


def test_pickles_and_copies_draw_the_same() -> None:
    x = Patches().images
    transform = chain()
    expected = transform(x, index=4)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(x, index=4), expected)
    assert torch.equal(copy.deepcopy(transform)(x, index=4), expected)
    assert transform.state_dict() == {}


def test_repr_says_what_is_set() -> None:
    text = repr(Compose([RandomSpeckle(4, "db", psf=("box", 2.0), seed=7), RandomLooks(9, seed=8, p=0.5)]))
    assert "RandomSpeckle(looks=(4.0, 4.0), domain='db', texture=None, psf=('box', 2.0), p=1, seed=7)" in text
    assert "RandomLooks(looks_in=9, looks_out=(1.0, 4.0), domain='intensity', p=0.5, seed=8)" in text


@pytest.mark.parametrize("indexed", [True, False])
def test_compile(indexed: bool) -> None:
    transform = chain()
    compiled = torch.compile(transform, backend="eager")
    x = Patches().images
    for call in range(3):
        index = (torch.arange(10) + 3 * call,) if indexed else ()
        expected = chain()(x, index=torch.arange(10) + (3 if indexed else 10) * call)
        assert torch.equal(compiled(x, *index), expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_matter(threads: int) -> None:
    x = Patches().images
    before = torch.get_num_threads()
    expected = chain()(x, index=0)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(chain()(x, index=0), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.cuda
def test_the_same_draws_on_cuda_without_waiting(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("compares CUDA with the CPU")
    x = Patches().images
    chains: list[torch.nn.Module] = [chain(), RandomLooks(16, seed=3), RandomSpeckle(p=0.5, seed=3)]
    numbers, on_device = torch.arange(10, device=device), x.to(device)
    for transform in chains:
        transform(on_device, numbers)
        torch.cuda.set_sync_debug_mode("error")
        try:
            out = transform(on_device, numbers)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(out.cpu(), transform(x, numbers.cpu()), rtol=1e-6, atol=1e-5)


def test_the_base_class_is_enough_for_a_transform_of_ones_own() -> None:
    class RandomGain(RandomTransform):
        def change(self, x: Tensor, draw: Any) -> Tensor:
            return x * draw.uniforms(x, 1).to(x.dtype)[..., None, None]

    x = torch.ones(2000, 1, 1, 1)
    gain = Compose([RandomGain(seed=1)])(x, index=0).flatten().sort().values
    assert (gain - (torch.arange(2000) + 0.5) / 2000).abs().max().item() < 1.63 / 2000**0.5


def test_two_kinds_of_speckle_of_one_seed_are_independent() -> None:
    clean = torch.ones(1, 1, 256, 256)
    first: Any
    for first in (RandomSpeckle(looks=4, seed=1), lambda x, index: speckle(x, 4, seed=1, index=index)):
        x = first(clean, index=0)
        y = RandomLooks(4, 2, seed=1)(x, index=0)
        pair = torch.stack([x.flatten(), (y / x).flatten()])
        assert abs(torch.corrcoef(pair)[0, 1].item()) < 4 / 256
        assert y.mean().item() == pytest.approx(1.0, abs=0.015)
        assert (y.mean() ** 2 / y.var()).item() == pytest.approx(2.0, rel=0.05)


def test_speckle_is_independent_of_the_looks_that_were_drawn() -> None:
    count = 3000
    x = torch.ones(count, 1, 1, 2)
    u = Draw(0, 1, "RandomLooks").uniforms(x, 2)
    g = RandomLooks(4, 2, seed=1)(x, index=0).reshape(count, 2)
    assert abs(torch.corrcoef(torch.stack([u[:, 1], g[:, 1].double()]))[0, 1].item()) < 4 / math.sqrt(count)
