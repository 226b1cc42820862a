"""Splitting pairs into train, val and test: whole scenes, or images as they come; the manifest and the links."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sarcore.data.card import read_card
from sarcore.data.images import write_bytes
from sarcore.data.manifest import scene_from_name
from sarcore.data.near_duplicates import SMALLEST, near_duplicates
from sarcore.data.pair_domain import Domain
from sarcore.data.pair_folder import PairedFolder
from sarcore.data.pair_layout import COLUMNS, ImagePlace, common_name
from sarcore.data.split import PARTS, assign_groups, check_fractions
from sarcore.errors import DataError

Parts = npt.NDArray[np.int64]


def split_pairs(
    folder: PairedFolder,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    *,
    by: str = "scene",
    fraction: float = 1.0,
) -> PairedFolder:
    """The pairs with their parts drawn: train, val and test hold about ``fractions`` of ``fraction`` of all pairs.

    >>> import tempfile; from sarcore.data import write_image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in (f"{s}_{n}" for s in ("s1", "s2") for n in range(10)):
    ...     (root / name).mkdir()
    ...     _ = write_image(root / name / "0.png", np.zeros((1, 4, 4), dtype=np.uint8))
    >>> drawn = split_pairs(PairedFolder.open(root), (0.8, 0.0, 0.2), fraction=0.5)
    >>> sorted(drawn.parts)
    ['test', 'train', 'train', 'train', 'train']

    Scenes are taken and divided whole. ``by="image"`` draws each pair by itself, as the source document does (its
    ratios 0.1 and 0.1 are ``fraction=0.1``, ``fractions=(0.9, 0, 0.1)``); images of one scene, which may overlap, are
    in several parts then, and scores on them flatter. Raises ValueError for arguments out of range, DataError where a
    part would be empty or the scenes are not known.
    """
    goal = check_fractions(fractions)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1, got {fraction}")
    if by not in ("scene", "image"):
        raise ValueError(f"by must be 'scene' or 'image' for pairs, got {by!r}")
    present = Counter(part for part in folder.parts if part is not None)
    if len(present) > 1:
        counts = ", ".join(f"{part} {count}" for part, count in present.items())
        raise DataError(f"the pairs of {folder.root} have their parts already ({counts}); --check looks into them")
    rng = np.random.default_rng(seed)
    part_of = _by_image(len(folder), goal, fraction, rng) if by == "image" else _by_scene(folder, goal, fraction, rng)
    for name, share, count in zip(PARTS, goal, (np.bincount(part_of[part_of >= 0], minlength=3)), strict=True):
        if share > 0 and not count:
            raise DataError(
                f"{share:g} of {fraction:g} of the {len(folder)} pairs ({len(set(folder.scenes))} scenes) of "
                f"{folder.root} leave none for {name}; give other --fractions or a larger --fraction"
            )
    chosen = folder.subset(np.flatnonzero(part_of >= 0).tolist())
    return replace(chosen, parts=[PARTS[p] for p in part_of[part_of >= 0]])


def _by_image(count: int, goal: npt.NDArray[np.float64], fraction: float, rng: np.random.Generator) -> Parts:
    """The counts are rounded down as in the document; what is left of them is for training."""
    order = rng.permutation(count)[: int(count * fraction + 1e-9)]
    part_of = np.full(count, -1, dtype=np.int64)
    test, val = (int(len(order) * goal[p] + 1e-9) for p in (2, 1))
    part_of[order] = 0
    part_of[order[:test]] = 2
    part_of[order[test : test + val]] = 1
    return part_of


def _by_scene(folder: PairedFolder, goal: npt.NDArray[np.float64], fraction: float, rng: np.random.Generator) -> Parts:
    if not folder.scenes_known:
        unknown = next(key for key, scene in zip(folder.keys, folder.scenes, strict=True) if key == scene)
        raise DataError(
            f"the scene of the pair {unknown} of {folder.root} is not known; write it into a manifest (a,b,scene), or "
            "give --by image"
        )
    names, scene_of = np.unique(np.array(folder.scenes), return_inverse=True)
    sizes = np.bincount(scene_of)
    order = rng.permutation(len(names))
    reached = np.cumsum(sizes[order])
    taken = order[: int(np.argmin(np.abs(reached - fraction * len(folder)))) + 1]
    part_of = np.full(len(names), -1, dtype=np.int64)
    part_of[taken] = assign_groups(sizes[taken, None].astype(np.float64), goal, rng)
    return part_of[scene_of]


def write_manifest(folder: PairedFolder, path: str | Path) -> Path:
    """Write the pairs as a manifest for `PairedFolder.open`: a, b, scene, part, the files relative to the root.

    >>> import tempfile; from sarcore.data import write_image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("s1_7", "s2_7"):
    ...     (root / name).mkdir()
    ...     _ = write_image(root / name / "0.png", np.zeros((1, 4, 4), dtype=np.uint8))
    >>> write_manifest(PairedFolder.open(root), root / "pairs.csv").read_text().splitlines()
    ['a,b,scene,part', 's1_7/0.png,s2_7/0.png,7,']
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for a, b, scene, part in zip(folder.a.places, folder.b.places, folder.scenes, folder.parts, strict=True):
        files = (os.path.relpath(place.path, folder.root) for place in (a, b))
        lines.writerow([*files, scene if folder.scenes_known else "", part or ""])
    return write_bytes(path, text.getvalue().encode())


def link_parts(folder: PairedFolder, out: str | Path) -> Path:
    """Make the folders trainA, trainB, testA, .. of relative links that other projects read; return ``out``.

    Links that an earlier run left there are replaced once all new ones are made; anything else in these folders is
    refused before something is changed (DataError). Partners of different names get one. Side-by-side images become the
    folders train, test, .. of such images.
    """
    out = Path(out)
    side_by_side = any(place.half is not None for place in folder.a.places)
    sides = ("",) if side_by_side else ("A", "B")
    folders = {f"{part}{side}": out / f"{part}{side}" for part in PARTS for side in sides}
    for present in folders.values():
        for path in present.iterdir() if present.is_dir() else []:
            if not path.is_symlink():
                raise DataError(f"{path} is no link of an earlier split; move it away or give another --links")
    links = _links(folder, sides)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".links.", dir=out) as fresh:
        for target, name, place in links:
            (Path(fresh) / target).mkdir(exist_ok=True)
            relative = os.path.relpath(place.path.resolve(), folders[target].resolve())
            (Path(fresh) / target / name).symlink_to(relative)
        for target, present in folders.items():
            for path in present.iterdir() if present.is_dir() else []:
                path.unlink()
            if (Path(fresh) / target).is_dir():
                os.replace(Path(fresh) / target, present.resolve())
    return out


def _links(folder: PairedFolder, sides: Sequence[str]) -> list[tuple[str, str, ImagePlace]]:
    """Folder, name and file of every link; names that partners do not share, or others have, are those of the keys."""
    names = [[common_name(place.path) for place in domain.places] for domain in (folder.a, folder.b)]
    taken = [Counter(zip(folder.parts, side, strict=True)) for side in names]
    found = []
    for i, (part, *both) in enumerate(zip(folder.parts, *names, strict=True)):
        if part is None:
            raise DataError(f"the pair {folder.keys[i]} of {folder.root} is in no part; make a split first")
        own = both[0] == both[1] and all(count[part, name] == 1 for count, name in zip(taken, both, strict=True))
        for side, domain in zip(sides, (folder.a, folder.b), strict=False):
            place = domain.places[i]
            # Other projects find partners by equal names, or by their order.
            stem = place.path.stem if own else folder.keys[i].replace("/", "_")
            found.append((f"{part}{side}", f"{stem}{place.path.suffix}", place))
    return found


def check_pairs(folder: PairedFolder, *, similar: bool = False) -> list[str]:
    """What the parts of the pairs share, one sentence each: scenes, equal pixels; [] if clean.

    Crops that `write_pair_crops` cut may come from one raster, as long as no pixel is in two parts.

    Reads every image that is in a part. ``similar`` adds near duplicates of the SAR images, where all have one size of
    at least 32 pixels. Raises DataError for pairs without parts.
    """
    members = {part: [i for i, name in enumerate(folder.parts) if name == part] for part in PARTS}
    if not any(members.values()):
        raise DataError(f"the pairs of {folder.root} have no parts; make them with `sarcore split {folder.root}`")
    messages = []
    cut = read_card(folder.root).radiometry_a is not None  # by `write_pair_crops`, whose names tell the places
    for first, second in combinations(PARTS, 2):
        messages += (_shared_ground if cut else _shared_scenes)(folder, members, first, second)
    for name, domain in (("SAR", folder.a), ("optical", folder.b)):
        messages += _equal_images(domain, name, members)
    if similar and comparable(folder):
        part_of = {i: part for part, chosen in members.items() for i in chosen}
        pairs = near_duplicates(folder.a, list(members.values()))
        for (first, second), count in Counter((part_of[p.first], part_of[p.second]) for p in pairs).items():
            best = next(p for p in pairs if (part_of[p.first], part_of[p.second]) == (first, second))
            messages.append(
                f"{count} SAR images of {first} and {second} are near duplicates, for example "
                f"{folder.keys[best.first]} and {folder.keys[best.second]} (correlation {best.correlation:.2f})"
            )
    return messages


def _shared_scenes(folder: PairedFolder, members: dict[str, list[int]], first: str, second: str) -> list[str]:
    scenes = {folder.scenes[i] for i in members[first]} & {folder.scenes[i] for i in members[second]}
    return [f"{len(scenes)} scenes are in {first} and in {second}, for example {min(scenes)}"] if scenes else []


def _shared_ground(folder: PairedFolder, members: dict[str, list[int]], first: str, second: str) -> list[str]:
    """Crops of one raster may be in two parts where no pixel is in both. Files of other names are no crops."""
    rasters = [_crops(folder, members[part]) for part in (first, second)]
    for name in sorted(rasters[0].keys() & rasters[1].keys()):
        (ours, begin, end), (theirs, places, ends) = (raster[name] for raster in rasters)
        for i, place, last in zip(theirs, places, ends, strict=True):
            hit = ((place < end) & (begin < last)).all(axis=1)
            if hit.any():
                one = folder.keys[ours[int(hit.argmax())]]
                return [f"crops of {second} show pixels of {first}, for example {folder.keys[i]} and {one}"]
    return []


def _crops(folder: PairedFolder, indices: list[int]) -> dict[str, tuple[list[int], Parts, Parts]]:
    """The crops of each raster, with the rows and columns at which they begin and end."""
    found: dict[str, list[int]] = {}
    for i in indices:
        if name := scene_from_name(folder.a.places[i].path):
            found.setdefault(name, []).append(i)
    spans = {}
    for name, crops in found.items():
        begin = np.array([folder.a.places[i].path.stem.rsplit("_", 2)[1:] for i in crops], dtype=np.int64)
        spans[name] = crops, begin, begin + np.array([folder.a.sizes[i] for i in crops], dtype=np.int64)
    return spans


def comparable(folder: PairedFolder) -> bool:
    """Whether near duplicates can be looked for: images of one size that is large enough."""
    return len(set(folder.a.sizes)) == 1 and min(folder.a.sizes[0]) >= SMALLEST


def _equal_images(domain: Domain, what: str, members: dict[str, list[int]]) -> list[str]:
    digests = {part: {_digest(domain, i): i for i in chosen} for part, chosen in members.items()}
    messages = []
    for first, second in combinations(PARTS, 2):
        equal = sorted((digests[first][d], digests[second][d]) for d in digests[first].keys() & digests[second].keys())
        if equal:
            one, other = (domain.places[i].path for i in equal[0])
            messages.append(
                f"{len(equal)} {what} images of {first} and {second} have equal pixels, for example {one} and {other}"
            )
    return messages


def _digest(domain: Domain, index: int) -> bytes:
    image = domain.stored(index)
    return hashlib.sha256(repr((image.shape, image.dtype.str)).encode() + image.tobytes()).digest()
