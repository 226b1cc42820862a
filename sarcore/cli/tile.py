"""``sarcore tile``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from sarcore.ops import Radiometry

Format = Literal["png", "tiff", "npy", "shards"]


def tile(
    scenes: Annotated[Positional[tuple[Path, ...]], arg(metavar="SCENE")],
    /,
    *,
    out: Path,
    size: int = 160,
    stride: int | None = None,
    format: Format = "png",
    labels: tuple[Path, ...] = (),
    label_field: str | None = None,
    label_nodata: float | None = None,
    class_names: tuple[str, ...] = (),
    min_valid: float = 0.5,
    majority: float = 0.5,
    unit: str | None = None,
    scale: str | None = None,
    low: float | None = None,
    high: float | None = None,
    percentiles: tuple[float, float] = (1.0, 99.0),
    nodata: float | None = None,
    channels: tuple[int, ...] = (),
    encode: bool = False,
    bits: Literal[8, 16] = 8,
) -> None:
    """Cut scenes of any size into a folder of patches, in class folders where labels are given.

    Args:
        scenes: GeoTIFF, ENVI, NPY, NPZ, PNG or another raster, one or more.
        out: Folder to write; must not exist or be empty.
        size: Side of a patch in pixels.
        stride: Step from patch to patch; the size without it.
        format: png holds 8 or 16 bit codes; tiff (georeferenced), npy and shards (for large sets) the scene's values.
        labels: Label raster on any overlapping grid, or polygons (.geojson, .gpkg, .shp); one file, or one per scene.
        label_field: Field of the polygons that holds the class.
        label_nodata: Value of label pixels without a class; by default what the file declares.
        class_names: Names of the values of a label raster, as 0=land 1=water; other values then have no class.
        min_valid: Least share of pixels with data in a patch; the others are left out and counted.
        majority: Least share of its class in a patch with labels; the others are left out and counted.
        unit: Unit of the values: intensity, amplitude, db, complex or digital; found out without it.
        scale: Unit on which the values are mapped to [0, 1]; db for intensity, amplitude and complex without it.
        low: Value on the scale that becomes 0; a percentile of all scenes without it.
        high: Value on the scale that becomes 1; a percentile of all scenes without it.
        percentiles: The percentiles.
        nodata: Value of pixels without data, nan for NaN; by default the one that the files declare.
        channels: Channels to keep, counted from 0; all without it.
        encode: Write codes in tiff, npy and shards too.
        bits: Bits of the codes.
    """
    from sarcore.data.patch_scenes import SceneSet, set_radiometry
    from sarcore.data.patch_set import write_patch_set

    with ConsoleProgress() as progress:

        def declared(opened: SceneSet) -> Radiometry:
            found, notes = set_radiometry(opened, unit, scale=scale, low=low, high=high, percentiles=percentiles)
            for note in notes:
                progress.note(note)
            progress.stage("rows", sum(scene.shape[1] for scene in opened.scenes.values()))
            return found

        write_patch_set(
            scenes, out, size, stride, format=format, labels=labels or None, label_field=label_field,
            label_nodata=label_nodata, class_names=_names(class_names), min_valid=min_valid, majority=majority,
            radiometry=declared, nodata=nodata, channels=channels or None, encode=encode, bits=bits,
            on_rows=lambda rows, _: progress.step(rows, {}),
        )  # fmt: skip
        for line in _summary(out):
            progress.note(line)


def _names(given: tuple[str, ...]) -> dict[int, str] | None:
    names = {}
    for text in given:
        value, separator, name = text.partition("=")
        try:
            names[int(value)] = name
        except ValueError:
            separator = ""
        if not separator or not name:
            raise ValueError(f"class names are given as VALUE=NAME, for example 1=water; got {text!r}")
    return names or None


def _summary(out: Path) -> list[str]:
    card: dict[str, Any] = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    height, width = card["size"]
    classes = ", ".join(f"{name} {count}" for name, count in card["classes"].items())
    scenes = f"{len(card['scenes'])} scene{'s' if len(card['scenes']) > 1 else ''}"
    lines = [f"{card['patches']} patches of {height}×{width} from {scenes} in {out}: {classes}"]
    lines += [f"left out: {count} with {reason}" for reason, count in card["left_out"].items()]
    return lines + [f"note: {note}" for note in card["notes"]]
