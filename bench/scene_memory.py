"""Peak memory of whole processes that despeckle a scene, as it grows: tile by tile, and all of it at once.

python bench/scene_memory.py [--sides 2048 8192 20480]     # `run.py --scene-memory` puts it into the record
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import peers_scene
import timing
from workloads_scene import REACH, lee, write_scene

from sarcore.inference import run_scene

SIDES = (2048, 8192, 20480)
TILE = 2048


PROGRAMS: dict[str, Callable[[Path, Path], object]] = {
    "sarcore": lambda scene, out: run_scene(scene, lee, out, TILE, 2 * REACH, "crop"),
    "rasterio, whole image": lambda scene, out: peers_scene.rasterio_whole(scene, out, lee, "deflate"),
    "imports alone": lambda scene, out: None,  # noqa: ARG005
}


def measure(sides: Sequence[int] = SIDES) -> list[dict[str, Any]]:
    """Peak resident memory in bytes of each program at each side."""
    rows: list[dict[str, Any]] = [{"contestant": name, "peak_bytes": {}} for name in PROGRAMS]
    for side in sides:
        with tempfile.TemporaryDirectory(prefix="sarcore-bench-") as folder:
            scene, out = write_scene(Path(folder) / "scene.tif", side, "deflate"), Path(folder) / "out.tif"
            for row in rows:
                command = [sys.executable, __file__, "--one", row["contestant"], str(scene), str(out)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row["peak_bytes"][str(side)] = json.loads(done.stdout.splitlines()[-1])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of processes that despeckle a scene.")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="of the square scenes, in pixels")
    parser.add_argument("--one", nargs=3, metavar=("PROGRAM", "SCENE", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, scene, out = arguments.one
        PROGRAMS[name](Path(scene), Path(out))
        # getrusage would tell the peak of the process that started this one where that was higher.
        print(1024 * (timing.status("VmHWM") or 0))
        return
    print(json.dumps(measure(arguments.sides), indent=1))


if __name__ == "__main__":
    main()
