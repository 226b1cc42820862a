"""ENVI scenes: a text header beside a plain binary file, which is mapped into memory."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from sarcore.data.scene_source import Array, ArraySource
from sarcore.data.scene_tags import Metadata
from sarcore.errors import DataError

_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_BINARIES = ("", ".img", ".dat", ".bin", ".raw", ".bsq", ".bil", ".bip", ".envi", ".slc", ".IMG", ".DAT", ".BIN")
_AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}  # of channels, rows, columns in the file


def find_envi(path: Path) -> tuple[Path, Path] | None:
    """Header and binary file of an ENVI scene named by either; None where the path is none.

    Raises DataError for a header without its binary file.
    """
    if path.suffix.lower() == ".hdr":
        if not _is_header(path):
            return None
        stem = path.with_suffix("")
        found = [file for end in _BINARIES if (file := stem.with_name(stem.name + end)).is_file()]
        if not found:
            raise DataError(f"the binary file of the ENVI header {path} is missing: {stem} or {stem}.img")
        return path, found[0]
    for header in (path.with_suffix(".hdr"), path.with_name(path.name + ".hdr"), path.with_suffix(".HDR")):
        if header != path and _is_header(header):
            return header, path
    return None


def _is_header(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"ENVI"


def open_envi(header: Path, binary: Path) -> tuple[ArraySource, Metadata]:
    """The reader of an ENVI scene; DataError where header and file do not fit each other."""
    fields = read_header_fields(header)
    count, height, width = (_number(fields, name, header) for name in ("bands", "lines", "samples"))
    kind, interleave = _number(fields, "data type", header), fields.get("interleave", "bsq").lower()
    if kind not in _TYPES or interleave not in _AXES or min(count, height, width) < 1:
        raise DataError(
            f"the ENVI header {header} has data type {kind}, interleave {interleave!r} and {count} x {height} x "
            f"{width} pixels; known are the types {', '.join(map(str, _TYPES))} and {', '.join(_AXES)}"
        )
    if fields.get("file compression", "0") != "0":
        raise DataError(f"the ENVI scene {binary} is compressed; save it uncompressed")
    order = ">" if _number(fields, "byte order", header, 0) == 1 else "<"
    dtype, offset = np.dtype(order + _TYPES[kind]), _number(fields, "header offset", header, 0)
    axes = _AXES[interleave]
    stored = tuple((count, height, width)[axis] for axis in np.argsort(axes))
    needed, size = offset + math.prod(stored) * dtype.itemsize, binary.stat().st_size
    if size < needed:
        raise DataError(f"the scene {binary} is truncated ({size} of {needed} bytes by its header {header.name})")

    def load() -> Array:
        return np.memmap(binary, dtype, "r", offset, stored).transpose(axes)

    given = _list_of(fields.get("band names", ""))
    names = tuple(given[k] or None if k < len(given) else None for k in range(count))
    ignored = fields.get("data ignore value")
    try:
        nodata = None if ignored is None else float(ignored)
    except ValueError:
        raise DataError(f"the ENVI header {header} has data ignore value = {ignored}, which is no number") from None
    return ArraySource((count, height, width), dtype, load, ours=True), Metadata(nodata, names)


def read_header_fields(header: Path) -> dict[str, str]:
    """The fields of an ENVI header by name, braces removed."""
    text = header.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^[ \t]*([^=\n{}]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)", text, re.MULTILINE)
    return {name.strip().lower(): value.strip().strip("{}").strip() for name, value in found}


def is_placed(fields: dict[str, str]) -> bool:
    """Whether a header says where the scene lies."""
    return any(name in fields for name in ("map info", "coordinate system string", "geo points", "rpc info"))


def _number(fields: dict[str, str], name: str, header: Path, default: int | None = None) -> int:
    value = fields.get(name)
    if value is None and default is not None:
        return default
    try:
        return int(str(value))
    except ValueError:
        raise DataError(f"the ENVI header {header} has {name} = {value}, which is no whole number") from None


def _list_of(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []
