"""``sarcore experiment curve|init``: classifiers over shares of the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from sarcore.cli import tables
from sarcore.cli.study import run_and_show, taken_classifier
from sarcore.experiments.arm_names import CurveArm
from sarcore.experiments.patches import Filter, Precision, Scenario
from sarcore.models.classifier import Augment
from sarcore.models.reflectivity import SpeckleMode

ALL_FRACTIONS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0)


def curve(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    out: Path | None = None,
    fractions: tuple[float, ...] = ALL_FRACTIONS,
    arms: tuple[CurveArm, ...] = ("none", "flips", "speckle", "gan", "both"),
    seeds: int = 3,
    synthetic: int = 200,
    scenario: Scenario = "hard",
    filter: Filter = "bicubic",
    generator_speckle: SpeckleMode = "fixed",
    generator_steps: int = 5000,
    generator_width: int = 16,
    generator_batch_size: int = 8,
    pretraining_steps: int = 500,
    pretraining_width: int = 16,
    depth: int = 18,
    width: int = 64,
    size: int = 0,
    classifier_steps: int = 2000,
    classifier_batch_size: int = 32,
    classifier_lr: float = 1e-3,
    balance: float = 0.5,
    share: float = 0.5,
    speckle_looks: tuple[float, float] = (8.0, 32.0),
    speckle_p: float = 0.5,
    speckle_oversampling: float = 0.0,
    init: str = "random",
    test_fraction: float = 0.3,
    split_seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
    budget: float | None = None,
    merge: tuple[Path, ...] = (),
) -> None:
    """Train classifiers with ever more of the labels, with and without speckle and generated patches.

    The labels of a share are drawn by scene; the pixels of all training patches are known, so one generator per share
    and seed learns from all of them. Every training is kept in the run folder: the same command again does only what is
    left, and more fractions, arms and seeds may be asked for. Ends with a table, results.csv and one HTML page.

    Args:
        data: Folder with one sub-folder of patches per class.
        out: Run folder; runs/<data>-curve without it.
        fractions: Percent of the labels of the training scenes.
        arms: none, flips; speckle: flips and more speckle; gan: flips and generated patches; both: all of it.
        seeds: Repetitions: labels, weights and order; an interval needs at least two.
        synthetic: Generated patches of every class.
        scenario: What the generator makes; hard: whole patches; simple, intermediate: half the side, brought to size.
        filter: How these are brought to patch size.
        generator_speckle: fixed, learned: it makes reflectivity, which speckle as in the data, or learnt, multiplies;
            none: no such layer.
        generator_steps: Training steps of every generator.
        generator_width: Filters of the first stage of its discriminator.
        generator_batch_size: Patches per step.
        pretraining_steps: Steps of the pre-training without labels whose features all discriminators share.
        pretraining_width: Filters of the first stage of its ResNet-18.
        depth: ResNet layers of the classifiers: 18, 34 or 50.
        width: Filters of their first stage: 64 as published; 16 trains about ten times as fast.
        size: Side to which patches are reduced before the classifiers; 0 leaves them.
        classifier_steps: Training steps of every classifier, whatever its labels.
        classifier_batch_size: Patches per step.
        classifier_lr: Highest learning rate of the schedule.
        balance: How far the classes are evened out: 0 as they are, 0.5 by the root of their frequency, 1 all alike.
        share: Largest share that generated patches take of what a class shows.
        speckle_looks: Least and most looks of the speckle of the arms with speckle.
        speckle_p: Probability that a patch of these arms is speckled.
        speckle_oversampling: Width of that speckle's gaussian point spread, pixels; 0: white. See sarcore looks.
        init: "random", a file of ImageNet weights (.safetensors or .pth), or a sarcore run; of all classifiers.
        test_fraction: Share of the patches whose scenes are kept for the test.
        split_seed: Seed of the split by scene.
        precision: Arithmetic of all trainings; bf16-mixed is faster on processors that have it.
        channels_last: Keep the weights channels-last.
        budget: Minutes that all of it may take: the steps are planned to fit, once.
        merge: Run folders with other cells of the same study, made elsewhere, that are copied first.
    """
    settings = dict(locals())
    from sarcore.experiments.curve import run_curve
    from sarcore.experiments.curve_config import CurveConfig

    run_dir = settings.pop("out") or Path("runs") / f"{data.resolve().name}-curve"
    config = CurveConfig(classifier=taken_classifier(settings), **_without(settings, "budget", "merge"))
    run_and_show(
        lambda progress: run_curve(config, run_dir, progress, minutes=budget, merge=merge), run_dir, tables.labels
    )


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def init(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    out: Path | None = None,
    imagenet: Path | None = None,
    contrastive: str = "trained",
    sar: Path | None = None,
    fractions: tuple[float, ...] = (5.0, 100.0),
    augment: Augment = "flips",
    seeds: int = 3,
    contrastive_steps: int = 2000,
    contrastive_batch_size: int = 64,
    contrastive_lr: float = 1e-3,
    depth: int = 18,
    width: int = 64,
    size: int = 0,
    classifier_steps: int = 2000,
    classifier_batch_size: int = 32,
    classifier_lr: float = 1e-3,
    balance: float = 0.5,
    test_fraction: float = 0.3,
    split_seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
    budget: float | None = None,
    merge: tuple[Path, ...] = (),
) -> None:
    """Train classifiers from random, ImageNet, self-supervised and SAR weights, with few labels and with all.

    Self-supervised weights are made from the patches of the training scenes, without their labels, once per seed, or
    come from a run. Every training is kept in the run folder: the same command again does only what is left, and more
    fractions and seeds may be asked for. Ends with a table, results.csv and one HTML page.

    Args:
        data: Folder with one sub-folder of patches per class.
        out: Run folder; runs/<data>-init without it.
        imagenet: File of ImageNet weights (.safetensors or .pth) of a ResNet of this depth; they have width 64.
        contrastive: A run of `sarcore train contrastive`; trained: make one here per seed; none: leave them out.
        sar: Run of a classifier of other SAR images, of this depth and width.
        fractions: Percent of the labels of the training scenes.
        augment: Of all classifiers; speckle comes on top of flips.
        seeds: Repetitions: labels, weights and order; an interval needs at least two.
        contrastive_steps: Steps of every self-supervised training.
        contrastive_batch_size: Patches per step, of each of which two views are compared.
        contrastive_lr: Highest learning rate of its schedule.
        depth: ResNet layers: 18, 34 or 50.
        width: Filters of the first stage: 64 as published; 16 trains about ten times as fast.
        size: Side to which patches are reduced before the networks; 0 leaves them.
        classifier_steps: Training steps of every classifier, whatever its labels and first weights.
        classifier_batch_size: Patches per step.
        classifier_lr: Highest learning rate of the schedule.
        balance: How far the classes are evened out: 0 as they are, 0.5 by the root of their frequency, 1 all alike.
        test_fraction: Share of the patches whose scenes are kept for the test.
        split_seed: Seed of the split by scene.
        precision: Arithmetic of all trainings; bf16-mixed is faster on processors that have it.
        channels_last: Keep the weights channels-last.
        budget: Minutes that all of it may take: the steps are planned to fit, once.
        merge: Run folders with other cells of the same study, made elsewhere, that are copied first.
    """
    settings = dict(locals())
    from sarcore.experiments.init_config import InitConfig
    from sarcore.experiments.init_study import run_init

    run_dir = settings.pop("out") or Path("runs") / f"{data.resolve().name}-init"
    config = InitConfig(classifier=taken_classifier(settings), **_without(settings, "budget", "merge"))
    run_and_show(
        lambda progress: run_init(config, run_dir, progress, minutes=budget, merge=merge), run_dir, tables.labels
    )
