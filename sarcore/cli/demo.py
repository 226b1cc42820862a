"""``sarcore demo``: the whole arch in a few minutes on synthetic scenes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from rich.console import Console

from sarcore.cli.experiment import compare
from sarcore.data import write_simulated


def demo(*, out: Path = Path("runs/demo")) -> None:
    """Simulate SAR scenes, tile them, and run the augmentation study in miniature: under 5 minutes on 2 cores.

    Args:
        out: Folder for the synthetic patches and the run; an interrupted demo in it is continued.
    """
    from sarcore.experiments.arms import ArmTraining
    from sarcore.experiments.augmentation_config import AugmentationConfig

    started = time.monotonic()
    console, data = Console(highlight=False), out / "synthetic-scenes"
    if not (data / "dataset.json").is_file():
        console.print("Simulating synthetic scenes of seven classes and tiling them")
        write_simulated(data, scenes_per_class=10, patches_per_scene_side=2, size=96, looks=4.0, seed=0)
    config = AugmentationConfig(
        data=data,
        arms=("flips", "speckle", "gan"),
        targets=("all",),
        synthetic=30,
        seeds=3,
        classifier=ArmTraining(depth=18, width=16, steps=60, batch_size=16),
        generator_steps=300,
        generator_width=8,
        pretraining_steps=60,
        pretraining_width=8,
    )
    compare(config, out / "run")
    for weights in (out / "run").glob("*/seed_*/checkpoints"):
        shutil.rmtree(weights)  # nothing needs them any more
    seconds = time.monotonic() - started
    console.print(f"Synthetic scenes and short trainings: this shows the way, not a result. {seconds:.0f} s")
