"""PatchMerger: the bits of merge_patches for any batches, parts of the patch rows, memory, bad input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore.ops import PatchGrid, PatchMerger, merge_patches
from sarcore.ops.merge_patches import MODES

from .test_merge_patches import FLOATING, INTEGER, random_patches


def streamed(merger: PatchMerger, patches: torch.Tensor, batches: list[int]) -> torch.Tensor:
    """All rows, and that every call gives those that it can."""
    rows, row = [], merger.rows[0]
    for batch in patches.split(batches):
        rows.append(merger.add(batch))
        row += rows[-1].shape[1]
        assert merger.rows[0] + merger.rows_done == row
    merger.finish()
    assert row == merger.rows[1]
    return torch.cat(rows, dim=1)


def cuts(total: int, sizes: list[int]) -> list[int]:
    """Batches of these sizes in turn."""
    batches = []
    while sum(batches) < total:
        batches.append(min(sizes[len(batches) % len(sizes)], total - sum(batches)))
    return batches


@given(st.data())
def test_any_batches_give_the_bits_of_the_whole(data):
    shape = (data.draw(st.integers(1, 40), label="height"), data.draw(st.integers(1, 30), label="width"))
    size = (data.draw(st.integers(1, 12), label="h"), data.draw(st.integers(1, 12), label="w"))
    stride = (data.draw(st.integers(1, size[0]), label="y"), data.draw(st.integers(1, size[1]), label="x"))
    dtype = data.draw(st.sampled_from([*INTEGER, *FLOATING, torch.complex64]), label="dtype")
    mode = data.draw(st.sampled_from(MODES if not dtype.is_complex else MODES[:1]), label="mode")
    window = data.draw(st.sampled_from(["hann", "flat", "2d"]), label="window") if mode == "mean" else "hann"
    weights = torch.rand(size) + 0.1 if window == "2d" else window
    grid = PatchGrid(shape, size, stride)
    patches = random_patches(grid, dtype)
    whole = merge_patches(patches, shape, stride, window=weights, mode=mode)
    batches = cuts(len(grid), [*data.draw(st.lists(st.integers(0, 2 * len(grid))), label="batches"), 5])
    merger = PatchMerger(shape, size, stride, window=weights, mode=mode)
    assert torch.equal(streamed(merger, patches, batches), whole)

    # The same in parts that overlap by the patch rows that share rows of the scene.
    down, across = grid.counts
    first = data.draw(st.integers(0, down - 1), label="first")
    last = data.draw(st.integers(first + 1, down), label="last")
    part = PatchMerger(shape, size, stride, window=weights, mode=mode, patch_rows=(first, last))
    own = patches[first * across : last * across]
    assert torch.equal(streamed(part, own, cuts(len(own), [7])), whole[:, slice(*part.rows)])


def test_parts_cover_the_scene():
    shape, size, stride = (503, 300), 64, 24
    grid = PatchGrid(shape, size, stride)
    patches = random_patches(grid, torch.float32, 1)
    down, across = grid.counts
    overlap = -(-64 // 24) - 1
    row, rows = 0, []
    for first, last in ((0, 6), (6, 13), (13, down)):
        first = max(0, first - overlap)
        merger = PatchMerger(shape, size, stride, patch_rows=(first, last))
        found = streamed(merger, patches[first * across : last * across], cuts((last - first) * across, [50]))
        assert merger.rows[0] <= row <= merger.rows[1]
        rows.append(found[:, row - merger.rows[0] :])
        row = merger.rows[1]
    assert torch.equal(torch.cat(rows, dim=1), merge_patches(patches, shape, stride))


def test_memory_does_not_grow_with_the_height():
    for height in (100, 10_000):
        merger = PatchMerger((height, 40), 20, 10)
        for _ in range(25):
            merger.add(torch.zeros(1, 1, 20, 20))
        assert merger._ring.shape == (2 * 3, 1, 20, 20)  # two rows of three patches


def test_rows_come_as_soon_as_they_can():
    merger = PatchMerger((30, 20), 10, 5)  # 5 rows of 3 patches
    counts = [merger.add(torch.zeros(1, 2, 10, 10)).shape[1] for _ in range(15)]
    assert counts == [0, 0, 5] * 4 + [0, 0, 10]
    assert merger.rows_done == 30


def test_a_result_can_be_changed():
    merger = PatchMerger((8, 4), 4, 4)
    first = merger.add(torch.ones(1, 1, 4, 4))
    first.zero_()
    assert torch.equal(merger.add(torch.ones(1, 1, 4, 4)), torch.ones(1, 4, 4))


def test_inference_mode_may_begin_and_end():
    patches, merger, rows = random_patches(PatchGrid((20, 20), 8, 4), torch.float32), PatchMerger((20, 20), 8, 4), []
    with torch.inference_mode():
        rows.append(merger.add(patches[:7]))
    rows.append(merger.add(patches[7:9]))
    with torch.inference_mode():
        rows.append(merger.add(patches[9:].clone()))
    assert torch.equal(torch.cat(rows, dim=1), merge_patches(patches, (20, 20), 4))


def test_wrong_patches_are_refused():
    merger = PatchMerger((20, 20), 8, 4)
    with pytest.raises(ValueError, match="16 patches are missing: add them before finish"):
        merger.finish()
    with pytest.raises(ValueError, match=r"patches must be \(n, 2, 8, 8\), got \(1, 2, 8, 7\)"):
        merger.add(torch.zeros(1, 2, 8, 7))
    with pytest.raises(ValueError, match="patches must be at most the 16 that are missing, got .17, 1, 8, 8"):
        merger.add(torch.zeros(17, 1, 8, 8))
    with pytest.raises(ValueError, match="patches must not wait for a gradient"):
        merger.add(torch.zeros(1, 1, 8, 8, requires_grad=True))
    with torch.no_grad():
        merger.add(torch.zeros(1, 1, 8, 8, requires_grad=True))
    with pytest.raises(ValueError, match=r"patches must be \(n, 1, 8, 8\), got \(1, 2, 8, 8\)"):
        merger.add(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match="patches must be float32 on cpu, as the first ones, got .* float64"):
        merger.add(torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    merger.add(torch.zeros(15, 1, 8, 8))
    merger.finish()
    with pytest.raises(ValueError, match="patches must be at most the 0 that are missing"):
        merger.add(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"patches must be \(n, 3, 8, 8\), got \(1, 1, 8, 8\)"):
        PatchMerger((3, 20, 20), 8, 4).add(torch.zeros(1, 1, 8, 8))
    with pytest.raises(TypeError, match="which have no order"):
        PatchMerger((20, 20), 8, 4, mode="max").add(torch.zeros(1, 1, 8, 8, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 9}, "stride must be at most the size of a patch"),
        ({"mode": "sum"}, "mode must be one of"),
        ({"mode": "min", "window": "flat"}, "window is for mode='mean' alone"),
        ({"window": "box"}, "window must be one of"),
        ({"window": torch.ones(7)}, "window must have the shape"),
        ({"window": torch.zeros(8)}, "somewhere positive"),
        ({"patch_rows": (0, 5)}, "patch_rows must be 1 to 4, got 5"),
        ({"patch_rows": (2, 2)}, "patch_rows must be 3 to 4, got 2"),
        ({"patch_rows": (-1, 2)}, "patch_rows must be 0 to 3, got -1"),
    ],
)
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PatchMerger((20, 20), 8, **({"stride": 4} | options))


def test_patch_rows_are_a_pair():
    with pytest.raises(TypeError, match="patch_rows must be a pair"):
        PatchMerger((20, 20), 8, 4, patch_rows=3)
