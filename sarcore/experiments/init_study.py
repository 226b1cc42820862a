"""From which weights should a classifier of SAR patches start? The comparison of Marmanis et al. (arXiv 1711.02010).

They found ImageNet and random weights "practically the same", with all labels and one training each. Here: weights x
shares of the labels x seeds, on one split by scene, with the same steps and rates. Self-supervised weights come from
the patches of the training scenes alone, or from a run that is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sarcore.data import PatchFolder
from sarcore.engine import FitConfig
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.experiments.arms import ARMS
from sarcore.experiments.budget import Kind, plan_steps
from sarcore.experiments.cells import run_cells
from sarcore.experiments.contrastive import pretrain_on
from sarcore.experiments.given_weights import check_training
from sarcore.experiments.init_config import TRAINED, InitConfig, PretrainCell
from sarcore.experiments.label_cells import LabelCell
from sarcore.experiments.label_study import results_of, train_cell
from sarcore.experiments.patches import Patches, PatchTensor, encoded
from sarcore.experiments.progress import Progress
from sarcore.experiments.study_data import StudyData, classifier_trial
from sarcore.experiments.train_kinds import TrainContrastive
from sarcore.models import ContrastiveConfig
from sarcore.ops import decode, resample

REFERENCE = "random"
NAMES = {
    "random": "a random start",
    "imagenet": "a start from ImageNet weights",
    "contrastive": "a self-supervised start",
    "sar": "a start from a SAR classifier",
}
_AT_ONCE = 256  # patches that are reduced together
GOING_ON = ("data", "fractions", "seeds")  # may differ: they decide which trainings there are


def run_init(
    config: InitConfig,
    run_dir: Path,
    progress: Progress,
    *,
    minutes: float | None = None,
    merge: Sequence[Path] = (),
) -> dict[str, Any]:
    """Run the study, or what is left of it; the main process returns what ``results.json`` holds.

    ``minutes`` and ``merge`` as `run_curve` has them. Raises ``CheckpointError`` for weights of another network, before
    anything is written, ``DataError`` for data that cannot be used, ``SarcoreError`` for a folder with another study.
    """
    recorded = {**dataclasses.asdict(config), **_fingerprints(config)}
    data = StudyData.open(
        config,
        "experiment init",
        run_dir,
        progress,
        recorded,
        may_change=GOING_ON,
        merge=merge,
        weights=[source for source in config.sources.values() if source not in (REFERENCE, TRAINED)],
        hidden_labels=True,
    )
    cells = list(config.cells())
    study = _Init(config, data, run_dir, progress)
    study.steps, plan = plan_steps(study.kinds(cells), run_dir, progress, minutes=minutes)
    done, missing = run_cells(cells, study.run, run_dir, progress)
    if not is_main_process():
        return {}
    arms = [(cell, result) for cell, result in done if isinstance(cell, LabelCell)]
    more = {
        "kind": "init",
        "sources": config.sources,
        "missing": missing,
        "plan": plan,
        "seconds": sum(result["seconds"] for _, result in done),
    }
    return results_of(data, arms, REFERENCE, NAMES, run_dir, more)


def _fingerprints(config: InitConfig) -> dict[str, str]:
    """SHA-256 of the weights that are given, which are tried on a network of the size of the classifiers."""
    folder = PatchFolder.open(config.data)
    tried = {name: "random" if of == TRAINED else of for name, of in config.sources.items()}
    found = {name: check_training(config.classifier, folder, source) for name, source in tried.items()}
    return {name: digest for name, digest in found.items() if digest is not None}


def reduced(patches: Patches, size: int) -> Patches:
    """The patches as classifiers of that ``size`` see them, by area means of what they stand for; 0 leaves them.

    >>> from sarcore.ops import Radiometry
    >>> patches = PatchTensor(torch.full((2, 1, 8, 4), 51.0), torch.zeros(2), Radiometry("digital", 0.0, 255.0))
    >>> reduced(patches, 4).arrays()[0].shape, round(float(reduced(patches, 4).arrays()[0].max()), 3)
    (torch.Size([2, 1, 4, 2]), 51.0)
    """
    height, width = patches.native([0])[0].shape[-2:]
    if not 0 < size < max(height, width):
        return patches
    sides = [max(1, round(side * size / max(height, width))) for side in (height, width)]
    parts = [range(start, min(start + _AT_ONCE, len(patches))) for start in range(0, len(patches), _AT_ONCE)]
    small = [decode(resample(encoded(patches, part), sides, mode="area"), patches.radiometry) for part in parts]
    return PatchTensor(torch.cat(small), patches.labels, patches.radiometry)


class _Init:
    """Makes the cells."""

    def __init__(self, config: InitConfig, data: StudyData, run_dir: Path, progress: Progress) -> None:
        self.config, self.data, self.run_dir, self.progress = config, data, run_dir, progress
        self.steps: dict[str, int] = {}

    def kinds(self, cells: Sequence[LabelCell | PretrainCell]) -> list[Kind]:
        """What costs time, for the plan."""
        pretrainings = sum(isinstance(cell, PretrainCell) for cell in cells)
        classifier = classifier_trial(self.data, self.config.classifier, self.progress)
        kinds = [Kind("classifier", len(cells) - pretrainings, self.config.classifier.steps, classifier)]
        if pretrainings:
            kinds.append(Kind("contrastive", pretrainings, self.config.contrastive_steps, self._trial()))
        return kinds

    def run(self, cell: LabelCell | PretrainCell, folder: Path, place: str) -> dict[str, Any]:
        """One training."""
        if isinstance(cell, PretrainCell):
            return self._pretrain(
                cell.seed, folder, f"self-supervised, seed {cell.seed} ({place})", self.steps["contrastive"]
            )
        source = self.config.sources[cell.arm]
        init = str(self.run_dir / PretrainCell(cell.seed).name) if source == TRAINED else source
        training = dataclasses.replace(self.config.classifier, init=init)
        arm, steps = ARMS[self.config.augment], self.steps["classifier"]
        return train_cell(cell, arm, self.data, training, folder, self.progress, place, steps=steps)

    def _pretrain(self, seed: int, folder: Path, title: str, steps: int) -> dict[str, Any]:
        config, classifier = self.config, self.config.classifier
        model = ContrastiveConfig(
            depth=classifier.depth,
            width=classifier.width,
            lr=config.contrastive_lr,
            warmup_steps=min(50, steps // 10),
        )
        fit = FitConfig(
            steps=steps,
            batch_size=config.contrastive_batch_size,
            seed=seed,
            precision=classifier.precision,
            channels_last=classifier.channels_last,
            log_every=min(10, max(1, steps // 50)),
            checkpoint_every=max(25, min(500, steps // 4)),
            keep_last=1,
        )
        training = TrainContrastive(config.data, val_fraction=0.0, model=model, fit=fit)
        return pretrain_on(reduced(self.data.train, classifier.size), training, folder, self.progress, title=title)

    def _trial(self) -> Callable[[int, Path], float]:
        def run(steps: int, folder: Path) -> float:
            found = self._pretrain(0, folder, "measuring the self-supervised training", steps)
            return from_main(lambda: self.config.contrastive_batch_size / float(found["images_per_second"]))

        return run
