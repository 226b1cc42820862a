"""Bands of finished rows of a result: by cropped tiles, or blended from overlapping patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch

from sarcore.inference.scene_pixels import Array, PatchFunction, ScenePixels
from sarcore.inference.scene_tiles import BlendedTiles, CroppedTiles
from sarcore.ops import PatchMerger, extract_patches


class CroppedRows:
    """Every tile alone: of its result the part is kept that the surroundings of the tile cannot have changed."""

    def __init__(self, pixels: ScenePixels, function: PatchFunction, tiles: CroppedTiles, batch: int) -> None:
        self.tiles = tiles
        self._pixels, self._function, self._batch = pixels, function, batch

    def compute(self, bands: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """The rows (C', r, W) of each of the bands."""
        for band, raw in zip(bands, self._pixels.bands(map(self.tiles.span, bands)), strict=True):
            top, (begin, end) = self.tiles.span(band)[0], self.tiles.rows(band)
            x = self._pixels.prepared(raw)
            rows: Array | None = None
            for some in self.tiles.batches(self._batch):
                y = self._function(
                    torch.stack([x[:, :, slice(*tile.read)] for tile in some]),
                    torch.tensor([(top, tile.read[0]) for tile in some]),
                )
                if rows is None:
                    rows = np.empty((y.shape[1], end - begin, x.shape[2]), _dtype(y))
                for tile, result in zip(some, y, strict=True):
                    left, right = (column - tile.read[0] for column in tile.keep)
                    rows[:, :, slice(*tile.keep)] = result[:, begin - top : end - top, left:right].cpu().numpy()
            assert rows is not None
            yield band, self._pixels.restored(rows, raw[:, begin - top : end - top])

    def corner(self) -> Array:
        """What the first tile alone says of the upper left corner of the result."""
        (top, bottom), (begin, end) = self.tiles.span(0), self.tiles.rows(0)
        first = self.tiles.across()[0]
        raw = self._pixels.read(top, bottom)
        x = self._pixels.prepared(raw)[None, :, :, slice(*first.read)].clone()
        y = self._function(x, torch.zeros((1, 2), dtype=torch.int64))[0, :, begin:end, slice(*first.keep)]
        return self._pixels.restored(y.cpu().numpy(), raw[:, begin:end, slice(*first.keep)])


class BlendedRows:
    """Overlapping patches whose results are averaged with weights; rows are finished when no more patch covers them."""

    def __init__(
        self, pixels: ScenePixels, function: PatchFunction, tiles: BlendedTiles, window: str, batch: int
    ) -> None:
        self.tiles = tiles
        self._pixels, self._function, self._window, self._batch = pixels, function, window, batch

    def compute(self, bands: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """The rows (C', r, W) of each of the bands, which follow from the patches that cover them."""
        for _, run in groupby(enumerate(bands), key=lambda each: each[1] - each[0]):  # bands without a gap
            numbers = [band for _, band in run]
            yield from self._run(numbers[0], numbers[-1] + 1)

    def _run(self, first: int, last: int) -> Iterator[tuple[int, Array]]:
        grid = self.tiles.grid
        start = self.tiles.first_patch_row(first)
        merger: PatchMerger | None = None
        patch_rows = range(start, last)
        for row, raw in zip(patch_rows, self._pixels.bands(map(self.tiles.span, patch_rows)), strict=True):
            top = self.tiles.span(row)[0]
            x = self._pixels.prepared(raw)
            merged = []
            for positions in self._batches(row):
                y = self._patches(x, positions, top)
                if merger is None:
                    merger = PatchMerger(
                        grid.shape, grid.size, grid.stride, window=self._window, patch_rows=(start, last)
                    )
                finished = merger.add(y)
                if finished.shape[1]:  # mostly the last batch of a row finishes all, which then need not be copied
                    merged.append(finished)
            if row < first:
                continue  # rows that only lend their patches to the first band
            begin, end = self.tiles.rows(row)
            joined = merged[0] if len(merged) == 1 else torch.cat(merged, dim=1)
            rows = joined[:, begin - end :].cpu().numpy()
            yield row, self._pixels.restored(rows, raw[:, begin - top : end - top])

    def corner(self) -> Array:
        """What the first patch alone says of the corner that no other patch covers."""
        grid = self.tiles.grid
        top, bottom = self.tiles.span(0)
        raw = self._pixels.read(top, bottom)
        y = self._patches(self._pixels.prepared(raw), grid.positions(0, 1), top)
        alone = [
            side if count == 1 else step for side, count, step in zip(grid.shape, grid.counts, grid.stride, strict=True)
        ]
        inside = slice(None), slice(alone[0]), slice(alone[1])
        return self._pixels.restored(y[0][inside].cpu().numpy(), raw[inside])

    def _batches(self, row: int) -> Iterator[torch.Tensor]:
        across = self.tiles.grid.counts[1]
        for first in range(row * across, (row + 1) * across, self._batch):
            yield self.tiles.grid.positions(first, min(first + self._batch, (row + 1) * across))

    def _patches(self, x: torch.Tensor, positions: torch.Tensor, top: int) -> torch.Tensor:
        inside = positions - torch.tensor([top, 0])
        return self._function(extract_patches(x, self.tiles.grid.size, index=inside), positions)


def _dtype(y: torch.Tensor) -> np.dtype[np.generic]:
    return torch.empty(0, dtype=y.dtype).numpy().dtype
