"""The workloads of files: a scene through a filter, windows of a scene, patches of a set. CPU alone."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers_scene as peers
import torch
from peers import load
from workloads import Case, Contestant, Outcome, Workload, close_in_parts, copy_of, differ

from sarcore import Radiometry, ops
from sarcore.data import PatchFolder, Scene, write_patch_set
from sarcore.inference import run_scene
from sarcore.models import ResNet

OPS = ("run_scene", "read_windows", "read_patches")
SIDES = {"tiny": 1024, "R1": 4096}
WINDOW, REACH = 7, 3  # of the Lee filter
WINDOWS, SIZE = 64, 256
PATCH, IMAGES, BATCH = 160, 128, 16  # of patch sets, and of the training step that they feed
TRAINING = "ResNet-18, training step"
DIGITAL = Radiometry("digital", 0, 4000)
STORED = {"npy": 4000, "png": 65535}  # what is 1 in the files: PNG holds the codes of the radiometry
BAND = 256  # rows written at a time
LAYOUTS = {"deflate": "deflated tiles of 256", "none": "strips as they are"}  # the latter can be mapped


def cases(op: str, device: str, quick: bool) -> list[Case]:
    """What is timed, or a small scene that only shows that everything runs and agrees."""
    name = "tiny" if quick else "R1"
    if device != "cpu" or load("rasterio") is None:  # it writes the scenes
        return []
    return [case(op, name, layout) for layout in (LAYOUTS if op != "read_patches" else ("deflate",))]


def case(op: str, name: str, layout: str) -> Case:
    side = SIDES[name]
    if op == "run_scene":
        how = "deflated" if layout == "deflate" else "as they are"
        about = f"Lee {WINDOW} x {WINDOW}, uint16 GeoTIFF to float32 GeoTIFF, pixels {how}"
        return Case(op, name, (side, side), about, functools.partial(build_run, side, layout), rounds=7, slow=1.0)
    if op == "read_patches":
        images = 8 if name == "tiny" else IMAGES
        about = f"patches of {PATCH} x {PATCH}, uint16, in random order from a set in files to float32"
        build = functools.partial(build_patches, side, images)
        return Case(op, name, (images, 1, PATCH, PATCH), about, build, rounds=9, images=images)
    about = f"{WINDOWS} windows of {SIZE} x {SIZE} at random places of a uint16 GeoTIFF, {LAYOUTS[layout]}"
    return Case(op, name, (side, side), about, functools.partial(build_windows, side, layout), images=WINDOWS)


@functools.cache
def workspace() -> Path:
    """A folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="sarcore-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_scene(path: Path, side: int, layout: str) -> Path:
    """A square uint16 scene of amplitudes under speckle of one look, in memory that does not grow with the scene."""
    rasterio, windows, generator = load("rasterio"), load("rasterio.windows"), np.random.default_rng(0)
    hills = 1.5 + np.sin(0.031 * np.arange(side, dtype=np.float32))
    place = {"crs": "EPSG:32630", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 4649776)}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2, "zlevel": 1}
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": side, "width": side, "bigtiff": "if_safer"}
    with rasterio.open(path, "w", **profile, **place, **(tiles if layout == "deflate" else {})) as out:
        for first in range(0, side, BAND):
            rows = min(BAND, side - first)
            field = generator.standard_exponential((1, rows, side), dtype=np.float32)
            amplitudes = (np.sqrt(field * hills) * 400 + 1).astype(np.uint16)
            out.write(amplitudes, window=windows.Window(0, first, side, rows))
    return path


@functools.cache
def scene_file(side: int, layout: str) -> Path:
    return write_scene(workspace() / f"scene_{side}_{layout}.tif", side, layout)


# ------ a filter over a scene


def build_run(side: int, layout: str, device: str, compiled: bool) -> Workload:  # noqa: ARG001
    """The workload of one scene: every contestant writes a file of its own, which are compared."""
    source, tile = scene_file(side, layout), side // 4
    whole, tiles = "rasterio, whole image", "rasterio, tiles with a margin"
    outputs = {name: workspace() / f"{layout}_{side}_{i}.tif" for i, name in enumerate(("sarcore", whole, tiles))}
    calls: dict[str, Callable[[], object]] = {
        "sarcore": lambda: run_scene(source, lee, outputs["sarcore"], tile, 2 * REACH, "crop", compression=layout),
        whole: lambda: peers.rasterio_whole(source, outputs[whole], lee, layout),
        tiles: lambda: peers.rasterio_tiles(source, outputs[tiles], lee, layout, tile, REACH),
    }
    contestants = [Contestant(name, _without_outcome(call)) for name, call in calls.items()]
    check = functools.partial(check_files, outputs)
    moved = 6 * side * side
    return Workload(contestants, check, copy_of(moved, "cpu"), moved)


def lee(x: torch.Tensor) -> torch.Tensor:
    return ops.despeckle(x, "lee", WINDOW)


def _without_outcome(call: Callable[[], object]) -> Callable[[], Outcome]:
    def run() -> Outcome:
        call()
        return ()

    return run


def check_files(outputs: dict[str, Path], contestant: Contestant, got: Outcome, ours: Outcome) -> None:  # noqa: ARG001
    """The files hold the same bits: tiled equals whole."""
    mine, theirs = (Scene.open(outputs[name]).read() for name in ("sarcore", contestant.name))
    assert np.array_equal(mine, theirs), differ(contestant, "the filtered scene")("pixels")


# ------ windows of a scene


def build_windows(side: int, layout: str, device: str, compiled: bool) -> Workload:  # noqa: ARG001
    """The workload of one file, opened in each call, so that nobody keeps decoded tiles from one to the next."""
    path = scene_file(side, layout)
    corners = [(int(y), int(x)) for y, x in np.random.default_rng(1).integers(0, side - SIZE, (WINDOWS, 2))]
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "sarcore": lambda: read_scene(path, corners, reopen=False),
        "sarcore, opened for each": lambda: read_scene(path, corners, reopen=True),
        "rasterio": lambda: peers.read_rasterio(path, corners, SIZE, reopen=False),
        "rasterio, opened for each": lambda: peers.read_rasterio(path, corners, SIZE, reopen=True),
    }
    if layout == "none":
        calls["tifffile.memmap"] = lambda: peers.read_mapped(path, corners, SIZE)
    contestants = [Contestant(name, functools.partial(_as_outcome, call)) for name, call in calls.items()]
    moved = 4 * len(corners) * SIZE**2
    return Workload(contestants, check_windows, copy_of(moved, "cpu"), moved)


def read_scene(path: Path, corners: peers.Windows, reopen: bool) -> torch.Tensor:
    out = np.empty((len(corners), 1, SIZE, SIZE), np.uint16)
    if reopen:
        for patch, (row, column) in zip(out, corners, strict=True):
            with Scene.open(path) as scene:
                patch[:] = scene.read(row, column, SIZE, SIZE)
    else:
        with Scene.open(path) as scene:
            for patch, (row, column) in zip(out, corners, strict=True):
                patch[:] = scene.read(row, column, SIZE, SIZE)
    return torch.from_numpy(out)


def _as_outcome(call: Callable[[], torch.Tensor]) -> Outcome:
    return (call(),)


def check_windows(contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    close_in_parts(got[0], ours[0], differ(contestant, "the windows"), 0.0)


# ------ patches of a set


@functools.cache
def patch_set(side: int, kind: str) -> Path:
    folder = workspace() / f"set_{side}_{kind}"
    bits = {"bits": 16} if kind == "png" else {}
    write_patch_set(
        [scene_file(side, "deflate")], folder, PATCH, PATCH, format=kind, radiometry=DIGITAL, min_valid=0, **bits
    )
    return folder


def build_patches(side: int, images: int, device: str, compiled: bool) -> Workload:  # noqa: ARG001
    """The same patches from files of four kinds; and what a training step takes for as many."""
    starts = [(y, x) for y in range(0, side, PATCH) for x in range(0, side, PATCH)]
    chosen = np.random.default_rng(2).permutation(len(starts))[:images]
    places = [starts[i] for i in chosen]
    calls: dict[str, Callable[[], torch.Tensor]] = {"sarcore": _of_folder(patch_set(side, "shards"), places)}
    for kind in ("npy", "tiff", "png"):
        calls[f"sarcore, a {kind} file each"] = _of_folder(patch_set(side, kind), places)
    for name, kind in {"NumPy, a npy file each": "npy", "Pillow, a png file each": "png"}.items():
        calls[name] = _of_files(peers.file_reader(patch_set(side, kind), STORED[kind]), places)
    contestants = [Contestant(name, functools.partial(_as_outcome, call)) for name, call in calls.items()]
    contestants.append(Contestant(TRAINING, training_step(images)))
    moved = images * PATCH**2 * 6
    return Workload(contestants, check_read, copy_of(moved, "cpu"), moved)


def _of_folder(root: Path, places: peers.Windows) -> Callable[[], torch.Tensor]:
    folder = PatchFolder.open(root)
    numbers = {tuple(place): i for i, place in enumerate(folder.positions.tolist())}
    order = [numbers[place] for place in places]
    return lambda: torch.stack([folder[i][0] for i in order])


def _of_files(read: Callable[[tuple[int, int]], torch.Tensor], places: peers.Windows) -> Callable[[], torch.Tensor]:
    return lambda: torch.stack([read(place) for place in places])


def training_step(images: int) -> Callable[[], Outcome]:
    """Forward, backward and descent of a ResNet-18 on as many images, in batches."""
    model = ResNet(18)
    descent = torch.optim.SGD(model.parameters(), lr=1e-3)
    batches = torch.rand(images, 1, PATCH, PATCH).split(BATCH)

    def call() -> Outcome:
        for batch in batches:
            descent.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), torch.zeros(len(batch), dtype=torch.int64)).backward()
            descent.step()
        return ()

    return call


def check_read(contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    if contestant.name != TRAINING:
        close_in_parts(got[0], ours[0], differ(contestant, "the patches"), 1e-5)  # 16-bit codes
