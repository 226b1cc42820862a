"""ResNet-18/34/50 with the parameter names of torchvision and a head of fully connected layers.

Source: He et al., "Deep residual learning for image recognition", arXiv 1512.03385; the stride of a bottleneck sits
in its 3x3 convolution, as in torchvision, whose checkpoints of these networks load by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.errors import CheckpointError

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the identity (ResNet-18 and 34)."""

    expansion = 1

    def __init__(self, channels_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _downsample(channels_in, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.bn2(self.conv2(h))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and the identity (ResNet-50)."""

    expansion = 4

    def __init__(self, channels_in: int, planes: int, stride: int) -> None:
        super().__init__()
        channels_out = planes * self.expansion
        self.conv1 = nn.Conv2d(channels_in, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.downsample = _downsample(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = F.relu(self.bn2(self.conv2(h)), inplace=True)
        h = self.bn3(self.conv3(h))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)), inplace=True)


def _downsample(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels_in == channels_out:
        return None
    conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


def _layer(
    block: type[BasicBlock] | type[Bottleneck], channels_in: int, planes: int, count: int, stride: int
) -> nn.Sequential:
    first = block(channels_in, planes, stride)
    rest = (block(planes * block.expansion, planes, 1) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


def check_depth(depth: int) -> None:
    """Raise ``ValueError`` for a depth that `ResNet` does not have."""
    if depth not in _BLOCKS:
        raise ValueError(f"depth must be one of {', '.join(map(str, _BLOCKS))}; {depth} was given.")


class ResNet(nn.Module):
    """Residual network on images (N, channels, H, W) with H, W of 32 or more; gives logits (N, classes).

    ``depth`` is 18, 34 or 50, ``width`` the filters of the first stage: 64 in the paper, fewer for small sets and
    machines. The head ``fc`` is one linear layer per entry of ``head`` with ReLU, then one to ``classes``: fc.0, fc.2,
    fc.4 with the default, the head of Marmanis et al. (arXiv 1711.02010).

    Raises ValueError for another depth and a width below 1.

    >>> ResNet(18, channels=1, classes=7)(torch.zeros(2, 1, 80, 80)).shape
    torch.Size([2, 7])
    """

    def __init__(
        self,
        depth: int = 50,
        *,
        channels: int = 1,
        classes: int = 7,
        head: Sequence[int] = (256, 256),
        width: int = 64,
    ) -> None:
        super().__init__()
        check_depth(depth)
        if width < 1:
            raise ValueError(f"width must be at least 1, {width} was given.")
        block = Bottleneck if depth >= 50 else BasicBlock
        self.channels = channels
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        counts, e = _BLOCKS[depth], block.expansion
        self.layer1 = _layer(block, width, width, counts[0], 1)
        self.layer2 = _layer(block, width * e, 2 * width, counts[1], 2)
        self.layer3 = _layer(block, 2 * width * e, 4 * width, counts[2], 2)
        self.layer4 = _layer(block, 4 * width * e, 8 * width, counts[3], 2)
        self.feature_count = 8 * width * e
        self.fc = _head(self.feature_count, head, classes)
        self.apply(_initialise_)

    def features(self, x: Tensor) -> Tensor:
        """Return the spatially averaged features (N, feature_count) below the head."""
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = F.max_pool2d(h, 3, stride=2, padding=1)
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return cast(Tensor, h.mean(dim=(-2, -1)))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc(self.features(x)))


def _head(features: int, hidden: Sequence[int], classes: int) -> nn.Sequential:
    widths = (features, *hidden)
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def _initialise_(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def fold_conv1(weight: Tensor, channels: int) -> Tensor:
    """Fit the first convolution (64, c, 7, 7) to n = ``channels`` inputs: the sum over its inputs, divided by n.

    So an image with the same values in all channels gives the same response before and after.

    >>> fold_conv1(torch.ones(64, 3, 7, 7), 1).unique()
    tensor([3.])
    """
    if weight.shape[1] == channels:
        return weight
    return (weight.sum(dim=1, keepdim=True) / channels).repeat(1, channels, 1, 1)


@torch.no_grad()
def load_backbone(model: ResNet, state_dict: Mapping[str, Tensor]) -> None:
    """Copy all weights but the head's into ``model`` from the state of a torchvision or sarcore network.

    Keys that start with ``backbone.`` (a ``Classifier``) are read as the network's; ``fc.*`` is left out; the first
    convolution is fitted by ``fold_conv1``. Batch counts, which older files lack, may be absent.

    Raises CheckpointError, with the model untouched, where a key is missing or unknown or a shape differs.
    """
    prefix = "backbone."
    if any(key.startswith(prefix) for key in state_dict):
        state_dict = {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
    given = {key: value for key, value in state_dict.items() if not key.startswith("fc.")}
    own = {key: value for key, value in model.state_dict().items() if not key.startswith("fc.")}
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unknown = [key for key in given if key not in own]
    if missing or unknown:
        raise CheckpointError(
            f"these weights are of another network: {_list(missing)} missing, {_list(unknown)} not known; "
            "give the weights of a ResNet of the same depth and width."
        )
    if given["conv1.weight"].ndim == 4:
        given["conv1.weight"] = fold_conv1(given["conv1.weight"], model.channels)
    for key, value in given.items():
        if value.shape != own[key].shape:
            raise CheckpointError(
                f"{key} has shape {tuple(value.shape)}, {tuple(own[key].shape)} was expected; "
                "give the weights of a ResNet of the same depth and width."
            )
    for key, value in given.items():
        own[key].copy_(value)


def _list(keys: list[str]) -> str:
    if not keys:
        return "none"
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
