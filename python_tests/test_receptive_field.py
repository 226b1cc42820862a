"""Receptive fields computed from the layers against the support of gradients."""

import pytest
import torch
from torch import nn

from sarcore.models import KerasUNet, ResNetGenerator, UNetGenerator, discriminator, reach, receptive_field


def make_positive_(network: nn.Module) -> nn.Module:
    """Positive weights, so that no two ways through a network cancel."""
    for p in network.parameters():
        nn.init.constant_(p, 1e-2) if p.ndim == 4 else nn.init.zeros_(p)
    return network.eval().double()


def support(network: nn.Module, size: int, row: int, column: int) -> tuple[int, int, int, int]:
    x = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, row, column].backward()
    rows, columns = (x.grad[0, 0] != 0).nonzero().unbind(1)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


@pytest.mark.parametrize(("name", "layers", "side"), [
    ("patch", 1, 16), ("patch", 2, 34), ("patch", 3, 70), ("patch", 4, 142), ("keras_patch", 3, 46),
    ("keras_patch", 4, 94), ("pixel", 3, 1),
])  # fmt: skip
def test_discriminators_see_what_their_layers_say(name, layers, side):
    network = make_positive_(discriminator(name, 1, width=1, layers=layers, norm="none"))
    middle = network(torch.zeros(1, 1, 320, 320, dtype=torch.float64)).shape[-1] // 2
    top, bottom, left, right = support(network, 320, middle, middle)
    assert top > 0
    assert bottom < 319
    assert (bottom - top + 1, right - left + 1, receptive_field(network)) == (side, side, side)


GENERATORS = [ResNetGenerator(1, 1, 1, 2, "none"), UNetGenerator(1, 1, 1, 3, "none"), KerasUNet(1, 1, 1, 3, "none")]


@pytest.mark.parametrize("network", GENERATORS, ids=lambda n: type(n).__name__)
def test_generators_reach_as_far_as_their_layers_say(network):
    size, period = 160, network.multiple
    make_positive_(network)
    spans = [(place, support(network, size, place, place)) for place in range(80, 80 + period)]
    before = max(place - top for place, (top, *_) in spans)
    after = max(bottom - place for place, (_, bottom, *_) in spans)
    assert reach(network) == (before, after)
    assert receptive_field(network) == max(bottom - top + 1 for _, (top, bottom, *_) in spans)
    assert all((top, bottom) == (left, right) for _, (top, bottom, left, right) in spans)


def test_unknown_layers_and_other_sizes_are_refused():
    with pytest.raises(ValueError, match="MaxPool2d.* not known"):
        receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)))
    with pytest.raises(ValueError, match="size of the input"):
        reach(discriminator("patch", 1, width=1, layers=3, norm="none"))
