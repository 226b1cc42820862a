"""Refinement to a fraction of a pixel; mutual information at the right place and around."""

import numpy as np
import pytest

from sarcore.geo.minimise import minimise
from sarcore.geo.refine import Information, agreement, refine
from sarcore.geo.search import Limits
from sarcore.geo.similarity import compose, displacement
from sarcore.geo.structure import log_sar, structure_map

from .register_images import about_middle, fields, warp

LIMITS = Limits(32, 8, 1.4)


def test_the_minimum_of_a_curved_valley() -> None:
    def rosenbrock(p: np.ndarray) -> float:
        return float((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2)

    found, value = minimise(rosenbrock, np.array([-1.2, 1.0]), 0.5, tolerance=1e-6, evaluations=1000)
    np.testing.assert_allclose(found, 1, atol=1e-4)
    assert value < 1e-8
    seen: list[float] = []
    minimise(lambda p: seen.append(0.0) or rosenbrock(p), np.zeros(2), 0.5, tolerance=0, evaluations=30)
    assert 30 <= len(seen) <= 33


def test_agreement_is_the_correlation_of_the_overlap() -> None:
    sar, optical = fields(128)
    a, b = structure_map(log_sar(sar[None])), structure_map(optical)
    x, y = a.field[:-9, 4:].ravel(), b.field[9:, :-4].ravel()
    expected = x @ y / np.sqrt((x @ x) * (y @ y)) * np.sqrt(len(x) / 2)
    found = agreement(a, b, np.array([[1.0, 0.0, 4.0], [0.0, 1.0, -9.0]]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert agreement(a, b, np.array([[1.0, 0.0, 100.0], [0.0, 1.0, 0.0]])) == 0  # too little overlap


@pytest.mark.parametrize("degrees", [30, -45, 90])
def test_agreement_knows_that_edges_turn_with_the_image(degrees: float) -> None:
    image = fields(160)[1]
    matrix = about_middle((0, 0), degrees, 1, 160)
    moved, inside = warp(image, matrix)
    a, b = structure_map(image), structure_map(moved, inside)
    same = agreement(a, a, np.eye(2, 3)) / np.sqrt(160**2)
    pixels = 0.75 * 160**2  # about, of the overlap
    assert agreement(a, b, matrix) / np.sqrt(pixels) > 0.75 * same


@pytest.mark.parametrize("model", ["shift", "similarity", "affine"])
def test_a_fraction_of_a_pixel(model: str) -> None:
    matrix = {
        "shift": about_middle((2.3, -1.6), 0, 1, 192),
        "similarity": about_middle((2.3, -1.6), 1.0, 1.02, 192),
        "affine": compose(np.array([[1.0, 0.02, 0], [0, 0.99, 0]]), about_middle((2.3, -1.6), 1.0, 1.02, 192)),
    }[model]
    sar, optical = fields(192)
    moved, inside = warp(optical, matrix)
    a, b = structure_map(log_sar(sar[None]), sigma=2), structure_map(moved, inside)
    found, score = refine(a, b, np.eye(2, 3), model=model, limits=LIMITS)
    assert displacement(found, matrix, (192, 192)) < 0.35
    assert score > agreement(a, b, np.eye(2, 3))
    if model == "shift":
        np.testing.assert_array_equal(found[:, :2], np.eye(2))


def test_limits_are_not_left() -> None:
    image = fields(128)[1]
    moved, inside = warp(image, about_middle((6, 0), 0, 1, 128))
    a, b = structure_map(image), structure_map(moved, inside)
    found, _ = refine(a, b, np.eye(2, 3), model="shift", limits=Limits(4, 0, 1))
    assert found[0, 2] <= 4


def test_information_stands_out_where_the_images_lie_right() -> None:
    sar, optical = fields(192)
    moved, inside = warp(optical[:1], about_middle((5, -3), 0, 1, 192))
    grey = Information(log_sar(sar), np.ones((192, 192)), moved[0].astype(np.float32), inside.astype(np.float32))
    right, above = grey.gain(about_middle((5, -3), 0, 1, 192))
    wrong, little = grey.gain(about_middle((45, 31), 0, 1, 192))
    assert right > 2 * wrong
    assert above > 5
    assert little < 3


def test_information_is_that_of_a_histogram() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 32, (64, 64)).astype(np.float32)
    y = np.where(rng.random((64, 64)) < 0.5, x, rng.integers(0, 32, (64, 64))).astype(np.float32)
    mask = np.ones((64, 64), np.float32)
    mask[:, 50:] = 0
    grey = Information(x, mask, y, np.ones((64, 64), np.float32))
    grey.fixed, grey.moving = x / 32 + 1 / 64, y / 32 + 1 / 64  # the middles of 32 bins
    joint = np.histogram2d(x[:, :50].ravel(), y[:, :50].ravel(), bins=32)[0] / (64 * 50)
    outer = joint.sum(1)[:, None] * joint.sum(0)
    expected = (joint[joint > 0] * np.log(joint[joint > 0] / outer[joint > 0])).sum()
    np.testing.assert_allclose(grey.of(np.eye(2, 3)), expected, rtol=1e-3)
