"""A process of the tests of `run_scene`: python run_scene_worker.py SCENE OUT [options as JSON]."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

from sarcore.inference import run_scene
from sarcore.ops import despeckle


def main() -> None:
    """`kill_after` calls the process kills itself, as kill -9 does; `wait` seconds pass before each."""
    scene, out, text = sys.argv[1:]
    options = json.loads(text)
    kill_after, wait = options.pop("kill_after", None), options.pop("wait", 0)
    kill_rank = options.pop("kill_rank", None)
    calls = 0

    def fn(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        if calls == kill_after and kill_rank in (None, os.environ.get("RANK")):
            while kill_rank is not None and not Path(f"{out}.parts/process_0.lock").exists():
                time.sleep(0.05)  # the other one must have begun, to notice
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        time.sleep(wait)
        return despeckle(x, "lee", 7, 4.0)

    run_scene(scene, fn, out, **options)
    sys.stdout.write(f"calls {calls}\n")


if __name__ == "__main__":
    main()
