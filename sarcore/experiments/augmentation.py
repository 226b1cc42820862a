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

from sarcore.data import PatchFolder, Split, check_leakage, patch_cache, split_by_scene
from sarcore.engine import FitConfig, write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import DataError
from sarcore.experiments.arm_names import Target
from sarcore.experiments.arms import ARMS, train_arm
from sarcore.experiments.augmentation_config import REFERENCE, ArmCell, AugmentationConfig, GeneratorCell
from sarcore.experiments.augmentation_generator import make_generator, read_drawn
from sarcore.experiments.augmentation_pictures import judge_generators, show
from sarcore.experiments.budget import Kind, plan_steps, same_plan
from sarcore.experiments.cells import merge_cells, run_cells
from sarcore.experiments.given_weights import check_given, check_training
from sarcore.experiments.patches import in_memory
from sarcore.experiments.pretraining import PRETRAINING, PretrainingCell, pretrain_features
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run
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
    study = Study(config, run_dir, progress)
    if merge:
        from_main(lambda: study.merge(merge))
    cells = list(config.cells(study.counts))
    study.steps, plan = plan_steps(study.kinds(cells), run_dir, progress, minutes=minutes)
    done, missing = run_cells(cells, study.run, run_dir, progress)
    if not is_main_process():
        return {}
    results = {**study.results(done), "plan": plan, "missing": missing}
    write_json(run_dir / RESULTS_FILE, results)
    write_table(run_dir / TABLE_FILE, results["arms"])
    return results


class Study:
    """The data of the study, and one cell after the other."""

    def __init__(self, config: AugmentationConfig, run_dir: Path, progress: Progress) -> None:
        self.config, self.run_dir, self.progress = config, run_dir, progress
        self.folder = PatchFolder.open(config.data)
        self.split, self.remarks = from_main(self._start)
        for remark in self.remarks:
            progress.note(remark)
        whole = patch_cache(self.folder, on_note=progress.note)
        self.train, self.test = (in_memory(whole.subset(part)) for part in (self.split.train, self.split.test))
        self.counts = self.folder.subset(self.split.train).class_counts()
        self.steps: dict[str, int] = {}

    def _start(self) -> tuple[Split, list[str]]:
        """Open the run folder, and split: the parts and what was found in both of them."""
        config, folder = self.config, self.folder
        if len(folder.classes) < 2:
            raise DataError(f"{config.data}: has one class only; a classifier needs at least two class folders")
        if folder.shape[1] != folder.shape[2]:
            raise DataError(f"{folder.root}: patches are {folder.shape[1]}x{folder.shape[2]}; they must be square")
        path = self.run_dir / "split.json"
        if path.is_file():
            split = Split.load(path)
        else:
            fractions = (1.0 - config.test_fraction, 0.0, config.test_fraction)
            split = split_by_scene(folder, fractions, seed=config.split_seed)
        fingerprint = check_training(config.classifier, folder)
        given = [*filter(None, [config.generator_run]), *([Path(config.classifier.init)] if fingerprint else [])]
        remarks = [remark for run in given for remark in check_given(run, folder, split)]
        recorded = {**dataclasses.asdict(config), **dataclasses.asdict(config.classifier)}
        del recorded["classifier"]
        if fingerprint:
            recorded["init_fingerprint"] = fingerprint
        seeds = range(config.seeds)
        open_run(self.run_dir, "experiment augmentation", recorded, folder, seeds, may_change=GOING_ON)
        split.save(path)
        remarks += [f"Leakage: {message}" for message in check_leakage(folder, split)]
        if not folder.scenes_known:
            remarks.append(f"{config.data} does not tell the scene of every patch: neighbours may be on both sides.")
        return split, remarks

    def merge(self, others: Sequence[Path]) -> None:
        """Take the cells of other parts of the study."""
        same_plan(self.run_dir, others, GOING_ON)
        copied = merge_cells(self.run_dir, others, GOING_ON)
        self.progress.note(f"{copied} cells were copied.")

    def kinds(self, cells: Sequence[AnyCell]) -> list[Kind]:
        """What costs time, for the plan."""
        config = self.config
        arms = [cell for cell in cells if isinstance(cell, ArmCell)]
        kinds = [Kind("classifier", len(arms), config.classifier.steps, self._try_classifier)]
        generators = [cell for cell in cells if isinstance(cell, GeneratorCell)]
        if any(isinstance(cell, PretrainingCell) for cell in cells):
            kinds.append(Kind(PRETRAINING, 1, config.pretraining_steps, self._try_pretraining))
        if generators and config.generator_run is None:

            def trial(steps: int, folder: Path) -> float:
                features = folder.with_name(PRETRAINING)  # measured just before
                made = self._generator(generators[0], folder, features, "measurement", steps)
                return from_main(lambda: config.generator_batch_size / float(made["images_per_second"]))

            kinds.append(Kind("generator", len(generators), config.generator_steps, trial))
        return kinds

    def _try_classifier(self, steps: int, folder: Path) -> float:
        training, classes = self.config.classifier, self.folder.classes
        found = train_arm(
            ARMS["speckle"], self.train, None, self.test, classes, training, folder, self.progress,
            data=self.config.data, seed=0, steps=steps, title="measurement",
        )  # fmt: skip
        return from_main(lambda: training.batch_size / float(found["images_per_second"]))

    def _try_pretraining(self, steps: int, folder: Path) -> float:
        found = self._pretrain(folder, "measurement", steps)
        return from_main(lambda: float(found["batch_size"]) / float(found["images_per_second"]))

    def run(self, cell: AnyCell, folder: Path, place: str) -> dict[str, Any]:
        """One training."""
        if isinstance(cell, PretrainingCell):
            return self._pretrain(folder, f"features of the discriminators ({place})", self.steps[PRETRAINING])
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
            ARMS[cell.arm], self.train, generated, self.test, self.folder.classes, self.config.classifier, folder,
            self.progress, data=self.config.data, seed=cell.seed, steps=self.steps["classifier"], title=title,
        )  # fmt: skip
        if result:
            self.progress.note(f"{title}: balanced accuracy {100 * result['balanced_accuracy']:.1f} %")
        return result

    def _pretrain(self, folder: Path, title: str, steps: int) -> dict[str, Any]:
        config = self.config
        fit = FitConfig(steps, precision=config.classifier.precision, channels_last=config.classifier.channels_last)
        data, width = config.data, config.pretraining_width
        return pretrain_features(self.train, fit, folder, self.progress, data=data, width=width, title=title)

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
        folder, test = self.folder, self.folder.subset(self.split.test)
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
            "dataset": self._describe(),
            "seconds": sum(result["seconds"] for _, result in done),
        }

    def _describe(self) -> dict[str, Any]:
        folder = self.folder
        parts = {"train": folder.subset(self.split.train), "test": folder.subset(self.split.test)}
        return {
            "name": folder.root.resolve().name,
            "synthetic": folder.synthetic,
            "shape": list(folder.shape),
            "radiometry": folder.radiometry.to_dict(),
            "remarks": self.remarks,
            "patches": {name: part.class_counts() for name, part in parts.items()},
            "scenes": {name: len(set(part.scenes)) for name, part in parts.items()},
        }
