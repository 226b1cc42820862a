"""Tellus (tellusxdp.com): scenes of ALOS-2/PALSAR-2 as files, and of ASNARO-1 as map tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarcore.errors import DataError
from sarcore.geo.grid import Bounds
from sarcore.geo.http import Connection, check_url, shown, token_from
from sarcore.geo.providers import Checksum, Item, Point, RemoteFile, area_of, covers, day, span

FILES = "https://file.tellusxdp.com"
MAPS = "https://gisapi.tellusxdp.com"
TOKEN = "SARCORE_TELLUS_TOKEN"
ASNARO = "asnaro1"
_PAGE = 1000
_TIMES = ("observation_datetime", "acquisitionDate", "acquisition_date", "begin_datetime", "datetime", "date")


class Tellus:
    """The two services of Tellus; a `Provider`.

    >>> tellus = Tellus(token="secret")
    >>> tellus.connection.may_know("https://file.tellusxdp.com/api/v1/origin/search/palsar2-l21")
    True

    Args:
        files_url: server of scenes.
        maps_url: server of map tiles and the scenes behind them.
        token: access token; by default that of the environment variable SARCORE_TELLUS_TOKEN.
        mode: observation mode of PALSAR-2; SM1 is Stripmap with 3 m. None for all.
        wait: seconds before a failed request is repeated.

    Raises DataError where there is no token.
    """

    def __init__(
        self,
        *,
        files_url: str = FILES,
        maps_url: str = MAPS,
        token: str | None = None,
        mode: str | None = "SM1",
        wait: float = 1.0,
    ) -> None:
        self._files, self._maps = check_url(files_url).rstrip("/"), check_url(maps_url).rstrip("/")
        self._mode = mode
        token = token or token_from(TOKEN, needed=True)
        self.connection = Connection([self._files, self._maps], token=token, token_name=TOKEN, wait=wait)

    def search(
        self,
        place: Point | Bounds,
        *,
        start: str | None = None,
        end: str | None = None,
        collection: str | None = None,
        limit: int = 100,
    ) -> list[Item]:
        """Scenes at a place: of ``palsar2-l21`` (by default) or another data set of files, or of ``asnaro1``.

        Times are compared here, for the service's own filter is not documented for all data sets.

        Raises:
            HTTPError, DataError: the server refuses, or answers something else than scenes.
        """
        moments = span(start, end)
        found = self._asnaro(place) if collection == ASNARO else self._scenes(place, collection or "palsar2-l21")
        if moments != (None, None):
            found = [item for item in found if _within(item, *moments)]
        return found[:limit]

    def _scenes(self, place: Point | Bounds, collection: str) -> list[Item]:
        west, south, east, north = area_of(place)
        params = {
            "page_size": str(_PAGE), "left_bottom_lat": south, "left_bottom_lon": west,
            "right_top_lat": north, "right_top_lon": east,
        }  # fmt: skip
        if self._mode is not None:
            params["mode"] = self._mode
        url = f"{self._files}/api/v1/origin/search/{collection}"
        answer = self.connection.json(url, params)
        entries = _list(answer, "items", url)
        if isinstance(answer.get("count"), int) and answer["count"] > len(entries):
            raise DataError(
                f"{shown(url)} has {answer['count']} scenes there and hands out {len(entries)}; ask for less"
            )
        items = []
        for entry in entries:
            # Longitude, latitude of one corner and of the opposite one.
            bounds = Bounds.of(*(float(v) for v in _needed(entry, "bbox", url)[:4]))
            if covers(bounds, place):
                link = str(_needed(entry, "publish_link", url))
                items.append(Item(str(_needed(entry, "dataset_id", url)), collection, bounds, _time(entry), link))
        return items

    def _asnaro(self, place: Point | Bounds) -> list[Item]:
        west, south, east, north = area_of(place)
        url = f"{self._maps}/api/v1/asnaro1/scene"
        answer = self.connection.json(url, {"min_lat": south, "min_lon": west, "max_lat": north, "max_lon": east})
        entries = answer if isinstance(answer, list) else _list(answer, "items", url)
        items = []
        for entry in entries:
            name = str(_needed(entry, "entityId", url))
            sides = [entry.get(key) for key in ("min_lon", "min_lat", "max_lon", "max_lat")]
            known = [float(side) for side in sides if side is not None]
            bounds = Bounds.of(*known) if len(known) == 4 else None
            tiles = f"{self._maps}/ASNARO-1/{name}/{{z}}/{{x}}/{{y}}.png"
            items.append(Item(name, ASNARO, bounds, _time(entry), tiles=tiles))
        return items

    def files(self, item: Item) -> list[RemoteFile]:
        """The files behind an item's link; DataError for ASNARO-1, which comes as tiles."""
        if item.link is None:
            advice = f"; put its tiles together: sarcore prep stitch '{item.tiles}' OUT.tif --token-env {TOKEN}"
            raise DataError(f"{item.id} has no files{advice if item.tiles else ''}")
        answer = self.connection.json(check_url(item.link))
        files = [_file(entry, item.link) for entry in _list(answer, "files", item.link)]
        names = [file.name for file in files]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{item.id} has several files called {', '.join(twice)}; one would replace the other")
        return files


def _file(entry: Mapping[str, Any], url: str) -> RemoteFile:
    size = entry.get("file_size", entry.get("size"))
    checksum = next((Checksum(name, str(entry[name])) for name in ("sha256", "md5") if entry.get(name)), None)
    address = check_url(str(_needed(entry, "url", url)))
    return RemoteFile(address, str(_needed(entry, "file_name", url)), None if size is None else int(size), checksum)


def _list(answer: Any, key: str, url: str) -> list[Mapping[str, Any]]:
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{shown(url)} answered without {key!r}; has the service changed?")
    return found


def _needed(entry: Any, key: str, url: str) -> Any:
    if not isinstance(entry, dict) or entry.get(key) is None:
        raise DataError(f"{shown(url)} answered a scene without {key!r}; has the service changed?")
    return entry[key]


def _time(entry: Mapping[str, Any]) -> str | None:
    return next((str(entry[key]) for key in _TIMES if entry.get(key)), None)


def _within(item: Item, first: Any, last: Any) -> bool:
    try:
        moment = day(item.time or "")
    except ValueError as error:
        raise DataError(f"{item.id} says no time of its own; search without start and end") from error
    return (first is None or first <= moment) and (last is None or moment <= last)
