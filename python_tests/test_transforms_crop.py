"""Random crops: windows of the sample, by its number, all places alike."""

import pytest
import torch

from sarcore.transforms import Compose, RandomCrop, RandomFlip


def test_windows_are_pieces_of_the_sample_and_every_place_comes(device):
    image = torch.arange(30.0, device=device).reshape(1, 5, 6)
    crop = RandomCrop((3, 4), seed=1)
    out = crop(image.expand(400, 1, 5, 6), index=0)
    assert out.shape == (400, 1, 3, 4)
    corners = out[:, 0, 0, 0].long()
    rows, columns = corners // 6, corners % 6
    expected = torch.stack(
        [image[:, r : r + 3, c : c + 4] for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]
    )
    assert torch.equal(out, expected)
    counts = torch.bincount(rows * 3 + columns, minlength=9)
    assert len(counts) == 9
    assert counts.min() > 20  # of 44, deviation 6


def test_a_crop_follows_the_number_the_seed_and_the_epoch():
    batch = torch.rand(8, 2, 12, 12)
    crop = RandomCrop(5, seed=2)
    whole = crop(batch, index=10)
    assert torch.equal(crop(batch[3:], index=torch.arange(13, 18)), whole[3:])
    assert torch.equal(crop(batch[4], index=14), whole[4])
    assert torch.equal(crop(batch.to(memory_format=torch.channels_last), index=10), whole)
    assert not torch.equal(RandomCrop(5, seed=3)(batch, index=10), whole)
    crop.set_epoch(1)
    assert not torch.equal(crop(batch, index=10), whole)


def test_sizes_types_and_gradients():
    image = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4)
    assert torch.equal(RandomCrop((3, 4), seed=0)(image), image)
    assert RandomCrop(2, seed=0)(image[None][:0]).shape == (0, 1, 2, 2)
    x = torch.rand(3, 1, 6, 6, requires_grad=True)
    RandomCrop(4, seed=0)(x, index=0).sum().backward()
    assert (x.grad.sum((1, 2, 3)) == 16).all()
    flipped = Compose([RandomCrop(4, seed=0), RandomFlip(seed=0)])(x.detach(), index=7)
    assert flipped.shape == (3, 1, 4, 4)
    assert "size=(4, 4)" in repr(RandomCrop(4, seed=0))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), ((2, 3, 4), ValueError), (2.5, TypeError)])
def test_wrong_sizes_are_refused(size, error):
    with pytest.raises(error, match="size"):
        RandomCrop(size)


def test_a_window_larger_than_the_sample_is_refused():
    with pytest.raises(ValueError, match="size must fit into the samples"):
        RandomCrop((4, 7), seed=0)(torch.rand(1, 5, 6))
