"""AKAZE: exact between images of one kind, no transform where there is none."""

import numpy as np
import pytest

from sarcore.geo.features import match_points
from sarcore.geo.similarity import displacement

from .register_images import about_middle, fields, warp


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_images_of_one_kind(model: str) -> None:
    image = fields(320, count=200)[1]
    matrix = about_middle((20, -11), 25, 1.2, 320)
    moved, inside = warp(image, matrix)
    found = match_points(image[0], moved[0], None, inside, model=model)
    assert found.matrix is not None
    assert displacement(found.matrix, matrix, (320, 320)) < 0.5
    ends = found.moving[found.inliers] @ matrix[:, :2].T + matrix[:, 2]
    assert np.hypot(*(ends - found.fixed[found.inliers]).T).mean() < 1.5


def test_a_shift_stays_a_shift() -> None:
    image = fields(320, count=200)[1][0]
    found = match_points(image[20:, 30:], image[:-20, :-30], model="shift")
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix, [[1, 0, -30], [0, 1, -20]], atol=0.3)


@pytest.mark.parametrize("other", [np.zeros((128, 128)), np.random.default_rng(0).normal(size=(128, 128))])
def test_nothing_to_find(other: np.ndarray) -> None:
    found = match_points(fields(128)[1][0], other)
    assert found.matrix is None
    assert found.fixed.shape == found.moving.shape == (len(found.inliers), 2)


def test_no_point_lies_outside_of_the_mask() -> None:
    image = fields(256, count=150)[1][0]
    mask = np.zeros((256, 256))
    mask[:, 128:] = 1
    found = match_points(image, image, mask, mask)
    assert found.fixed[:, 0].min() >= 127
