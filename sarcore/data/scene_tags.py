"""The tags of a GeoTIFF that belong to the scene: place, names, no-data, as they go from file to file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from sarcore.data.nodata import NODATA_TAG

METADATA_TAG = 42112
# Scale, tie points, transformation, key directory, doubles, texts.
GEOREFERENCE = (33550, 33922, 34264, 34735, 34736, 34737)
# RPC; GDAL: RSID, ISO metadata, metadata, no-data; document, software, date, artist, computer, copyright.
TAGS = (*GEOREFERENCE, 50844, 50908, 50909, METADATA_TAG, NODATA_TAG, 269, 305, 306, 315, 316, 33432)
_DEFLATE = (8, 32946)

Tag = tuple[int, int, int, Any, bool]


@dataclass(frozen=True)
class Metadata:
    """What a file says of its pixels."""

    nodata: float | None = None
    band_names: tuple[str | None, ...] = ()
    tags: tuple[Tag, ...] = ()
    """Code, type, count and value of the GeoTIFF and GDAL tags, as tifffile takes them."""
    layout: dict[str, Any] = field(default_factory=dict)
    """Of a TIFF: description, resolution, colours, tiles and compression."""
    masked: bool = False
    """Whether a mask, in the file or beside it, tells which pixels are data."""


def raw_tags(page: Any) -> tuple[Tag, ...]:
    """The tags of a page that belong to the scene and not to its file."""
    return tuple(
        (int(tag.code), int(tag.dtype), int(tag.count), tag.value, True)
        for tag in page.tags.values()
        if tag.code in TAGS
    )


def text_of(tags: Sequence[Tag], code: int) -> str | None:
    """The text in a tag, None without it.

    >>> text_of([(42113, 2, 4, "-99", True)], 42113)
    '-99'
    """
    value = next((tag[3] for tag in tags if tag[0] == code), None)
    return None if value is None else value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def band_names(tags: Sequence[Tag], count: int) -> tuple[str | None, ...]:
    """The descriptions of the bands in GDAL's metadata.

    >>> item = '<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">VV</Item></GDALMetadata>'
    >>> band_names([(42112, 2, 0, item, True)], 2)
    ('VV', None)
    """
    names: list[str | None] = [None] * count
    try:
        items = list(ElementTree.fromstring((text_of(tags, METADATA_TAG) or "<none/>").strip("\0 \n")))
    except ElementTree.ParseError:  # a text that is not GDAL's
        items = []
    for item in items:
        sample = item.get("sample", "")
        if item.get("role") == "description" and sample.isdecimal() and int(sample) < count:
            names[int(sample)] = item.text or None
    return tuple(names)


def page_layout(page: Any) -> dict[str, Any]:
    """Description, resolution, colours, tiles and compression of a page of a TIFF."""
    # ImageJ, OME and tifffile describe the shape of their own files there, which is not that of the next one.
    machine = page.description.startswith('{"shape"') or page.is_imagej or page.is_ome
    layout: dict[str, Any] = {"description": None if machine else page.description or None}
    if page.is_tiled and page.tilewidth % 16 == 0 and page.tilelength % 16 == 0:
        layout["tile"] = (page.tilelength, page.tilewidth)
    if page.compression in _DEFLATE:
        layout["compression"] = "zlib"
    if 282 in page.tags and 283 in page.tags:
        layout["resolution"] = (page.tags[282].value, page.tags[283].value)
    if 296 in page.tags:
        layout["resolutionunit"] = int(page.tags[296].value)
    layout["photometric"] = "rgb" if page.photometric == 2 else "minisblack"
    layout["extrasamples"] = tuple(int(kind) for kind in page.extrasamples)
    return layout


def tags_for_copy(tags: Sequence[Tag], *, same_bands: bool) -> tuple[Tag, ...]:
    """The tags for a scene of the same place with other pixels.

    GDAL's statistics are left out, and with other bands what is said of each of them.
    """
    kept = []
    for code, kind, count, value, once in tags:
        if code == METADATA_TAG:
            text = _without_items(text_of([(code, kind, count, value, once)], code) or "", r"name=[\"']STATISTICS_")
            value = text if same_bands else _without_items(text, r"sample=[\"']")
            if "<Item" not in value:
                continue
        if kind == 2:
            value = value if isinstance(value, bytes) else str(value).encode()
            count = 0
        kept.append((code, kind, count, value, once))
    return tuple(kept)


def _without_items(text: str, attribute: str) -> str:
    return re.sub(rf"\s*<Item\b[^>]*\b{attribute}[^>]*>[^<]*</Item>", "", text)
