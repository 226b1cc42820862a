"""Do generated patches help a classifier? The augmentation experiment of Marmanis et al. 2017 (arXiv 1711.02010).

Split by scene; train a classifier per seed on the real patches; train a BEGAN on the training patches of one class;
generate patches of that class and bring them to patch size; train the classifiers again, alike, with those patches
added; score all of them on the real patches of unseen scenes. Every stage leaves its result in the run folder and is
not repeated when the same command is given again.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Dataset

from sarcore.data import PatchFolder, Split, check_leakage, split_by_scene, write_image
from sarcore.engine import image_grid, write_json
from sarcore.errors import DataError
from sarcore.experiments import quality
from sarcore.experiments.classification import ClassifierTraining, load_patches, predict, scores, train_on
from sarcore.experiments.generation import (
    DONE,
    GeneratorTraining,
    Preset,
    draw_patches,
    load_generator,
    read_patches,
    train_generator,
    write_patches,
)
from sarcore.experiments.patches import Filter, PatchTensor, Precision, Scenario, scenario_size, scenario_view
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run, read_json
from sarcore.experiments.summary import headline, summarise
from sarcore.models import check_depth
from sarcore.ops import Radiometry, resample

ARMS = ("baseline", "augmented")
GENERATED = Radiometry("digital", 0.0, 255.0)  # generated patches are kept as 8 bit of the encoded range
GRID = 16


@dataclass(frozen=True)
class AugmentationConfig:
    """Everything that decides the result. ``filter`` brings generated patches to patch size."""

    data: Path
    class_name: str = "settlement"
    synthetic: int = 500
    seeds: int = 3
    scenario: Scenario = "simple"
    filter: Filter = "bicubic"
    preset: Preset = "sarcore"
    began_steps: int = 20_000
    began_width: int = 64
    began_batch: int = 16
    depth: int = 50
    classifier_steps: int = 2000
    classifier_batch: int = 32
    classifier_lr: float = 1e-3
    init: str = "random"
    test_fraction: float = 0.3
    split_seed: int = 0
    precision: Precision = "32-true"
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name in ("synthetic", "seeds", "began_steps", "began_width", "began_batch", "classifier_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_depth(self.depth)
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")


def run_augmentation(config: AugmentationConfig, run_dir: Path, progress: Progress) -> dict[str, Any]:
    """Run the experiment, or what is left of it, and return what ``results.json`` holds.

    Raises ``DataError`` for data that cannot be used and ``SarcoreError`` for a folder with another experiment.
    """
    started = time.perf_counter()
    folder = PatchFolder.open(config.data)
    _check(config, folder)
    settings = dataclasses.asdict(config)
    open_run(run_dir, "experiment augmentation", settings, folder, range(config.seeds), may_change=["seeds"])
    split, leakage = _split(config, folder, run_dir)
    for message in leakage:
        progress.note(f"Leakage: {message}")
    train, test = load_patches(folder, split.train), load_patches(folder, split.test)
    scenes = [folder.scenes[i] for i in split.test]
    arms: dict[str, list[dict[str, Any]]] = {}
    arms["baseline"] = _arm("baseline", config, folder.classes, train, train, test, run_dir, progress)
    began, generated = _generate(config, folder.classes, train, run_dir, progress)
    label = folder.classes.index(config.class_name)
    extra = PatchTensor(generated, torch.full((len(generated),), label), GENERATED)
    both: Dataset[tuple[torch.Tensor, int]] = ConcatDataset([train, extra])
    arms["augmented"] = _arm("augmented", config, folder.classes, both, train, test, run_dir, progress)
    progress.note("Comparing generated and real patches")
    summary = summarise(arms["baseline"], arms["augmented"], test.labels.numpy(), scenes, folder.classes)
    results = {
        "kind": "augmentation",
        "class": config.class_name,
        "headline": headline(summary, config.class_name, len(generated), folder.synthetic),
        "classes": folder.classes,
        "summary": summary,
        "arms": {arm: [{k: v for k, v in run.items() if k != "predicted"} for run in arms[arm]] for arm in ARMS},
        "dataset": _describe(folder, split, leakage),
        "began": began,
        "quality": _quality(config, train, label, generated, run_dir),
        "seconds": sum(run["seconds"] for arm in ARMS for run in arms[arm]) + began["seconds"],
        "seconds_this_call": time.perf_counter() - started,
    }
    write_json(run_dir / RESULTS_FILE, results)
    return results


def _check(config: AugmentationConfig, folder: PatchFolder) -> None:
    """Find now what would otherwise stop the experiment after an hour."""
    if config.class_name not in folder.classes:
        raise DataError(
            f"{config.data}: has no class '{config.class_name}'; its classes are {', '.join(folder.classes)}"
        )
    if len(folder.classes) < 2:
        raise DataError(f"{config.data}: has one class only; a classifier needs at least two class folders")
    height, width = folder.shape[1:]
    if height != width:
        raise DataError(f"{config.data}: patches are {height}x{width}; the experiment needs square patches")
    scenario_size(height, config.scenario)


def _split(config: AugmentationConfig, folder: PatchFolder, run_dir: Path) -> tuple[Split, list[str]]:
    path = run_dir / "split.json"
    if path.is_file():
        split = Split.load(path)
    else:
        split = split_by_scene(folder, (1.0 - config.test_fraction, 0.0, config.test_fraction), seed=config.split_seed)
        split.save(path)
    leakage = check_leakage(folder, split)
    if not folder.scenes_known:
        leakage = [
            *leakage,
            f"{config.data} does not tell the scene of every patch, so neighbours may be on both sides",
        ]
    counts = folder.subset(split.train).class_counts()
    if counts[config.class_name] < config.began_batch:
        raise DataError(
            f"{config.data}: {counts[config.class_name]} training patches of '{config.class_name}' are fewer than a "
            f"batch of {config.began_batch}; lower --began-batch or choose another class"
        )
    return split, leakage


def _arm(
    arm: str,
    config: AugmentationConfig,
    classes: list[str],
    train: Dataset[tuple[torch.Tensor, int]],
    real: PatchTensor,
    test: PatchTensor,
    run_dir: Path,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Train and score one classifier per seed; both arms start from the same weights for the same seed."""
    runs = []
    for seed in range(config.seeds):
        folder = run_dir / arm / f"seed_{seed}"
        if (folder / "result.json").is_file():
            runs.append(read_json(folder / "result.json"))
            continue
        training = ClassifierTraining(
            depth=config.depth,
            steps=config.classifier_steps,
            batch=config.classifier_batch,
            lr=config.classifier_lr,
            init=config.init,
            seed=seed,
            precision=config.precision,
            channels_last=config.channels_last,
        )
        started = time.perf_counter()
        title = f"ResNet-{config.depth} {arm}, seed {seed + 1}/{config.seeds}"
        model, speed = train_on(train, real, classes, training, folder, progress, title=title)
        predicted = predict(model, test)
        result = {
            "seed": seed,
            **speed,
            **scores(test.labels, predicted, len(classes)),
            "predicted": predicted.tolist(),
        }
        result["seconds"] = time.perf_counter() - started
        write_json(folder / "result.json", result)
        progress.note(f"{title}: balanced accuracy {100 * result['balanced_accuracy']:.1f} %")
        runs.append(result)
    return runs


def _generate(
    config: AugmentationConfig, classes: list[str], train: PatchTensor, run_dir: Path, progress: Progress
) -> tuple[dict[str, Any], torch.Tensor]:
    """Train the BEGAN on the training patches of the class and draw the patches: (facts, uint8 (N,C,S,S))."""
    folder, size = run_dir / "synthetic", train.images.shape[-1]
    if not (run_dir / "began" / "result.json").is_file():
        training = GeneratorTraining(
            scenario=config.scenario,
            preset=config.preset,
            steps=config.began_steps,
            width=config.began_width,
            batch=config.began_batch,
            precision=config.precision,
            channels_last=config.channels_last,
        )
        started = time.perf_counter()
        meta = {"classes": [config.class_name], "radiometry": train.radiometry.to_dict()}
        title = f"BEGAN {config.class_name}, {config.scenario}"
        chosen = of_class(train, classes.index(config.class_name))
        began = train_generator(chosen, training, run_dir / "began", progress, meta=meta, title=title)
        began["seconds"] = time.perf_counter() - started
        write_json(run_dir / "began" / "result.json", began)
    began = read_json(run_dir / "began" / "result.json")
    if (folder / DONE).is_file():
        return began, read_patches(folder, config.class_name)
    progress.stage(f"generating {config.class_name}", config.synthetic)
    model, meta = load_generator(run_dir / "began")
    images = draw_patches(
        model, config.synthetic, size, config.filter, seed=1, on_batch=lambda done: progress.step(done, {})
    )
    info = {"filter": config.filter, "generated_size": model.config.size, "size": size, "source": meta["training"]}
    write_patches(folder, config.class_name, images, info)
    return began, images


def of_class(patches: PatchTensor, label: int) -> PatchTensor:
    """The patches with one label."""
    chosen = [i for i, other in enumerate(patches.labels.tolist()) if other == label]
    images = torch.stack([patches.images[i] for i in chosen])
    return PatchTensor(images, patches.labels[chosen], patches.radiometry)


def _quality(
    config: AugmentationConfig, train: PatchTensor, label: int, generated: torch.Tensor, run_dir: Path
) -> dict[str, Any]:
    """Grey-value statistics, and the three picture grids: real, real prepared like the generated ones, generated.

    The prepared ones went through the same crop or reduction and the same upsampling, so that only the generator
    itself makes the difference. The patches shown are drawn at random, not chosen.
    """
    source = torch.Generator().manual_seed(0)
    real = of_class(train, label).encoded()
    views = scenario_view(real, config.scenario, generator=source)
    prepared = resample(views, real.shape[-1], mode=config.filter, range=(0.0, 1.0))
    made = generated.float() / 255.0
    result = quality.compare(prepared, made)
    result["histogram_native"] = quality.pooled_histogram(real).tolist()
    grids = run_dir / "grids"
    grids.mkdir(exist_ok=True)
    order = torch.randperm(len(real), generator=source)[:GRID]
    for name, images in (("real", real[order]), ("prepared", prepared[order]), ("generated", made[:GRID])):
        picture = torch.from_numpy(image_grid(images, columns=4))
        write_image(grids / f"{name}.png", (picture[None] if picture.ndim == 2 else picture.permute(2, 0, 1)).numpy())
    return result


def _describe(folder: PatchFolder, split: Split, leakage: list[str]) -> dict[str, Any]:
    parts = {"train": folder.subset(split.train), "test": folder.subset(split.test)}
    return {
        "name": folder.root.resolve().name,
        "synthetic": folder.synthetic,
        "shape": list(folder.shape),
        "radiometry": folder.radiometry.to_dict(),
        "scenes_known": folder.scenes_known,
        "leakage": leakage,
        "patches": {name: part.class_counts() for name, part in parts.items()},
        "scenes": {name: len(set(part.scenes)) for name, part in parts.items()},
    }
