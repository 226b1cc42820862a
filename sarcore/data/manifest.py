"""Which patches a folder holds: class sub-folders or a manifest CSV, and the scene of origin of every patch."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

from sarcore.data.images import IMAGE_SUFFIXES
from sarcore.data.shards import shard_header, shard_place, stored_file
from sarcore.errors import DataError

_SCENE_PATTERN = re.compile(r"(?P<scene>.+)_\d+_\d+")  # <scene>_<row>_<col>


class Entry(NamedTuple):
    """One patch: its file, its class, the scene it was cut from and its place there (None when nothing tells)."""

    path: Path  # or <shard>.npy#<number>
    class_name: str
    scene: str | None
    position: tuple[int, int] | None = None  # row and column of its upper left pixel
    synthetic: bool = False  # its provenance says so


def list_patches(root: Path, manifest: Path | None) -> list[Entry]:
    """The patches under ``root`` sorted by path: from ``manifest``, else ``root/labels.csv``, else class sub-folders.

    Raises DataError for a missing or empty folder, no class sub-folder, a class without images, and a bad manifest.

    >>> list_patches(Path("no/such/folder"), None)
    Traceback (most recent call last):
    sarcore.errors.DataError: the data folder no/such/folder does not exist; check the path
    """
    if not root.is_dir():
        what = (
            "is a file, not a folder; give the folder of patches" if root.exists() else "does not exist; check the path"
        )
        raise DataError(f"the data folder {root} {what}")
    if manifest is None and (root / "labels.csv").is_file():
        manifest = root / "labels.csv"
    entries = _from_folders(root) if manifest is None else _from_csv(root, manifest)
    return sorted(entries, key=lambda entry: _order(entry.path))


def _order(path: Path) -> tuple[Path, int]:
    """By path, and in a shard by number: 9 before 10."""
    return shard_place(path) or (path, -1)


def _images(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]


def sub_folders(folder: Path) -> list[Path]:
    """The folders in a folder but hidden ones and Python's, by name."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _from_folders(root: Path) -> list[Entry]:
    train = root / "train"
    class_root = train if train.is_dir() and sub_folders(train) else root
    folders = sub_folders(class_root)
    if not folders:
        found = f"holds {len(_images(root))} images but no" if _images(root) else "is empty: it has no"
        raise DataError(f"the data folder {root} {found} class sub-folder; put the patches into {root}/<class>/")
    entries = []
    for folder in folders:
        paths = _images(folder)
        if not paths:
            raise DataError(
                f"the class folder {folder} holds no image ({', '.join(IMAGE_SUFFIXES)}); add patches or remove it"
            )
        entries += [Entry(path, folder.name, scene_from_name(path)) for path in paths]
    return entries


def scene_from_name(path: Path) -> str | None:
    """Scene of a patch named ``<scene>_<row>_<col>.*``; None for other names.

    >>> scene_from_name(Path("water/145_0_3.png"))
    '145'
    """
    match = _SCENE_PATTERN.fullmatch(path.stem)
    return match["scene"] if match else None


def _from_csv(root: Path, manifest: Path) -> list[Entry]:
    """Columns file (relative to ``root``), class (else the parent folder's name) and scene (else the file name's).

    With the columns row and column too, the place in the scene in pixels; with a column provenance that begins with
    "synthetic", a patch that no sensor took.
    """
    entries: list[Entry] = []
    seen: set[Path] = set()
    shards: dict[Path, int] = {}
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or []):
                raise DataError(
                    f"the manifest {manifest} needs a header line with the columns file, class and (optional) scene"
                )
            for row in reader:
                entry = _csv_entry(root, row)
                if entry is None or not _exists(entry.path, shards) or entry.path in seen:
                    trouble = "names no file" if entry is None else f"names {entry.path}, which does not exist"
                    trouble = f"names {row['file']} a second time" if entry and entry.path in seen else trouble
                    raise DataError(f"line {reader.line_num} of the manifest {manifest} {trouble}; correct the line")
                seen.add(entry.path)
                entries.append(entry)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the manifest {manifest} cannot be read ({error}); give a CSV file in UTF-8") from error
    if not entries:
        raise DataError(f"the manifest {manifest} lists no patch; add lines or remove it")
    return entries


def _exists(path: Path, shards: dict[Path, int]) -> bool:
    """Whether there is such a file, or such a patch in a shard; `shards` remembers how many each has."""
    place = shard_place(path)
    if place is None:
        return path.is_file()
    if place.file not in shards:
        shards[place.file] = shard_header(place.file)[0] if place.file.is_file() else 0
    return place.number < shards[place.file]


def _csv_entry(root: Path, row: dict[str, str | None]) -> Entry | None:
    name = (row["file"] or "").strip()
    if not name:
        return None
    path = root / name
    class_name = (row.get("class") or "").strip() or path.parent.name
    scene = (row.get("scene") or "").strip() or scene_from_name(stored_file(path))
    return Entry(path, class_name, scene, _position(row), (row.get("provenance") or "").startswith("synthetic"))


def _position(row: dict[str, str | None]) -> tuple[int, int] | None:
    try:
        return int(row.get("row") or ""), int(row.get("column") or "")
    except ValueError:
        return None
