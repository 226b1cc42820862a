"""How good is a classifier with few labels, and do speckle and generated patches make up for those that are missing?

Shares of the labels x arms x seeds, on one split by scene. The pixels of all training patches are known, and their
labels only in part: the generator of a share and a seed learns from all of them, the classifiers from the labelled ones
and from what it generates. Every training lies in a folder of its own and is not repeated when the same command is
given again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from sarcore.data import PatchFolder
from sarcore.engine.distributed import is_main_process
from sarcore.experiments.arms import ARMS
from sarcore.experiments.budget import Kind, plan_steps
from sarcore.experiments.cells import run_cells
from sarcore.experiments.curve_config import CurveConfig, GeneratorCell
from sarcore.experiments.curve_generator import draw_for_cell, generator_trial, train_for_cell
from sarcore.experiments.given_weights import check_training
from sarcore.experiments.label_cells import LabelCell
from sarcore.experiments.label_study import results_of, train_cell
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.pretraining import PRETRAINING, PretrainingCell
from sarcore.experiments.progress import Progress
from sarcore.experiments.study_data import StudyData, classifier_trial
from sarcore.experiments.study_gan import check_patches, pretrain_for_gans, pretraining_trial

REFERENCE = "flips"
NAMES = {
    "none": "no augmentation",
    "flips": "flips",
    "speckle": "flips + speckle",
    "gan": "flips + GAN",
    "both": "flips + speckle + GAN",
}
GOING_ON = ("data", "fractions", "arms", "seeds")  # may differ: they decide which trainings there are
AnyCell: TypeAlias = LabelCell | GeneratorCell | PretrainingCell


def run_curve(
    config: CurveConfig,
    run_dir: Path,
    progress: Progress,
    *,
    minutes: float | None = None,
    merge: Sequence[Path] = (),
) -> dict[str, Any]:
    """Run the study, or what is left of it; the main process returns what ``results.json`` holds.

    ``minutes`` is the time that all trainings together should take: their steps are planned to fit, once. ``merge``
    names folders with other cells of the same study. Raises ``DataError`` for data that cannot be used and
    ``SarcoreError`` for a folder with another study.
    """
    folder = PatchFolder.open(config.data)
    if any(ARMS[arm].generated for arm in config.arms):
        check_patches(config, folder)
    given = check_training(config.classifier, folder)
    recorded = {**dataclasses.asdict(config), **({"init_fingerprint": given} if given else {})}
    data = StudyData.open(
        config,
        "experiment curve",
        run_dir,
        progress,
        recorded,
        may_change=GOING_ON,
        merge=merge,
        weights=[config.classifier.init] if given else [],
        hidden_labels=True,
    )
    cells = list(config.cells())
    study = _Curve(config, data, run_dir, progress)
    study.steps, plan = plan_steps(study.kinds(cells), run_dir, progress, minutes=minutes)
    done, missing = run_cells(cells, study.run, run_dir, progress)
    if not is_main_process():
        return {}
    arms = [(cell, result) for cell, result in done if isinstance(cell, LabelCell)]
    more = {"kind": "curve", "missing": missing, "plan": plan, "seconds": sum(result["seconds"] for _, result in done)}
    return results_of(data, arms, REFERENCE, NAMES, run_dir, more, aims_at="both")


class _Curve:
    """Makes the cells; the patches of the last generator are kept for the arms that share it."""

    def __init__(self, config: CurveConfig, data: StudyData, run_dir: Path, progress: Progress) -> None:
        self.config, self.data, self.run_dir, self.progress = config, data, run_dir, progress
        self.steps: dict[str, int] = {}
        self._generated: tuple[GeneratorCell, PatchTensor] | None = None

    def kinds(self, cells: Sequence[AnyCell]) -> list[Kind]:
        """What costs time, for the plan."""
        config, generators = self.config, sum(isinstance(cell, GeneratorCell) for cell in cells)
        classifiers = sum(isinstance(cell, LabelCell) for cell in cells)
        classifier = classifier_trial(self.data, config.classifier, self.progress)
        kinds = [Kind("classifier", classifiers, config.classifier.steps, classifier)]
        if generators:
            pretraining, generator = (
                make(config, self.data, self.progress) for make in (pretraining_trial, generator_trial)
            )
            kinds.append(Kind(PRETRAINING, 1, config.pretraining_steps, pretraining))
            kinds.append(Kind("generator", generators, config.generator_steps, generator))
        return kinds

    def run(self, cell: AnyCell, folder: Path, place: str) -> dict[str, Any]:
        """One training."""
        if isinstance(cell, PretrainingCell):
            steps, title = self.steps[PRETRAINING], f"features of the discriminators ({place})"
            return pretrain_for_gans(self.config, self.data, folder, self.progress, steps=steps, title=title)
        if isinstance(cell, GeneratorCell):
            title = f"GAN, {cell.fraction:g} % of the labels, seed {cell.seed} ({place})"
            steps, features = self.steps["generator"], self.run_dir / PretrainingCell().name
            return train_for_cell(
                cell, self.config, self.data, folder, self.progress, features=features, steps=steps, title=title
            )
        arm = ARMS[cell.arm]
        return train_cell(
            cell,
            arm,
            self.data,
            self.config.classifier,
            folder,
            self.progress,
            place,
            steps=self.steps["classifier"],
            generated=self.generated(GeneratorCell(cell.fraction, cell.seed)) if arm.generated else None,
        )

    def generated(self, cell: GeneratorCell) -> PatchTensor:
        """The patches of a generator, drawn once for the arms that share them."""
        if self._generated is None or self._generated[0] != cell:
            title = f"generating with {cell.fraction:g} % of the labels, seed {cell.seed}"
            run = self.run_dir / cell.name
            drawn = draw_for_cell(run, self.config, self.data, self.progress, seed=cell.seed, title=title)
            self._generated = cell, drawn
        return self._generated[1]
