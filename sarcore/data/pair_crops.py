"""Joint random crops of one co-registered pair of rasters, and test tiles from a strip that no crop touches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.card import CARD_FILE, PAIRED
from sarcore.data.images import write_bytes, write_image
from sarcore.data.limits import scene_radiometry, scene_unit
from sarcore.data.nodata import pixel_nodata
from sarcore.data.pair_grid import Overlap, overlap_of
from sarcore.data.patch_set import VERSION, whole_folder
from sarcore.data.scene import Scene
from sarcore.errors import DataError
from sarcore.ops import Radiometry

SIDES = ("bottom", "top", "left", "right")
_TRIES = 20  # windows that are looked at for each crop, at most, where no-data is in the way
_MANY = 1 << 22  # places for a crop

Box = tuple[int, int, int, int]  # first row, first column, rows, columns, in the overlap


@dataclass(frozen=True)
class Regions:
    """Where the parts lie in the overlap: boxes that do not touch; no rows or columns for a part that is not cut."""

    train: Box
    val: Box
    test: Box


def regions_of(shape: tuple[int, int], size: int, strip: int, val_strip: int, buffer: int, test: str) -> Regions:
    """Train, validation and test region of an image; DataError with the numbers where they do not fit.

    >>> regions_of((1000, 600), size=256, strip=256, val_strip=0, buffer=10, test="bottom").train
    (0, 0, 734, 600)
    """
    length, across = shape if test in ("bottom", "top") else shape[::-1]
    gap = buffer * (2 if val_strip else 1)
    left = length - strip - val_strip - gap
    if left < size or across < size:
        least = (size + strip + val_strip + gap, size)
        rows, columns = least if test in ("bottom", "top") else least[::-1]
        raise DataError(
            f"both rasters show {shape[0]} x {shape[1]} pixels (rows x columns); crops of {size} x {size} with a test "
            f"strip of {strip}, a validation strip of {val_strip} and a buffer of {buffer} need at least "
            f"{rows} x {columns}: give a smaller --size and --strip, or rasters of a larger area"
        )
    spans = ((0, left), (left + buffer, val_strip), (length - strip, strip))
    if test in ("top", "left"):
        spans = tuple((length - start - count, count) for start, count in spans)  # type: ignore[assignment]
    boxes = [
        (start, 0, count, across) if test in ("bottom", "top") else (0, start, across, count) for start, count in spans
    ]
    return Regions(*boxes)


def write_pair_crops(
    sar: str | Path | Scene,
    optical: str | Path | Scene,
    out: str | Path,
    *,
    count: int = 1000,
    size: int = 256,
    strip: int | None = None,
    val_strip: int = 0,
    buffer: int = 0,
    test: str = "bottom",
    seed: int = 0,
    unit: str | None = None,
    radiometry_a: Radiometry | None = None,
    radiometry_b: Radiometry | None = None,
    nodata_a: float | None = None,
    nodata_b: float | None = None,
    on_crop: Callable[[int, int], None] | None = None,
) -> Path:
    """Cut a folder of pairs for `PairedFolder.open` out of two rasters that show one place, and return its path.

    >>> from tempfile import mkdtemp
    >>> sar = Scene.open(np.random.default_rng(0).integers(0, 255, (1, 200, 150), dtype=np.uint8))
    >>> out = write_pair_crops(sar, sar, Path(mkdtemp()) / "set", count=5, size=64)
    >>> {name: len(list((out / name).iterdir())) for name in ("trainA", "trainB", "testA", "testB")}
    {'trainA': 5, 'trainB': 5, 'testA': 2, 'testB': 2}

    ``count`` windows at random places, no two at the same, are cut from both rasters into trainA and trainB. Test tiles
    (testA, testB) lie side by side in a strip along the border ``test``; no training crop touches the strip, nor the
    ``buffer`` pixels beside it. Windows with a pixel without data are not taken: the no-data value, NaN, infinity (0 in
    decibels), or masked in the file. Files are named ``<scene>_<row>_<column>`` after the SAR raster and hold its
    values: PNG for 8 bit with one or three channels, else TIFF. ``dataset.json`` keeps the radiometries and where
    everything came from. A failure leaves no folder behind.

    Args:
        sar: raster of domain A.
        optical: raster of domain B. Georeferenced rasters must lie on one grid (CRS, spacing, whole pixels apart), of
            which what both show is used; others must have one size.
        out: folder to write; must not exist or be empty.
        count: training crops.
        size: side of a crop in pixels.
        strip: pixels of the test strip across the border; one crop by default.
        val_strip: pixels of a second strip, for validation, inside of the first; none by default.
        buffer: pixels between the strips and what is on their other side.
        test: border of the test strip: bottom, top, left or right.
        seed: the same seed cuts the same crops.
        unit: of SAR values that are not 8 bit; by default what `scene_unit` finds.
        radiometry_a: of the SAR values; by default 0 to 255 of 8 bit, else the 1 and 99 percentiles of the whole
            raster, in decibels where there is power.
        radiometry_b: of the optical values; by default 0 to 255 of 8 bit, else digital with those percentiles.
        nodata_a: value of SAR pixels without data, instead of what the file declares.
        nodata_b: value of optical pixels without data.
        on_crop: called with the crops that are done and their number.

    Raises:
        ValueError: sizes below 1, or a border that is none.
        DataError: what `Scene.open` refuses, rasters that are too small or lie on two grids, a folder in use, too few
            windows without no-data.
    """
    out, strip = Path(out), size if strip is None else strip
    _check(out, count, size, strip, val_strip, buffer, test, seed)
    a, b = Scene.open(sar, nodata=nodata_a), Scene.open(optical, nodata=nodata_b)
    overlap = overlap_of(a, b)
    regions = regions_of(overlap.shape, size, strip, val_strip, buffer, test)
    cutter = _Cutter(a, b, overlap, size)
    radiometries = radiometry_a or _sar_radiometry(a, unit), radiometry_b or _optical_radiometry(b)

    def write(folder: Path) -> None:
        train = cutter.random(regions.train, count, np.random.default_rng(seed))
        written, left_out = {"train": cutter.write(folder, "train", train, on_crop)}, {}
        for part, box in (("val", regions.val), ("test", regions.test)):
            tiles = list(_tiles(box, size))
            valid = [place for place in tiles if cutter.valid(*place)]
            if tiles and not valid:
                raise DataError(
                    f"every tile of the {part} strip has pixels without data; take another --test border, or crop the "
                    "rasters to where both have data"
                )
            if tiles:
                written[part], left_out[part] = cutter.write(folder, part, valid), len(tiles) - len(valid)
        card = {
            "source": PAIRED, "version": VERSION,
            "radiometry_a": radiometries[0].to_dict(), "radiometry_b": radiometries[1].to_dict(),
            "size": size, "strip": strip, "val_strip": val_strip, "buffer": buffer, "test": test, "seed": seed,
            "parts": written, "left_out": left_out,
            "overlap": list(overlap.shape), "a": _origin(a, overlap.a), "b": _origin(b, overlap.b),
        }  # fmt: skip
        write_bytes(folder / CARD_FILE, (json.dumps(card, indent=1) + "\n").encode())

    return whole_folder(out, write)


class _Cutter:
    """Windows of both rasters at one place of their overlap."""

    def __init__(self, a: Scene, b: Scene, overlap: Overlap, size: int) -> None:
        self.sides = ((a, overlap.a), (b, overlap.b))
        self.size = size

    def read(self, row: int, column: int) -> list[npt.NDArray[Any]]:
        size = self.size
        return [scene.read(row + first[0], column + first[1], size, size) for scene, first in self.sides]

    def valid(self, row: int, column: int) -> bool:
        for (scene, first), window in zip(self.sides, self.read(row, column), strict=True):
            mask = scene.mask(row + first[0], column + first[1], self.size, self.size)
            if not (_complete(scene, window) and (mask is None or mask.all())):
                return False
        return True

    def random(self, box: Box, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Different places of a box at which no window has a pixel without data."""
        rows, columns = box[2] - self.size + 1, box[3] - self.size + 1
        if rows * columns < count:
            raise DataError(
                f"the training region of {box[2]} x {box[3]} pixels has {rows * columns} places for crops of "
                f"{self.size}, fewer than {count}; give a smaller --count or --size"
            )
        tried = min(_TRIES * count, rows * columns)
        if rows * columns > _MANY:  # NumPy would shuffle a list of all places to draw more than a 50th of them
            tried = min(tried, max(2 * count, rows * columns // 64))
        places: list[tuple[int, int]] = []
        for number in map(int, rng.choice(rows * columns, tried, replace=False)):
            place = box[0] + number // columns, box[1] + number % columns
            if self.valid(*place):
                places.append(place)
            if len(places) == count:
                return places
        raise DataError(
            f"of {tried} windows of {self.size} x {self.size} pixels {len(places)} have no pixel without data, fewer "
            f"than {count}; give a smaller --count or --size, or crop the rasters to where both have data"
        )

    def write(
        self,
        folder: Path,
        part: str,
        places: list[tuple[int, int]],
        on_crop: Callable[[int, int], None] | None = None,
    ) -> int:
        (a, first), _ = self.sides
        for name in ("A", "B"):
            (folder / f"{part}{name}").mkdir()
        for done, (row, column) in enumerate(places, 1):
            name = f"{a.name}_{row + first[0]}_{column + first[1]}"
            for side, window in zip("AB", self.read(row, column), strict=True):
                suffix = ".png" if window.dtype == np.uint8 and window.shape[0] in (1, 3) else ".tif"
                write_image(folder / f"{part}{side}" / f"{name}{suffix}", window)
            if on_crop is not None:
                on_crop(done, len(places))
        return len(places)


def _tiles(box: Box, size: int) -> Iterator[tuple[int, int]]:
    """Places side by side, from the upper left corner of the box on."""
    row, column, rows, columns = box
    for y in range(row, row + rows - size + 1, size):
        for x in range(column, column + columns - size + 1, size):
            yield y, x


def _complete(scene: Scene, window: npt.NDArray[Any]) -> bool:
    """Whether every pixel of a window is data. 0 in one band of a colour image is a value, in all bands no-data."""
    if window.dtype.kind in "fc":
        return scene.valid(window) is None and bool(np.isfinite(window).all())
    missing = pixel_nodata(scene.nodata, window.dtype)
    return missing is None or not (window == missing).all(axis=0).any()


def _check(out: Path, count: int, size: int, strip: int, val_strip: int, buffer: int, test: str, seed: int) -> None:
    if test not in SIDES:
        raise ValueError(f"test must be one of {', '.join(SIDES)}, got {test!r}")
    if count < 1 or size < 1 or buffer < 0 or seed < 0:
        given = f"{count}, {size}, {buffer} and {seed}"
        raise ValueError(f"count and size must be at least 1, buffer and seed 0; got {given}")
    if strip < size or (val_strip and val_strip < size):
        raise ValueError(f"a strip must hold a crop of {size} pixels, got {strip} and {val_strip}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; give another path or remove it")


def _sar_radiometry(scene: Scene, unit: str | None) -> Radiometry:
    if scene.dtype == np.uint8:
        return Radiometry("digital", 0.0, 255.0)
    unit = unit or scene_unit(scene).unit
    return _without_nodata(scene_radiometry(scene, unit, scale="digital" if unit == "digital" else "db"))


def _optical_radiometry(scene: Scene) -> Radiometry:
    if scene.dtype == np.uint8:
        return Radiometry("digital", 0.0, 255.0)
    return _without_nodata(scene_radiometry(scene, "digital"))


def _without_nodata(found: Radiometry) -> Radiometry:
    """No crop has such pixels; and 0 in one band of several is a value."""
    return Radiometry(found.unit, found.low, found.high, scale=found.scale)


def _origin(scene: Scene, first: tuple[int, int]) -> dict[str, Any]:
    nodata = scene.nodata
    return {
        "file": None if scene.path is None else str(scene.path),
        "shape": list(scene.shape),
        "dtype": str(scene.dtype),
        "first": list(first),  # row and column of the overlap
        "crs": scene.crs,
        "transform": None if scene.transform is None else list(scene.transform),
        "nodata": nodata if nodata is None or np.isfinite(nodata) else str(nodata),
    }
