"""Registration of images of one place, and that others are not called right."""

import math

import numpy as np
import pytest

from sarcore.geo.evidence import LEAST, Evidence
from sarcore.geo.levels import levels_of
from sarcore.geo.margins import margin
from sarcore.geo.register import register
from sarcore.geo.search import Limits
from sarcore.geo.similarity import compose, displacement

from .register_images import about_middle, fields, warp

SIZE = 192
SMALL = {"max_shift": 16, "max_rotation": 2, "max_scale": 1.06}  # fast


@pytest.fixture(scope="module")
def place() -> tuple[np.ndarray, np.ndarray]:
    return fields(SIZE, seed=3)


@pytest.mark.parametrize("unit", ["amplitude", "intensity", "db", "complex"])
def test_any_unit_of_the_sar_image(place: tuple[np.ndarray, np.ndarray], unit: str) -> None:
    sar, optical = place
    given = {
        "amplitude": 1e4 * sar,
        "intensity": sar**2,
        "db": 20 * np.log10(sar + 1e-3) - 30,
        "complex": sar * np.exp(1j),
    }[unit]
    matrix = about_middle((9.4, -6.7), 0, 1, SIZE)
    moved, inside = warp(optical, matrix)
    found = register(given, moved, model="shift", max_shift=16, optical_mask=inside)
    assert found.success, found.reasons
    assert displacement(found.matrix, matrix, (SIZE, SIZE)) < 0.5
    assert found.rotation == 0
    assert found.scale == 1


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_rotation_and_scale(place: tuple[np.ndarray, np.ndarray], model: str) -> None:
    sar, optical = place
    matrix = about_middle((-9, 12), 1.5, 0.96, SIZE)
    if model == "affine":
        matrix = compose(np.array([[1, 0.015, 0], [0, 1, 0]]), matrix)
    moved, inside = warp(optical, matrix)
    found = register(sar, moved, model=model, optical_mask=inside, **SMALL)
    assert found.success, found.reasons
    assert displacement(found.matrix, matrix, (SIZE, SIZE)) < 0.7
    assert len(found.sentences()) == 3
    assert found.to_dict()["matrix"] == found.matrix.tolist()


def test_images_of_two_sizes_and_several_levels() -> None:
    sar, optical = fields(400, seed=5, count=150)
    part = optical[:, 30:370, 60:380]  # its middle is that of the SAR image, moved by (20, 0)
    found = register(sar, part, model="shift", max_shift=48)
    assert found.success, found.reasons
    assert displacement(found.matrix, np.array([[1, 0, 60], [0, 1, 30]]), (340, 320)) < 0.5


def test_levels_halve_until_the_image_is_small() -> None:
    levels = levels_of(*(np.random.default_rng(0).random((1, 700, 500), np.float32) + 1,) * 2,
                       *(np.ones((700, 500), dtype=bool),) * 2)  # fmt: skip
    assert [level.factor for level in levels] == [4, 2, 1]
    assert [level.sar.mask.shape for level in levels] == [(175, 125), (350, 250), (700, 500)]


def test_other_places_and_noise_are_no_success(place: tuple[np.ndarray, np.ndarray]) -> None:
    sar = place[0]
    rng = np.random.default_rng(0)
    for other in (fields(SIZE, seed=11)[1], rng.normal(size=(3, SIZE, SIZE)), np.full((3, SIZE, SIZE), 7.0)):
        found = register(sar, other, **SMALL)
        assert not found.success
        assert found.reasons
        assert found.confidence < LEAST


def test_what_lies_beyond_the_limits_is_no_success(place: tuple[np.ndarray, np.ndarray]) -> None:
    sar, optical = place
    moved, inside = warp(optical, about_middle((24, 0), 0, 1, SIZE))
    found = register(sar, moved, model="shift", max_shift=8, optical_mask=inside)
    assert not found.success
    assert register(sar, moved, model="shift", max_shift=32, optical_mask=inside).success


@pytest.mark.parametrize("model", ["shift", "similarity"])
def test_narrow_limits_leave_the_other_places_as_evidence(place: tuple[np.ndarray, np.ndarray], model: str) -> None:
    """The few rotations and scales within have no peaks but those of the right place."""
    found = register(*place, model=model, max_shift=16, max_rotation=1, max_scale=1.02)
    assert found.success, found.reasons
    assert found.ratio > 1.15


def test_the_same_twice(place: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = (register(*place, model="shift", max_shift=16) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, other.matrix)
    assert one.confidence == other.confidence


def test_nan_is_masked(place: tuple[np.ndarray, np.ndarray]) -> None:
    sar, optical = place[0].copy(), place[1].astype(np.float32)
    sar[:40] = np.nan
    optical[:, :, :30] = np.nan
    found = register(sar, optical, model="shift", max_shift=16)
    assert found.success, found.reasons
    assert displacement(found.matrix, np.eye(2, 3), (SIZE, SIZE)) < 0.5


def test_no_kind_of_evidence_is_enough() -> None:
    good = (math.exp(3), 30.0, 30.0)
    for i in range(3):
        assert Evidence(*(value if i == j else (1.0, 0.0, 0.0)[j] for j, value in enumerate(good))).confidence < LEAST
        assert Evidence(*((1.0, 0.0, 0.0)[j] if i == j else value for j, value in enumerate(good))).confidence >= LEAST
    assert Evidence(*good).reasons(np.zeros(2), 0, 1, Limits(5)) == ()
    (reason,) = Evidence(*good).reasons(np.array([6, 0]), 0, 1, Limits(5))
    assert "beyond the limits" in reason


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"sar": np.zeros((2, 2, 200, 200))}, TypeError, r"sar has shape \(2, 2, 200, 200\)"),
        ({"sar": np.zeros((200, 50))}, ValueError, "sar has 200 x 50 pixels; it must have 96 at least"),
        ({"optical": np.full((200, 200), "a")}, TypeError, "optical has shape"),
        ({"model": "projective"}, ValueError, "one of shift, similarity, affine"),
        ({"max_shift": 0}, ValueError, "max_shift is 0; it must be from 1 to 4096"),
        ({"max_rotation": 90}, ValueError, "max_rotation is 90; it must be from 0 to 45"),
        ({"max_scale": 0.8}, ValueError, "max_scale is 0.8; it must be from 1 to 2"),
        ({"sar_mask": np.ones((3, 3))}, ValueError, r"sar_mask has shape \(3, 3\)"),
        ({"optical_mask": np.zeros((200, 200))}, ValueError, "optical_mask leaves 0 valid pixels"),
    ],
)
def test_wrong_arguments(arguments: dict, error: type, said: str) -> None:
    given = {"sar": np.ones((200, 200)), "optical": np.ones((200, 200))} | arguments
    with pytest.raises(error, match=said):
        register(**given)


def test_margins_that_no_one_declares(place: tuple[np.ndarray, np.ndarray]) -> None:
    """Two frames of zeros lie on each other wherever the images were taken."""
    sar, optical = place
    other = fields(SIZE, seed=7)[1]
    inner = np.zeros(sar.shape, bool)
    inner[20:-16, 18:-20] = True
    framed = np.where(inner, sar, 0), np.where(inner, optical, 0).astype(np.uint8)
    assert register(*framed, **SMALL).success
    wrong = register(framed[0], np.where(inner, other, 0).astype(np.uint8), **SMALL)
    assert not wrong.success
    assert wrong.information_z < 5  # 8.8 with the frames
    with pytest.raises(ValueError, match="sar has one value everywhere but in 0 pixels"):
        register(np.zeros((128, 128)), np.zeros((128, 128)))
    assert not register(sar, np.zeros((SIZE, SIZE)), **SMALL).success


@pytest.mark.parametrize("value", [1e300, -3.4e38, np.inf])
def test_values_that_are_no_numbers(place: tuple[np.ndarray, np.ndarray], value: float) -> None:
    sar, optical = place
    broken = sar.astype(np.float64)
    broken[100:110, 40:60] = value
    assert register(broken, optical, **SMALL).success


def test_margins_touch_the_edge_and_are_large() -> None:
    image = np.random.default_rng(0).normal(size=(2, 80, 60))
    image[0, :, 50:] = 3  # one band alone
    image[:, 20:40, 20:40] = 0  # inside
    image[:, 0, :40] = 0  # small
    image[:, 70:, :30] = 7
    valid = np.ones((80, 60), bool)
    expected = np.zeros_like(valid)
    expected[70:, :30] = True
    np.testing.assert_array_equal(margin(image, valid), expected)
    valid[:20] = False  # the part inside now lies beside pixels without data
    expected[20:40, 20:40] = True
    np.testing.assert_array_equal(margin(image, valid), expected)
