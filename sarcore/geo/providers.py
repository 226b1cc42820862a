"""What a source of satellite images offers: search for scenes, and the files of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from sarcore.geo.grid import Bounds

Point = tuple[float, float]


@dataclass(frozen=True)
class Checksum:
    """Name of a hash function of `hashlib`, and the value in hexadecimal digits."""

    algorithm: str
    value: str


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address; size in bytes and checksum where the provider says them."""

    url: str
    name: str
    size: int | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True)
class Item:
    """A scene that was found.

    `link` is where its files are listed, `tiles` the address of its map tiles, where the provider has these.
    """

    id: str
    collection: str
    bounds: Bounds | None = None
    time: str | None = None
    link: str | None = None
    tiles: str | None = None
    files: tuple[RemoteFile, ...] = ()


class Provider(Protocol):
    """Search and list; see `sarcore.geo.tellus` and `sarcore.geo.stac`."""

    def search(
        self,
        place: Point | Bounds,
        *,
        start: str | None = None,
        end: str | None = None,
        collection: str | None = None,
        limit: int = 100,
    ) -> list[Item]:
        """Scenes that hold the point (longitude, latitude) or touch the bounds, within the days from start to end."""

    def files(self, item: Item) -> list[RemoteFile]:
        """The files of a scene."""


def area_of(place: Point | Bounds) -> tuple[float, float, float, float]:
    """West, south, east and north of bounds, or a point twice.

    >>> area_of((139.8, 35.7))
    (139.8, 35.7, 139.8, 35.7)

    Raises ValueError for a point that is none.
    """
    if isinstance(place, Bounds):
        return place.west, place.south, place.east, place.north
    lon, lat = place
    if not (abs(lon) <= 180 and abs(lat) <= 90):
        raise ValueError(f"a point is given as longitude, latitude in degrees, got {lon:g} {lat:g}")
    return lon, lat, lon, lat


def covers(bounds: Bounds, place: Point | Bounds) -> bool:
    """Whether a scene's bounds hold a point in their inside, or share area with other bounds.

    >>> covers(Bounds(0, 0, 2, 2), (1.0, 1.0)), covers(Bounds(0, 0, 2, 2), (2.0, 1.0))
    (True, False)
    """
    west, south, east, north = area_of(place)
    return bounds.west < east and west < bounds.east and bounds.south < north and south < bounds.north


def day(text: str, *, end: bool = False) -> datetime:
    """A day or a time as a moment in UTC; a day's `end` is its last microsecond.

    >>> day("2018-10-18", end=True).isoformat()
    '2018-10-18T23:59:59.999999+00:00'

    Raises ValueError for a text that is no ISO 8601 date.
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ValueError(f"{text!r} is no date; write it as 2018-10-18 or 2018-10-18T09:30:00Z") from error
    if end and len(text) == 10:
        found = found.replace(hour=23, minute=59, second=59, microsecond=999999)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def span(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Both ends of a time; ValueError where the end comes first."""
    first, last = None if start is None else day(start), None if end is None else day(end, end=True)
    if first is not None and last is not None and last < first:
        raise ValueError(f"the end {end} lies before the start {start}")
    return first, last
