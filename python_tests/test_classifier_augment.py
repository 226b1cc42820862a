"""What a training step of the classifier does to its patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sarcore.models.classifier import Classifier, ClassifierConfig


def small(**overrides: Any) -> ClassifierConfig:
    return ClassifierConfig(**{"depth": 18, "classes": 4, "head": (16, 16), **overrides})


def test_flips_turn_each_image_on_its_own() -> None:
    torch.manual_seed(0)
    x = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(400, 1, 1, 1)
    variants = [x[0], x[0].flip(-1), x[0].flip(-2), x[0].flip(-1).flip(-2)]
    flipped = Classifier(small()).augment(x, torch.arange(400))
    counts = [sum(torch.equal(image, variant) for image in flipped) for variant in variants]
    assert sum(counts) == 400
    assert min(counts) > 60


@pytest.mark.parametrize(
    ("domain", "limits"), [("amplitude", (0.0, 255.0)), ("intensity", (0.5, 2.0)), ("db", (-25.0, 0.0))]
)
def test_speckle_acts_on_what_the_patches_stand_for(domain: str, limits: tuple[float, float]) -> None:
    torch.manual_seed(0)
    model = Classifier(small(augment="speckle", domain=domain, limits=limits, speckle_looks=(8.0, 8.0), speckle_p=1.0))
    encoded = torch.full((2, 1, 300, 300), 0.8)
    out, (low, high) = model.augment(encoded, torch.tensor([3, 4])), limits
    native = (out * (high - low) + low).double()
    intensity = {"amplitude": native.square(), "intensity": native, "db": 10 ** (native / 10)}[domain]
    clean = 0.8 * (high - low) + low
    expected = {"amplitude": clean**2, "intensity": clean, "db": 10 ** (clean / 10)}[domain]
    assert intensity.mean().item() == pytest.approx(expected, rel=0.01)
    assert (intensity.mean() ** 2 / intensity.var()).item() == pytest.approx(8.0, rel=0.03)
    assert out.max().item() > 1.0  # nothing is clipped
    assert not torch.equal(out[0], out[1])


def test_some_patches_stay_without_more_speckle() -> None:
    x = torch.rand(200, 1, 8, 8) + 0.1
    flipped = Classifier(small()).augment(x, torch.arange(200))
    seen = Classifier(small(augment="speckle", speckle_p=0.25)).augment(x, torch.arange(200))
    kept = sum(torch.equal(a, b) for a, b in zip(flipped, seen, strict=True))
    assert 120 < kept < 175


def test_speckle_is_as_wide_as_asked_for() -> None:
    flat = torch.full((4, 1, 128, 128), 0.5)
    for width, low, high in ((0.0, -0.05, 0.05), (3.0, 0.6, 0.8)):
        config = small(augment="speckle", speckle_p=1.0, speckle_looks=(8.0, 8.0), speckle_oversampling=width)
        power = Classifier(config).augment(flat, torch.arange(4)).square()
        rest = power - power.mean()
        neighbours = (rest[..., 1:] * rest[..., :-1]).mean() / rest.square().mean()
        assert low < neighbours.item() < high, width  # exp(-4 log(2) / 9) = 0.73 for 3 pixels


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"speckle_p": 1.5}, "speckle_p must lie"), ({"speckle_oversampling": 0.5}, "0 or 1 to 10 pixels")],
)
def test_speckle_that_cannot_be_is_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small(**changes)


def test_what_happens_to_an_image_follows_from_its_number_alone() -> None:
    model, x, number = Classifier(small(augment="speckle")), torch.rand(8, 1, 16, 16), torch.arange(8) * 2**28
    first = model.augment(x, number)
    torch.manual_seed(5)
    assert torch.equal(model.augment(x, number), first)
    assert torch.equal(model.augment(x[5:], number[5:]), first[5:])  # whoever shares the batch
    assert not torch.equal(model.augment(x, number + 1), first)
    assert model.state_dict().keys() == Classifier(small(augment="none")).state_dict().keys()
    assert torch.equal(Classifier(small(augment="none")).augment(x, number), x)
