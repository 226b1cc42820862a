"""How well `sarcore.geo.register` lays real Sentinel-2 images on Sentinel-1 images, by size of the image.

    python bench/register_study.py ../shared/data --size 256 --step 4 --out register_256.json

The optical image of a real pair is warped by a known similarity: shift up to 64 px along either axis, rotation up to 5
degrees, scale 0.8 to 1.25. The error is the mean displacement, over the image, from where the registration of the pair
that was not warped puts it. Mismatched pairs, SAR of one place and optical of another, must be reported as failures.
What is outside an image that is cut from a larger one comes from there, and is masked otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from sarcore.data.images import read_image
from sarcore.geo.register import register
from sarcore.geo.similarity import Array, compose, displacement, similarity

WRONG = 5.0  # px: a registration that is called right and errs by more is a false success


class Pair(NamedTuple):
    """SAR and optical image of one place, in a frame of the optical image that may be larger."""

    name: str
    sar: Array  # (1, H, W)
    optical: Array  # (3, H', W')
    corner: tuple[int, int]  # (x, y) of the SAR image in it


def pairs(folder: Path, size: int) -> list[Pair]:
    """118 pairs of 256; crops of two scenes of 1024 at 512; those scenes."""
    if size == 256:
        found = []
        for sar in sorted((folder / "pairs256").glob("s1_*/*.png")):
            optical = Path(str(sar).replace("s1_", "s2_"))
            found.append(Pair(sar.stem, read_image(sar)[:1], read_image(optical), (0, 0)))
        return found
    scenes = folder / "scenes1024"
    found = []
    for path in sorted((scenes / "sar").glob("*.png")):
        sar, optical = read_image(path)[:1], read_image(scenes / "opt" / path.name)
        for y in range(0, 1024 - size + 1, 256):
            for x in range(0, 1024 - size + 1, 256):
                found.append(Pair(f"{path.stem} {x},{y}", sar[:, y : y + size, x : x + size], optical, (x, y)))
    return found


def warped(pair: Pair, warp: Array) -> tuple[Array, Array]:
    """The optical image that `warp` takes to the pair's frame, in the size of the SAR image, and its mask."""
    size = pair.sar.shape[:0:-1]
    into = compose(np.array([[1, 0, pair.corner[0]], [0, 1, pair.corner[1]]], dtype=float), warp)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(np.moveaxis(pair.optical, 0, -1), into, size, flags=flags)
    inside = cv2.warpAffine(np.ones(pair.optical.shape[1:], np.float32), into, size, flags=flags)
    return np.moveaxis(image, -1, 0), inside > 0.999


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """A warp within the limits of the study."""
    middle = (np.array(size[::-1]) - 1) / 2
    scale = math.exp(rng.uniform(math.log(0.8), math.log(1.25)))
    return similarity(rng.uniform(-64, 64, 2), rng.uniform(-5, 5), scale, middle, middle)


def study(
    folder: Path, size: int, *, step: int = 1, first: int = 0, draws: int = 1, seed: int = 0, mismatched: bool = False
) -> list[dict[str, Any]]:
    """One row per warped pair, and one per mismatched pair."""
    rng, rows, found = np.random.default_rng(seed), [], pairs(folder, size)
    for i in range(first, len(found), step):
        pair = found[i]
        still, mask = warped(pair, np.eye(2, 3))
        start = time.perf_counter()
        nominal = register(pair.sar, still, max_shift=24, max_rotation=2, max_scale=1.05, optical_mask=mask)
        seconds = time.perf_counter() - start
        rows.append({"pair": pair.name, "kind": "nominal", "seconds": seconds, **figures(nominal)})
        others = [found[(i + len(found) // 2) % len(found)]] if mismatched else []
        for other in [pair] * draws + others:
            warp = draw(rng, pair.sar.shape[1:])
            image, mask = warped(other, warp)
            start = time.perf_counter()
            result = register(pair.sar, image, optical_mask=mask)
            seconds = time.perf_counter() - start
            error = displacement(result.matrix, compose(nominal.matrix, warp), image.shape[1:])
            kind = "mismatched" if other is not pair else "warped"
            rows.append({"pair": pair.name, "kind": kind, "error": error, "seconds": seconds, **figures(result)})
            print({k: round(v, 2) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    return rows


def figures(result: Any) -> dict[str, Any]:
    """What is kept of a registration."""
    return result.to_dict()


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of the table, for one size."""
    right = [row for row in rows if row["kind"] == "warped"]
    wrong = [row for row in rows if row["kind"] == "mismatched"]
    errors = np.array([row["error"] for row in right])
    claimed = np.array([row["success"] for row in right])
    return {
        "pairs": len(right),
        "median_error": float(np.median(errors)),
        "p95_error": float(np.percentile(errors, 95)),
        "within_3_px": float((errors <= 3).mean()),
        "success": float((claimed & (errors <= WRONG)).mean()),
        "false_success": int((claimed & (errors > WRONG)).sum()),
        "mismatched": len(wrong),
        "mismatched_called_right": sum(row["success"] for row in wrong),
        "seconds": float(np.median([row["seconds"] for row in right])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, choices=(256, 512, 1024), default=256)
    parser.add_argument("--step", type=int, default=1, help="every which pair is taken")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1, help="warps of every pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mismatched", action="store_true", help="mismatched pairs as well")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = study(
        options.data, options.size, step=options.step, first=options.first, draws=options.draws, seed=options.seed,
        mismatched=options.mismatched,
    )  # fmt: skip
    print(json.dumps(summary(rows), indent=1))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
