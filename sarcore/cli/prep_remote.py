"""``sarcore prep search`` and ``sarcore prep download``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from tyro.conf import arg

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from sarcore.geo.grid import Bounds
    from sarcore.geo.providers import Item, Point
    from sarcore.geo.stac import Stac
    from sarcore.geo.tellus import Tellus

Name = Literal["tellus", "stac"]
Lonlat = Annotated[tuple[float, float] | None, arg(metavar="LON LAT")]
Corners = Annotated[tuple[float, float, float, float] | None, arg(metavar="LON1 LAT1 LON2 LAT2")]
STAC_TOKEN = "SARCORE_STAC_TOKEN"


def search(
    *,
    provider: Name,
    url: str | None = None,
    point: Lonlat = None,
    bounds: Corners = None,
    start: str | None = None,
    end: str | None = None,
    collection: str | None = None,
    mode: str | None = "SM1",
    limit: int = 100,
) -> None:
    """List the scenes that a provider has of a place.

    The token is read from the environment: SARCORE_TELLUS_TOKEN, or SARCORE_STAC_TOKEN where the server wants one.

    Args:
        provider: tellus (ALOS-2/PALSAR-2 files, ASNARO-1 tiles), or stac: any STAC API.
        url: Address of the STAC API; for tellus another server instead of its own.
        point: Longitude and latitude that the scenes show.
        bounds: Two opposite corners in degrees instead of a point.
        start: First day, as 2018-10-18.
        end: Last day.
        collection: Data set; palsar2-l21 for tellus without it, asnaro1 is the other one.
        mode: Observation mode of PALSAR-2; SM1 is Stripmap with 3 m.
        limit: Most scenes to list.
    """
    from sarcore.geo.providers import area_of

    place = _place(point, bounds)
    area_of(place)
    source = _provider(provider, url, mode, None)
    items = source.search(place, start=start, end=end, collection=collection, limit=limit)
    _show(items)


def download(
    *,
    provider: Name,
    out: Path,
    url: str | None = None,
    id: tuple[str, ...] = (),
    assets: tuple[str, ...] = (),
    point: Lonlat = None,
    bounds: Corners = None,
    start: str | None = None,
    end: str | None = None,
    collection: str | None = None,
    mode: str | None = "SM1",
    limit: int = 100,
) -> None:
    """Fetch the files of the scenes that a search finds, each into a folder of its name.

    What is there already is left alone, and what broke off goes on: give the same command again.

    Args:
        provider: tellus or stac.
        out: Folder to write into.
        url: Address of the STAC API; for tellus another server instead of its own.
        id: Names of the scenes to fetch; all that are found without it.
        assets: Keys of the files to fetch, stac alone; all without it.
        point: Longitude and latitude that the scenes show.
        bounds: Two opposite corners in degrees instead of a point.
        start: First day, as 2018-10-18.
        end: Last day.
        collection: Data set; palsar2-l21 for tellus without it.
        mode: Observation mode of PALSAR-2; SM1 is Stripmap with 3 m.
        limit: Most scenes to look at.
    """
    from sarcore.errors import DataError
    from sarcore.geo.download import download as fetch
    from sarcore.geo.download import safe_name

    place = _place(point, bounds)
    source = _provider(provider, url, mode, assets or None)
    items = source.search(place, start=start, end=end, collection=collection, limit=limit)
    absent = [name for name in id if name not in {item.id for item in items}]
    if absent:
        found = ", ".join(item.id for item in items) or "none"
        raise DataError(f"the search does not find {', '.join(absent)}; it finds {found}")
    if not items:
        raise DataError("the search finds no scene there; look with `sarcore prep search`")
    with ConsoleProgress() as progress:
        for item in items:
            if id and item.id not in id:
                continue
            folder = out / safe_name(item.id)
            for file in source.files(item):
                path = fetch(source.connection, file, folder, on_bytes=_bar(progress, file.name))
                progress.note(f"{path}: {path.stat().st_size} bytes")


def _bar(progress: ConsoleProgress, name: str) -> Callable[[int, int | None], None]:
    """A bar of bytes, once the server has said how many there will be."""
    begun: list[int] = []

    def show(there: int, total: int | None) -> None:
        if total is None:
            return
        if not begun:
            progress.stage(f"{name}, bytes", total)
            begun.append(total)
        progress.step(there, {})

    return show


def _place(point: Lonlat, bounds: Corners) -> Point | Bounds:
    from sarcore.geo.grid import Bounds

    if point is not None and bounds is None:
        return point
    if bounds is None or point is not None:
        raise ValueError("say where: --point LON LAT, or --bounds LON1 LAT1 LON2 LAT2")
    return Bounds.of(*bounds)


def _provider(name: Name, url: str | None, mode: str | None, assets: tuple[str, ...] | None) -> Tellus | Stac:
    if name == "tellus":
        from sarcore.geo.tellus import FILES, MAPS, Tellus

        if assets:
            raise ValueError("tellus has no assets; all files of a scene are fetched")
        mode = None if mode in ("", "all") else mode
        return Tellus(files_url=url or FILES, maps_url=url or MAPS, mode=mode)
    from sarcore.geo.http import token_from
    from sarcore.geo.stac import Stac

    if url is None:
        raise ValueError("stac needs the address of the API: --url https://...")
    return Stac(url, assets=assets, token=token_from(STAC_TOKEN), token_name=STAC_TOKEN)


def _show(items: list[Item]) -> None:
    """A line per scene, which other programs can read."""
    console = Console(highlight=False)
    console.print(f"{len(items)} scenes")
    for item in items:
        words = [item.id, item.time or "", "" if item.bounds is None else str(item.bounds), item.tiles or ""]
        console.print("  ".join(word for word in words if word), markup=False, soft_wrap=True)
