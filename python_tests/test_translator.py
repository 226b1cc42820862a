"""`Translator`: the values that go in and out, its speckle, and what it refuses."""

import pytest
import torch
from torch import nn

from sarcore import Radiometry
from sarcore.inference import Translator
from sarcore.models import ResNetGenerator, UNetGenerator
from sarcore.nn import SpeckleLayer
from sarcore.ops import speckle

from .translation_networks import COLOURS, DECIBELS, NETWORKS, lively, translator_of

SAR = Radiometry("intensity", -40, 20, scale="db")


def test_networks_work_on_minus_one_to_one():
    x = torch.rand(2, 1, 9, 7)
    doubled = nn.Sequential(nn.Identity(), nn.Hardtanh(-1, 1))
    found = Translator(doubled, DECIBELS, COLOURS, direction="AtoB", channels=(1, 1))(x)
    torch.testing.assert_close(found, x)
    inverted = Translator(_Negative(), DECIBELS, COLOURS, direction="AtoB", channels=(1, 1))(x)
    torch.testing.assert_close(inverted, 1 - x)


class _Negative(nn.Module):
    def forward(self, x):
        return -x


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_are_those_of_the_ends(name):
    assert translator_of(NETWORKS[name]()).channels == (1, 2)
    assert Translator(UNetGenerator(3, 1, width=4, levels=3), COLOURS, SAR, direction="BtoA").channels == (3, 1)


def test_dropout_is_off_and_gradients_too():
    translator = translator_of(UNetGenerator(1, 1, width=4, levels=6, dropout=True).train())
    x = torch.rand(1, 1, 64, 64)
    y = translator(x)
    assert torch.equal(y, translator(x))
    assert not y.requires_grad


def test_speckle_of_tiles_is_that_of_the_scene():
    network = lively(ResNetGenerator(3, 1, width=4, blocks=0))
    translator = Translator(network, COLOURS, SAR, direction="BtoA", speckle=SpeckleLayer(2.0, radiometry=SAR), seed=5)
    x = torch.rand(1, 3, 32, 32).expand(2, -1, -1, -1)
    plain = Translator(network, COLOURS, SAR, direction="BtoA")(x[:1])
    places = torch.tensor([[0, 0], [64, 32]])
    found = translator(x, places, index=7)
    for image, place in zip(found, places, strict=True):
        physical = 10 ** ((plain * 60 - 40) / 10)
        index, origin = torch.tensor([7]), place[None]
        expected = speckle(physical, 2.0, seed=5, domain="intensity", index=index, origin=origin)
        torch.testing.assert_close(image[None], ((10 * expected.log10() + 40) / 60).clamp(0, 1), atol=1e-5, rtol=1e-5)
    alone = translator(x)  # two images, each with speckle of its own
    assert not torch.equal(alone[0], alone[1])
    torch.testing.assert_close(alone[1:], translator(x[:1], index=1))


def test_the_checksum_is_that_of_the_weights():
    one, same, other = (translator_of(ResNetGenerator(1, 1, width=4, blocks=0)) for _ in range(3))
    with torch.no_grad():
        next(other.network.parameters()).mul_(1.001)
    assert one.checksum() == same.checksum() != other.checksum()


def test_the_checksum_tells_other_speckle():
    """Rows of an unfinished scene must not be gone on with under another seed, whoever has its first tile."""
    draws = [
        translator_of(ResNetGenerator(1, 1, width=4, blocks=0), speckle=SpeckleLayer(1.0), seed=seed).checksum()
        for seed in (0, 1, 0)
    ]
    assert draws[0] == draws[2] != draws[1]
    quiet = [translator_of(ResNetGenerator(1, 1, width=4, blocks=0), seed=seed).checksum() for seed in (0, 1)]
    assert quiet[0] == quiet[1]  # no speckle, no draws


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ValueError, "direction must be AtoB", {"direction": "BA"}),
        (TypeError, "network must be", {"network": lambda x: x}),
        (TypeError, "Radiometry", {"source": "db"}),
        (ValueError, "channels must be given", {"network": nn.Identity()}),
        (ValueError, "seed", {"seed": -1}),
    ],
)
def test_what_is_no_translator(error, match, options):
    given = {"network": nn.Conv2d(1, 1, 1), "source": DECIBELS, "target": COLOURS, "direction": "AtoB", **options}
    with pytest.raises(error, match=match):
        Translator(given.pop("network"), given.pop("source"), given.pop("target"), **given)


def test_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="x must have 1 channels.*got 3"):
        translator_of(nn.Conv2d(1, 1, 1))(torch.rand(1, 3, 8, 8))
