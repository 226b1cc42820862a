"""Structure maps: the angle of edges, whatever their sign, contrast and speckle."""

import numpy as np
import pytest

from sarcore.geo.structure import halve, log_sar, structure_map

from .register_images import fields


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 135])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_edge_has_twice_its_angle(degrees: int, sign: int) -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    t = np.radians(degrees)
    edge = sign * np.tanh((x * np.cos(t) + y * np.sin(t)) / 2)[None]
    field = structure_map(edge).field[40:56, 40:56].reshape(-1, 2).sum(axis=0)
    assert np.linalg.norm(field) > 0
    np.testing.assert_allclose(field / np.linalg.norm(field), [np.cos(2 * t), np.sin(2 * t)], atol=0.02)


def test_it_turns_with_the_image() -> None:
    image = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    field = structure_map(image).field
    turned = structure_map(np.rot90(image, axes=(1, 2)).copy()).field
    np.testing.assert_allclose(turned, -np.rot90(field), atol=1e-5)  # twice 90 degrees


def test_bands_count_alike_whatever_their_unit() -> None:
    image = fields(128)[1].astype(np.float32)
    scaled = image * np.array([1.0, 100.0, 0.01])[:, None, None]
    np.testing.assert_allclose(structure_map(scaled).field, structure_map(image).field, atol=1e-4)


def test_nothing_comes_from_invalid_pixels() -> None:
    image = fields(128)[1].astype(np.float32)
    mask = np.ones((128, 128), dtype=bool)
    mask[:, 90:] = False
    wrong = image.copy()
    wrong[:, :, 90:] = 1e6
    one, other = structure_map(image, mask), structure_map(wrong, mask)
    np.testing.assert_array_equal(one.field, other.field)
    assert not one.mask[:, 84:].any()
    assert one.mask[:, :84].all()
    assert not one.field[:, 84:].any()
    wrong[:, :, 90:] = np.nan
    np.testing.assert_array_equal(structure_map(wrong).mask, one.mask)


def test_a_blank_image_has_no_structure() -> None:
    assert not structure_map(np.full((3, 64, 64), 7.0)).field.any()


def test_logarithms_know_no_unit_and_decibels_stay() -> None:
    sar = fields(64)[0][None]
    np.testing.assert_allclose(log_sar(1000 * sar) - log_sar(sar), np.log(1000), rtol=1e-4)
    decibels = 20 * np.log10(sar + 0.01)
    np.testing.assert_array_equal(log_sar(decibels), decibels)
    assert np.isfinite(log_sar(np.zeros((1, 4, 4)))).all()


def test_halving_takes_means() -> None:
    image = np.arange(30, dtype=np.float32).reshape(1, 5, 6)
    np.testing.assert_array_equal(halve(image), image[:, :4].reshape(1, 2, 2, 3, 2).mean((2, 4)))
