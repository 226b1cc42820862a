"""Writing a patch set: scenes cut into patches with their classes, a manifest and a card."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sarcore.data.card import CARD_FILE, TILED, stored_radiometry
from sarcore.data.images import write_bytes
from sarcore.data.label_map import LabelSource, labels_of_scenes
from sarcore.data.patch_cut import Job, cut
from sarcore.data.patch_files import FORMATS, PatchFiles, check_png
from sarcore.data.patch_scenes import SceneSet, Source, open_scenes, set_radiometry
from sarcore.data.scene import Scene
from sarcore.errors import DataError
from sarcore.ops import PatchGrid, Radiometry

VERSION = 1
NO_CLASS = "unlabelled"
_LOCK = ".lock"  # held in the unfinished folder while its process lives
_COLUMNS = ("file", "class", "scene", "row", "column", "valid", "share")


@dataclass
class _Counted:
    """Patches of each class and scene, and those left out, by reason."""

    classes: Counter[str] = field(default_factory=Counter)
    scenes: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def write_patch_set(
    scenes: Sequence[Source],
    out: str | Path,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    *,
    format: str = "png",
    labels: LabelSource | Sequence[LabelSource] | None = None,
    label_field: str | None = None,
    label_nodata: float | None = None,
    class_names: Mapping[int, str] | None = None,
    min_valid: float = 0.5,
    majority: float = 0.5,
    radiometry: Radiometry | Callable[[SceneSet], Radiometry] | None = None,
    nodata: float | None = None,
    channels: Sequence[int] | None = None,
    encode: bool = False,
    bits: int = 8,
    on_rows: Callable[[int, int], None] | None = None,
) -> Path:
    """Cut scenes of any size into a folder of patches for `PatchFolder.open`, and return its path.

    >>> scene = np.random.default_rng(0).integers(0, 255, (100, 130), dtype=np.uint8)
    >>> from tempfile import mkdtemp
    >>> out = write_patch_set([scene], Path(mkdtemp()) / "set", size=64, stride=32, min_valid=0)
    >>> sorted(path.name for path in out.glob("*_64_*"))
    ['array_64_0.png', 'array_64_32.png', 'array_64_64.png', 'array_64_96.png']
    >>> from sarcore.data import PatchFolder
    >>> PatchFolder.open(out).classes, PatchFolder.open(out).positions[-1].tolist()
    (['unlabelled'], [64, 96])

    The patches are those of `PatchGrid` with mirrored edges, so that nothing is dropped: named
    ``<scene>_<row>_<column>``, in a folder per class, or in shards of 256 MiB. ``labels.csv`` lists file, class, scene,
    position, the share of pixels with data and, with labels, of the class; ``dataset.json`` says how the set was made,
    its radiometry, and CRS, spacing and transform of the scenes. A scene is read in bands, whatever its size. The
    folder appears under its name when it is complete; a failure leaves nothing behind.

    Args:
        scenes: files as `Scene.open` takes them, scenes or arrays, of one type and number of channels.
        out: folder to write; must not exist or be empty.
        size: side of a patch, or (h, w), in pixels.
        stride: step from patch to patch; `size` unless given.
        format: ``png`` (8 or 16 bit codes), ``tiff`` (with its place on Earth), ``npy``, ``shards`` (memory-mapped, for
            sets too large for single files).
        labels: classes, for all scenes or one per scene: a raster of the scenes' grid or of another CRS, or polygons.
        label_field: field of the polygons with the class.
        label_nodata: value of label pixels without a class.
        class_names: names of the values of a label raster; other values then have no class.
        min_valid: least share of pixels inside the scene and with data, 0 to 1; other patches are left out and counted.
        majority: least share that the class of a patch must have of its pixels with data; other patches are left out
            and counted. Of two equal shares the class of the lesser value counts.
        radiometry: of the values, or a function that finds it for the scenes when all else was checked; by default that
            of `set_radiometry`.
        nodata: value of pixels without data, instead of what the scenes declare.
        channels: channels to keep, counted from 0.
        encode: write codes instead of the scenes' own values; a PNG always holds codes.
        bits: of the codes, 8 or 16.
        on_rows: called with the rows of scenes that are done and their total.

    Raises:
        ValueError: shares, bits, formats, sizes or channels that are none.
        DataError: what `Scene.open`, `LabelMap` and `Radiometry` refuse, scenes that do not fit together, a folder in
            use, a full disk, no patch that is left.
    """
    out = Path(out)
    _check(out, format, bits, min_valid, majority)
    if nodata is None and isinstance(radiometry, Radiometry):
        nodata = radiometry.nodata
    opened = open_scenes(scenes, nodata=nodata, channels=channels)
    grid = PatchGrid((1, 1), size, stride)
    _check_fit(opened, grid.size, min_valid)
    maps = labels_of_scenes(labels, opened.scenes, label_field, label_nodata, class_names)
    encoded = encode or format == "png"
    if format == "png":
        check_png(len(opened.channels), bits)
    if not isinstance(radiometry, Radiometry):
        radiometry = set_radiometry(opened)[0] if radiometry is None else radiometry(opened)
    nodata = opened.nodata if radiometry.nodata is None else radiometry.nodata
    declared = dataclasses.replace(radiometry, nodata=nodata, out=f"uint{bits}" if encoded else "float32")
    job = Job(opened, maps, grid.size, grid.stride, declared.unit, declared if encoded else None, min_valid, majority)

    def write(partial: Path) -> None:
        counted = _write_patches(partial, job, format, declared, on_rows)
        card = _card(job, format, declared, counted)
        write_bytes(partial / CARD_FILE, (json.dumps(card, indent=1) + "\n").encode())

    return whole_folder(out, write)


def _write_patches(
    folder: Path, job: Job, format: str, radiometry: Radiometry, on_rows: Callable[[int, int], None] | None
) -> _Counted:
    """Write the patches of all scenes, and the manifest line by line."""
    scenes, encoded = job.scenes, job.codes is not None
    counted = _Counted()
    done, total = 0, sum(scene.shape[1] for scene in scenes.scenes.values())
    kind = np.dtype(radiometry.out) if encoded else scenes.dtype
    missing = stored_radiometry(radiometry, encoded).nodata
    shape = (len(scenes.channels), *job.size)
    columns = _COLUMNS if job.labels else _COLUMNS[:-1]
    with (
        open(folder / "labels.csv", "w", newline="", encoding="utf-8") as manifest,
        PatchFiles(folder, format, shape, kind, missing, same_bands=scenes.same_bands) as files,
    ):
        lines = csv.writer(manifest, lineterminator="\n")
        lines.writerow(columns)
        for name, scene in scenes.scenes.items():
            for patches, reached in cut(job, name, counted.left_out):
                for patch in patches:
                    class_name = patch.class_name or NO_CLASS
                    file = files.write(patch.pixels, scene, name, patch.position, patch.class_name)
                    line = file, class_name, name, *patch.position, f"{patch.valid:.4f}", f"{patch.share:.4f}"
                    lines.writerow(line[: len(columns)])
                    counted.classes[class_name] += 1
                    counted.scenes[name] += 1
                if on_rows is not None:
                    on_rows(done + reached, total)
            done += scene.shape[1]
    if not counted.scenes:
        reasons = ", ".join(f"{count} had {reason}" for reason, count in counted.left_out.items() if count)
        raise DataError(f"no patch is left: {reasons}; lower --min-valid or --majority, or check the labels")
    return counted


def _check(out: Path, format: str, bits: int, min_valid: float, majority: float) -> None:
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8 or 16, got {bits}")
    for name, share in (("min_valid", min_valid), ("majority", majority)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be a share, 0 to 1, got {share}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; give another path or remove it")


def _check_fit(scenes: SceneSet, size: tuple[int, int], min_valid: float) -> None:
    """Refuse patches of which no scene fills enough, before anything is computed."""
    shapes = [scene.shape[1:] for scene in scenes.scenes.values()]
    most = max(min(h, size[0]) * min(w, size[1]) for h, w in shapes) / (size[0] * size[1])
    if most < min_valid:
        large = max(shapes, key=lambda shape: shape[0] * shape[1])
        raise DataError(
            f"no patch would be left: the largest scene, {large[0]} x {large[1]} pixels, fills {most:.2g} of a patch "
            f"of {size[0]} x {size[1]}, and min_valid is {min_valid:g}; choose a smaller size"
        )


def whole_folder(out: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a folder beside `out`, then rename it; what a killed process left there is removed.

    >>> from tempfile import mkdtemp
    >>> sorted(whole_folder(Path(mkdtemp()) / "set", lambda folder: (folder / "a.txt").touch()).iterdir())
    [PosixPath('.../set/a.txt')]
    """
    partial = out.with_name(f".{out.name}.unfinished")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        if any(partial.iterdir()) and not (partial / _LOCK).is_file():
            raise DataError(f"{partial} is where {out} is written, and holds something else; move that away")
        with open(partial / _LOCK, "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"another process is writing {out}; wait for it or stop it") from None
            try:
                _empty(partial)
                write(partial)
                os.replace(partial, out)
                (out / _LOCK).unlink()
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except OSError as error:
        raise DataError(
            f"the set {out} cannot be written ({error.strerror or error}); nothing of it was kept"
        ) from error
    return out


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _card(job: Job, format: str, radiometry: Radiometry, counted: _Counted) -> dict[str, Any]:
    return {
        "source": TILED,
        "version": VERSION,
        "format": format,
        "encoded": job.codes is not None,
        "radiometry": radiometry.to_dict(),
        "size": list(job.size),
        "stride": list(job.stride),
        "pad": "reflect",
        "channels": job.scenes.channels,
        "min_valid": job.min_valid,
        "labels": {name: found.path for name, (found, _) in job.labels.items()} or None,
        "majority": job.majority if job.labels else None,
        "patches": counted.scenes.total(),
        "classes": dict(sorted(counted.classes.items())),
        "left_out": {reason: count for reason, count in counted.left_out.items() if count},
        "notes": job.scenes.notes,
        "scenes": {name: _scene_card(scene, counted.scenes[name]) for name, scene in job.scenes.scenes.items()},
    }


def _scene_card(scene: Scene, patches: int) -> dict[str, Any]:
    nodata = scene.nodata
    return {
        "file": None if scene.path is None else str(scene.path),
        "shape": list(scene.shape),
        "dtype": str(scene.dtype),
        "crs": scene.crs,
        "transform": None if scene.transform is None else list(scene.transform),
        "gsd": None if scene.gsd is None else list(scene.gsd),
        "nodata": nodata if nodata is None or np.isfinite(nodata) else str(nodata),
        "band_names": list(scene.band_names),
        "patches": patches,
    }
