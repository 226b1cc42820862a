"""``sarcore experiment augmentation|translation``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sarcore.cli import tables
from sarcore.cli.study import run_and_show, taken_classifier
from sarcore.experiments.arm_names import ArmName, GeneratorKind, Target
from sarcore.experiments.patches import Filter, Precision, Scenario
from sarcore.models.began_config import PresetName
from sarcore.models.reflectivity import SpeckleMode

if TYPE_CHECKING:
    from sarcore.experiments.augmentation_config import AugmentationConfig


def augmentation(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    out: Path | None = None,
    arms: tuple[ArmName, ...] = ("none", "flips", "speckle", "gan", "both", "synthetic_only"),
    targets: tuple[Target, ...] = ("largest", "rarest", "all"),
    synthetic: int = 400,
    seeds: int = 3,
    generator: GeneratorKind = "gan",
    generator_run: Path | None = None,
    generators: int = 1,
    generator_speckle: SpeckleMode | None = None,
    generator_steps: int = 5000,
    generator_width: int = 16,
    generator_batch_size: int = 8,
    pretraining_steps: int = 500,
    pretraining_width: int = 16,
    scenario: Scenario = "hard",
    filter: Filter = "bicubic",
    preset: PresetName = "sarcore",
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
    """Train classifiers without and with flips, speckle and generated patches, and compare them on unseen scenes.

    All arms take the same steps at the same rates and meet the same classes in the same order: generated patches take
    places of real ones of their class. Every training is kept in the run folder: the same command again does only
    what is left, and more seeds, arms and targets may be asked for. Ends with a table, results.csv and one HTML page.

    Args:
        data: Folder with one sub-folder of patches per class.
        out: Run folder; runs/<data>-augmentation without it.
        arms: none; flips; speckle, on top of flips; gan: flips and generated patches; both: all three;
            synthetic_only: generated patches alone.
        targets: Classes that get generated patches in gan and both, each in arms of its own.
        synthetic: Generated patches of every class that gets some.
        seeds: Classifiers per arm; an interval needs at least two.
        generator: gan: one model of all classes; began: one of every class.
        generator_run: Run of a trained generator to take instead; it must not know the test scenes.
        generators: Generators to train; the seeds take them in turn.
        generator_speckle: fixed, learned: it makes reflectivity, which speckle as in the data, or learnt, multiplies;
            none: it makes grey values; as the GAN or the preset has it without the option.
        generator_steps: Training steps of a generator.
        generator_width: Filters of its first stage.
        generator_batch_size: Patches per step.
        pretraining_steps: Steps of the pre-training without labels whose features the discriminators of all GANs share.
        pretraining_width: Filters of the first stage of its ResNet-18.
        scenario: What it learns: simple: crops of half the side; intermediate: patches at half resolution; hard:
            whole patches.
        filter: How generated patches are brought to patch size.
        preset: The original BEGAN (berthelot), the paper's (marmanis), or this project's (sarcore).
        depth: ResNet layers: 18, 34 or 50.
        width: Filters of the first stage of the ResNet; 16 trains about ten times as fast as 64.
        size: Side to which the classifiers reduce all patches by area means; 0 leaves them.
        classifier_steps: Training steps of every classifier.
        classifier_batch_size: Patches per step.
        classifier_lr: Highest learning rate of the schedule.
        balance: How far the classes are evened out in all arms: 0 as they are, 0.5 by the root of their frequency,
            1 all alike.
        share: Largest share of the items of a class that generated patches take.
        speckle_looks: Looks of the speckle that is multiplied, lowest and highest.
        speckle_p: Probability that a patch of the arms with speckle is speckled.
        speckle_oversampling: Width of that speckle's gaussian point spread, pixels; 0: white. See sarcore looks.
        init: "random", a file of ImageNet weights (.safetensors or .pth), or a sarcore run.
        test_fraction: Share of the patches whose scenes are kept for the test.
        split_seed: Seed of the split by scene.
        precision: Arithmetic of all trainings; bf16-mixed is faster on processors that have it.
        channels_last: Keep the weights channels-last.
        budget: Minutes for all trainings; their steps are planned to fit, and the plan is kept in the run folder.
        merge: Run folders of the same study from elsewhere, whose finished trainings are copied first.
    """
    settings = dict(locals())
    from sarcore.experiments.augmentation_config import AugmentationConfig

    run_dir = settings.pop("out") or Path("runs") / f"{data.resolve().name}-augmentation"
    asked = settings.pop("budget"), settings.pop("merge")
    training = taken_classifier(settings)
    compare(AugmentationConfig(**settings, classifier=training), run_dir, *asked)


def compare(
    config: AugmentationConfig, run_dir: Path, budget: float | None = None, merge: tuple[Path, ...] = ()
) -> None:
    """Run the study with progress, then show its table and write its page."""
    from sarcore.experiments.augmentation import run_augmentation

    run_and_show(
        lambda progress: run_augmentation(config, run_dir, progress, minutes=budget, merge=merge),
        run_dir,
        tables.comparison,
    )


def translation(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    out: Path | None = None,
    manifest: Path | None = None,
    shifts: tuple[int, ...] = (0, 1, 2, 4, 8, 16),
    rotations: tuple[float, ...] = (),
    seeds: int = 3,
    steps: int = 2000,
    crop: int = 128,
    batch_size: int = 4,
    width: int = 16,
    pix2pix_depth: int = 5,
    cyclegan_depth: int = 3,
    lr: float = 5e-4,
    speckle_looks: float | None = None,
    classifier: Path | None = None,
    test_fraction: float = 0.3,
    split_seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
    budget: float | None = None,
) -> None:
    """Find the misregistration of the training pairs at which CycleGAN overtakes Pix2Pix, in both directions.

    The optical images of the training are shifted against the SAR images, each scene in a direction of its own; those
    of the test, other scenes, never are. What estimated_offsets.csv in the folder says of the registration is corrected
    first. Every training is kept in the run folder: the same command again does only what is left, and more seeds,
    shifts and rotations may be asked for. Ends with a table, results.csv and one HTML page.

    Args:
        data: Folder of pairs.
        out: Run folder; runs/<data>-translation without it.
        manifest: File that `sarcore split` wrote for the folder; its part test is the test.
        shifts: Pixels, 0 among them.
        rotations: Degrees; trainings on turned optical images, beside those on shifted ones.
        seeds: Trainings of each kind; an interval needs at least two.
        steps: Steps of every training.
        crop: Side of the random crops, pixels.
        batch_size: Crops per step.
        width: Filters of the first layer of all networks.
        pix2pix_depth: Levels of the U-Net of Pix2Pix.
        cyclegan_depth: Residual blocks of the generators of CycleGAN.
        lr: Learning rate of all networks; it falls to 0 over the second half.
        speckle_looks: Compare with generators of SAR images that end in a speckle layer of so many looks.
        classifier: Run of a classifier of such SAR images, whose features SAR-KID takes.
        test_fraction: Share of the pairs, whole scenes, for the test, where the folder names no part test.
        split_seed: Seed of the split by scene.
        precision: Arithmetic of all trainings.
        channels_last: Keep the weights channels-last.
        budget: Minutes after which no further training is begun.
    """
    settings = dict(locals())
    from sarcore.experiments.translation_study import run_study
    from sarcore.experiments.translation_study_config import TranslationStudyConfig

    run_dir = settings.pop("out") or Path("runs") / f"{data.resolve().name}-translation"
    minutes = settings.pop("budget")
    config = TranslationStudyConfig(**settings)
    run_and_show(lambda progress: run_study(config, run_dir, progress, budget=minutes), run_dir, tables.study)
