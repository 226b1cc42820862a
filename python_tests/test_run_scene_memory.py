"""`sarcore despeckle` of scenes of 2k, 8k and 20k: peak resident memory below 2 GB, and the same for all."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sarcore.data import Scene, SceneWriter

LIMIT = 2_000_000  # kB
SMALL, *LARGE = 2000, 8000, 20000

# The peak of a process counts from its fork: a fresh one tells of itself alone.
COMMAND = """
import resource, sys
from sarcore.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def written(file, side):
    """A scene (uint16) of speckle; a band of it again and again, so that it is made quickly."""
    band = np.random.default_rng(0).gamma(4.0, 250.0, (1, 256, side)).astype(np.uint16)
    with SceneWriter(file, (1, side, side), np.uint16, nodata=0, compression="deflate") as out:
        for row in range(0, side, 256):
            out.write(np.roll(band, row // 256 * 97, axis=2)[:, : side - row])
    return file


def peak(*arguments):
    """Of the command, in kB."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scene(tmp_path):
    peaks = {}
    for side in (SMALL, *LARGE):
        scene = written(tmp_path / "scene.tif", side)
        out = tmp_path / "out.tif"
        peaks[side] = peak("despeckle", scene, out, "--domain", "intensity", "--looks", "4")
        assert Scene.open(out).shape == (1, side, side)
        out.unlink()
    said = "peak resident memory: " + ", ".join(f"{side}: {kb / 1e6:.2f} GB" for side, kb in peaks.items())
    assert max(peaks.values()) < LIMIT, said
    assert peaks[LARGE[1]] < 1.5 * peaks[LARGE[0]], said  # some rows of tiles are as wide as the scene
