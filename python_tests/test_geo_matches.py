"""Tiles that are looked for one by one."""

import numpy as np

from sarcore.geo.matches import REACH, match_tiles
from sarcore.geo.structure import Structure, structure_map

from .register_images import about_middle, fields, warp


def test_tiles_say_by_how_much_a_transform_is_wrong() -> None:
    image = fields(256)[1]
    right = about_middle((9, -5), 3, 1.1, 256)
    moved, inside = warp(image, right)
    a, b = structure_map(image), structure_map(moved, inside)
    found = match_tiles(a, b, right)
    assert found.inliers.mean() > 0.9
    assert found.rmse < 0.5
    assert found.significance > 10
    wrong = right.copy()
    wrong[:, 2] -= [3.0, 4.0]
    displaced = match_tiles(a, b, wrong)
    np.testing.assert_allclose(np.median(displaced.residual, axis=0), [3, 4], atol=0.3)
    assert not displaced.inliers.any()
    assert np.isnan(displaced.rmse)
    # The pairs of points lie where the right transform puts them, although the wrong one led there.
    there = displaced.moving @ right[:, :2].T + right[:, 2]
    assert np.median(np.hypot(*(there - displaced.fixed).T)) < 0.6


def test_noise_agrees_by_chance_alone() -> None:
    rng = np.random.default_rng(1)
    mask = np.ones((400, 400), np.float32)
    a, b = (Structure(rng.normal(size=(400, 400, 2)).astype(np.float32), mask) for _ in range(2))
    found = match_tiles(a, b, np.eye(2, 3))
    assert abs(found.significance) < 4
    assert abs(found.inliers.mean() - found.chance) < 0.1
    assert np.abs(found.residual).max() <= REACH + 0.5


def test_tiles_lie_within_both_masks() -> None:
    image = fields(256)[1]
    a = structure_map(image)
    mask = np.ones((256, 256), dtype=bool)
    mask[:100] = False
    found = match_tiles(a, structure_map(image, mask), np.eye(2, 3))
    assert found.fixed[:, 1].min() > 100 + REACH + 16
    nothing = match_tiles(a, Structure(a.field, np.zeros_like(a.mask)), np.eye(2, 3))
    assert len(nothing.fixed) == 0
    assert nothing.significance == 0


def test_enlarged_are_the_same_tiles_on_smaller_pixels() -> None:
    a = structure_map(fields(256)[1])
    found = match_tiles(a, a, np.array([[1.0, 0, 1.0], [0, 1.0, 0]]))
    large = found.enlarged(4)
    np.testing.assert_array_equal(large.inliers, found.inliers)
    np.testing.assert_allclose(large.fixed, 4 * found.fixed + 1.5)
    np.testing.assert_allclose(large.rmse, 4 * found.rmse)
