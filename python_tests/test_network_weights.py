"""First weights, and the files of junyanz's project."""

import pytest
import torch
from torch import nn

from sarcore.errors import CheckpointError
from sarcore.models import (
    KerasUNet,
    PatchDiscriminator,
    ResNetGenerator,
    UNetGenerator,
    initialise_,
    load_junyanz,
)

from . import junyanz_layers as original


def test_normal_weights_are_junyanzs():
    network = initialise_(UNetGenerator(1, 1, 32, 6), "normal", torch.Generator().manual_seed(3))
    convs = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in convs:
        if layer.weight.numel() > 1e4:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(layer.weight.mean().item()) < 1e-3
        assert layer.bias is None or bool((layer.bias == 0).all())
    weights = torch.cat([layer.weight for layer in norms])
    assert weights.mean().item() == pytest.approx(1.0, abs=0.005)
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)
    assert all(bool((layer.bias == 0).all()) for layer in norms)


def test_glorot_weights_are_those_of_keras():
    network = initialise_(KerasUNet(2, 3, 8, 4, "batch"), "glorot", torch.Generator().manual_seed(3))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            limit = (6 / (16 * layer.in_channels + 16 * layer.out_channels)) ** 0.5
            assert 0.9 * limit < layer.weight.abs().max().item() <= limit
            assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.15)
            assert bool((layer.bias == 0).all())
        if isinstance(layer, nn.BatchNorm2d):
            assert bool((layer.weight == 1).all())


def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    network = ResNetGenerator(1, 1, 4, 1)
    torch.set_rng_state(before)
    first, second, other = (
        [p.clone() for p in initialise_(network, "normal", torch.Generator().manual_seed(s)).parameters()]
        for s in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], other[0])
    with pytest.raises(ValueError, match="normal, glorot; 'xavier'"):
        initialise_(network, "xavier")


def test_running_statistics_of_old_instance_norms_are_dropped(generator):
    network = ResNetGenerator(1, 3, 4, 1)
    state = original.random_state(original.resnet_shapes(1, 3, 4, 1, "instance", False), generator)
    old = dict(state)
    for key in ("model.2", "model.5", "model.10.conv_block.2", "model.10.conv_block.6"):
        old |= {f"{key}.running_mean": torch.ones(4), f"{key}.running_var": torch.ones(4)}
        old[f"{key}.num_batches_tracked"] = torch.tensor(3)
    load_junyanz(network, old)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_parallel_networks_and_files_without_counts(generator):
    network = UNetGenerator(1, 3, 2, 5)
    state = original.random_state(original.unet_shapes(1, 3, 2, 5, "batch"), generator)
    given = {f"module.{key}": value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    load_junyanz(network, given)
    for key, value in network.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, state[key])


def refuse(network: nn.Module, state: dict, match: str) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=match):
        load_junyanz(network, state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_weights_of_another_network_are_refused_by_the_first_difference():
    network = ResNetGenerator(1, 3, 4, 2)
    refuse(
        network, ResNetGenerator(3, 3, 4, 2).state_dict(), r"model.1.weight has shape \(4, 3, 7, 7\).*\(4, 1, 7, 7\)"
    )
    refuse(network, ResNetGenerator(1, 3, 4, 1).state_dict(), "model.11.conv_block.1.weight is missing")
    refuse(network, ResNetGenerator(1, 3, 4, 2, dropout=True).state_dict(), "model.10.conv_block.5.weight is missing")
    refuse(network, UNetGenerator(1, 3, 4, 5).state_dict(), "model.1.weight is missing.*of another network")
    refuse(network, {**network.state_dict(), "extra": torch.zeros(1)}, "extra of these weights is not known")
    refuse(network, ResNetGenerator(1, 3, 4, 2, "batch").state_dict(), "model.1.bias is missing")
    batch = PatchDiscriminator(1, 4, norm="batch")
    without = {key: value for key, value in batch.state_dict().items() if "running_mean" not in key}
    refuse(batch, without, "model.3.running_mean is missing")


def test_a_saved_file_loads(tmp_path, generator):
    saved = original.random_state(original.patch_shapes(2, 4, 3, "instance"), generator)
    torch.save(saved, tmp_path / "latest_net_D.pth")
    network = PatchDiscriminator(2, 4)
    load_junyanz(network, torch.load(tmp_path / "latest_net_D.pth", weights_only=True))
    assert torch.equal(network.model[0].weight, saved["model.0.weight"])
