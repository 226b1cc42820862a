"""The files of docs/translation.md: one ground, seen by a radar and, as map tiles, by a camera; and a set of pairs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sarcore.data import write_image
from sarcore.ops import speckle

POINT, ZOOM, TILE = (139.8107, 35.7101), 15, 256
UTM, GSD, SIDE = "EPSG:32654", 3.0, 480


def ground(side: int, seed: int) -> npt.NDArray[np.float32]:
    """Fields and blocks in [0, 1], (side, side)."""
    draws = torch.Generator().manual_seed(seed)
    fields = F.interpolate(torch.rand(1, 1, 9, 9, generator=draws), size=(side, side), mode="bicubic")
    blocks = F.interpolate(torch.rand(1, 1, side // 16 + 1, side // 16 + 1, generator=draws), size=(side, side))
    return (0.6 * fields + 0.4 * blocks.round())[0, 0].clamp(0, 1).numpy()


def radar(values: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """Amplitude (1, H, W) of four looks."""
    intensity = torch.from_numpy(0.02 + values**2)[None, None]
    return speckle(intensity, looks=4, seed=seed)[0].sqrt().numpy()


def colours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(3, H, W), green fields and grey blocks."""
    return (255 * np.stack([values, 0.3 + 0.5 * values, 0.8 * values**2])).clip(0, 255).astype(np.uint8)


def write_scenes(folder: Path) -> None:
    """palsar.tif in UTM and tiles/15/x/y.png, around the point of the page."""
    import rasterio
    from pyproj import Transformer

    to_utm = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    x, y = to_utm.transform(*POINT)
    left, top = x - SIDE * GSD / 2, y + SIDE * GSD / 2
    truth = ground(SIDE, 0)
    place = {"crs": UTM, "transform": rasterio.Affine(GSD, 0, left, 0, -GSD, top), "dtype": "uint16", "count": 1}
    with rasterio.open(folder / "palsar.tif", "w", driver="GTiff", height=SIDE, width=SIDE, **place) as out:
        out.write((4000 * radar(truth, 1)).clip(1, 65535).astype(np.uint16))

    count = 2**ZOOM
    column = (POINT[0] + 180) / 360 * count
    row = (1 - math.asinh(math.tan(math.radians(POINT[1]))) / math.pi) / 2 * count
    for tile_y in range(int(row) - 1, int(row) + 3):
        for tile_x in range(int(column) - 1, int(column) + 3):
            across = tile_x + (np.arange(TILE) + 0.5) / TILE
            down = tile_y + (np.arange(TILE) + 0.5) / TILE
            lon, lat = np.meshgrid(
                across / count * 360 - 180, np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * down / count))))
            )
            east, north = to_utm.transform(lon, lat)
            at = [((v / GSD).astype(int)).clip(0, SIDE - 1) for v in (top - north, east - left)]
            path = folder / "tiles" / str(ZOOM) / str(tile_x) / f"{tile_y}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, colours(truth[at[0], at[1]]))


def write_pairs(folder: Path, scenes: int = 10, patches: int = 2, side: int = 48) -> None:
    """A set in the layout of SEN1-2."""
    for scene in range(1, scenes + 1):
        for kind in ("s1", "s2"):
            (folder / "ROIs1970_fall" / f"{kind}_{scene}").mkdir(parents=True)
        for patch in range(patches):
            truth = ground(side, 100 * scene + patch)
            images = {"s1": (255 * radar(truth, patch)).clip(0, 255).astype(np.uint8), "s2": colours(truth)}
            for kind, image in images.items():
                name = f"ROIs1970_fall_{kind}_{scene}_p{patch}.png"
                write_image(folder / "ROIs1970_fall" / f"{kind}_{scene}" / name, image)
