"""``sarcore experiment augmentation``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sarcore.cli import tables
from sarcore.cli.progress import ConsoleProgress
from sarcore.experiments.patches import Filter, Precision, Scenario
from sarcore.models.began_config import PresetName

if TYPE_CHECKING:
    from sarcore.experiments.augmentation_config import AugmentationConfig


def augmentation(
    *,
    data: Path,
    class_name: Annotated[str, arg(name="class")],
    synthetic: int,
    out: Path | None = None,
    seeds: int = 3,
    scenario: Scenario = "simple",
    filter: Filter = "bicubic",
    preset: PresetName = "sarcore",
    began_steps: int = 20_000,
    began_width: int = 64,
    began_batch_size: int = 16,
    depth: int = 50,
    classifier_steps: int = 2000,
    classifier_batch_size: int = 32,
    classifier_lr: float = 1e-3,
    init: str = "random",
    test_fraction: float = 0.3,
    split_seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
) -> None:
    """Train a classifier with and without generated patches of one class, and compare the two on unseen scenes.

    Every stage is kept in the run folder: the same command again does only what is left, and more seeds may be
    asked for. Ends with a table and one HTML page.

    Args:
        data: Folder with one sub-folder of patches per class.
        class_name: Class to generate patches of.
        synthetic: How many generated patches to add.
        out: Run folder; runs/<data>-<class>-<scenario>-<synthetic> without it.
        seeds: Classifiers per arm; an interval needs at least two.
        scenario: simple: crops of half the side; intermediate: patches at half resolution; hard: whole patches.
        filter: How generated patches are brought to patch size.
        preset: The original BEGAN (berthelot), the paper's (marmanis), or this project's (sarcore).
        began_steps: Training steps of the BEGAN.
        began_width: Filters of its first stage.
        began_batch_size: Patches per step.
        depth: ResNet layers: 18, 34 or 50.
        classifier_steps: Training steps of every classifier.
        classifier_batch_size: Patches per step.
        classifier_lr: Highest learning rate of the schedule.
        init: "random", a file of ImageNet weights (.safetensors or .pth), or a sarcore classifier run.
        test_fraction: Share of the patches whose scenes are kept for the test.
        split_seed: Seed of the split by scene.
        precision: Arithmetic of all trainings; bf16-mixed is faster on processors that have it.
        channels_last: Keep the weights channels-last.
    """
    settings = dict(locals())
    from sarcore.experiments.augmentation_config import AugmentationConfig

    default = Path("runs") / f"{data.resolve().name}-{class_name}-{scenario}-{synthetic}"
    run_dir = settings.pop("out") or default
    compare(AugmentationConfig(**settings), run_dir)


def compare(config: AugmentationConfig, run_dir: Path) -> None:
    """Run the experiment with progress, then show its table and write its page."""
    from sarcore.engine.distributed import is_main_process
    from sarcore.experiments.augmentation import run_augmentation
    from sarcore.experiments.progress import Silent
    from sarcore.report import write_report

    if not is_main_process():
        run_augmentation(config, run_dir, Silent())
        return
    with ConsoleProgress(run_dir) as progress:
        results = run_augmentation(config, run_dir, progress)
        progress.note("Writing the page")
        page = write_report(run_dir)
    tables.comparison(results, page, progress.console)
