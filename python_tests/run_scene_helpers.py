"""What the tests of `run_scene` share: scenes, calls, and processes that make them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sarcore.data import Scene, SceneWriter
from sarcore.inference import run_scene
from sarcore.ops import despeckle

WORKER = Path(__file__).with_name("run_scene_worker.py")
CROP = {"size": 24, "overlap": 6, "window": "crop", "batch": 4, "fill": float("nan")}
BLEND = {"size": 24, "overlap": 13, "window": "hann", "batch": 4}


def scene_of(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).gamma(4.0, 0.25, shape).astype(dtype)


def run(scene, fn, folder, *arguments, name="out.npy", **options):
    out = folder / name
    assert run_scene(scene, fn, out, *arguments, **options) == out
    assert not (folder / f"{name}.parts").exists()
    return Scene.open(out).read()


def lee(x):
    return despeckle(x, "lee", 7, 4.0)


def written(file, pixels, nodata=None):
    with SceneWriter(file, pixels.shape, pixels.dtype, nodata=nodata) as writer:
        writer.write(pixels)
    return file


def small_scene(folder):
    """170 x 90 pixels with a block of no-data, as a file."""
    pixels = np.random.default_rng(0).gamma(4.0, 0.25, (1, 170, 90)).astype(np.float32)
    pixels[:, 50:60, 10:20] = 99
    return written(folder / "scene.tif", pixels, 99)


def start(scene, out, environment=None, **options):
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(scene), str(out), json.dumps(options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )  # fmt: skip


def finished(process, code=0):
    out, error = process.communicate()
    assert process.returncode == code, error
    return out, error


def parts_of(out):
    return out.with_name(f"{out.name}.parts")
