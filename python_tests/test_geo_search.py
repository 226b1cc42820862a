"""The search by Fourier transforms against sums over pixels written out."""

import numpy as np
import pytest

from sarcore.geo.search import Limits, _Correlations, search
from sarcore.geo.similarity import displacement
from sarcore.geo.structure import Structure, structure_map

from .register_images import about_middle, fields, warp


def random_map(height: int, width: int, seed: int) -> Structure:
    rng = np.random.default_rng(seed)
    mask = np.ones((height, width), dtype=np.float32)
    return Structure(rng.normal(size=(height, width, 2)).astype(np.float32), mask)


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_sums_over_all_shifts(degrees: float) -> None:
    fixed, moving, reach = random_map(40, 52, 0), random_map(40, 52, 1), 7
    correlations = _Correlations(fixed, moving, reach)
    field = np.pad(moving.field, ((reach, reach), (reach, reach), (0, 0)))
    found = correlations._product(field, degrees)
    t = np.radians(2 * degrees)
    turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])  # what a rotated image does to angles of edges
    for dy, dx in [(0, 0), (-7, 7), (3, -5), (7, 7)]:
        expected = 0.0
        for y in range(40):
            for x in range(52):
                if 0 <= y - dy < 40 and 0 <= x - dx < 52:
                    expected += float(fixed.field[y, x] @ turn @ moving.field[y - dy, x - dx])
        np.testing.assert_allclose(found[reach + dy, reach + dx], expected, rtol=1e-3, atol=1e-2)


def test_the_overlap_is_right_within_a_few_per_cent() -> None:
    fixed, moving, reach = random_map(96, 128, 0), random_map(96, 128, 1), 30
    moving.mask[:, :40] = 0
    overlap = _Correlations(fixed, moving, reach)._overlap(np.eye(2, 3))
    for dy, dx in [(0, 0), (-30, 20), (30, -30), (11, 3)]:
        shifted = np.zeros((96, 128))
        for y in range(96):
            for x in range(128):
                if 0 <= y - dy < 96 and 0 <= x - dx < 128:
                    shifted[y, x] = moving.mask[y - dy, x - dx]
        np.testing.assert_allclose(overlap[reach + dy, reach + dx], shifted.sum(), rtol=0.04)


@pytest.mark.parametrize(("shift", "degrees", "scale"), [((11, -7), 0, 1), ((-14, 9), 4, 0.85), ((3, 15), -5, 1.2)])
def test_a_warp_is_found(shift: tuple[int, int], degrees: float, scale: float) -> None:
    image = fields(128)[1]
    matrix = about_middle(shift, degrees, scale, 128)
    moved, inside = warp(image, matrix)
    found = search(structure_map(image), structure_map(moved, inside), Limits(20, 6, 1.3))
    assert displacement(found[0].matrix, matrix, (128, 128)) < 2.5
    assert len(found) >= 4
    assert [x.score for x in found] == sorted((x.score for x in found), reverse=True)
    assert max(displacement(x.matrix, found[0].matrix, (128, 128)) for x in found) > 12


def test_limits_hold_what_is_within() -> None:
    limits = Limits(10, 5, 1.2)
    assert limits.hold(np.array([10, -10]), -5, 1 / 1.2)
    assert not limits.hold(np.array([10.1, 0]), 0, 1)
    assert not limits.hold(np.array([0, 0]), 5.1, 1)
    assert not limits.hold(np.array([0, 0]), 0, 1 / 1.21)
    assert Limits(10, 0, 1).hold(np.array([0, 0]), 0, 1)
