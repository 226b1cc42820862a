"""Instance normalisation with the statistics of a scene instead of those of each tile.

An instance normalisation subtracts the mean of the image that it sees and divides by its deviation. Tile by tile these
are the numbers of each tile, so that neighbouring tiles differ in brightness and contrast: the seams of translated
scenes. With statistics that hold for the whole scene a network is an operator of limited reach, and tiles that see that
reach around them (`CroppedTiles`) give the scene in one piece. Two ways to the statistics:

``frozen``: a sample of tiles passes through the network together; each layer's statistics are those of the sample.

``global``: those of the whole scene, exactly. The input of layer k depends on the statistics of the layers before it,
    so the scene streams through the network once for each layer, as far as that layer, and every value of its input is
    counted once, in float64. That tiled equals whole then rests on three things:

    * A tile begins at a multiple of the network's halvings, so its pixels are paired as the scene's are, and the part
      of it that counts, its core, is whole rows and columns at every layer's resolution. The cores of all tiles are the
      scene, without overlap.
    * Around its core a tile has at least the network's reach of pixels of the scene, so what the layers pad at its ends
      does not get into the core.
    * Where the tile ends with the scene there is nothing around; there the layers pad the tile as they pad the scene. A
      scene whose size is no multiple is continued by reflection to the right and below (`sarcore.models.any_size`), and
      so is its last tile, by the same pixels; in the whole image they count, so they belong to the last core.

Pixels without data are left out of the statistics: a value at an inner layer counts where half of its pixels have data.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sarcore.models import KerasLegacyNorm

NormStats = Literal["frozen", "global", "patch"]
Statistics: TypeAlias = "dict[str, tuple[list[float], list[float]]]"
Core: TypeAlias = "tuple[int, int | None, int, int | None]"
"""First and last row (not included), first and last column that count; None: to the end, what is padded included."""


@dataclass(frozen=True)
class View:
    """What of a batch of tiles counts: a core for each, in pixels of the tiles padded to `size`."""

    size: tuple[int, int]
    cores: Sequence[Core]
    valid: Tensor | None = None  # (N, h, w) of the padded tiles; None where all pixels have data


def needs_statistics(network: nn.Module) -> bool:
    """Whether a network normalises by the statistics of the image that it sees.

    >>> needs_statistics(nn.InstanceNorm2d(4)), needs_statistics(nn.BatchNorm2d(4))
    (True, False)
    """
    return any(_by_image(layer) for layer in network.modules())


def with_sample_statistics(network: nn.Module, x: Tensor, view: View) -> nn.Module:
    """A copy of the network whose normalisations have the statistics of a sample, (N, C, h, w).

    >>> sample = torch.randn(4, 1, 8, 8) * 3 + 5
    >>> fixed = with_sample_statistics(nn.InstanceNorm2d(1), sample, View((8, 8), [(0, None, 0, None)] * 4))
    >>> bool(torch.allclose(fixed(sample), (sample - sample.mean()) / sample.std(), atol=1e-2))
    True
    """
    layers, measured = _measuring(network)
    for layer in layers:
        layer.view, layer.alone = view, False
    with torch.no_grad():
        measured(x)
    return _fixed(measured)


def with_exact_statistics(
    network: nn.Module,
    tiles: Callable[[], Iterable[tuple[Tensor, View]]],
    on_layer: Callable[[int, int, Statistics], None] | None = None,
    known: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> nn.Module:
    """A copy of the network whose normalisations have the statistics of all tiles, whose cores are the scene.

    >>> x = torch.randn(1, 1, 8, 16)
    >>> halves = lambda: [(half, View((8, 8), [(0, None, 0, None)])) for half in x.split(8, dim=3)]
    >>> fixed = with_exact_statistics(nn.InstanceNorm2d(1), halves)
    >>> bool(torch.allclose(fixed(x), nn.InstanceNorm2d(1)(x), atol=1e-6))
    True

    `tiles` gives all of them, batch by batch, each time it is called: once for every normalisation. `on_layer` hears
    how many of how many are known, and these: by the name of the layer the mean and the variance of each channel. They
    may be given back as `known`, to go on from there.
    """
    layers, measured = _measuring(network)
    device = next((value.device for value in network.parameters()), torch.device("cpu"))
    found: Statistics = {name: (list(values[0]), list(values[1])) for name, values in (known or {}).items()}
    for layer in layers:
        if layer.name in found:
            layer.fix(*(torch.tensor(values, dtype=torch.float64, device=device) for values in found[layer.name]))
    for _ in range(len(layers) - len(found)):
        reached = None
        for x, view in tiles():
            for layer in layers:
                layer.view = view
            reached = _reached(measured, x)
            if reached is None:
                break
        if reached is None:
            break  # the layers that are left have no part in the result
        mean, variance = reached.moments()
        reached.fix(mean, variance)
        found[reached.name] = mean.tolist(), variance.tolist()
        if on_layer is not None:
            on_layer(len(found), len(layers), found)
    return _fixed(measured)


# ------ one normalisation


class _Reached(Exception):  # noqa: N818  no error: it ends a pass as soon as its layer has counted
    def __init__(self, layer: _Measured) -> None:
        super().__init__()
        self.layer = layer


class _Measured(nn.Module):
    """A normalisation whose statistics are being found, and then are fixed."""

    def __init__(self, layer: nn.Module, name: str) -> None:
        super().__init__()
        self.layer, self.name = layer, name
        self.fixed: nn.Module | None = None
        self.view: View | None = None
        self.alone = True  # whether the values that follow wait for the statistics of more tiles
        self._count = 0
        self._mean = self._squares = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, if the statistics are known."""
        if self.fixed is None:
            self._add(x)
            if self.alone:
                raise _Reached(self)
            self.fix(*self.moments())
            assert self.fixed is not None
        y: Tensor = self.fixed(x)
        return y

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel over the values seen so far; 0 and 1 where there were none."""
        return self._mean, self._squares / self._count if self._count else torch.ones_like(self._mean)

    def fix(self, mean: Tensor, variance: Tensor) -> None:
        """These are the statistics, in float64."""
        self.fixed = _batch_norm(self.layer, mean, variance)

    def _add(self, x: Tensor) -> None:
        assert self.view is not None
        for number, image in enumerate(x):
            rows, columns, step = _at(self.view, number, image.shape[-2:])
            values = image[:, rows, columns].flatten(1)
            if self.view.valid is not None:
                share = F.avg_pool2d(self.view.valid[None, number].to(x), step)[0, rows, columns]
                values = values[:, share.flatten() >= 0.5]
            self._merge(values.double())

    def _merge(self, values: Tensor) -> None:
        """Join the moments (C, P) of some values to those before: exact where one square of large sums is not."""
        count = values.shape[1]
        if count == 0 and self._mean.ndim:
            return
        mean = values.mean(dim=1) if count else values.new_zeros(len(values))
        squares = (values - mean[:, None]).square().sum(dim=1)
        if self._mean.ndim == 0:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total, apart = self._count + count, mean - self._mean
        self._squares = self._squares + squares + apart.square() * (self._count * count / total)
        self._mean = self._mean + apart * (count / total)
        self._count = total


def _at(view: View, number: int, size: torch.Size) -> tuple[slice, slice, int]:
    """The core of a tile at a layer of that size, and how many pixels of the tile a value stands for along a side."""
    top, bottom, left, right = view.cores[number]
    step = view.size[0] // size[0]
    ends = [0 if end is None else end for end in (bottom, right)]
    if (step * size[0], step * size[1]) != view.size or any(end % step for end in (top, left, *ends)):
        raise ValueError(
            f"the network normalises images of {size[0]} x {size[1]} where its tiles have {view.size[0]} x "
            f"{view.size[1]} pixels; statistics of a scene need layers whose size divides that of the tiles"
        )
    rows, columns = (slice(a // step, None if b is None else b // step) for a, b in ((top, bottom), (left, right)))
    return rows, columns, step


def _by_image(layer: nn.Module) -> bool:
    return isinstance(layer, KerasLegacyNorm) or (
        isinstance(layer, nn.InstanceNorm2d) and not layer.track_running_stats
    )


def _batch_norm(layer: nn.Module, mean: Tensor, variance: Tensor) -> nn.Module:
    """The normalisation by these statistics of each channel, as a batch normalisation that has learned them."""
    assert isinstance(layer, (KerasLegacyNorm, nn.InstanceNorm2d))
    eps = layer.eps
    if isinstance(layer, KerasLegacyNorm):  # over the channels too, eps beside the deviation
        variance = (variance + (mean - mean.mean()).square()).mean().expand_as(mean)
        variance, mean, eps = (variance.sqrt() + eps).square(), mean.mean().expand_as(mean), 0.0
    fixed = nn.BatchNorm2d(len(mean), eps, affine=layer.weight is not None, device=mean.device)
    assert fixed.running_mean is not None
    assert fixed.running_var is not None
    with torch.no_grad():
        fixed.running_mean.copy_(mean)
        fixed.running_var.copy_(variance)
        if layer.weight is not None:
            fixed.weight.copy_(layer.weight.expand_as(mean))
            fixed.bias.copy_(layer.bias.expand_as(mean))
    return fixed.eval()


# ------ all of a network


def _measuring(network: nn.Module) -> tuple[list[_Measured], nn.Module]:
    whole = nn.Sequential(copy.deepcopy(network).eval())  # so that the network itself may be a normalisation
    layers = []
    for path, module in list(whole.named_modules()):
        for name, child in list(module.named_children()):
            if _by_image(child):
                layers.append(_Measured(child, f"{path}.{name}"))
                setattr(module, name, layers[-1])
    return layers, whole


def _reached(network: nn.Module, x: Tensor) -> _Measured | None:
    """The normalisation whose statistics are not known yet and that has counted these tiles."""
    try:
        with torch.no_grad():
            network(x)
    except _Reached as end:
        return end.layer
    return None


def _fixed(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _Measured):
                setattr(module, name, child.layer if child.fixed is None else child.fixed)
    first: nn.Module = network[0]  # type: ignore[index]
    return first


def footprint(network: nn.Module) -> tuple[int, int]:
    """The multiple that a network wants its sides to be, and the least side.

    >>> from sarcore.models import ResNetGenerator
    >>> footprint(ResNetGenerator(1, 1, width=4, blocks=1)), footprint(nn.Conv2d(1, 1, 3))
    ((4, 8), (1, 1))
    """
    multiple = int(getattr(network, "multiple", 1))
    minimum = int(getattr(network, "minimum", multiple))
    return multiple, math.ceil(minimum / multiple) * multiple
