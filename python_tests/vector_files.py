"""Squares with a class as GeoJSON, GeoPackage and shapefile, written by hand."""

import json
import sqlite3
import struct


def ring(left, bottom, right, top):
    return [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]]


def write_geojson(path, features, epsg=None):
    content = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}, "properties": fields}
            for rings, fields in features
        ],
    }
    if epsg is not None:
        content["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    path.write_text(json.dumps(content))
    return path


def wkb(rings, order="<", z=False):
    """A polygon, or with z one with heights, as the ISO standard writes them."""
    data = struct.pack(order + "BII", order == "<", 1003 if z else 3, len(rings))
    for points in rings:
        data += struct.pack(order + "I", len(points))
        data += b"".join(struct.pack(order + "3d" if z else order + "2d", *p, *([7.0] if z else [])) for p in points)
    return data


def write_geopackage(path, features, epsg, geometry=wkb, envelope=True):
    with sqlite3.connect(path) as base:
        base.executescript("""
            CREATE TABLE gpkg_spatial_ref_sys (srs_id INTEGER, organization TEXT, organization_coordsys_id INTEGER,
                definition TEXT);
            CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, srs_id INTEGER);
            CREATE TABLE "the areas" (fid INTEGER PRIMARY KEY, geom BLOB, kind TEXT);
        """)
        definition = "undefined" if epsg is None else "a WKT"
        base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (7, 'EPSG', ?, ?)", (epsg, definition))
        base.execute("INSERT INTO gpkg_geometry_columns VALUES ('the areas', 'geom', 7)")
        for rings, fields in features:
            head = b"GP\0" + struct.pack("<Bi", 3 if envelope else 1, 7) + (bytes(32) if envelope else b"")
            base.execute('INSERT INTO "the areas" (geom, kind) VALUES (?, ?)', (head + geometry(rings), fields["kind"]))
    base.close()
    return path


def write_shapefile(path, features, wkt):
    records = b""
    for number, (rings, _) in enumerate(features):
        points = [point for one in rings for point in one]
        starts = [sum(len(one) for one in rings[:k]) for k in range(len(rings))]
        body = struct.pack("<i4dii", 5, 0, 0, 0, 0, len(rings), len(points))
        body += struct.pack(f"<{len(rings)}i", *starts) + b"".join(struct.pack("<2d", *point) for point in points)
        records += struct.pack(">ii", number + 1, len(body) // 2) + body
    head = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 50 + len(records) // 2) + struct.pack("<ii8d", 1000, 5, *[0.0] * 8)
    path.write_bytes(head + records)
    column = b"kind".ljust(11, b"\0") + b"C" + bytes(4) + bytes([10, 0]) + bytes(14)
    table = struct.pack("<4BIHH", 3, 124, 1, 1, len(features), 32 + 32 + 1, 11) + bytes(20) + column + b"\r"
    table += b"".join(b" " + fields["kind"].encode().ljust(10) for _, fields in features) + b"\x1a"
    path.with_suffix(".dbf").write_bytes(table)
    if wkt is not None:
        path.with_suffix(".prj").write_text(wkt)
    return path
