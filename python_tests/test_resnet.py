"""ResNet: names and counts against an independent layer list, its arithmetic, loading."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sarcore.errors import CheckpointError
from sarcore.models.classifier import Classifier, ClassifierConfig
from sarcore.models.resnet import ResNet, fold_conv1, load_backbone


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")
    }
    return {**shapes, f"{name}.num_batches_tracked": ()}


def torchvision_shapes(depth: int, channels: int = 3) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ResNet without fc, written from the paper's table 1."""
    counts = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}[depth]
    shapes = {"conv1.weight": (64, channels, 7, 7), **norm("bn1", 64)}
    inputs = 64
    for layer, (count, planes) in enumerate(zip(counts, (64, 128, 256, 512), strict=True), start=1):
        outputs = planes * 4 if depth == 50 else planes
        for index in range(count):
            at = f"layer{layer}.{index}"
            if depth == 50:
                convs = [(planes, inputs, 1), (planes, planes, 3), (outputs, planes, 1)]
            else:
                convs = [(planes, inputs, 3), (planes, planes, 3)]
            for number, (out, into, kernel) in enumerate(convs, start=1):
                shapes[f"{at}.conv{number}.weight"] = (out, into, kernel, kernel)
                shapes.update(norm(f"{at}.bn{number}", out))
            if index == 0 and (layer > 1 or depth == 50):
                shapes[f"{at}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes.update(norm(f"{at}.downsample.1", outputs))
            inputs = outputs
    return shapes


def random_state(depth: int, channels: int = 3, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in torchvision_shapes(depth, channels).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif len(shape) == 4:
            state[name] = torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))
        else:
            state[name] = 0.5 + torch.rand(shape, generator=generator)
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def images(n: int, channels: int, size: int, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


# ---- the network


@pytest.mark.parametrize(("depth", "count"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032)])
def test_names_shapes_and_parameter_counts(depth: int, count: int) -> None:
    with torch.device("meta"):
        model = ResNet(depth, channels=3)
    backbone = {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.startswith("fc.")}
    assert backbone == torchvision_shapes(depth)
    assert sum(p.numel() for name, p in model.named_parameters() if not name.startswith("fc.")) == count


def test_head_is_three_linear_layers_with_relu_between() -> None:
    with torch.device("meta"):
        model = ResNet(50, classes=7)
    head = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.startswith("fc.")}
    sizes = {"fc.0": (256, 2048), "fc.2": (256, 256), "fc.4": (7, 256)}
    assert {name: head[f"{name}.weight"] for name in sizes} == sizes
    assert len(head) == 6
    assert [type(layer).__name__ for layer in model.fc] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(("depth", "features"), [(18, 512), (34, 512), (50, 2048)])
def test_output_shapes(depth: int, features: int) -> None:
    model = ResNet(depth, channels=2, classes=5).eval()
    x = images(2, 2, 80)
    assert model.features(x).shape == (2, features)
    assert model(x).shape == (2, 5)
    trunk = torch.nn.Sequential(model.layer1, model.layer2, model.layer3, model.layer4)
    assert trunk(torch.zeros(1, 64, 40, 40)).shape[-2:] == (5, 5)  # three of the four layers halve
    if depth == 50:
        assert model.layer2[0].conv1.stride == (1, 1)
        assert model.layer2[0].conv2.stride == (2, 2)


def test_other_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="18, 34, 50"):
        ResNet(101)


def test_basic_block_by_hand() -> None:
    """One block in evaluation mode against convolutions with the normalisation folded in."""
    model = ResNet(18)
    load_backbone(model, random_state(18))
    state, x = model.eval().state_dict(), torch.randn(2, 64, 12, 12)

    def conv(h: Tensor, at: str, conv_name: str, norm_name: str, stride: int, padding: int) -> Tensor:
        gain = state[f"{at}.{norm_name}.weight"] / (state[f"{at}.{norm_name}.running_var"] + 1e-5).sqrt()
        shift = state[f"{at}.{norm_name}.bias"] - gain * state[f"{at}.{norm_name}.running_mean"]
        weight = state[f"{at}.{conv_name}.weight"] * gain[:, None, None, None]
        return torch.nn.functional.conv2d(h, weight, shift, stride, padding)

    h = conv(conv(x, "layer2.0", "conv1", "bn1", 2, 1).relu(), "layer2.0", "conv2", "bn2", 1, 1)
    expected = (h + conv(x, "layer2.0", "downsample.0", "downsample.1", 2, 0)).relu()
    torch.testing.assert_close(model.layer2[0](x), expected, rtol=1e-4, atol=1e-4)


def test_width_scales_every_stage():
    network = ResNet(18, width=8, head=(), classes=3)
    planes = [network.conv1.weight.shape[0], *(layer[-1].conv2.weight.shape[0] for layer in stages(network))]
    assert planes == [8, 8, 16, 32, 64]
    assert network.feature_count == 64
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 3)
    with pytest.raises(ValueError, match="width must be at least 1, 0 was given"):
        ResNet(18, width=0)


def stages(network):
    return network.layer1, network.layer2, network.layer3, network.layer4


# ---- weights of others


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_folded_network_sees_grey_images_as_the_original(channels: int) -> None:
    state = random_state(18)
    original, model = ResNet(18, channels=3).eval(), ResNet(18, channels=channels).eval()
    head = {name: value.clone() for name, value in model.state_dict().items() if name.startswith("fc.")}
    load_backbone(original, state)
    load_backbone(model, state)
    grey = images(2, 1, 64)
    torch.testing.assert_close(
        model.features(grey.expand(-1, channels, -1, -1)),
        original.features(grey.expand(-1, 3, -1, -1)),
        rtol=1e-4,
        atol=1e-4,
    )
    assert all(torch.equal(model.state_dict()[name], value) for name, value in head.items())
    assert int(model.bn1.num_batches_tracked) == 7


def test_fold_conv1_sums_over_the_inputs() -> None:
    weight = torch.randn(64, 3, 7, 7)
    torch.testing.assert_close(fold_conv1(weight, 1)[:, 0], weight[:, 0] + weight[:, 1] + weight[:, 2])
    torch.testing.assert_close(fold_conv1(weight, 2)[:, 1], weight.sum(1) / 2)
    assert torch.equal(fold_conv1(weight, 3), weight)


def test_old_files_without_batch_counts_load() -> None:
    model = ResNet(18)
    load_backbone(model, {k: v for k, v in random_state(18).items() if not k.endswith("num_batches_tracked")})
    assert torch.equal(model.layer4[1].bn2.bias, random_state(18)["layer4.1.bn2.bias"])


def test_weights_of_a_classifier_load() -> None:
    source, model = Classifier(ClassifierConfig(depth=18, classes=4)), ResNet(18, classes=9)
    load_backbone(model, source.state_dict())
    assert torch.equal(model.layer3[0].conv1.weight, source.backbone.layer3[0].conv1.weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("layer3.1.conv2.weight"), "layer3.1.conv2.weight missing, none not known"),
        (lambda s: s.update({"layer9.weight": torch.zeros(1)}), "none missing, layer9.weight not known"),
        (lambda s: s.update({"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}), "layer1.0.conv1.weight has shape"),
        (lambda s: s.update(random_state(34)), "and 93 more not known"),
        (lambda s: s.clear(), "conv1.weight, bn1.weight, bn1.bias and"),
    ],
)
def test_weights_of_another_network_are_refused_whole(change: Any, words: str) -> None:
    model, state = ResNet(18), random_state(18)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    change(state)
    with pytest.raises(CheckpointError, match=words):
        load_backbone(model, state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
