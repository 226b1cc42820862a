"""The networks that the presets name, at full width: layer by layer as the originals and the document list them."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from sarcore.models import CycleGANConfig, Pix2PixConfig, receptive_field
from sarcore.models.translation import make_discriminator, make_generator

CONVS = (nn.Conv2d, nn.ConvTranspose2d)


def layers(network: nn.Module) -> list[tuple]:
    """What changes the image, in the order of the graph: convolutions as (in, out, side, stride), the rest by name."""
    found = []
    for layer in network.modules():
        if isinstance(layer, CONVS):
            found.append((layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]))
        elif not list(layer.children()) and not isinstance(layer, nn.Identity):
            found.append(type(layer).__name__)
    return found


def networks(config, channels, *discriminated):
    draws = torch.Generator().manual_seed(0)
    made = [make_generator(config, "AtoB", draws), *(make_discriminator(config, n, draws) for n in discriminated)]
    return [*made, [sum(p.numel() for p in network.parameters()) for network in made]]


def halvings(filters, norm, first_norm):
    """4x4 convolutions of stride 2, leaky ReLU, then the norm, as the document writes them."""
    found = []
    for i, (inputs, outputs) in enumerate(pairwise(filters)):
        found += [(inputs, outputs, 4, 2), "LeakyReLU", *([norm] if i or first_norm else [])]
    return found


def doublings(first, filters, norm):
    """Nearest, 4x4 convolution of stride 1, ReLU, norm; the skip doubles what the next one takes. The image last."""
    found, inputs = [], first
    for outputs in filters:
        found += ["Upsample", (inputs, outputs, 4, 1), "ReLU", norm]
        inputs = 2 * outputs
    return [*found, "Upsample", (inputs, 3, 4, 1), "Tanh"]


def test_sorabatake_cyclegan():
    """S2-17, S2-18: gf = df = 64, four levels, no norm in the first layer of the discriminator alone."""
    g, d, counts = networks(CycleGANConfig.preset("sorabatake"), 3, 3)
    norm = "KerasLegacyNorm"
    assert layers(g) == [*halvings([3, 64, 128, 256, 512], norm, True), *doublings(512, [256, 128, 64], norm)]
    assert layers(d) == [*halvings([3, 64, 128, 256, 512], norm, False), (512, 1, 4, 1)]
    assert counts == [6_171_025, 2_764_743]
    assert receptive_field(d) == 94
    assert {layer.negative_slope for layer in [*g.modules(), *d.modules()] if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_sorabatake_pix2pix():
    """S2-24, S2-25: seven levels, batch normalisation of momentum 0.8, SAR and optical image judged together."""
    g, d, counts = networks(Pix2PixConfig.preset("sorabatake"), 3, 6)
    norm, filters = "BatchNorm2d", [3, 64, 128, 256, 512, 512, 512, 512]
    assert layers(g) == [*halvings(filters, norm, False), *doublings(512, [512, 512, 512, 256, 128, 64], norm)]
    assert layers(d) == [*halvings([6, 64, 128, 256, 512], norm, False), (512, 1, 4, 1)]
    assert counts[0] == 41_834_499
    norms = [layer for layer in [*g.modules(), *d.modules()] if isinstance(layer, nn.BatchNorm2d)]
    assert {(layer.momentum, layer.eps) for layer in norms} == {(0.2, 1e-3)}  # Keras counts what is kept: 1 - 0.8


@pytest.mark.parametrize(
    ("config", "judged", "millions", "g_norm"),
    [
        (CycleGANConfig.preset("junyanz", channels_a=3), 3, [11.378, 2.765], nn.InstanceNorm2d),
        (Pix2PixConfig.preset("junyanz", channels_a=3), 6, [54.414, 2.769], nn.BatchNorm2d),
    ],
    ids=["cyclegan", "pix2pix"],
)
def test_junyanz(config, judged, millions, g_norm):
    """The numbers that project prints when it starts; test_generators and test_patchgan have the graphs themselves."""
    g, d, counts = networks(config, 3, judged)
    assert [round(count / 1e6, 3) for count in counts] == millions
    assert receptive_field(d) == 70
    for network in (g, d):
        norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._NormBase)]
        assert norms
        assert {type(layer) for layer in norms} == {g_norm}
    weights = torch.cat([layer.weight.flatten() for layer in g.modules() if isinstance(layer, CONVS)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("cls", [CycleGANConfig, Pix2PixConfig])
def test_the_document_begins_with_glorot_weights(cls):
    g, *_ = networks(cls.preset("sorabatake", width=16), 3)
    for layer in g.modules():
        if isinstance(layer, nn.Conv2d):
            bound = (6 / (16 * (layer.in_channels + layer.out_channels))) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max().item() <= bound
            assert not layer.bias.any()
