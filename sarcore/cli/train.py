"""``sarcore train began`` and ``sarcore train classifier``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sarcore.cli import tables
from sarcore.cli.progress import ConsoleProgress
from sarcore.experiments.patches import Precision, Scenario
from sarcore.models.began_config import PresetName
from sarcore.models.classifier import Augment


def train_began(
    data: Positional[Path],
    /,
    *,
    out: Path,
    class_name: Annotated[str | None, arg(name="class")] = None,
    scenario: Scenario = "simple",
    preset: PresetName = "sarcore",
    steps: int = 20_000,
    width: int = 64,
    batch: int = 16,
    seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
) -> None:
    """Train a BEGAN on a folder of patches, or on one of its classes.

    Args:
        data: Folder with one sub-folder of patches per class.
        out: Run folder; an interrupted run in it is continued.
        class_name: Class to learn; all patches without it.
        scenario: simple: crops of half the side; intermediate: patches at half resolution; hard: whole patches.
        preset: The original network (berthelot), the paper's (marmanis), or this project's (sarcore).
        steps: Training steps.
        width: Filters of the first stage.
        batch: Patches per step.
        seed: Seed of the weights and of every draw.
        precision: Arithmetic of the training.
        channels_last: Keep the weights channels-last.
    """
    from sarcore.experiments import generation

    training = generation.GeneratorTraining(scenario, preset, steps, width, batch, seed, precision, channels_last)
    with ConsoleProgress(out) as progress:
        facts = generation.train_began(data, class_name, training, out, progress)
    progress.console.print(f"{facts['steps']} steps at {facts['images_per_second']:.1f} images/s; run: {out}")


def train_classifier(
    data: Positional[Path],
    /,
    *,
    out: Path,
    depth: int = 50,
    steps: int = 2000,
    batch: int = 32,
    lr: float = 1e-3,
    init: str = "random",
    augment: Augment = "flips",
    split: Path | None = None,
    seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
) -> None:
    """Train a ResNet on 70 % of the scenes of a folder and score it on the others.

    Args:
        data: Folder with one sub-folder of patches per class.
        out: Run folder; an interrupted run in it is continued.
        depth: Layers: 18, 34 or 50.
        steps: Training steps.
        batch: Patches per step.
        lr: Highest learning rate of the schedule.
        init: "random", a file of ImageNet weights (.safetensors or .pth), or a sarcore classifier run.
        augment: flips: along azimuth and range; speckle: flips, and speckle of 8 to 32 looks more; none.
        split: File that `sarcore split` wrote for the folder; it replaces the split by scene.
        seed: Seed of the weights and of every draw.
        precision: Arithmetic of the training.
        channels_last: Keep the weights channels-last.
    """
    from sarcore.experiments import classification

    training = classification.ClassifierTraining(depth, steps, batch, lr, init, seed, precision, channels_last, augment)
    with ConsoleProgress(out) as progress:
        results = classification.train_classifier(data, training, out, progress, split_file=split)
    part = results.get("test")
    if part is None:
        progress.console.print(f"the split has no patches to test on; run: {out}")
        return
    unseen = "unseen scenes" if split is None else "the test part"
    tables.classification(part, results["classes"], f"{part['patches']} patches of {unseen}", progress.console)
