"""PatchGrid: every pixel is covered, nothing starts outside, and the words of its errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore.ops import PatchGrid

lengths = st.integers(1, 90)
steps = st.integers(1, 40)


@given(lengths, lengths, steps, steps, steps, steps)
def test_patches_cover_the_scene_and_start_inside(height, width, h, w, down, across):
    grid = PatchGrid((height, width), (h, w), (down, across))
    covered = np.zeros((height, width), dtype=int)
    positions = grid.positions()
    for row, column in positions.tolist():
        assert row < height
        assert column < width
        covered[row : row + h, column : column + w] += 1
    if down <= h and across <= w:
        assert covered.min() >= 1
        last_row, last_column = positions[-1].tolist()
        assert last_row - down + h < height or last_row == 0  # one patch less would not reach the end
        assert last_column - across + w < width or last_column == 0
    assert len(grid) == len(positions) == grid.counts[0] * grid.counts[1]
    assert len({tuple(p) for p in positions.tolist()}) == len(grid)


def test_gaps_between_patches_keep_every_patch_inside():
    assert PatchGrid((11, 10), 2, 8).positions().tolist() == [[0, 0], [0, 8], [8, 0], [8, 8]]


def test_a_scene_smaller_than_a_patch_is_one_patch():
    grid = PatchGrid((1, 20, 30), 64, 16)
    assert (len(grid), grid.padded, grid.shape) == (1, (64, 64), (20, 30))


@given(lengths, lengths, steps, st.integers(1, 200))
def test_batches_are_the_positions(height, width, size, count):
    grid = PatchGrid((height, width), size)
    parts = list(grid.batches(count))
    assert torch.equal(torch.cat(parts), grid.positions())
    assert all(len(part) == count for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= count


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((0, 4), 2), ValueError, "shape must be 1 to"),
        (((4,), 2), ValueError, r"shape must be (H, W) or (C, H, W), got (4,)"),
        ((None, 2), ValueError, r"shape must be (H, W) or (C, H, W), got None"),
        ((4.0, 2), ValueError, r"shape must be (H, W) or (C, H, W), got 4.0"),
        (({4, 5}, 2), ValueError, r"shape must be (H, W) or (C, H, W), got {4, 5}"),
        (((4, 4), 0), ValueError, "size must be 1 to"),
        (((4, 4), 2.0), TypeError, "size must be an int, got float"),
        (((4, 4), 2, 0), ValueError, "stride must be 1 to"),
        (((4, 4), (2, 2, 2)), ValueError, "size must be an integer or a pair"),
        (((4, 4), 2, 2, "wrap"), ValueError, "pad must be one of 'reflect', 'edge', 'constant', got 'wrap'"),
    ],
)
def test_errors_name_the_argument(arguments, error, words):
    with pytest.raises(error) as caught:
        PatchGrid(*arguments)
    assert words in str(caught.value)


def test_numbers_of_patches_are_checked():
    grid = PatchGrid((3, 5), 2)
    assert grid.positions(4, 9).tolist() == grid.positions().tolist()[4:]
    assert grid.positions(6).shape == (0, 2)
    for numbers in ((-1,), (7,), (10, 20), (4, 3)):
        with pytest.raises(ValueError, match="(first|last) must be"):
            grid.positions(*numbers)
    with pytest.raises(TypeError, match="first must be an int, got float"):
        grid.positions(1.5)


def test_a_grid_travels_between_processes():
    grid = PatchGrid((100, 130), 64, 48, "edge")
    other = pickle.loads(pickle.dumps(grid))
    assert (other, hash(other), len(other)) == (grid, hash(grid), len(grid))
