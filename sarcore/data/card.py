"""The card of a data set, ``dataset.json``: its radiometry, and where its scenes lie on Earth."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sarcore.errors import DataError
from sarcore.ops import Radiometry

CARD_FILE = "dataset.json"
TILED = "sarcore tile"  # the source of the sets that `write_patch_set` wrote
PAIRED = "sarcore pairs"
GENERATED = "sarcore generate"  # of those that `write_generated` wrote

Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class ScenePlace:
    """Height and width of a scene in pixels, its CRS as WKT, and (a, b, c, d, e, f): x = a column + b row + c, .."""

    shape: tuple[int, int]
    crs: str | None = None
    transform: Transform | None = None


@dataclass(frozen=True)
class Card:
    """What the card of a folder says; the defaults are those of a folder without one."""

    synthetic: bool = False
    tiled: bool = False
    """Written by `write_patch_set`: small classes are what the scenes gave."""
    generated: bool = False
    """Written by `write_generated`: small classes are what was asked for."""
    radiometry: Radiometry | None = None
    """Of the pixels as they are stored."""
    places: dict[str, ScenePlace] = field(default_factory=dict)
    radiometry_a: Radiometry | None = None
    """Of the SAR images of pairs, and of the optical ones."""
    radiometry_b: Radiometry | None = None


def read_card(root: Path) -> Card:
    """The card of a patch folder.

    >>> read_card(Path("no/such/folder")) == Card()
    True

    Raises DataError for a file that cannot be read as such a card.
    """
    path = root / CARD_FILE
    if not path.is_file():
        return Card()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            return Card()
        if content.get("source") == PAIRED:
            a, b = (Radiometry.from_dict(content[name]) for name in ("radiometry_a", "radiometry_b"))
            return Card(radiometry_a=a, radiometry_b=b)
        if content.get("source") not in (TILED, GENERATED):
            return Card(synthetic=content.get("synthetic") is True)
        radiometry = stored_radiometry(Radiometry.from_dict(content["radiometry"]), content["encoded"])
        if content["source"] == GENERATED:
            return Card(synthetic=True, generated=True, radiometry=radiometry)
        return Card(
            tiled=True,
            radiometry=radiometry,
            places={name: _place(scene) for name, scene in content["scenes"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"the data set card {path} cannot be read ({error!r}); correct or remove it") from error


def stored_radiometry(radiometry: Radiometry, encoded: bool) -> Radiometry:
    """What maps stored pixels to the items of a `PatchFolder`: of codes the grey scale, else the radiometry itself.

    >>> codes = Radiometry("db", -25, 0, nodata=-99, out="uint8")
    >>> stored_radiometry(codes, encoded=True)
    Radiometry(unit='digital', low=1.0, high=255.0, nodata=0.0, out='float32', scale='digital')
    """
    if not encoded:
        return Radiometry.from_dict({**radiometry.to_dict(), "out": "float32"})
    reserved = radiometry.nodata is not None
    highest = {"uint8": 255, "uint16": 65535}[radiometry.out]
    return Radiometry("digital", float(reserved), highest, 0.0 if reserved else None)


def _place(scene: dict[str, Any]) -> ScenePlace:
    height, width = (int(side) for side in scene["shape"][-2:])
    transform = scene.get("transform")
    if transform is not None:
        a, b, c, d, e, f = (float(value) for value in transform)
        transform = (a, b, c, d, e, f)
    return ScenePlace((height, width), scene.get("crs"), transform)
