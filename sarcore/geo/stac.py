"""Any STAC API, through pystac-client: Copernicus, Earth Search, Planetary Computer and others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from sarcore.errors import DataError
from sarcore.geo.grid import Bounds
from sarcore.geo.http import Connection, check_url, shown
from sarcore.geo.providers import Checksum, Item, Point, RemoteFile, area_of, span
from sarcore.geo.raster import needs_geo

# Codes of the multihash table and the bytes of a value.
_HASHES = {"d50110": "md5", "1114": "sha1", "1220": "sha256", "1340": "sha512", "1620": "sha3_256", "1440": "sha3_512"}


class Stac:
    """A STAC API; a `Provider`.

    >>> api = Stac("https://earth-search.aws.element84.com/v1", assets=["vv"], token="secret")
    >>> api.connection.may_know("https://another.org/file.tif")
    False

    Args:
        url: address of the API.
        assets: keys of the files that are wanted, None for all.
        token: Bearer token for the server of the API, if it wants one.
        token_name: environment variable that messages name.
        wait: seconds before a failed request is repeated.
    """

    def __init__(
        self,
        url: str,
        *,
        assets: Iterable[str] | None = None,
        token: str | None = None,
        token_name: str = "",
        wait: float = 1.0,
    ) -> None:
        self._url = check_url(url)
        self._assets = None if assets is None else tuple(assets)
        self.connection = Connection([url], token=token, token_name=token_name, wait=wait)

    def search(
        self,
        place: Point | Bounds,
        *,
        start: str | None = None,
        end: str | None = None,
        collection: str | None = None,
        limit: int = 100,
    ) -> list[Item]:
        """Scenes at a place, at most `limit`.

        Raises:
            HTTPError, DataError: the server refuses, or is no STAC API.
        """
        client, failures = self._client()
        first, last = span(start, end)
        query: dict[str, Any] = {"max_items": limit, "limit": min(limit, 100)}
        query |= {} if collection is None else {"collections": [collection]}
        query |= {} if first is last is None else {"datetime": [first, last]}
        if isinstance(place, Bounds):
            query["bbox"] = list(area_of(place))
        else:
            query["intersects"] = {"type": "Point", "coordinates": list(area_of(place)[:2])}
        try:
            return [self._item(entry) for entry in client.search(**query).items_as_dicts()]
        except failures as error:
            raise DataError(f"{shown(self._url)} did not answer as a STAC API does: {error}") from error

    def files(self, item: Item) -> list[RemoteFile]:
        """The files of the assets that are wanted."""
        return list(item.files)

    def _client(self) -> tuple[Any, tuple[type[Exception], ...]]:
        """The client, whose requests are those of `Connection`, and the errors of its library."""
        try:
            from pystac import STACError, STACTypeError
            from pystac_client import Client
            from pystac_client.errors import ClientTypeError
            from pystac_client.exceptions import APIError
            from pystac_client.stac_api_io import StacApiIO
        except ImportError as error:
            raise needs_geo(error) from error
        connection = self.connection

        class Requests(StacApiIO):
            """So that the token stays with its server, and troubles are answered as everywhere."""

            def request(self, href: str, method: str | None = None, headers: Any = None, parameters: Any = None) -> str:
                post = (method or "GET").upper() == "POST"
                answer = connection.request(
                    "POST" if post else "GET", href, headers=headers,
                    **({"json": parameters} if post else {"params": parameters}),
                )  # fmt: skip
                return str(answer.text)

        failures = (
            APIError,
            ClientTypeError,
            STACError,
            STACTypeError,
            KeyError,
            TypeError,
            ValueError,
            NotImplementedError,
        )
        try:
            return Client.open(self._url, stac_io=Requests()), failures
        except failures as error:
            raise DataError(f"{shown(self._url)} is no STAC API: {error}") from error

    def _item(self, entry: Mapping[str, Any]) -> Item:
        properties = entry.get("properties") or {}
        box = entry.get("bbox")
        bounds = None
        if box is not None and len(box) in (4, 6):
            west, south, east, north = (float(v) for v in (*box[:2], *box[len(box) // 2 :][:2]))
            bounds = Bounds(west, south, east, north) if west < east and south < north else None
        time = properties.get("datetime") or properties.get("start_datetime")
        return Item(str(entry["id"]), str(entry.get("collection") or ""), bounds, time, files=self._files_of(entry))

    def _files_of(self, entry: Mapping[str, Any]) -> tuple[RemoteFile, ...]:
        assets: Mapping[str, Any] = entry.get("assets") or {}
        wanted = list(assets) if self._assets is None else list(self._assets)
        absent = [key for key in wanted if key not in assets]
        if absent:
            raise DataError(f"{entry['id']} has no asset {', '.join(absent)}; it has {', '.join(assets) or 'none'}")
        base = next((str(link["href"]) for link in entry.get("links") or () if link.get("rel") == "self"), self._url)
        found: dict[str, RemoteFile] = {}
        for key in wanted:
            asset = assets[key]
            name = PurePosixPath(unquote(urlsplit(asset["href"]).path)).name or key
            name = name if name not in found else f"{key}_{name}"
            found[name] = RemoteFile(urljoin(base, asset["href"]), name, asset.get("file:size"), checksum_of(asset))
        return tuple(found.values())


def checksum_of(asset: Mapping[str, Any]) -> Checksum | None:
    """The checksum of an asset, which STAC writes as a multihash; None for hash functions that Python lacks.

    >>> checksum_of({"file:checksum": "1220" + 64 * "0"}).algorithm
    'sha256'
    """
    text = str(asset.get("file:checksum") or asset.get("checksum:multihash") or "").lower()
    return next((Checksum(name, text[len(code) :]) for code, name in _HASHES.items() if text.startswith(code)), None)
