"""Do generated patches help a classifier, and does more speckle? The experiment of Marmanis et al. 2017, with controls.

Split by scene; train generators on the training patches; train a classifier per arm and seed, all alike but for what
the arm adds; score all of them on the patches of unseen scenes. Every training lies in a folder of its own and is not
repeated when the same command is given again, and the folders of several machines can be merged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args

from sarcore.data import PatchFolder
from sarcore.engine import write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.experiments.arm_names import Target
from sarcore.experiments.arms import ARMS, train_arm
from sarcore.experiments.augmentation_config import REFERENCE, ArmCell, AugmentationConfig, GeneratorCell
from sarcore.experiments.augmentation_generator import make_generator, read_drawn
from sarcore.experiments.augmentation_pictures import judge_generators, show
from sarcore.experiments.budget import Kind, plan_steps
from sarcore.experiments.cells import run_cells
from sarcore.experiments.given_weights import check_training
from sarcore.experiments.pretraining import PRETRAINING, PretrainingCell
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE
from sarcore.experiments.study_data import StudyData, classifier_trial
from sarcore.experiments.study_gan import check_patches, pretrain_for_gans, pretraining_trial
from sarcore.experiments.summary import compare_arms, verdict, write_table

TABLE_FILE = "results.csv"
GOING_ON = ("data", "arms", "targets", "seeds")  # may differ: they decide which trainings there are
AnyCell: TypeAlias = ArmCell | GeneratorCell | PretrainingCell
TITLES = {
    "none": "No augmentation",
    "flips": "Flips",
    "speckle": "Flips and speckle",
    "gan": "Flips and generated patches of {}",
    "both": "Flips, speckle and generated patches of {}",
    "synthetic_only": "Generated patches alone",
}


def run_augmentation(
    config: AugmentationConfig,
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
    data = _open(config, run_dir, progress, merge)
    study = Study(config, data, run_dir, progress)
    cells = list(config.cells(study.counts))
    study.steps, plan = plan_steps(study.kinds(cells), run_dir, progress, minutes=minutes)
    done, missing = run_cells(cells, study.run, run_dir, progress)
    if not is_main_process():
        return {}
    results = {**study.results(done), "plan": plan, "missing": missing}
    write_json(run_dir / RESULTS_FILE, results)
    write_table(run_dir / TABLE_FILE, results["arms"])
    return results


def _open(config: AugmentationConfig, run_dir: Path, progress: Progress, merge: Sequence[Path]) -> StudyData:
    """The data and the run folder, once everything is checked that a training would trip over later."""
    folder = PatchFolder.open(config.data)
    if any(ARMS[arm].generated for arm in config.arms):
        check_patches(config, folder)
    fingerprint = check_training(config.classifier, folder)
    recorded = {**dataclasses.asdict(config), **dataclasses.asdict(config.classifier)}
    del recorded["classifier"]
    given = [] if config.generator_run is None else [str(config.generator_run)]
    if fingerprint:
        recorded["init_fingerprint"] = fingerprint
        given.append(config.classifier.init)
    return StudyData.open(
        config, "experiment augmentation", run_dir, progress, recorded, may_change=GOING_ON, merge=merge, weights=given
    )


class Study:
    """The data of the study, and one cell after the other."""

    def __init__(self, config: AugmentationConfig, data: StudyData, run_dir: Path, progress: Progress) -> None:
        self.config, self.data, self.run_dir, self.progress = config, data, run_dir, progress
        self.folder, self.train = data.folder, data.train
        self.counts = data.folder.subset(data.split.train).class_counts()
        self.steps: dict[str, int] = {}

    def kinds(self, cells: Sequence[AnyCell]) -> list[Kind]:
        """What costs time, for the plan."""
        config = self.config
        arms = [cell for cell in cells if isinstance(cell, ArmCell)]
        classifier = classifier_trial(self.data, config.classifier, self.progress)
        kinds = [Kind("classifier", len(arms), config.classifier.steps, classifier)]
        generators = [cell for cell in cells if isinstance(cell, GeneratorCell)]
        if any(isinstance(cell, PretrainingCell) for cell in cells):
            pretraining = pretraining_trial(config, self.data, self.progress)
            kinds.append(Kind(PRETRAINING, 1, config.pretraining_steps, pretraining))
        if generators and config.generator_run is None:

            def trial(steps: int, folder: Path) -> float:
                features = folder.with_name(PRETRAINING)  # measured just before
                made = self._generator(generators[0], folder, features, "measurement", steps)
                return from_main(lambda: config.generator_batch_size / float(made["images_per_second"]))

            kinds.append(Kind("generator", len(generators), config.generator_steps, trial))
        return kinds

    def run(self, cell: AnyCell, folder: Path, place: str) -> dict[str, Any]:
        """One training."""
        if isinstance(cell, PretrainingCell):
            steps, title = self.steps[PRETRAINING], f"features of the discriminators ({place})"
            return pretrain_for_gans(self.config, self.data, folder, self.progress, steps=steps, title=title)
        if isinstance(cell, GeneratorCell):
            title = f"generator of {cell.class_name or 'all classes'}, seed {cell.seed} ({place})"
            features = self.run_dir / PretrainingCell().name
            return self._generator(cell, folder, features, title, self.steps.get("generator", 0))
        wanted = cell.classes(self.counts)
        generated = None
        if wanted:
            folders = [self.run_dir / one.name for one in self.config.generators_of(cell, self.counts)]
            generated = from_main(lambda: read_drawn(folders, self.folder.classes, wanted))
        title = f"{self.title(cell)}, seed {cell.seed} ({place})"
        result = train_arm(
            ARMS[cell.arm], self.train, generated, self.data.test, self.folder.classes, self.config.classifier, folder,
            self.progress, data=self.config.data, seed=cell.seed, steps=self.steps["classifier"], title=title,
        )  # fmt: skip
        if result:
            self.progress.note(f"{title}: balanced accuracy {100 * result['balanced_accuracy']:.1f} %")
        return result

    def _generator(self, cell: GeneratorCell, folder: Path, features: Path, title: str, steps: int) -> dict[str, Any]:
        given = self.config, self.train, self.counts, folder, self.progress
        return make_generator(cell, *given, features=features, steps=steps, title=title)

    def title(self, cell: ArmCell) -> str:
        """What an arm is, in words."""
        named = cell.classes(self.counts)
        return TITLES[cell.arm].format("all classes" if cell.target == "all" else ", ".join(named))

    def results(self, done: Sequence[tuple[AnyCell, dict[str, Any]]]) -> dict[str, Any]:
        """What ``results.json`` holds."""
        runs: dict[str, list[dict[str, Any]]] = {}
        titles = {}
        for cell, result in done:
            if isinstance(cell, ArmCell):
                runs.setdefault(cell.label, []).append(result)
                titles[cell.label] = self.title(cell)
        folder, test = self.folder, self.folder.subset(self.data.split.test)
        arms = compare_arms(runs, REFERENCE, test.labels.numpy(), test.scenes, folder.classes)
        for label, arm in arms.items():
            arm["title"] = titles[label]
            arm["runs"] = [{k: v for k, v in run.items() if k != "predicted"} for run in runs[label]]
            if arm["difference"] is not None:
                arm["verdict"] = verdict(titles[label], arm["difference"], "flips alone", folder.synthetic)
        generators = {cell: result for cell, result in done if isinstance(cell, GeneratorCell)}
        show(self.config, self.train, folder.classes, generators, self.run_dir)
        return {
            "kind": "augmentation",
            "classes": folder.classes,
            "reference": REFERENCE,
            "arms": arms,
            "sentences": [arm["verdict"]["text"] for arm in arms.values() if "verdict" in arm],
            "targets": {target: ArmCell("gan", target, 0).classes(self.counts) for target in get_args(Target)},
            "generators": judge_generators(self.config, self.train, folder.classes, generators, self.run_dir),
            "dataset": self.data.describe(),
            "seconds": sum(result["seconds"] for _, result in done),
        }
