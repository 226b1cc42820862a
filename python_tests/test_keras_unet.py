"""The Keras U-Net against the document's graph in NumPy."""

import pytest
import torch

from sarcore.models import KerasUNet
from sarcore.models.keras_unet import SameConv2d

from . import keras_layers as keras


def convs_of(network: torch.nn.Module) -> list:
    return [keras.kernel_of(layer) for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]


@pytest.mark.parametrize(("norm", "function"), [
    ("keras_legacy", keras.instance_normalization), ("batch", keras.batch_normalization), ("none", lambda x: x),
])  # fmt: skip
@pytest.mark.parametrize("levels", [2, 4, 5])
def test_the_graph_is_the_documents(norm, function, levels, generator):
    network = KerasUNet(2, 3, 3, levels, norm).double().train()
    x = 2 * torch.rand(2, 2, 64, 32, generator=generator, dtype=torch.float64) - 1
    wanted = keras.unet(convs_of(network), x.permute(0, 2, 3, 1).numpy(), levels, function, norm == "batch")
    assert wanted.std() > 1e-3
    torch.testing.assert_close(network(x), torch.from_numpy(wanted).permute(0, 3, 1, 2), atol=1e-10, rtol=0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 5), (9, 11), (1, 1), (2, 1)])
def test_padding_is_tensorflows_same(stride, size, generator):
    layer = SameConv2d(2, 3, stride=stride).double()
    x = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)
    wanted = keras.conv2d_same(x.permute(0, 2, 3, 1).numpy(), *keras.kernel_of(layer), stride)
    torch.testing.assert_close(layer(x), torch.from_numpy(wanted).permute(0, 3, 1, 2))


def test_numbers_of_parameters_are_the_documents():
    def conv(inputs, outputs):
        return 16 * inputs * outputs + outputs

    # Four down with a norm of two numbers each, three up that see twice what they make, the image.
    cyclegan = conv(3, 64) + conv(64, 128) + conv(128, 256) + conv(256, 512) + 4 * 2
    cyclegan += conv(512, 256) + conv(512, 128) + conv(256, 64) + 3 * 2 + conv(128, 3)
    assert sum(p.numel() for p in KerasUNet(3, 3).parameters()) == cyclegan == 6_171_025
    # Seven down, the first without norm; six up; batch normalisation has two numbers per channel.
    down = [64, 128, 256, 512, 512, 512, 512]
    pix2pix = sum(map(conv, [3, *down[:-1]], down)) + 2 * sum(down[1:])
    up = [512, 512, 512, 256, 128, 64]
    pix2pix += sum(map(conv, [512, 1024, 1024, 1024, 512, 256], up)) + 2 * sum(up) + conv(128, 3)
    network = KerasUNet(3, 3, levels=7, norm="batch")
    assert sum(p.numel() for p in network.parameters()) == pix2pix == 41_834_499


def test_batch_normalisation_has_the_numbers_of_keras(generator):
    network = KerasUNet(1, 1, 4, 2, "batch").train()
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert {(layer.eps, layer.momentum) for layer in norms} == {(1e-3, 0.2)}
    assert len(norms) == 2  # one down (the first level has none), one up


def test_dropout_is_in_each_doubling_when_asked_for():
    counts = [
        sum(isinstance(layer, torch.nn.Dropout) for layer in KerasUNet(1, 1, 2, 4, dropout=dropout).modules())
        for dropout in (False, True)
    ]
    assert counts == [0, 3]


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="1 or more; 1, 1, 4 and 0 were given"):
        KerasUNet(1, 1, 4, 0)
