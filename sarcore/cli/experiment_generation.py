"""``sarcore experiment generation``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sarcore.cli import tables
from sarcore.cli.study import run_and_show
from sarcore.experiments.patches import Filter, Precision, Scenario, StudyPreset
from sarcore.models.reflectivity import SpeckleMode


def generation(
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    out: Path | None = None,
    class_name: Annotated[str | None, arg(name="class")] = None,
    unconditional: bool = False,
    scenarios: tuple[Scenario, ...] = ("hard", "simple", "intermediate"),
    presets: tuple[StudyPreset, ...] = ("sarcore", "marmanis"),
    seeds: int = 3,
    ablation: bool = False,
    ablation_changes: tuple[str, ...] = (),
    ablation_scenario: Scenario = "hard",
    ablation_seeds: int = 1,
    began_steps: int = 20_000,
    began_width: int = 16,
    began_batch_size: int = 8,
    began_ema: float = 0.0,
    began_speckle: SpeckleMode = "none",
    gan_steps: int = 5000,
    gan_width: int = 16,
    gan_batch_size: int = 8,
    gan_ema: float = 0.995,
    pretraining_steps: int = 500,
    pretraining_width: int = 16,
    features: Annotated[Path | None, arg(metavar="RUN")] = None,
    features_steps: int = 400,
    features_width: int = 16,
    features_batch_size: int = 32,
    samples: int = 1000,
    repeats: int = 5,
    filter: Filter = "bicubic",
    test_fraction: float = 0.3,
    split_seed: int = 0,
    precision: Precision = "32-true",
    channels_last: bool = False,
    budget: float | None = None,
    merge: tuple[Path, ...] = (),
) -> None:
    """Train generators in the three scenarios of the paper, and score what they draw against patches of unseen scenes.

    Beside every score stands what real patches of the training scenes reach, and what random halves of the real
    patches do. Every training is kept in the run folder: the same command again does only what is left, and more
    seeds, scenarios and presets may be asked for. Ends with a table, results.csv and one HTML page.

    Args:
        data: Folder with one sub-folder of patches per class.
        out: Run folder; runs/<data>-generation without it.
        class_name: Class to learn and to compare; all classes without it.
        unconditional: Learn all classes without telling the networks which is which, as marmanis and berthelot do.
        scenarios: hard: whole patches; intermediate: patches at half resolution; simple: crops of half the side.
        presets: The paper's BEGAN (marmanis), this project's (sarcore), the original (berthelot); or gan.
        seeds: Trainings of each kind; an interval needs at least two.
        ablation: Train the presets with one suspected cause of the paper's failure changed at a time, too.
        ablation_changes: Which changes, e.g. relu; all of them without it.
        ablation_scenario: Scenario of these trainings.
        ablation_seeds: How many of the seeds they are trained with.
        began_steps: Steps of every training of a BEGAN.
        began_width: Filters of its first stage.
        began_batch_size: Patches per step.
        began_ema: Decay of a running mean of its weights, which is then scored; 0 scores the weights themselves.
        began_speckle: fixed, learned: what preset sarcore makes is reflectivity, which a speckle layer multiplies.
        gan_steps: Steps of every training of a GAN.
        gan_width: Filters of the first stage of its discriminator.
        gan_batch_size: Patches per step.
        gan_ema: Decay of the running mean of its weights; 0 scores the weights themselves.
        pretraining_steps: Steps of the pre-training without labels whose features all GANs of the study share.
        pretraining_width: Filters of the first stage of its ResNet-18.
        features: Run of a classifier in whose features patches are compared; one is trained without it.
        features_steps: Steps of its training, on the training scenes.
        features_width: Filters of the first stage of that ResNet-18.
        features_batch_size: Patches per step.
        samples: Most patches of a kind that are compared; so many are drawn from every generator.
        repeats: How often the patches to compare are drawn.
        filter: How patches of half the side are brought to patch size.
        test_fraction: Share of the patches whose scenes are held out.
        split_seed: Seed of the split by scene.
        precision: Arithmetic of all trainings; bf16-mixed is faster on processors that have it.
        channels_last: Keep the weights channels-last.
        budget: Minutes after which no further training is begun.
        merge: Folders of the same study, made elsewhere, whose trainings are taken over.
    """
    settings = dict(locals())
    from sarcore.experiments.generation_study import run_study
    from sarcore.experiments.generation_study_config import GenerationStudyConfig

    run_dir = settings.pop("out") or Path("runs") / f"{data.resolve().name}-generation"
    minutes, others = settings.pop("budget"), settings.pop("merge")
    config = GenerationStudyConfig(**settings)
    run_and_show(
        lambda progress: run_study(config, run_dir, progress, budget=minutes, merge=others), run_dir, tables.generation
    )
