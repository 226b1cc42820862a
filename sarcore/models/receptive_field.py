"""Which pixels of its input a pixel of a network's output depends on, computed from the layers."""

from __future__ import annotations

import math
from typing import cast

from torch import nn

from sarcore.models.keras_unet import SameConv2d
from sarcore.models.norm import KerasLegacyNorm

_Interval = tuple[int, int]


def reach(network: nn.Module) -> tuple[int, int]:
    """Return how many pixels before and after its own place an output pixel of a generator depends on, at most.

    >>> reach(nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(1, 1, 7)))
    (3, 3)

    For networks whose output has the size of the input, and whose layers stand in the order in which they are applied
    (all generators and discriminators of this library): skip connections only shorten the way. What a normalisation
    sees of the image in its statistics is not counted.

    Raises ValueError for layers that it does not know and networks whose output has another size.
    """
    layers = _layers(network)
    if _scale(layers) != 1.0:
        raise ValueError("reach is of networks whose output has the size of the input; see receptive_field.")
    spans = [(place, *_span(layers, place)) for place in _phases(layers)]
    return max(place - low for place, low, _ in spans), max(high - place for place, _, high in spans)


def receptive_field(network: nn.Module) -> int:
    """Return the side in pixels of the largest square of the input on which an output value depends.

    >>> receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 3)))
    9

    As for `reach`, and for outputs of any size.

    Raises ValueError for layers that it does not know.
    """
    layers = _layers(network)
    spans = [_span(layers, place) for place in _phases(layers)]
    return max(high - low + 1 for low, high in spans)


_POINTWISE = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Dropout,
    nn.Identity,
    nn.InstanceNorm2d,
    nn.BatchNorm2d,
    KerasLegacyNorm,
)
_SPATIAL = (nn.Conv2d, nn.ConvTranspose2d, nn.Upsample, nn.ReflectionPad2d)


def _layers(network: nn.Module) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for layer in network.modules():
        if isinstance(layer, _SPATIAL):
            layers.append(layer)
        elif not isinstance(layer, _POINTWISE) and next(layer.children(), None) is None:
            raise ValueError(f"the receptive field of {layer} is not known.")
    return layers


def _below(layer: nn.Module, low: int, high: int) -> _Interval:
    """The inputs of a layer on which its outputs from low to high depend."""
    if isinstance(layer, SameConv2d):
        return _window(4, layer.stride[0], 1, low, high)
    if isinstance(layer, nn.Conv2d):
        return _window(layer.kernel_size[0], layer.stride[0], int(layer.padding[0]), low, high)
    if isinstance(layer, nn.ConvTranspose2d):
        side, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        return -((side - 1 - padding - low) // stride), (high + padding) // stride
    if isinstance(layer, nn.ReflectionPad2d):
        return low - layer.padding[0], high - layer.padding[0]
    factor = _factor(layer)
    return low // factor, high // factor


def _window(side: int, stride: int, padding: int, low: int, high: int) -> _Interval:
    return low * stride - padding, high * stride - padding + side - 1


def _factor(layer: nn.Module) -> int:
    """How many times larger a layer makes an image."""
    if isinstance(layer, nn.Upsample):
        return int(cast(float, layer.scale_factor))
    return layer.stride[0] if isinstance(layer, nn.ConvTranspose2d) else 1


def _span(layers: list[nn.Module], place: int) -> _Interval:
    low = high = place
    for layer in reversed(layers):
        low, high = _below(layer, low, high)
    return low, high


def _scale(layers: list[nn.Module]) -> float:
    scale = 1.0
    for layer in layers:
        scale *= _factor(layer)
        scale /= layer.stride[0] if isinstance(layer, nn.Conv2d) else 1
    return scale


def _phases(layers: list[nn.Module]) -> range:
    """Places of an output after which the spans repeat."""
    return range(math.prod(_factor(layer) for layer in layers))
