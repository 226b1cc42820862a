"""``sarcore demo``: the whole arch in a few minutes on synthetic scenes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from rich.console import Console

from sarcore.cli.experiment import compare
from sarcore.data import write_simulated


def demo(*, out: Path = Path("runs/demo")) -> None:
    """Simulate SAR scenes, tile them, and run the augmentation experiment in miniature: under 5 minutes on 2 cores.

    Args:
        out: Folder for the synthetic patches and the run; an interrupted demo in it is continued.
    """
    from sarcore.experiments.augmentation_config import AugmentationConfig

    started = time.monotonic()
    console, data = Console(highlight=False), out / "synthetic-scenes"
    if not (data / "dataset.json").is_file():
        console.print("Simulating synthetic scenes of seven classes and tiling them")
        write_simulated(data, scenes_per_class=10, patches_per_scene_side=2, size=96, looks=4.0, seed=0)
    config = AugmentationConfig(
        data=data,
        class_name="settlement",
        synthetic=30,
        seeds=3,
        began_steps=300,
        began_width=12,
        depth=18,
        classifier_steps=45,
        classifier_batch_size=16,
    )
    compare(config, out / "run")
    for weights in (out / "run").glob("*/seed_*/checkpoints"):
        shutil.rmtree(weights)  # 135 MB each, and nothing needs them any more
    seconds = time.monotonic() - started
    console.print(f"Synthetic scenes and short trainings: this shows the way, not a result. {seconds:.0f} s")
