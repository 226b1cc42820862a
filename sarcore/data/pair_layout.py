"""Which pairs a folder holds: SEN1-2 folders, A and B folders, side-by-side images, or a manifest; A is SAR."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from sarcore.data.images import IMAGE_SUFFIXES
from sarcore.data.manifest import scene_from_name, sub_folders
from sarcore.data.split import PARTS
from sarcore.errors import DataError

PAIRS_FILE = "pairs.csv"
COLUMNS = ("a", "b", "scene", "part")
LAYOUTS = (
    "s1_<n> and s2_<n> (also in ROIs folders), trainA and trainB, train with A|B images side by side, "
    f"or {PAIRS_FILE} with the columns {', '.join(COLUMNS)}"
)
Layout: TypeAlias = Literal["manifest", "folders", "sen12", "side_by_side"]

_AB_FOLDER = re.compile(rf"(?P<part>{'|'.join(PARTS)})(?P<domain>[AB])")
_SEN12_FOLDER = re.compile(r"s(?P<domain>[12])_(?P<region>.+)")
_SEN12_NAME = re.compile(r"(?:(?P<prefix>.+)_)?s[12]_(?P<region>[^_]+)_p\d+")
_SEASON = re.compile(r"ROIs\d+_[a-z]+")
_DOMAIN_TOKEN = re.compile(r"(?<![^_-])s[12](?![^_-])")  # a whole word of a name, so that "tiles1" stays as it is


class ImagePlace(NamedTuple):
    """An image file, or the half of one that holds A and B side by side."""

    path: Path
    half: Literal["left", "right"] | None = None


class PairEntry(NamedTuple):
    """Images of one place; None for the one that is missing."""

    key: str
    a: ImagePlace | None
    b: ImagePlace | None
    scene: str | None
    part: str | None


def layout_of(root: Path) -> Layout | None:
    """How the pairs lie in the folder; None where it holds none.

    >>> layout_of(Path("no/such/folder")) is None
    True
    """
    if not root.is_dir():
        return None
    if (root / PAIRS_FILE).is_file():
        return "manifest"
    names = {folder.name for folder in sub_folders(root)}
    if any(_AB_FOLDER.fullmatch(name) for name in names):
        return "folders"
    if next(_sen12_folders(root), None) is not None:
        return "sen12"
    return "side_by_side" if any(_images(root / part) for part in PARTS if part in names) else None


def list_pairs(root: Path, manifest: Path | None = None) -> list[PairEntry]:
    """The pairs under ``root`` sorted by key, from ``manifest`` (its files are relative to ``root``) or by the layout.

    A partner is found by its NAME: that of the file, in which the words s1 and s2 count as one, and that of the folder;
    never by its position in a list. What has none is listed with None in its place. Raises DataError for a missing
    folder, one without pairs, two images of one name, and a bad manifest.

    >>> list_pairs(Path("no/such/folder"))
    Traceback (most recent call last):
    sarcore.errors.DataError: the data folder no/such/folder does not exist; check the path
    """
    if not root.is_dir():
        raise DataError(f"the data folder {root} {'is a file' if root.exists() else 'does not exist; check the path'}")
    layout = "manifest" if manifest is not None else layout_of(root)
    if layout is None:
        raise DataError(f"the data folder {root} holds no pairs; allowed are {LAYOUTS}")
    if layout == "manifest":
        entries = list(_from_csv(root, manifest or root / PAIRS_FILE))
    elif layout == "folders":
        entries = list(_from_ab_folders(root))
    elif layout == "sen12":
        entries = list(_from_sen12(root))
    else:
        entries = list(_from_side_by_side(root))
    if not entries:
        raise DataError(f"the folders of pairs in {root} hold no image ({', '.join(IMAGE_SUFFIXES)}); add some")
    return sorted(entries, key=lambda entry: entry.key)


def _images(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if not p.is_dir())


def common_name(path: Path) -> str:
    """The name that both images of a pair have: without the suffix, and with one word for s1 and s2.

    >>> common_name(Path("ROIs1970_fall_s2_8_p127.png")), common_name(Path("tiles1_s1.tif"))
    ('ROIs1970_fall_s_8_p127', 'tiles1_s')
    """
    return _DOMAIN_TOKEN.sub("s", path.stem)


def scene_of(path: Path) -> str | None:
    """The scene that the name of an image tells: of SEN1-2 its season and region, else <scene>_<row>_<col>.

    >>> scene_of(Path("ROIs1970_fall_s1_8_p127.png")), scene_of(Path("bay_0_256.png")), scene_of(Path("7.png"))
    ('ROIs1970_fall_8', 'bay', None)
    """
    match = _SEN12_NAME.fullmatch(path.stem)
    return _region(match["prefix"] or "", match["region"]) if match else scene_from_name(path)


def _region(season: str, region: str) -> str:
    return f"{season}_{region}" if _SEASON.fullmatch(season) else region


def _joined(root: Path, a: list[Path], b: list[Path], scene: str | None, part: str | None) -> Iterator[PairEntry]:
    """The images of two folders by their common names."""
    named: tuple[dict[str, Path], dict[str, Path]] = ({}, {})
    for paths, names in zip((a, b), named, strict=True):
        for path in paths:
            name = common_name(path)
            if name in names:
                raise DataError(f"{names[name]} and {path} have one name, so their partners cannot be told; rename one")
            names[name] = path
    for name in sorted(named[0].keys() | named[1].keys()):
        places = [ImagePlace(paths[name]) if name in paths else None for paths in named]
        path = next(place.path for place in places if place is not None)
        key = path.relative_to(root).with_suffix("").as_posix()
        yield PairEntry(key, places[0], places[1], scene or scene_of(path), part)


def _from_ab_folders(root: Path) -> Iterator[PairEntry]:
    present = {folder.name for folder in sub_folders(root)}
    for part in PARTS:
        a, b = (_images(root / f"{part}{domain}") if f"{part}{domain}" in present else [] for domain in "AB")
        yield from _joined(root, a, b, None, part)


def _sen12_folders(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Each folder s1_<region> or s2_<region> in the root or in a folder of it, with its domain and its region."""
    for folder in sub_folders(root):
        match = _SEN12_FOLDER.fullmatch(folder.name)
        if match:
            yield folder, match["domain"], match["region"]
            continue
        for inner in sub_folders(folder):
            if match := _SEN12_FOLDER.fullmatch(inner.name):
                yield inner, match["domain"], match["region"]


def _from_sen12(root: Path) -> Iterator[PairEntry]:
    regions: dict[tuple[Path, str], dict[str, Path]] = {}
    for folder, domain, region in _sen12_folders(root):
        regions.setdefault((folder.parent, region), {})[domain] = folder
    for (parent, region), folders in regions.items():
        a, b = (_images(folders[domain]) if domain in folders else [] for domain in "12")
        inner = parent.relative_to(root).as_posix()  # the season, also where the season itself was opened
        season = parent.resolve().name
        scene = _region(season, region) if inner == "." or _SEASON.fullmatch(season) else f"{inner}/{region}"
        yield from _joined(root, a, b, scene, None)


def _from_side_by_side(root: Path) -> Iterator[PairEntry]:
    for part in PARTS:
        for path in _images(root / part) if (root / part).is_dir() else []:
            key = path.relative_to(root).with_suffix("").as_posix()
            yield PairEntry(key, ImagePlace(path, "left"), ImagePlace(path, "right"), scene_of(path), part)


def _from_csv(root: Path, manifest: Path) -> Iterator[PairEntry]:
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            if not {"a", "b"} <= set(reader.fieldnames):
                raise DataError(
                    f"the manifest {manifest} needs a header line with the columns a and b and, optional, scene, part"
                )
            seen: set[str] = set()
            for row in reader:
                entry = _csv_entry(root, row, f"line {reader.line_num} of the manifest {manifest}")
                if entry.key in seen:
                    raise DataError(f"line {reader.line_num} of the manifest {manifest} names {entry.key} again")
                seen.add(entry.key)
                yield entry
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the manifest {manifest} cannot be read ({error}); give a CSV file in UTF-8") from error


def _csv_entry(root: Path, row: dict[str, str | None], where: str) -> PairEntry:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if not values["a"] and not values["b"]:
        raise DataError(f"{where} names no file; correct the line")
    if values["part"] not in ("", *PARTS):
        raise DataError(f"{where} has the part {values['part']!r}; allowed are {', '.join(PARTS)} or none")
    for name in filter(None, (values["a"], values["b"])):
        if not (root / name).is_file():
            raise DataError(f"{where} names {root / name}, which does not exist; correct the line")
    same = values["a"] == values["b"]  # one file that holds both, side by side
    a = ImagePlace(root / values["a"], "left" if same else None) if values["a"] else None
    b = ImagePlace(root / values["b"], "right" if same else None) if values["b"] else None
    path = Path(values["a"] or values["b"])
    scene = values["scene"] or scene_of(path)
    return PairEntry(path.with_suffix("").as_posix(), a, b, scene, values["part"] or None)


def of_part(root: Path, parts: Sequence[str | None], part: str) -> list[int]:
    """The places of a part in the list; ValueError for an unknown one, DataError for one that is not there.

    >>> of_part(Path("pairs"), ["train", None, "train"], "train")
    [0, 2]
    """
    if part not in PARTS:
        raise ValueError(f"part must be {', '.join(PARTS)} or None, got {part!r}")
    found = [i for i, name in enumerate(parts) if name == part]
    if not found:
        known = ", ".join(sorted({name for name in parts if name})) or "none"
        raise DataError(f"{root} has no part {part!r} (it has: {known}); make one with `sarcore split {root}`")
    return found
