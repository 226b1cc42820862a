"""The layer lists of junyanz/pytorch-CycleGAN-and-pix2pix, stated once more: keys, shapes and arithmetic.

Written from the order of the layers, as functions over a state dict, without a line of the library's code: what the
library's networks are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
State = dict[str, Tensor]


def _norm_shapes(key: str, channels: int, norm: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    if norm == "batch":
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield f"{key}.{name}", (channels,)
        yield f"{key}.num_batches_tracked", ()


def _conv_shapes(key: str, shape: tuple[int, ...], bias: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{key}.weight", shape
    if bias:
        yield f"{key}.bias", (bias,)


def _norm(state: State, key: str, x: Tensor, norm: str, training: bool) -> Tensor:
    if norm == "batch":
        mean, variance = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        if training:
            mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        scale = state[f"{key}.weight"] / (variance + 1e-5).sqrt()
        return (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + state[f"{key}.bias"].view(1, -1, 1, 1)
    if norm == "instance":
        variance, mean = torch.var_mean(x, dim=(2, 3), unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()
    return x


def _conv(state: State, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), stride, padding)


def _up(state: State, key: str, x: Tensor, output_padding: int = 0) -> Tensor:
    weight, bias = state[f"{key}.weight"], state.get(f"{key}.bias")
    return F.conv_transpose2d(x, weight, bias, 2, 1, output_padding=output_padding)


def _reflect(x: Tensor, by: int) -> Tensor:
    return F.pad(x, (by, by, by, by), mode="reflect")


def resnet_shapes(ins: int, outs: int, width: int, blocks: int, norm: str, dropout: bool) -> Shapes:
    """Keys and shapes of resnet_<blocks>blocks, in the order of the file."""
    bias = norm == "instance"
    w, entries = width, []
    for place, (inputs, outputs, side) in zip((1, 4, 7), ((ins, w, 7), (w, 2 * w, 3), (2 * w, 4 * w, 3)), strict=True):
        entries += _conv_shapes(f"model.{place}", (outputs, inputs, side, side), bias * outputs)
        entries += _norm_shapes(f"model.{place + 1}", outputs, norm)
    for block in range(10, 10 + blocks):
        for place in (1, 6 if dropout else 5):
            entries += _conv_shapes(f"model.{block}.conv_block.{place}", (4 * w, 4 * w, 3, 3), bias * 4 * w)
            entries += _norm_shapes(f"model.{block}.conv_block.{place + 1}", 4 * w, norm)
    for place, (inputs, outputs) in zip((10 + blocks, 13 + blocks), ((4 * w, 2 * w), (2 * w, w)), strict=True):
        entries += _conv_shapes(f"model.{place}", (inputs, outputs, 3, 3), bias * outputs)
        entries += _norm_shapes(f"model.{place + 1}", outputs, norm)
    return dict([*entries, *_conv_shapes(f"model.{17 + blocks}", (outs, w, 7, 7), outs)])


def resnet(state: State, x: Tensor, blocks: int, norm: str, dropout: bool, training: bool = False) -> Tensor:
    """The output of resnet_<blocks>blocks."""
    x = _norm(state, "model.2", _conv(state, "model.1", _reflect(x, 3)), norm, training).relu()
    for place in (4, 7):
        x = _norm(state, f"model.{place + 1}", _conv(state, f"model.{place}", x, 2, 1), norm, training).relu()
    for block in range(10, 10 + blocks):
        key, second = f"model.{block}.conv_block", 6 if dropout else 5
        y = _norm(state, f"{key}.2", _conv(state, f"{key}.1", _reflect(x, 1)), norm, training).relu()
        if dropout:
            y = F.dropout(y, 0.5, training)
        y = _conv(state, f"{key}.{second}", _reflect(y, 1))
        x = x + _norm(state, f"{key}.{second + 1}", y, norm, training)
    for place in (10 + blocks, 13 + blocks):
        x = _norm(state, f"model.{place + 1}", _up(state, f"model.{place}", x, 1), norm, training).relu()
    return _conv(state, f"model.{17 + blocks}", _reflect(x, 3)).tanh()


def _filters(width: int, levels: int) -> list[int]:
    return [width, 2 * width, 4 * width, *[8 * width] * (levels - 3)]


def _unet_level(level: int, levels: int) -> tuple[str, int, int, int]:
    """Prefix of a level's keys and the places of its lower convolution, the next level and its upper convolution."""
    prefix = "model" + "".join(".model.1" if above == 0 else ".model.3" for above in range(level)) + ".model"
    if level == 0:
        return prefix, 0, 1, 3
    return (prefix, 1, -1, 3) if level == levels - 1 else (prefix, 1, 3, 5)


def unet_shapes(ins: int, outs: int, width: int, levels: int, norm: str) -> Shapes:
    """Keys and shapes of unet_<2^levels>, from five levels on."""
    filters, bias = _filters(width, levels), norm == "instance"

    def below(level: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        key, down, deeper, up = _unet_level(level, levels)
        inner, outer = filters[level], filters[level - 1] if level else ins
        yield from _conv_shapes(f"{key}.{down}", (inner, outer, 4, 4), bias * inner)
        if deeper > 0:
            if level:
                yield from _norm_shapes(f"{key}.{down + 1}", inner, norm)
            yield from below(level + 1)
        made = outer if level else outs
        inputs = 2 * inner if deeper > 0 else inner
        yield from _conv_shapes(f"{key}.{up}", (inputs, made, 4, 4), (bias or level == 0) * made)
        if level:
            yield from _norm_shapes(f"{key}.{up + 1}", made, norm)

    return dict(below(0))


def unet(state: State, x: Tensor, levels: int, norm: str, dropout: bool, training: bool = False) -> Tensor:
    """The output of unet_<2^levels>."""

    def below(level: int, x: Tensor) -> Tensor:
        key, down, deeper, up = _unet_level(level, levels)
        x = x if level == 0 else F.leaky_relu(x, 0.2)
        y = _conv(state, f"{key}.{down}", x, 2, 1)
        if deeper > 0:
            y = _norm(state, f"{key}.{down + 1}", y, norm, training) if level else y
            y = below(level + 1, y)
        y = _up(state, f"{key}.{up}", y.relu())
        if level == 0:
            return y.tanh()
        y = _norm(state, f"{key}.{up + 1}", y, norm, training)
        if dropout and 4 <= level < levels - 1:
            y = F.dropout(y, 0.5, training)
        return torch.cat((x, y), dim=1)

    return below(0, x)


def _patch_convs(channels: int, width: int, layers: int) -> list[tuple[int, int, int, int]]:
    """(place, inputs, outputs, stride) of the convolutions of n_layers."""
    filters = [width * min(2**n, 8) for n in range(layers + 1)]
    convs = [(0, channels, width, 2)]
    convs += [(3 * n - 1, filters[n - 1], filters[n], 2 if n < layers else 1) for n in range(1, layers + 1)]
    return [*convs, (3 * layers + 2, filters[-1], 1, 1)]


def patch_shapes(channels: int, width: int, layers: int, norm: str) -> Shapes:
    """Keys and shapes of the n_layers discriminator."""
    convs, entries = _patch_convs(channels, width, layers), []
    for place, inputs, outputs, _ in convs:
        inner = 0 < place < convs[-1][0]
        entries += _conv_shapes(
            f"model.{place}", (outputs, inputs, 4, 4), outputs if norm == "instance" or not inner else 0
        )
        entries += _norm_shapes(f"model.{place + 1}", outputs, norm) if inner else ()
    return dict(entries)


def patch(state: State, x: Tensor, channels: int, width: int, layers: int, norm: str) -> Tensor:
    """The verdicts of the n_layers discriminator."""
    convs = _patch_convs(channels, width, layers)
    for place, _, _, stride in convs:
        x = _conv(state, f"model.{place}", x, stride, 1)
        if 0 < place < convs[-1][0]:
            x = _norm(state, f"model.{place + 1}", x, norm, False)
        if place < convs[-1][0]:
            x = F.leaky_relu(x, 0.2)
    return x


def pixel_shapes(channels: int, width: int, norm: str) -> Shapes:
    """Keys and shapes of the pixel discriminator."""
    bias = norm == "instance"
    entries = [*_conv_shapes("net.0", (width, channels, 1, 1), width)]
    entries += _conv_shapes("net.2", (2 * width, width, 1, 1), bias * 2 * width)
    entries += _norm_shapes("net.3", 2 * width, norm)
    return dict([*entries, *_conv_shapes("net.5", (1, 2 * width, 1, 1), bias * 1)])


def pixel(state: State, x: Tensor, norm: str) -> Tensor:
    """The verdicts of the pixel discriminator."""
    x = _conv(state, "net.2", F.leaky_relu(_conv(state, "net.0", x), 0.2))
    return _conv(state, "net.5", F.leaky_relu(_norm(state, "net.3", x, norm, False), 0.2))


def random_state(shapes: Shapes, generator: torch.Generator) -> State:
    """A state as a training leaves it: nothing is at its first value."""
    state = {}
    for key, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if key.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            value = 0.5 + value.abs()
        elif len(shape) == 4:
            value = value / (0.5 * value[0].numel()) ** 0.5
        state[key] = value
    return state
