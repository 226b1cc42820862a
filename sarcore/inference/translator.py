"""`Translator`: one direction of a trained translation, with what its input and its output mean."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn

from sarcore.models.translation import Direction, check_direction, from_network, to_network
from sarcore.ops import Radiometry
from sarcore.ops._checks import floating_images, integer
from sarcore.ops.encode import check_radiometry

_Layers = (nn.Conv2d, nn.ConvTranspose2d)


class Translator:
    """A generator with the radiometries of the images that it takes and gives: all that a direction needs.

    >>> network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh())
    >>> translator = Translator(network, Radiometry("db", -25, 0), Radiometry("digital", 0, 255), direction="AtoB")
    >>> translator.channels, translator(torch.rand(2, 1, 40, 30)).shape
    ((1, 3), torch.Size([2, 3, 40, 30]))

    The network works on [-1, 1], images are in [0, 1] as their radiometry encodes them:

        y = (network(2 x - 1) + 1) / 2        times speckle, in the physical unit, where there is a speckle layer

    Args:
        network: (N, C, H, W) -> (N, C', H, W); it is put into eval mode here.
        source: radiometry of the input's domain.
        target: radiometry of the output's domain.
        kind: what was trained: ``cyclegan`` or ``pix2pix``.
        direction: ``AtoB`` (SAR to optical) or ``BtoA``.
        weights: which weights of the run these are, in words.
        speckle: a `sarcore.nn.SpeckleLayer` that makes the network's reflectivity the image of a radar.
        channels: of input and output; those of the first and the last convolution unless given.
        seed: of the speckle.

    Raises:
        TypeError: what is no network, or no radiometry.
        ValueError: another direction; channels that cannot be told and are not given.
    """

    def __init__(
        self,
        network: nn.Module,
        source: Radiometry,
        target: Radiometry,
        *,
        kind: str = "",
        direction: Direction,
        weights: str = "",
        speckle: nn.Module | None = None,
        channels: tuple[int, int] | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise TypeError(f"network must be a torch.nn.Module, got {type(network).__name__}")
        check_radiometry(source)
        check_radiometry(target)
        self.network = network.eval()
        self.source, self.target = source, target
        self.kind, self.weights = kind, weights
        self.direction: Direction = check_direction(direction)
        self.speckle = None if speckle is None else speckle.eval()
        self.channels = _channels(network) if channels is None else channels
        self.seed = integer(seed, "seed", 0, 2**63 - 1)

    def __call__(self, x: torch.Tensor, positions: torch.Tensor | None = None, *, index: int = 0) -> torch.Tensor:
        """Translate images.

        Args:
            x: (N, C, H, W) floating, in [0, 1] as `source` encodes.
            positions: (N, 2) row and column of each image in one scene, so that the speckle of a tile is that of the
                scene; without them each is an image of its own.
            index: number of that scene, or of the first image: other numbers have other speckle.

        Returns:
            (N, C', H, W) float32, in [0, 1] as `target` encodes.

        Raises:
            TypeError, ValueError: x is no floating tensor (N, C, H, W) with the channels of the network.
        """
        x = floating_images(x, "x")
        if x.shape[1] != self.channels[0]:
            raise ValueError(f"x must have {self.channels[0]} channels, which {self} takes, got {x.shape[1]}")
        with torch.no_grad():
            y = from_network(self.network(to_network(x.float()))).clamp_(0, 1)  # rounding must not reach `decode`
            if self.speckle is None:
                return y
            numbers, origin = torch.arange(index, index + len(x)), torch.zeros(len(x), 2, dtype=torch.int64)
            if positions is not None:  # every tile is a part of the same image
                numbers, origin = torch.full((len(x),), index), positions.cpu()
            speckled: torch.Tensor = self.speckle(y, seed=self.seed, index=numbers, origin=origin)
            return speckled

    def checksum(self) -> str:
        """Of the weights of the network and the speckle with its seed: the same for the same translations."""
        found = 0 if self.speckle is None else zlib.crc32(str(self.seed).encode())
        for part in (self.network, self.speckle):
            for name, value in () if part is None else part.state_dict().items():
                found = zlib.crc32(name.encode(), found)
                found = zlib.crc32(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data, found)
        return f"{found:08x}"

    def to(self, device: str | torch.device) -> Translator:
        """This translator on a device; its networks are moved."""
        self.network.to(device)
        if self.speckle is not None:
            self.speckle.to(device)
        return self

    def changed(self, network: nn.Module) -> Translator:
        """The same translator with another network."""
        given: dict[str, Any] = {
            name: getattr(self, name) for name in ("kind", "direction", "weights", "speckle", "channels", "seed")
        }
        return Translator(network, self.source, self.target, **given)

    def __repr__(self) -> str:
        words = " ".join(word for word in (self.kind, self.direction, self.weights) if word)
        return f"Translator({words}, {self.channels[0]} -> {self.channels[1]} channels)"


def _channels(network: nn.Module) -> tuple[int, int]:
    """Of the first and the last convolution, in the order in which they were declared."""
    layers = [layer for layer in network.modules() if isinstance(layer, _Layers)]
    if not layers:
        raise ValueError("channels must be given as (in, out) for a network without convolutions")
    return layers[0].in_channels, layers[-1].out_channels
