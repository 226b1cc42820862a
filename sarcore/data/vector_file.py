"""Polygons with an attribute from GeoJSON, GeoPackage and shapefiles, by the standard library alone."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sarcore.errors import DataError

VECTOR_SUFFIXES = (".geojson", ".json", ".gpkg", ".shp")
_LONGITUDE_LATITUDE = "EPSG:4326"  # of GeoJSON, unless an older file says otherwise
_ENVELOPES = (0, 32, 48, 48, 64)  # bytes, of a GeoPackage geometry
_SHP_POLYGONS = (5, 15, 25)  # plain, Z, M

Geometry = dict[str, Any]
Feature = tuple[Geometry | None, dict[str, Any]]


@dataclass(frozen=True)
class Polygons:
    """Polygons as in GeoJSON, the name of each one's class (None without one), and their CRS as GDAL reads it."""

    crs: str
    shapes: list[Geometry]
    names: list[str | None]


def read_polygons(path: Path, field: str | None = None) -> Polygons:
    """The polygons of a vector file with the values of one of its fields, the only one if there is no other.

    >>> from tempfile import mkdtemp
    >>> square = {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}
    >>> path = Path(mkdtemp()) / "a.geojson"
    >>> _ = path.write_text(json.dumps({"type": "Feature", "geometry": square, "properties": {"kind": 3.0}}))
    >>> read_polygons(path).crs, read_polygons(path).names
    ('EPSG:4326', ['3'])

    Raises DataError for a file that is missing or damaged, other geometries, no polygon, no CRS, and a field that is
    not there or must be chosen.
    """
    readers: dict[str, Callable[[Path], tuple[str, Iterator[Feature]]]] = {".gpkg": _geopackage, ".shp": _shapefile}
    if not path.is_file():
        raise DataError(f"the label file {path} does not exist; check the path")
    try:
        crs, features = readers.get(path.suffix.lower(), _geojson)(path)
        found = [(geometry, fields) for geometry, fields in features if geometry is not None]
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error, sqlite3.Error) as error:
        raise DataError(f"the label file {path} is corrupt or cannot be read ({error!r}); replace it") from error
    for geometry, _ in found:
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise DataError(f"the label file {path} holds a {geometry['type']}; labels are polygons, remove others")
    if not found:
        raise DataError(f"the label file {path} holds no polygon; give one with the areas of the classes")
    chosen = _field(path, [fields for _, fields in found], field)
    names = [_name(fields.get(chosen)) if chosen is not None else path.stem for _, fields in found]
    return Polygons(crs, [geometry for geometry, _ in found], names)


def _field(path: Path, all_fields: list[dict[str, Any]], field: str | None) -> str | None:
    names = list(dict.fromkeys(name for fields in all_fields for name in fields))
    listed = ", ".join(names) or "none"
    if field is not None and field not in names:
        raise DataError(f"the label file {path} has no field {field!r}; its fields are {listed}")
    if field is None and len(names) > 1:
        raise DataError(f"which field of the label file {path} holds the class? Give --label-field, one of {listed}")
    return field if field is not None else names[0] if names else None


def _name(value: Any) -> str | None:
    if value is None or str(value).strip() == "":
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _missing_crs(path: Path) -> DataError:
    return DataError(f"the label file {path} says no CRS, so its place is unknown; give it the one it was drawn in")


def _geojson(path: Path) -> tuple[str, Iterator[Feature]]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    crs = content.get("crs", {"properties": {"name": _LONGITUDE_LATITUDE}})
    if crs is None:
        raise _missing_crs(path)
    name = str(crs["properties"]["name"])
    name = _LONGITUDE_LATITUDE if name.endswith("CRS84") else name
    features = content["features"] if content["type"] == "FeatureCollection" else [content]
    single = (one if one["type"] == "Feature" else {"geometry": one, "properties": {}} for one in features)
    return name, ((one["geometry"], one.get("properties") or {}) for one in single)


def _geopackage(path: Path) -> tuple[str, Iterator[Feature]]:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        tables = connection.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns").fetchall()
        if len(tables) != 1:
            listed = ", ".join(str(table[0]) for table in tables) or "none"
            raise DataError(f"the label file {path} must have one layer, it has: {listed}; save the labels alone")
        table, column, srs = tables[0]
        query = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
        found = connection.execute(query, (srs,)).fetchone()
        if found is None or found[2] == "undefined":
            raise _missing_crs(path)
        crs = f"EPSG:{found[1]}" if str(found[0]).upper() == "EPSG" else str(found[2])
        keys = {row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})") if row[5]}
        cursor = connection.execute(f"SELECT * FROM {_quoted(table)}")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    finally:
        connection.close()
    return crs, ((_gpkg_geometry(row.pop(column)), {k: row[k] for k in row if k not in keys}) for row in rows)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _gpkg_geometry(blob: bytes | None) -> Geometry | None:
    if blob is None:
        return None
    if blob[:2] != b"GP":
        raise ValueError("a geometry is none of GeoPackage")
    flags = blob[3]
    if flags & 16:  # empty
        return None
    return _wkb(memoryview(blob)[8 + _ENVELOPES[flags >> 1 & 7] :])[0]


def _wkb(data: memoryview, at: int = 0) -> tuple[Geometry, int]:
    """A geometry in well-known binary, and where it ends."""
    order = "<" if data[at] == 1 else ">"
    kind, count = struct.unpack_from(order + "II", data, at + 1)
    flags, kind = kind >> 29, kind & 0x1FFFFFFF
    numbers = 2 + (kind // 1000 in (1, 3)) + (kind // 1000 in (2, 3)) + (flags >> 2 & 1) + (flags >> 1 & 1)
    at += 9
    if kind % 1000 == 6:
        parts = []
        for _ in range(count):
            part, at = _wkb(data, at)
            parts.append(part["coordinates"])
        return {"type": "MultiPolygon", "coordinates": parts}, at
    if kind % 1000 != 3:
        raise ValueError(f"a geometry has the type {kind}, which is no polygon")
    rings = []
    for _ in range(count):
        points = struct.unpack_from(order + "I", data, at)[0]
        values = struct.unpack_from(f"{order}{points * numbers}d", data, at + 4)
        at += 4 + 8 * len(values)
        rings.append([list(values[k : k + 2]) for k in range(0, len(values), numbers)])
    return {"type": "Polygon", "coordinates": rings}, at


def _shapefile(path: Path) -> tuple[str, Iterator[Feature]]:
    projection, table = path.with_suffix(".prj"), path.with_suffix(".dbf")
    if not projection.is_file():
        raise _missing_crs(path)
    fields = _dbf(table) if table.is_file() else []
    shapes = list(_shp(path.read_bytes()))
    fields = fields or [{} for _ in shapes]
    return projection.read_text(encoding="utf-8"), iter(zip(shapes, fields, strict=True))


def _shp(data: bytes) -> Iterator[Geometry | None]:
    if struct.unpack_from(">i", data)[0] != 9994:
        raise ValueError("it is no shapefile")
    at = 100
    while at < len(data):
        words = struct.unpack_from(">i", data, at + 4)[0]
        kind = struct.unpack_from("<i", data, at + 8)[0]
        if kind == 0:
            yield None
        elif kind in _SHP_POLYGONS:
            parts, points = struct.unpack_from("<ii", data, at + 44)
            starts = [*struct.unpack_from(f"<{parts}i", data, at + 52), points]
            values = struct.unpack_from(f"<{2 * points}d", data, at + 52 + 4 * parts)
            # Islands and holes alike: a pixel is inside where it is inside an odd number of rings.
            rings = [[list(values[2 * k : 2 * k + 2]) for k in range(*ends)] for ends in pairwise(starts)]
            yield {"type": "Polygon", "coordinates": rings}
        else:
            yield {"type": f"shape of type {kind}"}
        at += 8 + 2 * words


def _dbf(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    count, header, size = struct.unpack_from("<IHH", data, 4)
    columns, at = [], 32
    while data[at] != 0x0D:
        name = data[at : at + 11].split(b"\0")[0].decode("latin1")
        columns.append((name, chr(data[at + 11]), data[at + 16]))
        at += 32
    rows = []
    for number in range(count):
        at, row = header + number * size + 1, {}
        for name, kind, width in columns:
            text = _text(data[at : at + width])
            row[name] = float(text) if kind in "NF" and text else text
            at += width
        rows.append(row)
    return rows


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip(" \0")
    except UnicodeDecodeError:
        return raw.decode("latin1").strip(" \0")
