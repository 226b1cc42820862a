"""Draws the figures of docs/filters.md, docs/scale.md and docs/scenes.md and prints the tables beside them.

python tools/docs_figures.py DATA docs/images     DATA: the folder of real SAR data (see CONTRIBUTING.md)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from sarcore.data import PatchFolder, Scene, simulate_reflectivity, write_patch_set
from sarcore.inference import run_scene
from sarcore.metrics import edge_correlation, estimate_looks
from sarcore.ops import decode, despeckle, encode, speckle
from sarcore.report.pictures import image_sheet, unit_histograms

METHODS = ("boxcar", "lee", "kuan", "enhanced_lee", "gamma_map", "frost", "refined_lee")
# Sentinel-1 IW GRD, VV, Flevoland: fields with straight borders; the field whose speckle is measured lies inside.
SCENE, SHAPE, CROP = "s1grd/Flevoland_600/Amplitude_VV.img", (600, 600), (slice(300, 500), slice(250, 450))
SEED = 2026


def main(data: str, out: str) -> None:
    folder = Path(out)
    amplitude = np.fromfile(Path(data) / SCENE, ">f4").reshape(SHAPE).astype(np.float64)
    scene = torch.from_numpy(amplitude**2)[None, None]
    looks = estimate_looks(scene)
    patch = scene[..., CROP[0], CROP[1]] / scene.mean()
    field = homogeneous(patch)
    print(f"looks of the scene {looks:.2f}; homogeneous block of the patch: rows {field[0]}, columns {field[1]}")
    filters(folder, scene / scene.mean(), patch, field, looks)
    speckles(folder, patch)
    scales(folder, amplitude)
    seams(folder, Path(data) / SCENE)


def homogeneous(patch: torch.Tensor, side: int = 24) -> tuple[slice, slice]:
    """The block with the largest mean^2 / variance."""
    blocks = patch[0, 0].unfold(0, side, 4).unfold(1, side, 4)
    enl = blocks.mean((-2, -1)) ** 2 / blocks.var((-2, -1))
    row, column = divmod(int(enl.argmax()), enl.shape[1])
    return slice(4 * row, 4 * row + side), slice(4 * column, 4 * column + side)


def filters(folder: Path, scene: torch.Tensor, patch: torch.Tensor, field: tuple[slice, slice], looks: float) -> None:
    """The patch through every filter, and the figures of merit."""
    truth = torch.stack([torch.from_numpy(simulate_reflectivity(c, 256, 3)) for c in ("settlement", "agriculture")])
    truth = truth[:, None].double()
    noisy = speckle(truth, looks, seed=SEED)
    images = {"unfiltered": patch}
    print("| filter | ENL | mean | ratio image: mean, ENL | edges |\n|---|---:|---:|---:|---:|")
    for method in ("unfiltered", *METHODS):
        whole = scene if method == "unfiltered" else despeckle(scene, method, 7, looks)
        restored = noisy if method == "unfiltered" else despeckle(noisy, method, 7, looks)
        filtered = whole[..., CROP[0], CROP[1]]
        images[method] = filtered
        block, original = filtered[0, 0][field], patch[0, 0][field]
        ratio = original / block
        edges = edge_correlation(restored, truth).mean().item()
        ratio_text = "" if method == "unfiltered" else f"{ratio.mean():.3f}, {ratio.mean() ** 2 / ratio.var():.1f}"
        print(
            f"| {method} | {block.mean() ** 2 / block.var():.1f} | {block.mean() / original.mean():.3f} | {ratio_text} "
            f"| {edges:.2f} |"
        )
    decibels = {name: (10 * image.log10())[0, 0].numpy() for name, image in images.items()}
    image_sheet(folder / "filters.png", decibels, tuple(np.percentile(decibels["unfiltered"], (1, 99))))


def speckles(folder: Path, patch: torch.Tensor) -> None:
    """A filtered patch as reflectivity, under speckle of 1, 2, 4 and 8 looks."""
    clean = despeckle(patch, "refined_lee", 7, 5.0)
    images = {"filtered (refined Lee)": clean}
    images |= {f"speckle, {n} look{'s' * (n > 1)}": speckle(clean, n, seed=SEED) for n in (1, 2, 4, 8)}
    decibels = {name: (10 * image.log10())[0, 0].numpy() for name, image in images.items()}
    low, high = np.percentile(decibels["filtered (refined Lee)"], (0.5, 99.5))
    image_sheet(folder / "speckle.png", decibels, (low - 4, high + 3), columns=5, side=2.3)


def scales(folder: Path, amplitude: np.ndarray) -> None:
    """One scene in four units."""
    intensity = amplitude**2
    low, high = np.percentile(amplitude, (1, 99))
    eight = np.rint(255 * np.clip((amplitude - low) / (high - low), 0, 1))
    values = {"intensity": intensity, "amplitude": amplitude, "decibels": 10 * np.log10(intensity), "8 bit": eight}
    unit_histograms(folder / "scales.png", values)
    for name, image in values.items():
        half = image[100:124, 100:124]
        print(name, f"mean {image.mean():.4g}, median {np.median(image):.4g}, block CV {half.std() / half.mean():.3f}")


def seams(folder: Path, path: Path) -> None:
    """The network of docs/scenes.md on the scene, patch by patch without and with overlap."""
    torch.manual_seed(SEED)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        patches = PatchFolder.open(write_patch_set([path], work / "patches", 64, 32, format="tiff"))
        scale = patches.radiometry
        network = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(),
            nn.Conv2d(16, 1, 5, padding=2),
        )  # fmt: skip
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        for epoch in range(10):
            for step, (target, _) in enumerate(DataLoader(patches, batch_size=16, shuffle=True)):
                seed = 1000 * epoch + step
                noisy = speckle(decode(target, scale), 1.0, seed=seed, domain=scale.unit, psf=("hamming", 2.0))
                loss = nn.functional.mse_loss(network(encode(noisy, scale)), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}, loss {loss.item():.4f}")
        for title, window, overlap in (
            ("patches of 64, side by side", "flat", 0),
            ("64, Hann, overlap 32", "hann", 32),
        ):
            out = run_scene(path, network.eval(), work / f"{window}.tif", 64, overlap, window, radiometry=scale)
            results[title] = Scene.open(out).read()[0, CROP[0], CROP[1]]
        results = {"scene": encode(torch.from_numpy(Scene.open(path).read()), scale)[0].numpy()[CROP]} | results
    image_sheet(folder / "scenes.png", results, (0, 1), columns=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
