"""Translating a scene takes the memory of its tiles and not that of the scene."""

import json
import os
import subprocess
import sys

import pytest

from .test_run_scene_memory import written

# The peak of a process counts from its fork: a fresh one tells of itself alone.
COMMAND = """
import json, resource, sys
from pathlib import Path
from sarcore import Radiometry
from sarcore.inference import Translator, translate_scene
from sarcore.models import ResNetGenerator

network = ResNetGenerator(1, 3, width=4, blocks=0)
digital = Radiometry("digital", 0, 65535)
translator = Translator(network, digital, Radiometry("digital", 0, 255), direction="AtoB")
translate_scene(translator, Path(sys.argv[1]), sys.argv[2], size=256, norm_stats=sys.argv[3])
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def peak(scene, out, stats):
    """In kB."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(scene), str(out), stats], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("stats", "sides"),
    [
        ("global", (600, 1400)),
        pytest.param("frozen", (2000, 8000, 20000), marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow_with_the_scene(tmp_path, stats, sides):
    peaks = []
    for side in sides:
        scene = written(tmp_path / f"{side}.tif", side)
        peaks.append(peak(scene, tmp_path / "out.tif", stats))
    said = f"peak resident memory of {sides}: {', '.join(f'{kb / 1e6:.2f} GB' for kb in peaks)}"
    # A row of tiles is as wide as the scene: 800 more columns are some MB of it.
    assert peaks[-1] < 2_000_000, said
    assert peaks[-1] - peaks[0] < (100_000 if stats == "global" else 700_000), said
