"""Where pixels lie: bounds in longitude and latitude, and grids of square pixels in a coordinate system."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError
from sarcore.geo.raster import Affine6, Place, opened, place_of, project

_EDGE = 21  # points along a side: the sides of one system are curves in another
_LONGEST = 1 << 24  # pixels along a side, beyond which the numbers are surely a mistake
_SNAP = 1e-6  # of a pixel, by which a bound may miss the line of pixels that it means

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """A rectangle of longitudes and latitudes, in degrees.

    >>> Bounds.of(139.807069, 35.707233, 139.814111, 35.714069).north
    35.714069

    Raises ValueError for what is no such rectangle.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        text = f"{self.west:g} {self.south:g} {self.east:g} {self.north:g}"
        if not all(map(math.isfinite, (self.west, self.south, self.east, self.north))):
            raise ValueError(f"bounds must be finite degrees, got {text}")
        if self.south < -90 or self.north > 90:
            advice = "; is it given as latitude, longitude?" if abs(self.west) <= 90 and abs(self.east) <= 90 else ""
            raise ValueError(f"latitudes lie between -90 and 90, got bounds {text}{advice}")
        if self.west < -180 or self.east > 180:
            raise ValueError(f"longitudes lie between -180 and 180, got bounds {text}")
        if self.east - self.west > 180:
            raise ValueError(
                f"the bounds {text} are more than 180 degrees wide; do they cross the antimeridian? "
                "Take what lies on each side of it by itself"
            )
        if self.west >= self.east or self.south >= self.north:
            raise ValueError(f"the bounds {text} hold no area; give two opposite corners")

    @classmethod
    def of(cls, lon1: float, lat1: float, lon2: float, lat2: float) -> Bounds:
        """The rectangle of two opposite corners, in any order.

        >>> Bounds.of(10.0, 52.0, 9.0, 51.0)
        Bounds(west=9.0, south=51.0, east=10.0, north=52.0)
        """
        return cls(min(lon1, lon2), min(lat1, lat2), max(lon1, lon2), max(lat1, lat2))

    @classmethod
    def around(cls, points: Points) -> Bounds:
        """The rectangle around points (n, 2) of longitude and latitude."""
        return cls(*(float(v) for v in (*points.min(axis=0), *points.max(axis=0))))

    @property
    def middle(self) -> tuple[float, float]:
        """Longitude and latitude of the centre."""
        return (self.west + self.east) / 2, (self.south + self.north) / 2

    def outline(self) -> Points:
        """Points (n, 2) along the four sides."""
        return outline(self.west, self.south, self.east, self.north)

    def __str__(self) -> str:
        return f"longitude {self.west:.6g} to {self.east:.6g}, latitude {self.south:.6g} to {self.north:.6g}"


def outline(left: float, bottom: float, right: float, top: float, count: int = _EDGE) -> Points:
    """Points (n, 2) along the sides of a rectangle, corners among them.

    >>> outline(0, 0, 1, 2, count=3)[:3].tolist()
    [[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]
    """
    t = np.linspace(0.0, 1.0, count)
    x, y = left + t * (right - left), bottom + t * (top - bottom)
    sides = [(x, np.full_like(t, bottom)), (x, np.full_like(t, top)), (np.full_like(t, left), y)]
    return np.concatenate([np.stack(side, axis=1) for side in (*sides, (np.full_like(t, right), y))])


@dataclass(frozen=True)
class Grid:
    """Pixels in a coordinate system: column and row become x, y by the affine `transform` (a, b, c, d, e, f).

    >>> grid = Grid.utm_around(Bounds.of(139.807069, 35.707233, 139.814111, 35.714069), gsd=3.0)
    >>> grid.crs, grid.width, grid.height, grid.gsd
    ('EPSG:32654', 216, 256, (3.0, 3.0))

    x = a * column + b * row + c, y = d * column + e * row + f, at the upper left corner of a pixel.
    """

    crs: str
    transform: Affine6
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or max(self.width, self.height) > _LONGEST:
            raise ValueError(f"a grid has 1 to {_LONGEST} pixels along a side, got {self.width} x {self.height}")

    @property
    def place(self) -> Place:
        """Coordinate system and transform."""
        return Place(self.crs, self.transform)

    @property
    def gsd(self) -> tuple[float, float]:
        """Width and height of a pixel, in the unit of the system (metres for UTM)."""
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top in the grid's own system."""
        corners = self._corners(2)
        return (*map(float, corners.min(axis=0)), *map(float, corners.max(axis=0)))  # type: ignore[return-value]

    def lonlat(self) -> Bounds:
        """The rectangle of longitudes and latitudes around the grid.

        >>> Grid("EPSG:4326", (0.5, 0, 10, 0, -0.5, 50), 4, 2).lonlat()
        Bounds(west=10.0, south=49.0, east=12.0, north=50.0)
        """
        return Bounds.around(project(self.outline(), self.crs, "EPSG:4326"))

    def extent(self) -> str:
        """What the grid covers, in words; in its own system where that is no rectangle of longitudes and latitudes.

        >>> Grid("EPSG:3413", (1000, 0, -50000, 0, -1000, 50000), 100, 100).extent()
        'x -50000 to 50000, y -50000 to 50000 in EPSG:3413'
        """
        try:
            return str(self.lonlat())
        except ValueError:  # a pole, the antimeridian, or longitudes from 0 to 360
            left, bottom, right, top = self.bounds
            name = self.crs if self.crs.startswith("EPSG:") else self.crs[:60]
            return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g} in {name}"

    def middle(self) -> tuple[float, float]:
        """Longitude, from -180 to 180, and latitude of the centre.

        >>> Grid("EPSG:4326", (0.1, 0, 200, 0, -0.1, 50), 20, 20).middle()
        (-159.0, 49.0)
        """
        a, b, c, d, e, f = self.transform
        x, y = self.width / 2, self.height / 2
        here = np.array([[a * x + b * y + c, d * x + e * y + f]])
        lon, lat = (float(v) for v in project(here, self.crs, "EPSG:4326")[0])
        if not (math.isfinite(lon) and math.isfinite(lat)):
            raise DataError(f"the middle of {self.extent()} has no longitude and latitude; name a system (crs)")
        return (lon + 180) % 360 - 180, lat

    def outline(self) -> Points:
        """Points (n, 2) along the four sides, in the grid's own system."""
        return self._corners(_EDGE)

    def _corners(self, count: int) -> Points:
        a, b, c, d, e, f = self.transform
        places = outline(0.0, 0.0, float(self.width), float(self.height), count)
        there: Points = places @ np.array([[a, d], [b, e]]) + np.array([c, f])
        return there

    @classmethod
    def around(cls, bounds: Bounds, crs: str, gsd: float) -> Grid:
        """The grid in `crs` that covers the bounds, north up, its lines at whole multiples of `gsd`.

        So grids of one system and one gsd fit each other, whatever their bounds.
        """
        return cls.over(project(bounds.outline(), "EPSG:4326", crs), crs, gsd)

    @classmethod
    def over(cls, points: Points, crs: str, gsd: float) -> Grid:
        """The grid that covers points (n, 2) of its own system; see `around`.

        >>> Grid.over(np.array([[3.0, 7.0], [41.0, 29.5]]), "EPSG:32654", 10.0).bounds
        (0.0, 0.0, 50.0, 30.0)
        """
        if not (math.isfinite(gsd) and gsd > 0):
            raise ValueError(f"gsd must be a positive number of the unit of the coordinate system, got {gsd:g}")
        if not np.isfinite(points).all():
            raise DataError(f"the area has no finite coordinates in {crs}; choose another coordinate system")
        first, last = np.floor(points.min(axis=0) / gsd + _SNAP), np.ceil(points.max(axis=0) / gsd - _SNAP)
        width, height = (max(int(side), 1) for side in last - first)
        return cls(crs, (gsd, 0.0, float(first[0] * gsd), 0.0, -gsd, float(last[1] * gsd)), width, height)

    @classmethod
    def utm_around(cls, bounds: Bounds, gsd: float) -> Grid:
        """The grid in the UTM zone of the middle of the bounds; `gsd` in metres.

        Raises ValueError beyond the latitudes of UTM, -80 and 84.
        """
        return cls.around(bounds, utm_zone(*bounds.middle), gsd)

    @classmethod
    def from_file(cls, path: str | Path, crs: str | None = None) -> Grid:
        """The grid of a georeferenced file; `crs` is that of a file that names none.

        Raises DataError for a file without a place.
        """
        with opened(Path(path)) as dataset:
            return cls.of(dataset, crs)

    @classmethod
    def of(cls, dataset: Any, crs: str | None = None) -> Grid:
        """The grid of an opened dataset."""
        place = place_of(dataset, crs)
        return cls(place.crs, place.transform, int(dataset.width), int(dataset.height))


def utm_zone(lon: float, lat: float) -> str:
    """EPSG code of the UTM zone (WGS 84) of a point: 326zz in the north, 327zz in the south.

    >>> utm_zone(139.81, 35.71), utm_zone(-60.0, -3.0)
    ('EPSG:32654', 'EPSG:32721')

    Six degrees each; the wider zones of Norway and Svalbard are not looked for.
    """
    if not -80 <= lat <= 84:
        raise ValueError(f"UTM ends at the latitudes -80 and 84, got {lat:g}; name a coordinate system (crs)")
    zone = min(int((lon + 180) // 6), 59) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"
