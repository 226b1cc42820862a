"""Generated patches against real ones, by every measure of distributions, with real against real as the floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcore.data import PatchFolder, write_image
from sarcore.data.card import read_card
from sarcore.engine import image_grid
from sarcore.errors import DataError
from sarcore.experiments.features import classifier_features
from sarcore.experiments.patches import GENERATED
from sarcore.experiments.progress import Progress
from sarcore.experiments.set_scores import BETTER, LEAST, ImageSet, score_sets
from sarcore.experiments.summary import plain
from sarcore.metrics import FeatureSet, SARFeatures, against_floor, memorisation
from sarcore.models import ClassifierConfig
from sarcore.ops import Radiometry

BATCH = 64
PAIRS = 16


@dataclasses.dataclass(frozen=True)
class Sets:
    """Real and generated patches as one numbered row, real ones first, and their features in the same order."""

    real: PatchFolder
    generated: PatchFolder
    features: Tensor

    def part(self, numbers: Tensor) -> ImageSet:
        """The patches of these numbers, encoded, batch by batch; the files are read again each time."""
        return ImageSet(self.features[numbers], self._images(numbers.tolist()))

    def _images(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        first = len(self.real)
        for folder, offset in ((self.real, 0), (self.generated, first)):
            own = [n - offset for n in numbers if (n >= first) == (offset > 0)]
            yield from _batches(folder, own)


def score_folders(
    real: Path,
    generated: Path,
    run: Path,
    progress: Progress,
    *,
    train: Path | None = None,
    sheet: Path | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two folders of patches in the feature space of the classifier of ``run`` and by their pixels.

    Real patches are those of the generated classes, where both folders have these. ``train`` holds what the generator
    was trained on: then it is tested whether it repeats that, with the real patches as the held-out ones, and the
    closest pairs go to the picture ``sheet``. The result is ready for JSON; a score that does not exist is None.

    Raises ``DataError`` for folders that cannot be compared, ``CheckpointError`` for a run that is no classifier.
    """
    _check_request(real, train, sheet)
    features, meta = classifier_features(run)
    features.to("cuda" if torch.cuda.is_available() else "cpu")
    for problem in meta["problems"]:
        progress.note(problem)
    made = _open(generated, meta)
    others = _same_classes(_open(real, meta), made, progress)
    _check(others, made, meta, progress)
    real_features = _embed(features, others, "features of real patches", progress)
    made_features = _embed(features, made, "features of generated patches", progress)
    sets = Sets(others, made, torch.cat([real_features.values, made_features.values]))
    result: dict[str, Any] = {
        "kind": "metrics",
        "real": {"path": str(real), "patches": len(others)},
        "generated": {"path": str(generated), "patches": len(made)},
        "features": {
            "run": str(run),
            "checkpoint": meta["path"],
            "space": features.space,
            "dimension": features.dimension,
        },
        "scores": _scores(sets, ClassifierConfig.from_dict(meta["config"]), repeats, seed, progress),
        "patches_compared": min(len(others) // 2, len(made)),
        "repeats": repeats,
        "seed": seed,
    }
    if train is not None:
        known = _same_classes(_open(train, meta), made, progress)
        _check(known, made, meta, progress)
        trained = _embed(features, known, "features of training patches", progress)
        result["memorisation"] = _memorisation(known, made, (trained, real_features, made_features), sheet)
    return result


def _check_request(real: Path, train: Path | None, sheet: Path | None) -> None:
    if sheet is not None and train is None:
        raise ValueError("a sheet shows pairs of generated and training patches: give the training patches, too")
    if train is not None and train.resolve() == real.resolve():
        raise DataError(
            f"{real}: is given as the training patches as well; give real patches of scenes that the generator has not "
            "seen, or nothing can be told from copies"
        )


def _open(data: Path, meta: dict[str, Any]) -> PatchFolder:
    """A folder whose items have the scale that the classifier was trained on.

    What `sarcore generate` wrote is that scale already, in 8 bit; the rest is encoded with the run's radiometry.
    """
    made = read_card(data).generated
    return PatchFolder.open(data, radiometry=GENERATED if made else Radiometry.from_dict(meta["radiometry"]))


def _same_classes(folder: PatchFolder, made: PatchFolder, progress: Progress) -> PatchFolder:
    wanted = [name for name, count in made.class_counts().items() if count]
    unknown = [name for name in wanted if name not in folder.classes]
    if unknown:
        progress.note(f"{folder.root} has no class {', '.join(unknown)}: all of its patches are compared.")
        return folder
    chosen = [i for i, label in enumerate(folder.labels.tolist()) if folder.classes[label] in wanted]
    if len(chosen) < len(folder):
        progress.note(f"{folder.root}: the {len(chosen)} patches of {', '.join(wanted)} are compared.")
    return folder.subset(chosen)


def _check(folder: PatchFolder, made: PatchFolder, meta: dict[str, Any], progress: Progress) -> None:
    if folder.shape != made.shape:
        raise DataError(
            f"{made.root} has patches of {made.shape} (C,H,W), {folder.root} of {folder.shape}: generate them in the "
            "size of the real ones (sarcore generate --size)"
        )
    if folder.shape[0] != meta["shape"][0]:
        raise DataError(f"{folder.root} has patches of {folder.shape} (C,H,W), the classifier takes {meta['shape'][0]}")
    if list(folder.shape) != meta["shape"]:
        progress.note(f"The classifier was trained on patches of {tuple(meta['shape'])}, these are {folder.shape}.")
    if len(folder) < 2 * LEAST or len(made) < LEAST:
        raise DataError(
            f"at least {2 * LEAST} real and {LEAST} generated patches are needed to compare distributions; "
            f"{folder.root} has {len(folder)} and {made.root} {len(made)}"
        )


def _embed(features: SARFeatures, folder: PatchFolder, title: str, progress: Progress) -> FeatureSet:
    progress.stage(title, len(folder))

    def counted() -> Iterator[Tensor]:
        done = 0
        for images in _batches(folder, range(len(folder))):
            yield images
            done += len(images)
            progress.step(done, {})

    return features.embed(counted())


def _batches(folder: PatchFolder, numbers: Sequence[int]) -> Iterator[Tensor]:
    for start in range(0, len(numbers), BATCH):
        items = folder.__getitems__(list(numbers[start : start + BATCH]))
        yield torch.stack([image for image, _ in items])


def _scores(
    sets: Sets, config: ClassifierConfig, repeats: int, seed: int, progress: Progress
) -> dict[str, dict[str, Any]]:
    progress.stage("scores", 2 * repeats)
    done = 0

    def score(real: Tensor, generated: Tensor) -> dict[str, float]:
        nonlocal done
        found = score_sets(sets.part(real), sets.part(generated), config)
        done += 1
        progress.step(done, {})
        return found

    first = len(sets.real)
    numbers = torch.arange(first), torch.arange(first, first + len(sets.generated))
    rows = against_floor(score, *numbers, repeats=repeats, seed=seed)
    return {
        name: {**{key: plain(value) for key, value in dataclasses.asdict(row).items()}, "better": BETTER[name]}
        for name, row in rows.items()
    }


def _memorisation(
    known: PatchFolder, made: PatchFolder, features: tuple[FeatureSet, FeatureSet, FeatureSet], sheet: Path | None
) -> dict[str, Any]:
    try:
        found = memorisation(*features, pairs=PAIRS)
    except ValueError as error:
        raise DataError(f"{known.root}: {error}") from error
    if sheet is not None:
        pairs = [image for i, j, _ in found.pairs for image in (made[i][0], known[j][0])]
        grid = image_grid(torch.stack(pairs), columns=8)
        write_image(sheet, grid if grid.ndim == 2 else grid.transpose(2, 0, 1))
    return {
        "train": {"path": str(known.root), "patches": len(known)},
        "ratio": found.ratio,
        "closer_share": found.closer_share,
        "p_value": found.p_value,
        "pairs": [
            {"generated": str(made.paths[i]), "train": str(known.paths[j]), "distance": distance}
            for i, j, distance in found.pairs
        ],
    }
