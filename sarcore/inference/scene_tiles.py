"""Where the tiles of a scene lie: bands of finished rows, the rows that each needs, and what each tile keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from sarcore.ops import PatchGrid


class Tile(NamedTuple):
    """What a tile reads and which part of that it keeps, along the width: (begin, end) in columns of the scene."""

    read: tuple[int, int]
    keep: tuple[int, int]


class CroppedTiles:
    """Tiles without blending: each reads more than it keeps, and never beyond the scene.

    >>> tiles = CroppedTiles((100, 130), (40, 64), (3, 3))
    >>> [tiles.rows(band) for band in range(tiles.bands)]
    [(0, 40), (40, 80), (80, 100)]
    >>> [tiles.span(band) for band in range(tiles.bands)]
    [(0, 46), (37, 83), (54, 100)]
    >>> [tile.keep for tile in tiles.across()]
    [(0, 64), (64, 128), (128, 130)]

    All tiles read the same size: that of what they keep and `margin` on both sides, or the side of the scene where that
    is less. At a border of the scene the tile is pushed inwards. So between what is kept and any end of a tile that is
    no border of the scene lie at least `margin` pixels: an operator of that reach cannot tell the tile from the scene.

    With `align`, of which size and margin are multiples, every tile begins at a multiple of it: a network that halves
    its images then halves the tile as it halves the scene. The last tile may read up to align - 1 pixels more.

    >>> [tile.read for tile in CroppedTiles((100, 130), (40, 64), (4, 4), align=4).across()]
    [(0, 72), (56, 130), (56, 130)]
    """

    def __init__(self, shape: Sequence[int], size: tuple[int, int], margin: tuple[int, int], *, align: int = 1) -> None:
        self._height, self._width = shape
        self._size, self._margin, self._align = size, margin, align

    @property
    def bands(self) -> int:
        """Rows of tiles."""
        return -(-self._height // self._size[0])

    def rows(self, band: int) -> tuple[int, int]:
        """The rows of the result that a row of tiles gives."""
        return band * self._size[0], min((band + 1) * self._size[0], self._height)

    def span(self, band: int) -> tuple[int, int]:
        """The rows of the scene that it reads."""
        return _window(band * self._size[0], self._size[0], self._margin[0], self._height, self._align)

    def across(self) -> list[Tile]:
        """The tiles of a row, from left to right."""
        size = self._size[1]
        return [
            Tile(
                _window(first, size, self._margin[1], self._width, self._align),
                (first, min(first + size, self._width)),
            )
            for first in range(0, self._width, size)
        ]

    def batches(self, most: int) -> Iterator[list[Tile]]:
        """The tiles of a row, up to so many of one size at a time."""
        for _, equal in groupby(self.across(), key=lambda tile: tile.read[1] - tile.read[0]):
            tiles = list(equal)
            yield from (tiles[first : first + most] for first in range(0, len(tiles), most))


class BlendedTiles:
    """Rows of overlapping patches: what of the result and of the scene belongs to each.

    >>> tiles = BlendedTiles(PatchGrid((100, 130), 64, 48))
    >>> [tiles.rows(band) for band in range(tiles.bands)]
    [(0, 48), (48, 100)]
    >>> [tiles.span(band) for band in range(tiles.bands)]
    [(0, 64), (48, 100)]
    >>> tiles.first_patch_row(1)
    0
    """

    def __init__(self, grid: PatchGrid) -> None:
        self.grid = grid

    @property
    def bands(self) -> int:
        """Rows of patches."""
        return self.grid.counts[0]

    def rows(self, band: int) -> tuple[int, int]:
        """The rows of the result that are finished with this row of patches and not before."""
        step = self.grid.stride[0]
        return band * step, (band + 1) * step if band + 1 < self.bands else self.grid.shape[0]

    def span(self, band: int) -> tuple[int, int]:
        """The rows of the scene that its patches show, mirrored rows below the scene included."""
        height, begin = self.grid.shape[0], band * self.grid.stride[0]
        end = begin + self.grid.size[0]
        mirrored = max(0, end - height)
        return max(0, min(begin, height - 1 - mirrored)), min(end, height)

    def first_patch_row(self, band: int) -> int:
        """The first row of patches that covers rows of the band."""
        (height, _), (step, _) = self.grid.size, self.grid.stride
        return max(0, (band * step - height) // step + 1)


def _window(first: int, size: int, margin: int, length: int, align: int) -> tuple[int, int]:
    wide = min(length, size + 2 * margin)
    begin = max(0, first - margin)
    if begin + wide <= length:
        return begin, begin + wide
    return (length - wide) // align * align, length  # pushed inwards
