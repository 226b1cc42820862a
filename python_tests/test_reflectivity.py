"""What generative models share: their settings, labels, what grey values stand for, and the speckled end."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from sarcore import Radiometry
from sarcore.models.reflectivity import (
    GenerativeConfig,
    SpeckleOutput,
    check_labels,
    domain_and_limits,
    grid_labels,
    physical,
)
from sarcore.ops import point_spread


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"latent": 0}, "latent"),
        ({"channels": 0}, "channels"),
        ({"classes": -1}, "classes"),
        ({"classes": 1}, "classes"),
        ({"speckle": "fix"}, "speckle"),
        ({"domain": "digital"}, "domain"),
        ({"looks": -1.0}, "looks"),
        ({"looks": math.nan}, "looks"),
        ({"oversampling": -2.0}, "oversampling"),
        ({"speckle": "learned", "oversampling": 2.0}, "oversampling must be 0"),
        ({"looks": 5.0}, "speckle is none; give speckle fixed"),
        ({"oversampling": 2.0}, "speckle is none; give speckle fixed"),
        ({"limits": (1.0, 1.0)}, "limits"),
        ({"limits": (-1.0, 1.0)}, "limits"),
    ],
)
def test_bad_setting_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GenerativeConfig(**given)


def test_config_goes_through_json() -> None:
    config = GenerativeConfig(speckle="fixed", looks=4.0, domain="db", limits=(-25.0, 0.0), classes=3)
    assert GenerativeConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="GenerativeConfig has no field depth"):
        GenerativeConfig.from_dict({"depth": 3})


@pytest.mark.parametrize(
    ("given", "unit", "expected"),
    [
        (Radiometry("digital", 0, 255), None, Radiometry("amplitude", 0, 255)),
        (Radiometry("digital", -25, 0), None, Radiometry("db", -25, 0)),
        (Radiometry("digital", 0, 9), "intensity", Radiometry("intensity", 0, 9)),
        (Radiometry("intensity", -25, 0, scale="db"), "amplitude", Radiometry("intensity", -25, 0, scale="db")),
    ],
)
def test_grey_values_stand_for_something(given: Radiometry, unit: str | None, expected: Radiometry) -> None:
    assert physical(given, unit) == expected


def test_the_domain_is_the_scale_of_the_values_not_the_unit() -> None:
    decibels = Radiometry("intensity", -25, 0, scale="db")
    assert domain_and_limits(decibels) == {"domain": "db", "limits": (-25.0, 0.0)}


# ---- labels


def test_labels_are_asked_for_where_there_are_classes() -> None:
    two = GenerativeConfig(classes=2)
    labels = torch.tensor([0, 1, 1])
    assert check_labels(two, labels, 3) is labels
    assert check_labels(GenerativeConfig(), None, 3) is None
    for wrong, says in (
        (None, "give labels of the classes 0 to 1"),
        (labels[:2], r"of shape \(2,\) was given"),
        (labels.int(), "torch.int32"),
        (labels + 1, "1 to 2 were given"),
        (labels - 1, "-1 to 0 were given"),
    ):
        with pytest.raises(ValueError, match=says):
            check_labels(two, wrong, 3)
    with pytest.raises(ValueError, match="without classes"):
        check_labels(GenerativeConfig(), labels, 3)


def test_a_row_of_the_grid_is_of_one_class() -> None:
    cpu = torch.device("cpu")
    labels = grid_labels(GenerativeConfig(classes=3), 16, cpu)
    assert labels is not None
    assert labels.view(4, 4).tolist() == [[0] * 4, [1] * 4, [2] * 4, [0] * 4]
    assert grid_labels(GenerativeConfig(), 16, cpu) is None


# ---- the speckled end


def test_speckle_is_the_declared_one() -> None:
    """Moments and correlation of the field against the formulas: variance 1/L, neighbours by the squared taps."""
    config = GenerativeConfig(speckle="fixed", looks=20.0, oversampling=2.0, domain="intensity", limits=(0.0, 4.0))
    images = SpeckleOutput.of(config)(torch.full((8, 1, 96, 96), 0.25))
    field = 4.0 * images.double() - 1.0
    assert float(field.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(field.square().mean()) == pytest.approx(1 / 20, rel=0.05)
    taps = point_spread("gaussian", 2.0)
    expected = float((taps[1:] * taps[:-1]).sum()) ** 2
    found = float((field[..., 1:] * field[..., :-1]).mean() / field.square().mean())
    assert found == pytest.approx(expected, abs=0.03)


def test_an_image_has_the_same_speckle_in_any_batch() -> None:
    output = SpeckleOutput.of(GenerativeConfig(speckle="fixed", looks=3.0, oversampling=3.2))
    x = torch.rand(5, 1, 12, 12)
    index = torch.tensor([4, 9, 2, 7, 7])
    whole = output(x, index, seed=3)
    parts = torch.cat([output(x[i : i + 1], index[i : i + 1], seed=3) for i in range(5)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, output(x, index, seed=4))
    assert torch.equal(output(x), output(x, torch.arange(5)))


def test_reflectivity_below_nothing_is_nothing_and_decibels_may_be_below() -> None:
    x = torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2).repeat(1, 1, 4, 4).requires_grad_()
    y = SpeckleOutput.of(GenerativeConfig(speckle="fixed", looks=2.0))(x)
    assert bool((y[x < 0] == 0).all())
    y.sum().backward()
    gradient = x.grad
    assert gradient is not None
    assert bool((gradient[x < 0] == 0).all())
    assert bool((gradient[x > 0] > 0).any())
    db = GenerativeConfig(speckle="fixed", looks=2.0, domain="db", limits=(-25.0, 0.0))
    below = SpeckleOutput.of(db)(torch.full((1, 1, 16, 16), -0.02))
    assert float(below.max()) > 0, "speckle lifts what lies just below the limits"


def test_looks_are_a_parameter_only_where_they_are_learnt() -> None:
    fixed, learned = (SpeckleOutput.of(GenerativeConfig(speckle=s, looks=6.0)) for s in ("fixed", "learned"))  # type: ignore[arg-type]
    assert list(fixed.parameters()) == []
    assert fixed.scalars() == {}
    assert float(fixed.looks()) == 6.0
    (parameter,) = learned.parameters()
    assert float(learned.scalars()["looks"]) == pytest.approx(6.0, rel=1e-6)
    learned(torch.full((2, 1, 16, 16), 0.4)).square().mean().backward()
    assert parameter.grad is not None
    assert float(parameter.grad) < 0, "more looks, less variance"


def test_no_speckle_draws_nothing_and_speckle_without_looks_is_refused() -> None:
    source = torch.Generator().manual_seed(0)
    before = source.get_state()
    none = SpeckleOutput.of(GenerativeConfig())
    assert none.draw(3, source).tolist() == [0, 0, 0]
    assert torch.equal(source.get_state(), before)
    with pytest.raises(ValueError, match="no speckle layer"):
        none.looks()
    with pytest.raises(ValueError, match="estimate them"):
        SpeckleOutput.of(GenerativeConfig(speckle="fixed"))
