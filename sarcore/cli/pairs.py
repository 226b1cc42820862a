"""``sarcore pairs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sarcore.cli.progress import ConsoleProgress


def pairs(
    sar: Annotated[Positional[Path], arg(metavar="SAR")],
    optical: Annotated[Positional[Path], arg(metavar="OPTICAL")],
    /,
    *,
    out: Path,
    count: int = 1000,
    size: int = 256,
    strip: int | None = None,
    val_strip: int = 0,
    buffer: int = 0,
    test: Literal["bottom", "top", "left", "right"] = "bottom",
    seed: int = 0,
    unit: str | None = None,
    nodata_sar: float | None = None,
    nodata_optical: float | None = None,
) -> None:
    """Cut joint random crops for training, and test tiles from a strip apart, out of one SAR and one optical raster.

    The rasters must lie on one grid (`sarcore prep warp`, `sarcore prep register`). Values are kept as they are.

    Args:
        sar: SAR raster: GeoTIFF, ENVI, NPY, PNG or another.
        optical: Optical raster of the same place.
        out: Folder to write, with trainA, trainB, testA, testB and dataset.json; must not exist or be empty.
        count: Training crops; no two are cut at the same place, and none has pixels without data.
        size: Side of a crop in pixels.
        strip: Pixels of the test strip, which no training crop touches; one crop without it.
        val_strip: Pixels of a second strip, for validation (valA, valB).
        buffer: Pixels beside a strip that no crop touches either.
        test: Border along which the test strip lies.
        seed: The same seed cuts the same crops.
        unit: Unit of SAR values: intensity, amplitude, db, complex or digital; found out without it.
        nodata_sar: Value of SAR pixels without data, nan for NaN; by default the one that the file declares.
        nodata_optical: Value of optical pixels without data.
    """
    from sarcore.data.pair_crops import write_pair_crops

    with ConsoleProgress() as progress:
        progress.stage("crops", count)
        write_pair_crops(
            sar, optical, out, count=count, size=size, strip=strip, val_strip=val_strip, buffer=buffer, test=test,
            seed=seed, unit=unit, nodata_a=nodata_sar, nodata_b=nodata_optical,
            on_crop=lambda done, _: progress.step(done, {}),
        )  # fmt: skip
        card = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
        counts = ", ".join(f"{part} {number}" for part, number in card["parts"].items())
        progress.note(f"pairs of {size}×{size} in {out}: {counts}")
        for part, number in card["left_out"].items():
            if number:
                progress.note(f"left out of {part}: {number} tiles with pixels without data")
        for name, domain in (("SAR", "a"), ("optical", "b")):
            found = card[f"radiometry_{domain}"]
            progress.note(f"{name}: {found['unit']}, {found['low']:.5g} to {found['high']:.5g} {found['scale']}")
