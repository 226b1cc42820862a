"""The tiles of a scene from which the normalisations of a network get their statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sarcore.data.images import write_bytes
from sarcore.inference.norm_statistics import (
    Core,
    Statistics,
    View,
    footprint,
    needs_statistics,
    with_exact_statistics,
    with_sample_statistics,
)
from sarcore.inference.scene_pixels import Array, ScenePixels
from sarcore.inference.scene_tiles import CroppedTiles
from sarcore.models.any_size import pad_reflect, padded_size
from sarcore.models.translation import to_network

_SAMPLE, _SIDE = 16, 256  # tiles and their side
_GRID = 8  # at most as many places along a side of the scene, from which they are drawn
_ENOUGH = 0.5  # share of pixels with data in a tile of the sample


def exact_network(
    network: nn.Module,
    pixels: ScenePixels,
    tiles: CroppedTiles,
    batch: int,
    device: torch.device,
    on_layer: Callable[[int, int], None] | None = None,
    keep: KeptStatistics | None = None,
) -> nn.Module:
    """A copy of the network with the statistics of the whole scene, through which it passes once per normalisation.

    What is found is kept in `keep`, and what is found there is not looked for again.
    """
    height, width = pixels.scene.shape[1:]

    def all_tiles() -> Iterator[tuple[Tensor, View]]:
        bands = range(tiles.bands)
        for band, raw in zip(bands, pixels.bands(map(tiles.span, bands)), strict=True):
            top, (begin, end) = tiles.span(band)[0], tiles.rows(band)
            x, valid = pixels.prepared(raw), _valid(pixels, raw)
            for some in tiles.batches(batch):
                reads = [slice(*tile.read) for tile in some]
                cores = [
                    (
                        begin - top, None if end == height else end - top,
                        tile.keep[0] - tile.read[0], None if tile.keep[1] == width else tile.keep[1] - tile.read[0],
                    )
                    for tile in some
                ]  # fmt: skip
                yield _shown(
                    network,
                    torch.stack([x[:, :, read] for read in reads]).to(device),
                    cores,
                    None if valid is None else torch.stack([valid[:, read] for read in reads]),
                )

    def found(known: int, of: int, statistics: Statistics) -> None:
        if keep is not None:
            keep.save(statistics)
        if on_layer is not None:
            on_layer(known, of)

    return with_exact_statistics(network, all_tiles, found, None if keep is None else keep.load())


class KeptStatistics:
    """A file with the statistics that are known so far, beside a result that is not complete.

    >>> from tempfile import mkdtemp
    >>> kept = KeptStatistics(Path(mkdtemp()) / "a.tif.statistics", {"size": 64})
    >>> kept.save({"layer": ([0.1], [2.0])})
    >>> kept.load(), KeptStatistics(kept.path, {"size": 32}).load()
    ({'layer': [[0.1], [2.0]]}, {})

    Args:
        path: of the file.
        about: what the statistics are of; those of something else are not taken.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._about: dict[str, Any] = json.loads(json.dumps(about))

    def load(self) -> Statistics:
        """What was kept; nothing where there is no such file, or one of something else."""
        try:
            kept = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return kept["statistics"] if isinstance(kept, dict) and kept.get("about") == self._about else {}

    def save(self, statistics: Statistics) -> None:
        """Keep these; numbers come back with every bit."""
        write_bytes(self.path, json.dumps({"about": self._about, "statistics": statistics}).encode())

    def remove(self) -> None:
        """They are not needed any more."""
        self.path.unlink(missing_ok=True)


def frozen_network(network: nn.Module, pixels: ScenePixels, device: torch.device) -> nn.Module:
    """A copy of the network with the statistics of tiles from all over the scene, the same ones each time."""
    multiple, minimum = footprint(network)
    side = padded_size(_SIDE, multiple, minimum)
    windows = _windows(pixels, side)
    x = torch.stack([pixels.prepared(raw) for raw in windows]).to(device)
    masks = [_valid(pixels, raw) for raw in windows]
    core = *_middle(x.shape[2], side, multiple), *_middle(x.shape[3], side, multiple)
    whole = [torch.ones(x.shape[2:], dtype=torch.bool) if mask is None else mask for mask in masks]
    valid = None if all(mask is None for mask in masks) else torch.stack(whole)
    return with_sample_statistics(network, *_shown(network, x, [core] * len(windows), valid))


def whole_network(network: nn.Module, pixels: ScenePixels, device: torch.device) -> nn.Module:
    """The network for a scene in one piece, with statistics that leave out pixels without data; itself if all have."""
    raw = pixels.window(0, 0, *pixels.scene.shape[1:])
    valid = _valid(pixels, raw)
    if valid is None or not needs_statistics(network):
        return network
    x = pixels.prepared(raw)[None].to(device)
    return with_sample_statistics(network, *_shown(network, x, [(0, None, 0, None)], valid[None]))


def _middle(length: int, side: int, multiple: int) -> tuple[int, int | None]:
    """What of a tile is far enough from its ends not to show much of what the layers pad there."""
    edge = side // 8 // multiple * multiple
    return (edge, (length - edge) // multiple * multiple) if length == side and edge else (0, None)


def _windows(pixels: ScenePixels, side: int) -> list[Array]:
    """Windows of a scene, of those that have data where there are such."""
    height, width = (min(side, length) for length in pixels.scene.shape[1:])
    rows, columns = (
        np.linspace(0, length - own, min(_GRID, -(-length // own))).astype(int)
        for length, own in zip(pixels.scene.shape[1:], (height, width), strict=True)
    )
    places = [(int(row), int(column)) for row in rows for column in columns]
    found: list[Array] = []
    poor: list[Array] = []
    for number in np.random.default_rng(0).permutation(len(places)):
        row, column = places[number]
        raw = pixels.window(row, column, height, width)
        valid = pixels.valid(raw)
        (found if valid is None or valid.mean() >= _ENOUGH else poor).append(raw)
        if len(found) == _SAMPLE:
            break
        del poor[_SAMPLE:]
    return found or poor


def _valid(pixels: ScenePixels, raw: Array) -> Tensor | None:
    found = pixels.valid(raw)
    return None if found is None else torch.from_numpy(found)


def _shown(network: nn.Module, x: Tensor, cores: list[Core], valid: Tensor | None) -> tuple[Tensor, View]:
    """Tiles in [0, 1] as the network takes them, and the view of what it makes of them: padded to its multiple."""
    multiple, minimum = footprint(network)
    height, width = (padded_size(length, multiple, minimum) for length in x.shape[-2:])
    mask = None if valid is None else pad_reflect(valid[None], height, width)[0].to(x.device)
    return to_network(x.float()), View((height, width), cores, mask)
