"""Slippy-map tiles: Web-Mercator (EPSG:3857) cut into 2^zoom by 2^zoom squares, counted from the north-west."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sarcore.geo.grid import Bounds, Grid

RADIUS = 6378137.0  # of the sphere, metres
HALF = math.pi * RADIUS  # from the middle of the world to its edge, metres
LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))  # of the upper edge, 85.0511
ZOOMS = 30
_SNAP = 1e-6  # of a pixel


def position(lon: float, lat: float, zoom: int) -> tuple[float, float]:
    """Column and row of a point in units of tiles, as fractions.

    >>> [math.floor(v) for v in position(139.8107, 35.7101, 18)]
    [232879, 103200]

    x = 2^z (lon + 180) / 360, y = 2^z (1 - asinh(tan lat) / pi) / 2.

    Raises ValueError for points outside of Web-Mercator and zooms that are not 0 to 30.

    Source: OpenStreetMap wiki, "Slippy map tilenames".
    """
    if not 0 <= zoom <= ZOOMS:
        raise ValueError(f"zoom must be 0 to {ZOOMS}, got {zoom}")
    if not (abs(lon) <= 180 and abs(lat) <= LATITUDE):
        raise ValueError(
            f"Web-Mercator ends at the longitudes 180 and the latitudes {LATITUDE:.4f}, got {lon:g} {lat:g}; "
            "points are given as longitude, latitude"
        )
    side = 2.0**zoom
    return side * (lon + 180) / 360, side * (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2


@dataclass(frozen=True)
class TileWindow:
    """Pixels of the mosaic of all tiles of a zoom: first column and row, width and height.

    >>> window = TileWindow.centred(139.8107, 35.7101, 18, 1536, 1536)
    >>> len(list(window.tiles())), window.grid().gsd[0]
    (49, 0.597...)

    Raises ValueError where it leaves the world.
    """

    zoom: int
    column: int
    row: int
    width: int
    height: int
    tile: int = 256

    def __post_init__(self) -> None:
        side = self.tile << self.zoom
        if min(self.width, self.height, self.tile) < 1:
            raise ValueError(f"a window has at least one pixel, got {self.width} x {self.height}")
        if min(self.column, self.row) < 0 or self.column + self.width > side or self.row + self.height > side:
            raise ValueError(
                f"{self.width} x {self.height} pixels there leave the map of {side} x {side} at zoom {self.zoom}"
            )

    @classmethod
    def centred(cls, lon: float, lat: float, zoom: int, width: int, height: int, tile: int = 256) -> TileWindow:
        """The window whose middle is nearest to a point, to half a pixel."""
        x, y = position(lon, lat, zoom)
        return cls(zoom, round(x * tile - width / 2), round(y * tile - height / 2), width, height, tile)

    @classmethod
    def of(cls, bounds: Bounds, zoom: int, tile: int = 256) -> TileWindow:
        """All pixels that bounds touch."""
        left, top = (v * tile for v in position(bounds.west, bounds.north, zoom))
        right, bottom = (v * tile for v in position(bounds.east, bounds.south, zoom))
        column, row = math.floor(left + _SNAP), math.floor(top + _SNAP)
        width, height = math.ceil(right - _SNAP) - column, math.ceil(bottom - _SNAP) - row
        return cls(zoom, column, row, max(width, 1), max(height, 1), tile)

    def grid(self) -> Grid:
        """Where its pixels lie in EPSG:3857.

        The metres there are those of the equator: on the ground a pixel is cos(latitude) as wide.
        """
        gsd = 2 * HALF / (self.tile << self.zoom)
        transform = (gsd, 0.0, self.column * gsd - HALF, 0.0, -gsd, HALF - self.row * gsd)
        return Grid("EPSG:3857", transform, self.width, self.height)

    def rows(self) -> range:
        """Numbers y of the tiles that it touches."""
        return range(self.row // self.tile, (self.row + self.height - 1) // self.tile + 1)

    def columns(self) -> range:
        """Numbers x of the tiles that it touches."""
        return range(self.column // self.tile, (self.column + self.width - 1) // self.tile + 1)

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Numbers (x, y) of the tiles, row by row."""
        return ((x, y) for y in self.rows() for x in self.columns())
