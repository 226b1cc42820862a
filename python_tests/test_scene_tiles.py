"""Where the tiles and bands of `run_scene` lie."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sarcore.inference.scene_tiles import BlendedTiles, CroppedTiles
from sarcore.ops import PatchGrid

SIDE = st.integers(1, 90)


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_cropped_tiles_cover_once_and_see_their_margin(shape, size, margin):
    tiles = CroppedTiles(shape, size, margin)
    count = np.zeros(shape, int)
    sizes = set()
    for band in range(tiles.bands):
        (top, bottom), (begin, end) = tiles.span(band), tiles.rows(band)
        for tile in tiles.across():
            count[begin:end, slice(*tile.keep)] += 1
            sizes.add((bottom - top, tile.read[1] - tile.read[0]))
            for (low, high), kept, side, reach in zip(
                ((top, bottom), tile.read), ((begin, end), tile.keep), shape, margin, strict=True
            ):
                assert 0 <= low <= kept[0] < kept[1] <= high <= side
                assert low == 0 or kept[0] - low >= reach
                assert high == side or high - kept[1] >= reach
    assert (count == 1).all()
    assert sizes == {tuple(min(side, s + 2 * m) for side, s, m in zip(shape, size, margin, strict=True))}


@given(SIDE, st.integers(1, 90), st.integers(1, 90))
def test_bands_of_blended_patches(height, size, step):
    step = min(step, size)
    tiles = BlendedTiles(PatchGrid((height, 10), (size, 4), (step, 4)))
    ends = [tiles.rows(band) for band in range(tiles.bands)]
    assert [begin for begin, _ in ends] == [0, *[end for _, end in ends[:-1]]]
    assert ends[-1][1] == height
    for band, (begin, end) in enumerate(ends):
        assert begin < end
        # The patches that cover its rows, and no others.
        covering = [k for k in range(tiles.bands) if k * step < end and k * step + size > begin]
        assert covering == list(range(tiles.first_patch_row(band), band + 1))


@given(st.integers(2, 60), st.integers(1, 90), st.integers(1, 90))
def test_the_rows_that_are_read_hold_what_is_mirrored(height, size, step):
    tiles = BlendedTiles(PatchGrid((height, 10), (size, 4), (min(step, size), 4)))
    whole = np.pad(np.arange(height), (0, 3 * 90), mode="reflect")
    for band in range(tiles.bands):
        top, bottom = tiles.span(band)
        begin = band * min(step, size)
        part = np.pad(np.arange(top, bottom), (0, 3 * 90), mode="reflect") if bottom - top > 1 else np.full(400, top)
        np.testing.assert_array_equal(part[begin - top :][:size], whole[begin:][:size])
