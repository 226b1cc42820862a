"""At what misregistration does learning without partners overtake learning with them?

{Pix2Pix, CycleGAN} x {SAR to optical, optical to SAR} x shifts of the training pairs x seeds, on one split by scene.
What is known of the registration is corrected first, so that a shift of 0 is as well registered as known. Then the
optical images of the training are shifted, each scene in a direction of its own; the test pairs never are. Every
training lies in a folder of its own and is not repeated when the same command is given again.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sarcore.data import PairedFolder, PairViews, Split, write_image
from sarcore.engine import write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import DataError
from sarcore.experiments import translation_summary as summary
from sarcore.experiments.cells import run_cells
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run
from sarcore.experiments.train_config import settings
from sarcore.experiments.translation import middle, train_on_pairs
from sarcore.experiments.translation_pairs import held_out_scenes
from sarcore.experiments.translation_scores import FeatureSpace, Judged, judge
from sarcore.experiments.translation_study_config import Cell, TranslationStudyConfig
from sarcore.experiments.translation_validation import Constant, mean_colours
from sarcore.models.translation import DIRECTIONS

OFFSETS_FILE = "estimated_offsets.csv"
TABLE_FILE = "results.csv"
SHOWN = 3  # test pairs whose translations the page shows
GOING_ON = (
    "data",
    "seeds",
    "shifts",
    "rotations",
    "speckle_looks",
)  # may differ: they decide which trainings there are


def run_study(
    config: TranslationStudyConfig, run_dir: Path, progress: Progress, *, budget: float | None = None
) -> dict[str, Any]:
    """Run the study, or what is left of it; the main process returns what ``results.json`` holds.

    After ``budget`` minutes no further training is begun: the results are those of what is there, and say what is
    missing. Raises ``DataError`` for data that cannot be used and ``SarcoreError`` for a folder with another study.
    """
    pairs, known = registered(PairedFolder.open(config.data, manifest=config.manifest))
    split = from_main(lambda: _start(config, pairs, run_dir))
    train, test = pairs.subset(split.train), pairs.subset(split.test)
    space = None if config.classifier is None else FeatureSpace.open(config.classifier, test)
    progress.note(
        f"{len(train)} pairs to train on, {len(test)} of {len(set(test.scenes))} other scenes to test. {known}"
    )
    cells = list(config.cells())

    def run(cell: Cell, folder: Path, place: str) -> dict[str, Any]:
        return _run_cell(cell, config, (train, test), space, folder, progress, place)

    done, missing = run_cells(cells, run, run_dir, progress, minutes=budget)
    if not is_main_process():
        return {}
    results = _results(config, done, missing, (train, test), known)
    _show(test, config.crop, run_dir)
    write_json(run_dir / RESULTS_FILE, results)
    summary.write_table(run_dir / TABLE_FILE, results["rows"])
    return results


def registered(pairs: PairedFolder) -> tuple[PairedFolder, str]:
    """The pairs moved to where their optical images were found to fit, and a sentence on how well that is known.

    The shifts, (dx, dy) in pixels of what lies at (x, y) in the SAR image, are those of ``estimated_offsets.csv`` in
    the folder, with the columns scene, dx, dy. Raises ``DataError`` for a file that cannot be read.
    """
    path = pairs.root / OFFSETS_FILE
    if not path.is_file():
        return pairs, "Shift 0 is the registration of the data: nothing is known of its errors."
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            offsets = {row["scene"]: (int(row["dx"]), int(row["dy"])) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as offsets ({error!r}); give the columns scene, dx, dy") from error
    scenes = sorted(set(pairs.scenes))
    lengths = [float(np.hypot(*offsets[scene])) for scene in scenes if scene in offsets]
    moved = pairs.shifted({scene: offsets.get(scene, (0, 0)) for scene in scenes})
    typical = f", median {np.median(lengths):.1f} px" if lengths else ""
    return moved, (
        f"Shift 0 is the registration corrected by {OFFSETS_FILE} ({len(lengths)} of {len(scenes)} scenes{typical}), "
        "itself an estimate in whole pixels."
    )


def _start(config: TranslationStudyConfig, pairs: PairedFolder, run_dir: Path) -> Split:
    """Open the run folder and divide the scenes, once; what is too small is found now, not after an hour."""
    recorded = {name: getattr(config, name) for name in config.__dataclass_fields__}
    PairViews(pairs, config.crop, shift=max(config.shifts))
    for degrees in config.rotations:
        PairViews(pairs, config.crop, rotation=degrees)
    open_run(run_dir, "experiment translation", recorded, pairs, range(config.seeds), may_change=GOING_ON)
    path = run_dir / "split.json"
    if path.is_file():
        return Split.load(path)
    test = [i for i, part in enumerate(pairs.parts) if part == "test"]
    if not test:
        held = held_out_scenes(pairs.scenes, config.test_fraction, config.split_seed)
        test = [i for i, scene in enumerate(pairs.scenes) if scene in held]
    train = [i for i, part in enumerate(pairs.parts) if i not in set(test) and part != "val"]
    if not test or len(train) < config.batch_size:
        raise DataError(
            f"{config.data}: {len(train)} pairs to train on and {len(test)} to test are too few for batches of "
            f"{config.batch_size}; give more scenes, or lower --batch-size"
        )
    split = Split(train, [], test, config.split_seed)
    split.save(path)
    return split


def _run_cell(
    cell: Cell,
    config: TranslationStudyConfig,
    parts: tuple[PairedFolder, PairedFolder],
    space: FeatureSpace | None,
    folder: Path,
    progress: Progress,
    place: str,
) -> dict[str, Any]:
    train, test = parts
    training = config.training(cell)
    views = None
    if cell.method == "pix2pix":
        views = PairViews(
            train, config.crop, flip=training.flip, shift=cell.shift, rotation=cell.rotation, seed=cell.seed
        )
    title = f"{cell.arm.replace('_', ' ')}, seed {cell.seed} ({place})"
    task, facts = train_on_pairs(train, None, training, folder, progress, views=views, title=title)
    if not is_main_process():
        return {}
    found = {direction: judge(task.eval(), test, direction, space) for direction in cell.directions}
    for direction, judged in found.items():
        strip = sheet([judged.made[i] for i in shown(test)], config.crop)
        write_image(folder / f"{direction}.png", strip)
    said = ", ".join(f"{direction} MAE {judged.scores['mae']:.4f}" for direction, judged in found.items())
    progress.note(f"{title}: {said}")
    return {"arm": cell.arm, "seed": cell.seed, "training": settings(training), **facts, **_plain(found)}


def _plain(found: dict[Any, Judged]) -> dict[str, Any]:
    return {
        "scores": {direction: judged.scores for direction, judged in found.items()},
        "images": {direction: judged.images for direction, judged in found.items()},
    }


def _results(
    config: TranslationStudyConfig,
    done: list[tuple[Cell, dict[str, Any]]],
    missing: list[str],
    parts: tuple[PairedFolder, PairedFolder],
    known: str,
) -> dict[str, Any]:
    train, test = parts
    baseline = Constant(*mean_colours(train))
    overtakings = summary.overtakings(done, config.shifts, test.scenes)
    return {
        "kind": "translation",
        "data": str(config.data),
        "registration": known,
        "pairs": {"train": len(train), "test": len(test)},
        "scenes": {"train": len(set(train.scenes)), "test": len(set(test.scenes))},
        "rows": summary.rows_of(done),
        "mean_colour": {direction: judge(baseline, test, direction).scores for direction in DIRECTIONS},
        "overtaking": overtakings,
        "sentences": [
            summary.sentence(direction, metric, found)
            for direction, by_metric in overtakings.items()
            for metric, found in by_metric.items()
        ],
        "missing": missing,
        "seconds": sum(result["seconds"] for _, result in done),
    }


def shown(pairs: PairedFolder) -> list[int]:
    """The pairs that are shown, spread over the set and so over its scenes."""
    count = min(SHOWN, len(pairs))
    return [i * len(pairs) // count for i in range(count)]


def sheet(images: list[Tensor], side: int) -> Any:
    """The middle of images (C, H, W) in [0, 1] one below the other as 8-bit picture; one channel or the first three."""
    parts = [middle(image, side)[: 3 if image.shape[0] >= 3 else 1] for image in images]
    gap = torch.ones(parts[0].shape[0], 4, parts[0].shape[2])
    rows = [part for image in parts for part in (image, gap)][:-1]
    return (torch.cat(rows, 1).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _show(test: PairedFolder, side: int, run_dir: Path) -> None:
    chosen = [test[i] for i in shown(test)]
    (run_dir / "pictures").mkdir(exist_ok=True)
    for name, k in (("sar", 0), ("optical", 1)):
        write_image(run_dir / "pictures" / f"{name}.png", sheet([pair[k] for pair in chosen], side))
