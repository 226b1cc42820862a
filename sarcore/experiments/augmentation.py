"""Do generated patches help a classifier? The augmentation experiment of Marmanis et al. 2017 (arXiv 1711.02010).

Split by scene; train a classifier per seed on the real patches; train a BEGAN on the training patches of one class;
generate patches of that class and bring them to patch size; train the classifiers again, alike, with those patches
added; score all of them on the real patches of unseen scenes. Every stage leaves its result in the run folder and is
not repeated when the same command is given again.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Dataset

from sarcore.data import PatchFolder, Split, check_leakage, patch_cache, split_by_scene, write_image
from sarcore.engine import image_grid, write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import DataError
from sarcore.experiments import quality
from sarcore.experiments.augmentation_config import AugmentationConfig
from sarcore.experiments.classification import predict, scores, train_on
from sarcore.experiments.generation import (
    DONE,
    draw_patches,
    load_generator,
    network,
    read_patches,
    square_side,
    train_generator,
    write_patches,
)
from sarcore.experiments.patches import Patches, PatchTensor, encoded, in_memory, scenario_view
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run, read_json
from sarcore.experiments.summary import headline, summarise
from sarcore.ops import Radiometry, resample

ARMS = ("baseline", "augmented")
GENERATED = Radiometry("digital", 0.0, 255.0)  # generated patches are kept as 8 bit of the encoded range
GRID = 16


def run_augmentation(config: AugmentationConfig, run_dir: Path, progress: Progress) -> dict[str, Any]:
    """Run the experiment, or what is left of it; the main process returns what ``results.json`` holds.

    Raises ``DataError`` for data that cannot be used and ``SarcoreError`` for a folder with another experiment.
    """
    started = time.perf_counter()
    folder = PatchFolder.open(config.data)
    _check(config, folder)
    split, leakage = from_main(lambda: _start(config, folder, run_dir))
    for message in leakage:
        progress.note(f"Leakage: {message}")
    label = folder.classes.index(config.class_name)
    whole = patch_cache(folder, on_note=progress.note)
    train, test = in_memory(whole.subset(split.train)), in_memory(whole.subset(split.test))
    learnt = in_memory(whole.subset([i for i in split.train if folder.labels[i] == label]))
    arms: dict[str, list[dict[str, Any]]] = {}
    arms["baseline"] = _arm("baseline", config, folder.classes, train, train, test, run_dir, progress)
    began, generated = _generate(config, learnt, run_dir, progress)
    extra = PatchTensor(generated, torch.full((len(generated),), label), GENERATED)
    both: Dataset[tuple[torch.Tensor, int]] = ConcatDataset([train, extra])
    arms["augmented"] = _arm("augmented", config, folder.classes, both, train, test, run_dir, progress)
    if not is_main_process():
        return {}
    scenes = [folder.scenes[i] for i in split.test]
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
        "quality": _quality(config, learnt, generated, run_dir),
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
    network(config.began_training(), folder.shape[0], square_side(folder))


def _start(config: AugmentationConfig, folder: PatchFolder, run_dir: Path) -> tuple[Split, list[str]]:
    """Open the run folder, and split: the parts and what was found in both of them."""
    settings = dataclasses.asdict(config)
    open_run(run_dir, "experiment augmentation", settings, folder, range(config.seeds), may_change=["seeds"])
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
    if counts[config.class_name] < config.began_batch_size:
        raise DataError(
            f"{config.data}: {counts[config.class_name]} training patches of '{config.class_name}' are fewer than a "
            f"batch of {config.began_batch_size}; lower --began-batch-size or choose another class"
        )
    return split, leakage


def _arm(
    arm: str,
    config: AugmentationConfig,
    classes: list[str],
    train: Dataset[tuple[torch.Tensor, int]],
    real: Patches,
    test: Patches,
    run_dir: Path,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Train and score one classifier per seed; both arms start from the same weights for the same seed."""
    runs = []
    for seed in range(config.seeds):
        folder = run_dir / arm / f"seed_{seed}"
        if from_main((folder / "result.json").is_file):
            runs.append(read_json(folder / "result.json"))
            continue
        started = time.perf_counter()
        title = f"ResNet-{config.depth} {arm}, seed {seed + 1}/{config.seeds}"
        training = config.classifier_training(seed)
        model, facts = train_on(train, real, classes, training, folder, progress, title=title)
        if not is_main_process():
            continue
        predicted = predict(model, test)
        result = {
            "seed": seed,
            **facts,
            **scores(test.labels, predicted, len(classes)),
            "predicted": predicted.tolist(),
        }
        result["seconds"] = time.perf_counter() - started
        write_json(folder / "result.json", result)
        progress.note(f"{title}: balanced accuracy {100 * result['balanced_accuracy']:.1f} %")
        runs.append(result)
    return runs


def _generate(
    config: AugmentationConfig, learnt: Patches, run_dir: Path, progress: Progress
) -> tuple[dict[str, Any], torch.Tensor]:
    """Train the BEGAN on the training patches of the class and draw the patches: (facts, uint8 (N,C,S,S))."""
    folder, size, done = run_dir / "synthetic", encoded(learnt, [0]).shape[-1], run_dir / "began" / "result.json"
    if not from_main(done.is_file):
        started = time.perf_counter()
        meta = {"classes": [config.class_name], "radiometry": learnt.radiometry.to_dict()}
        title = f"BEGAN {config.class_name}, {config.scenario}"
        began = train_generator(learnt, config.began_training(), run_dir / "began", progress, meta=meta, title=title)
        began["seconds"] = time.perf_counter() - started
        if is_main_process():
            write_json(done, began)

    def draw() -> torch.Tensor:
        if (folder / DONE).is_file():
            return read_patches(folder, config.class_name)
        progress.stage(f"generating {config.class_name}", config.synthetic)
        model, meta = load_generator(run_dir / "began")
        images = draw_patches(
            model, config.synthetic, size, config.filter, seed=1, on_batch=lambda done: progress.step(done, {})
        )
        info = {"filter": config.filter, "generated_size": model.config.size, "size": size, "source": meta["training"]}
        write_patches(folder, config.class_name, images, info)
        return images

    generated = from_main(draw)
    return read_json(done), generated


def _quality(config: AugmentationConfig, learnt: Patches, generated: torch.Tensor, run_dir: Path) -> dict[str, Any]:
    """Grey-value statistics, and the three picture grids: real, real prepared like the generated ones, generated.

    The prepared ones went through the same crop or reduction and the same upsampling, so that only the generator
    itself makes the difference. The patches shown are drawn at random, not chosen.
    """
    source = torch.Generator().manual_seed(0)
    real = encoded(learnt)
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
