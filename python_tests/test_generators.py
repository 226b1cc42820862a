"""The generators against the layer lists of junyanz's project, and on images of any size and number of channels."""

import numpy as np
import pytest
import torch

from sarcore import models
from sarcore.models import KerasUNet, ResNetGenerator, UNetGenerator, load_junyanz

from . import junyanz_layers as original

CASES = [
    ("resnet", 2, "instance", False), ("resnet", 2, "instance", True), ("resnet", 1, "batch", False),
    ("resnet", 1, "none", False), ("unet", 5, "batch", True), ("unet", 7, "batch", True), ("unet", 8, "batch", True),
    ("unet", 6, "instance", False), ("unet", 6, "none", True),
]  # fmt: skip
SIZES = [(80, 80), (1, 5), (1, 1), (33, 70), (3, 129)]


def shapes_of(name: str, depth: int, norm: str, dropout: bool, width: int = 4, ins: int = 1, outs: int = 3):
    if name == "resnet":
        return original.resnet_shapes(ins, outs, width, depth, norm, dropout)
    return original.unet_shapes(ins, outs, width, depth, norm)


@pytest.mark.parametrize(("name", "depth", "norm", "dropout"), CASES)
def test_names_and_shapes_are_the_originals(name, depth, norm, dropout):
    network = models.generator(name, 1, 3, width=4, depth=depth, norm=norm, dropout=dropout)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    wanted = shapes_of(name, depth, norm, dropout)
    assert list(shapes.items()) == list(wanted.items())


@pytest.mark.parametrize(("name", "depth", "norm", "dropout"), CASES)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_are_the_originals_both_ways(name, depth, norm, dropout, training, generator):
    apply = original.resnet if name == "resnet" else original.unet
    network = models.generator(name, 1, 3, width=4, depth=depth, norm=norm, dropout=dropout)
    x = 2 * torch.rand(2, 1, 256 if depth == 8 else 128, 128 if depth < 8 else 256, generator=generator) - 1
    for theirs in (None, original.random_state(shapes_of(name, depth, norm, dropout), generator)):
        if theirs is not None:
            load_junyanz(network, theirs)
        state = {key: value.clone() for key, value in network.state_dict().items()}
        torch.manual_seed(3)
        y = network.train(training)(x)
        torch.manual_seed(3)  # so that dropout takes the same away
        assert y.std() > 1e-3
        torch.testing.assert_close(y, apply(state, x, depth, norm, dropout, training), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("network", "millions"),
    [(ResNetGenerator(3, 3), 11.378), (ResNetGenerator(3, 3, blocks=6), 7.838), (UNetGenerator(3, 3), 54.414)],
)
def test_numbers_of_parameters_are_those_the_project_prints(network, millions):
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == millions


def test_dropout_of_the_unet_is_in_three_inner_blocks():
    counts = [
        sum(isinstance(layer, torch.nn.Dropout) for layer in UNetGenerator(3, 3, 1, dropout=dropout).modules())
        for dropout in (True, False)
    ]
    assert counts == [3, 0]


NETWORKS = [
    *(ResNetGenerator(2, 3, 4, 1, norm) for norm in ("instance", "batch", "none", "keras_legacy")),
    *(UNetGenerator(2, 3, 4, 4, norm) for norm in ("instance", "batch", "none", "keras_legacy")),
    *(KerasUNet(2, 3, 4, 3, norm) for norm in ("instance", "batch", "none", "keras_legacy")),
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: f"{type(n).__name__}")
@pytest.mark.parametrize("size", SIZES)
def test_any_size_in_that_size_out(network, size, generator):
    y = network.eval()(2 * torch.rand(2, 2, *size, generator=generator) - 1)
    assert y.shape == (2, 3, *size)
    assert y.abs().max() <= 1  # NaN is not


@pytest.mark.parametrize("network", [NETWORKS[0], NETWORKS[5], NETWORKS[11]], ids=lambda n: type(n).__name__)
def test_a_large_odd_image(network):
    assert network.eval()(torch.zeros(1, 2, 700, 1100)).shape == (1, 3, 700, 1100)


@pytest.mark.parametrize("network", NETWORKS[::2], ids=lambda n: type(n).__name__)
def test_other_sizes_are_the_reflected_image_cropped(network, generator):
    x = torch.rand(1, 2, 37, 50, generator=generator)
    margins = ((0, 0), (0, 0), (0, -37 % network.multiple), (0, -50 % network.multiple))
    padded = torch.from_numpy(np.pad(x.numpy(), margins, mode="reflect"))
    network = network.eval()
    torch.testing.assert_close(network(x), network(padded)[:, :, :37, :50], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["resnet", "unet", "keras_unet"])
def test_bad_arguments_are_named(name):
    settings = {"width": 4, "depth": 3, "norm": "batch", "dropout": False}
    network = models.generator(name, 2, 3, **settings)
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\).*\(1, 3, 8, 8\)"):
        network(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\)"):
        network(torch.zeros(2, 8, 8))
    for changed in ({"width": 0}, {"depth": -1}):
        with pytest.raises(ValueError, match="or more"):
            models.generator(name, 2, 3, **{**settings, **changed})
    with pytest.raises(ValueError, match="or more"):
        models.generator(name, 0, 3, **settings)
    with pytest.raises(ValueError, match="norm must be one of instance, batch, none, keras_legacy; 'layer'"):
        models.generator(name, 2, 3, **{**settings, "norm": "layer"})


def test_an_unknown_generator_is_refused():
    with pytest.raises(ValueError, match="resnet, unet, keras_unet; 'vgg'"):
        models.generator("vgg", 1, 1, width=4, depth=2, norm="batch", dropout=False)


@pytest.mark.parametrize("network", [NETWORKS[0], NETWORKS[5], NETWORKS[11]], ids=lambda n: type(n).__name__)
def test_a_gradient_reaches_every_weight(network, generator):
    network.train().zero_grad()
    network(torch.rand(2, 2, 32, 32, generator=generator)).square().mean().backward()
    # A bias in front of a normalisation over the same values changes nothing.
    assert all(bool((p.grad != 0).any()) for p in network.parameters() if p.ndim == 4)
