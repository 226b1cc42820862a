"""AKAZE: exact between images of one kind, no transform where there is none."""

import cv2
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


def test_matches_are_the_nearest_in_bits_by_the_ratio() -> None:
    """The document compared the bytes of binary descriptors as if they were numbers (L2)."""
    rng = np.random.default_rng(3)
    plain = np.clip(1.6 * fields(256, count=200)[1][0] - 40, 0, 255)
    images = [np.clip(plain + rng.normal(0, 40, plain.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    for image in images:  # so that the stretch to 8 bits changes nothing
        image[:8], image[-8:] = 0, 255
    (fixed, theirs), (moving, others) = (cv2.AKAZE.create().detectAndCompute(image, None) for image in images)
    bits, other_bits = (np.unpackbits(rows, axis=1).astype(int) for rows in (theirs, others))
    distances = (other_bits[:, None, :] != bits[None]).sum(axis=2)
    order = distances.argsort(axis=1)
    nearest, second = np.take_along_axis(distances, order[:, :2], axis=1).T
    wanted = {(moving[i].pt, fixed[order[i, 0]].pt) for i in np.flatnonzero(nearest < 0.9 * second)}
    found = match_points(*images)
    assert len(wanted) > 30
    assert {(tuple(m), tuple(f)) for m, f in zip(found.moving, found.fixed, strict=True)} == wanted


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
