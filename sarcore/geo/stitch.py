"""Tiles of a map become one GeoTIFF: each pixel at its place, nothing turned, missing tiles masked."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError
from sarcore.geo.files import check_output, whole_file
from sarcore.geo.http import Connection, check_url
from sarcore.geo.raster import environment, new_geotiff
from sarcore.geo.tiles import TileWindow

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")

Array = npt.NDArray[Any]
Tile = tuple[int, int]


class Stitched(NamedTuple):
    """How many tiles there were, and the numbers (x, y) of those that were not."""

    found: int
    missing: tuple[Tile, ...]


def stitch(
    source: str,
    out: str | Path,
    window: TileWindow,
    *,
    connection: Connection | None = None,
    cache: Path | None = None,
    on_tile: Callable[[int], None] | None = None,
) -> Stitched:
    """Write the tiles of a window as RGB GeoTIFF in EPSG:3857, with a mask of the pixels that are there.

    >>> from tempfile import mkdtemp
    >>> window = TileWindow.centred(139.8107, 35.7101, 18, 1536, 1536)
    >>> stitch("tiles/{z}/{x}/{y}.png", Path(mkdtemp()) / "mosaic.tif", window)
    Traceback (most recent call last):
    sarcore.errors.DataError: none of the 49 tiles of zoom 18 is there; check the source and the point

    Tiles are 8 bit, grey or RGB, with or without alpha; grey ones become three equal channels. A tile whose file is
    not there, or for which the server answers 404 or 204, is masked. Rows of tiles are written as they come, so memory
    does not grow with the height.

    Args:
        source: a folder of ``z/x/y.png``, or an address or a path with ``{z}``, ``{x}`` and ``{y}`` in it.
        out: the .tif to write.
        window: which pixels, see `TileWindow`.
        connection: for addresses; one without a token by default.
        cache: folder in which tiles of a server are kept, and looked for first.
        on_tile: called with the number of tiles done.

    Raises:
        DataError: no tile is there, one cannot be read or has another size, the server refuses.
    """
    out = Path(out)
    check_output(out, [])
    fetch = _fetcher(source, window.zoom, connection, cache)
    missing: list[Tile] = []
    done = 0
    with new_geotiff(out, window.grid(), count=3, dtype="uint8", photometric="rgb") as target:
        for y in window.rows():
            first = max(y * window.tile, window.row) - window.row
            last = min((y + 1) * window.tile, window.row + window.height) - window.row
            pixels = np.zeros((4, last - first, window.width), np.uint8)
            for x in window.columns():
                data = fetch(x, y)
                if data is None:
                    missing.append((x, y))
                else:
                    _place(pixels, _decoded(data, window.tile, f"the tile {window.zoom}/{x}/{y}"), window, x, y, first)
                done += 1
                if on_tile is not None:
                    on_tile(done)
            here = ((first, last), (0, window.width))
            target.write(pixels[:3], window=here)
            target.write_mask(pixels[3], window=here)
        if len(missing) == done:
            raise DataError(f"none of the {done} tiles of zoom {window.zoom} is there; check the source and the point")
    return Stitched(done - len(missing), tuple(missing))


def _place(pixels: Array, tile: Array, window: TileWindow, x: int, y: int, first: int) -> None:
    """Copy what the window sees of a tile into the strip that begins at row `first`."""
    top, left = y * window.tile - window.row - first, x * window.tile - window.column
    rows = slice(max(top, 0), min(top + window.tile, pixels.shape[1]))
    columns = slice(max(left, 0), min(left + window.tile, window.width))
    pixels[:, rows, columns] = tile[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _decoded(data: bytes, side: int, what: str) -> Array:
    """Red, green, blue and validity (4, side, side) of the bytes of an image."""
    with environment():
        from rasterio.enums import ColorInterp
        from rasterio.errors import RasterioError
        from rasterio.io import MemoryFile

        try:
            with MemoryFile(data) as memory, memory.open() as image:
                pixels = image.read()
                palette = image.colormap(1) if image.colorinterp[0] == ColorInterp.palette else None
        except RasterioError as error:
            raise DataError(f"{what} is no image that can be read; is the source one of tiles?") from error
    if pixels.dtype != np.uint8 or pixels.shape[0] > 4:
        raise DataError(f"{what} holds {pixels.shape[0]} bands of {pixels.dtype}; tiles are 8 bit, grey or RGB")
    if pixels.shape[1:] != (side, side):
        raise DataError(f"{what} has {pixels.shape[2]} x {pixels.shape[1]} pixels, not {side}; say so (tile size)")
    if palette is not None:
        table = np.array([palette.get(k, (0, 0, 0, 0)) for k in range(256)], np.uint8)
        pixels = table[pixels[0]].transpose(2, 0, 1)
    alpha = pixels[-1:] if pixels.shape[0] in (2, 4) else np.full_like(pixels[:1], 255)
    colours = pixels[:3] if pixels.shape[0] >= 3 else np.repeat(pixels[:1], 3, axis=0)
    # What is half transparent has a colour; what is wholly transparent has none.
    return np.concatenate([np.where(alpha > 0, colours, 0), np.where(alpha > 0, 255, 0).astype(np.uint8)])


def _is_image(data: bytes) -> bool:
    """Whether it is worth keeping: a page that says why there is no tile is not."""
    return data.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF", b"II*\0", b"MM\0*", b"GIF8"))


def _fetcher(
    source: str, zoom: int, connection: Connection | None, cache: Path | None
) -> Callable[[int, int], bytes | None]:
    """The function that gives the bytes of a tile, None where there is none."""
    if source.startswith(("http://", "https://")):
        address = _template(check_url(source))
        client = connection or Connection()
        suffix = Path(urlsplit(address).path).suffix or ".png"
        if cache is not None:  # one folder may serve several sources
            cache = cache / hashlib.sha256(address.encode()).hexdigest()[:12] / str(zoom)

        def fetched(x: int, y: int) -> bytes | None:
            kept = None if cache is None else cache / str(x) / f"{y}{suffix}"
            if kept is not None and kept.is_file():
                return kept.read_bytes()
            answer = client.request("GET", address.format(z=zoom, x=x, y=y), allowed=(404,))
            if answer.status_code in (204, 404):
                return None
            if kept is not None and _is_image(answer.content):
                kept.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(kept) as file:
                    file.write_bytes(answer.content)
            return bytes(answer.content)

        return fetched
    return _from_files(source, zoom)


def _from_files(source: str, zoom: int) -> Callable[[int, int], bytes | None]:
    if "{" in source:
        pattern = _template(source)

        def named(x: int, y: int) -> bytes | None:
            path = Path(pattern.format(z=zoom, x=x, y=y))
            return path.read_bytes() if path.is_file() else None

        return named
    folder = Path(source) / str(zoom)
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}; tiles lie in SOURCE/zoom/x/y.png, or give a path with {{z}} in it"
        )

    def found(x: int, y: int) -> bytes | None:
        paths = (folder / str(x) / f"{y}{suffix}" for suffix in SUFFIXES)
        return next((path.read_bytes() for path in paths if path.is_file()), None)

    return found


def _template(text: str) -> str:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        names = set()
    if names != {"z", "x", "y"}:
        raise DataError(f"{text} must hold {{z}}, {{x}} and {{y}}, and no other braces")
    return text
