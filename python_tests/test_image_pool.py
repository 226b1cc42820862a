"""The pool of generated images: against a plain list, over processes, and through a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sarcore.models import ImagePool, PlainStep

from .processes import run_group

SHAPE = (2, 3, 5)


def numbered(start: int, n: int) -> Tensor:
    """Images that tell which ones they are."""
    return torch.arange(start, start + n, dtype=torch.float32).reshape(n, 1, 1, 1).expand(n, *SHAPE)


class ListPool:
    """The pool of Zhu et al. with a list and a loop, on numbers instead of images."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.kept: list[int] = []

    def __call__(self, numbers: list[int], draws: list[list[int]]) -> list[int]:
        shown = []
        for number, (swap, place) in zip(numbers, draws, strict=True):
            if len(self.kept) < self.capacity:
                self.kept.append(number)
                shown.append(number)
            elif swap:
                shown.append(self.kept[place])
                self.kept[place] = number
            else:
                shown.append(number)
        return shown


@pytest.mark.parametrize(("capacity", "n"), [(1, 1), (1, 4), (3, 5), (4, 3), (5, 16), (50, 7)])
def test_equals_a_list_and_a_loop(capacity: int, n: int) -> None:
    pool, oracle = ImagePool(SHAPE, capacity), ListPool(capacity)
    generator = torch.Generator().manual_seed(capacity * 100 + n)
    old = 0
    for step in range(40):
        draws = pool.sample(n, generator)
        shown = pool(numbered(step * n, n), draws)
        expected = oracle(list(range(step * n, (step + 1) * n)), draws.tolist())
        assert torch.equal(shown, torch.tensor(expected).float().reshape(n, 1, 1, 1).expand(n, *SHAPE))
        assert pool.images[: int(pool.count), 0, 0, 0].tolist() == oracle.kept
        old += sum(number < step * n for number in expected)
    assert old > 0


def test_half_of_the_images_are_earlier_ones() -> None:
    pool, generator = ImagePool((1, 1, 1), 50), torch.Generator().manual_seed(0)
    old = 0
    for step in range(1000):
        shown = pool(torch.full((4, 1, 1, 1), float(step)), pool.sample(4, generator))
        old += int((shown < step).sum())
    # 4000 draws, fewer at the start and where a place is found that was filled in the same batch
    assert 0.44 < old / 4000 < 0.53


def test_capacity_zero_hands_on_and_draws_nothing() -> None:
    pool, generator = ImagePool(SHAPE, 0), torch.Generator().manual_seed(3)
    images = torch.rand(4, *SHAPE)
    assert torch.equal(pool(images, pool.sample(4, generator)), images)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(3).get_state())


def test_no_gradient_passes() -> None:
    pool = ImagePool(SHAPE, 2)
    assert not pool(torch.rand(4, *SHAPE, requires_grad=True), pool.sample(4, torch.Generator())).requires_grad


def test_goes_on_from_its_state_dict() -> None:
    step = PlainStep({"any": torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)}, seed=5)
    pool, again = ImagePool(SHAPE, 6), ImagePool(SHAPE, 6)
    for number in range(5):
        pool(numbered(3 * number, 3), step.draw(pool.sample, 3))
    again.load_state_dict(pool.state_dict())
    for number in range(5, 10):
        draws = step.draw(pool.sample, 3)
        assert torch.equal(pool(numbered(3 * number, 3), draws), again(numbered(3 * number, 3), draws))


def test_refusals() -> None:
    pool = ImagePool(SHAPE, 2)
    draws = pool.sample(2, torch.Generator())
    with pytest.raises(ValueError, match=r"holds images of \(2, 3, 5\), a batch of \(2, 1, 3, 5\)"):
        pool(torch.rand(2, 1, 3, 5), draws)
    with pytest.raises(ValueError, match="draws are .* for 3 images"):
        pool(torch.rand(3, *SHAPE), draws)
    with pytest.raises(TypeError, match="float64 were given"):
        pool(torch.rand(2, *SHAPE, dtype=torch.float64), draws)
    with pytest.raises(ValueError, match="capacity is -1"):
        ImagePool(SHAPE, -1)
    with pytest.raises(ValueError, match="give \\(channels, height, width\\)"):
        ImagePool((3, 5), 2)
    assert pool(torch.rand(2, *SHAPE).bfloat16(), draws).dtype == torch.float32  # a lossless way up


def one_of_two(rank: int, folder: Path) -> None:
    pool, generator = ImagePool(SHAPE, 5), torch.Generator().manual_seed(0)
    mine = slice(3 * rank, 3 * rank + 3)
    shown = [pool(numbered(6 * step, 6)[mine], pool.sample(6, generator)[mine]) for step in range(8)]
    torch.save({"shown": shown, "pool": pool.state_dict()}, folder / f"{rank}.pt")


def test_two_processes_fill_one_pool(tmp_path: Path) -> None:
    run_group(2, one_of_two, tmp_path)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    pool, generator = ImagePool(SHAPE, 5), torch.Generator().manual_seed(0)
    for step in range(8):
        alone = pool(numbered(6 * step, 6), pool.sample(6, generator))
        assert torch.equal(torch.cat([rank["shown"][step] for rank in ranks]), alone)
    for rank in ranks:
        assert torch.equal(rank["pool"]["images"], pool.images)
        assert int(rank["pool"]["count"]) == 5
