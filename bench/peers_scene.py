"""The peers of scenes: rasterio as its users call it, and single files read with NumPy and Pillow."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import load

Filter = Callable[[torch.Tensor], torch.Tensor]
Windows = list[tuple[int, int]]  # upper left (row, column)


def _profile(source: Any, compression: str, threads: int) -> dict[str, Any]:
    """What sarcore writes: tiles of 256, the predictor for floating-point numbers, the fastest level."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "height": source.height, "width": source.width}
    profile |= {"crs": source.crs, "transform": source.transform}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "num_threads": threads}
    return profile | ({"compress": "deflate", "predictor": 3, "zlevel": 1} if compression == "deflate" else {})


def rasterio_whole(source: Path, out: Path, function: Filter, compression: str) -> None:
    """The image into memory, the operator, the result into a file."""
    rasterio = load("rasterio")
    with rasterio.open(source, num_threads=torch.get_num_threads()) as scene:
        image = torch.from_numpy(scene.read().astype(np.float32))
        with rasterio.open(out, "w", **_profile(scene, compression, torch.get_num_threads())) as file:
            file.write(function(image[None])[0].numpy())


def rasterio_tiles(source: Path, out: Path, function: Filter, compression: str, size: int, reach: int) -> None:
    """The careful user's loop: tiles with a margin as wide as the operator reaches, of which the inside is kept."""
    rasterio, windows = load("rasterio"), load("rasterio.windows")
    threads = torch.get_num_threads()
    with (
        rasterio.open(source, num_threads=threads) as scene,
        rasterio.open(out, "w", **_profile(scene, compression, threads)) as file,
    ):
        for y in range(0, scene.height, size):
            for x in range(0, scene.width, size):
                top, left = max(0, y - reach), max(0, x - reach)
                below, right = min(scene.height, y + size + reach), min(scene.width, x + size + reach)
                tile = scene.read(window=windows.Window(left, top, right - left, below - top))
                result = function(torch.from_numpy(tile.astype(np.float32))[None])[0].numpy()
                kept = result[:, y - top : y - top + size, x - left : x - left + size]
                file.write(kept, window=windows.Window(x, y, kept.shape[2], kept.shape[1]))


def read_rasterio(path: Path, corners: Windows, size: int, reopen: bool) -> torch.Tensor:
    """Windows through GDAL; with `reopen` the file is opened for each, as data sets of patches do."""
    rasterio, windows = load("rasterio"), load("rasterio.windows")
    out = np.empty((len(corners), 1, size, size), np.uint16)
    if reopen:
        for patch, (row, column) in zip(out, corners, strict=True):
            with rasterio.open(path) as scene:
                scene.read(window=windows.Window(column, row, size, size), out=patch)
    else:
        with rasterio.open(path) as scene:
            for patch, (row, column) in zip(out, corners, strict=True):
                scene.read(window=windows.Window(column, row, size, size), out=patch)
    return torch.from_numpy(out)


def read_mapped(path: Path, corners: Windows, size: int) -> torch.Tensor:
    """Windows of `tifffile.memmap`, for files that are neither compressed nor tiled."""
    image = load("tifffile").memmap(path, mode="r")
    out = np.empty((len(corners), 1, size, size), np.uint16)
    for patch, (row, column) in zip(out, corners, strict=True):
        patch[0] = image[row : row + size, column : column + size]
    return torch.from_numpy(out)


def file_reader(folder: Path, high: float) -> Callable[[tuple[int, int]], torch.Tensor]:
    """The patch at a row and column, from a folder of .npy or .png files, as a data set of a few lines reads it."""
    with open(folder / "labels.csv", encoding="utf-8", newline="") as manifest:
        paths = {(int(row["row"]), int(row["column"])): folder / row["file"] for row in csv.DictReader(manifest)}
    image = load("PIL.Image")

    def read(place: tuple[int, int]) -> torch.Tensor:
        path = paths[place]
        pixels = np.load(path) if path.suffix == ".npy" else np.asarray(image.open(path))
        return torch.from_numpy(pixels.astype(np.float32)).div_(high).clamp_(0, 1).reshape(1, *pixels.shape[-2:])

    return read
