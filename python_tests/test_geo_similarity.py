"""Matrices between images: composition, the way back, pixels of another size."""

import numpy as np

from sarcore.geo.similarity import apply, at_level, compose, decomposed, displacement, inverse, similarity

A = similarity((3.0, -4.0), 20.0, 1.2, np.array([10.0, 7.0]), np.array([8.0, 9.0]))
B = np.array([[0.9, 0.2, 5.0], [-0.1, 1.1, -2.0]])
POINTS = np.random.default_rng(0).uniform(-50, 50, (20, 2))


def test_compose_and_inverse() -> None:
    np.testing.assert_allclose(apply(compose(A, B), POINTS), apply(A, apply(B, POINTS)))
    np.testing.assert_allclose(apply(inverse(B), apply(B, POINTS)), POINTS)


def test_the_middle_goes_to_the_middle_plus_the_shift() -> None:
    np.testing.assert_allclose(apply(A, np.array([[10.0, 7.0]])), [[11.0, 5.0]])
    shift, degrees, scale = decomposed(similarity((3, -4), 20, 1.2, *[np.array([31.5, 15.5])] * 2), (32, 64), (32, 64))
    np.testing.assert_allclose([*shift, degrees, scale], [3, -4, 20, 1.2])


def test_pixels_of_another_size_are_at_the_mean_of_those_they_hold() -> None:
    def middle(i: int, factor: int) -> float:
        return float(np.mean(range(i * factor, (i + 1) * factor)))

    for factor in (2, 4):
        coarse = np.array([[5.0, 11.0]])
        fine = np.array([[middle(5, factor), middle(11, factor)]])
        there = apply(B, fine)
        np.testing.assert_allclose(apply(at_level(B, factor), coarse), (there - (factor - 1) / 2) / factor)
        np.testing.assert_allclose(at_level(at_level(B, factor), 1 / factor), B)


def test_displacement_of_a_rotation_grows_with_the_image() -> None:
    turned = similarity((0, 0), 1.0, 1.0, np.array([99.5, 99.5]), np.array([99.5, 99.5]))
    # The mean distance from the middle of a square's points, 9 x 9 of them, times the angle.
    x, y = np.meshgrid(np.linspace(-99.5, 99.5, 9), np.linspace(-99.5, 99.5, 9))
    expected = np.hypot(x, y).mean() * 2 * np.sin(np.radians(0.5))
    np.testing.assert_allclose(displacement(turned, np.eye(2, 3), (200, 200)), expected)
