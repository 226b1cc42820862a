"""How well do generators make SAR patches: {scenarios} x {presets} x seeds on one split by scene.

The scenarios are those of Marmanis et al. 2017 (arXiv 1711.02010): whole patches (hard), half the resolution
(intermediate), crops of half the side (simple). Generators learn from the training scenes alone; what they make is set
against the patches of other scenes, and beside it stands what real patches of the training scenes score there. Every
training lies in a folder of its own and is not repeated when the same command is given again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sarcore.data import PatchFolder, Split, check_leakage, patch_cache, split_by_scene
from sarcore.engine import Diverged, FitConfig, write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import DataError
from sarcore.experiments import gan, generation
from sarcore.experiments import generation_study_summary as summary
from sarcore.experiments.cells import RESULT, merge_cells, run_cells
from sarcore.experiments.classification import predict, scores, train_on
from sarcore.experiments.drawing import load_generator
from sarcore.experiments.generation_scenario import ScenarioJudge
from sarcore.experiments.generation_space import Space
from sarcore.experiments.generation_study_config import Cell, GenerationStudyConfig
from sarcore.experiments.patches import Scenario, balanced, in_memory
from sarcore.experiments.pretraining import PretrainingCell, pretrain_features
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE, open_run, read_json
from sarcore.experiments.set_scores import LEAST
from sarcore.experiments.train_config import settings
from sarcore.experiments.train_kinds import TrainBegan, TrainGan

TABLE_FILE = "results.csv"
FEATURES = "features"
# What may differ when a study goes on: which trainings there are, and the features that all are scored in.
GOING_ON = (
    "data", "scenarios", "presets", "seeds", "features",
    "ablation", "ablation_changes", "ablation_scenario", "ablation_seeds",
)  # fmt: skip


def run_study(
    config: GenerationStudyConfig,
    run_dir: Path,
    progress: Progress,
    *,
    budget: float | None = None,
    merge: Sequence[Path] = (),
) -> dict[str, Any]:
    """Run the study, or what is left of it; the main process returns what ``results.json`` holds.

    After ``budget`` minutes no further training is begun. ``merge`` names folders of the same study, made elsewhere,
    whose trainings are taken over first. Raises ``DataError`` for data that cannot be used and ``SarcoreError`` for a
    folder with another study.
    """
    folder = PatchFolder.open(config.data)
    split = from_main(lambda: _start(config, folder, run_dir))
    for message in check_leakage(folder, split):
        progress.note(f"Leakage: {message}")
    if merge:
        taken = from_main(lambda: merge_cells(run_dir, merge, GOING_ON))
        progress.note(f"{taken} trainings were taken over.")
    study = _Study(config, folder, split, run_dir, progress)
    if config.features is None:
        run_cells([_FeaturesCell()], study.train_features, run_dir, progress)
    done, missing = run_cells(list(config.cells()), study.run, run_dir, progress, minutes=budget)
    if not is_main_process():
        return {}
    made = [(cell, study.in_this_space(cell, result)) for cell, result in done if isinstance(cell, Cell)]
    floors: dict[str, dict[str, Any]] = {scenario: study.floors(scenario) for scenario in config.scenarios}
    results = {**study.facts(), **summary.summarise(made, floors), "floors": floors, "missing": missing}
    results["seconds"] += sum(result["seconds"] for cell, result in done if isinstance(cell, PretrainingCell))
    write_json(run_dir / RESULTS_FILE, results)
    summary.write_table(run_dir / TABLE_FILE, results)
    return results


def _start(config: GenerationStudyConfig, folder: PatchFolder, run_dir: Path) -> Split:
    """Divide the scenes and open the run folder, once; what cannot be used is found now, before anything is written."""
    side = generation.square_side(folder)
    for scenario in config.scenarios:
        for preset in config.presets:
            _check(config.training(Cell(scenario, preset)), folder, side)
    if config.class_name is not None:
        folder.of_class(config.class_name)  # says which classes there are
    if len(folder.classes) < 2 and (config.features is None or config.class_name is None):
        raise DataError(
            f"{config.data}: has one class: name it by --class, and by --features the run of a classifier of others"
        )
    if config.features is not None:
        Space(config.features, folder.radiometry, folder.shape[0], folder.classes)
    fractions = (1.0 - config.test_fraction, 0.0, config.test_fraction)
    split = split_by_scene(folder, fractions, seed=config.split_seed)
    train, test = (len(_of_class(folder, part, config.class_name)) for part in (split.train, split.test))
    batch = max(config.training(cell).fit.batch_size for cell in config.generators())
    if train < max(batch, LEAST) or test < LEAST:
        raise DataError(
            f"{config.data}: {train} patches to learn from and {test} held out are too few for batches of {batch} and "
            f"a comparison of at least {LEAST}; give more scenes or a smaller batch"
        )
    recorded = {name: getattr(config, name) for name in config.__dataclass_fields__}
    open_run(run_dir, "experiment generation", recorded, folder, range(config.seeds), may_change=GOING_ON)
    path = run_dir / "split.json"
    if path.is_file():
        return Split.load(path)
    split.save(path)
    return split


def _of_class(folder: PatchFolder, numbers: list[int], name: str | None) -> list[int]:
    """Those of a class, all of them without one."""
    return numbers if name is None else [i for i in numbers if folder.labels[i] == folder.classes.index(name)]


def _check(training: TrainBegan | TrainGan, folder: PatchFolder, side: int) -> None:
    """Raise ValueError for patches of a size that the generator does not have."""
    if isinstance(training, TrainGan):
        gan.network(training, folder.shape[0], side, len(folder.classes))
    else:
        generation.network(training, folder.shape[0], side)


@dataclass(frozen=True)
class _FeaturesCell:
    """The classifier in whose features patches are compared."""

    name: str = FEATURES


class _Study:
    """The patches of a study, how its cells are made and, once they are needed, the feature space and the judges."""

    def __init__(
        self, config: GenerationStudyConfig, folder: PatchFolder, split: Split, run_dir: Path, progress: Progress
    ) -> None:
        self.config, self.folder, self.run_dir, self.progress = config, folder, run_dir, progress
        self.parts = {"train": split.train, "test": split.test}
        self.chosen = {name: _of_class(folder, part, config.class_name) for name, part in self.parts.items()}
        self.whole = patch_cache(folder, on_note=progress.note)
        self.train, self.test = (in_memory(self.whole.subset(part)) for part in self.chosen.values())
        self._space: Space | None = None
        self._judges: dict[Scenario, ScenarioJudge] = {}

    def facts(self) -> dict[str, Any]:
        """What ``results.json`` says of the data."""
        chosen = {name: self.folder.subset(part) for name, part in self.chosen.items()}
        features = self.run_dir / FEATURES / RESULT
        return {
            "kind": "generation",
            "dataset": {
                "name": self.folder.root.resolve().name,
                "synthetic": self.folder.synthetic,
                "shape": list(self.folder.shape),
                "classes": self.folder.classes if self.config.class_name is None else [self.config.class_name],
                "patches": {name: part.class_counts() for name, part in chosen.items()},
                "scenes": {name: len(set(part.scenes)) for name, part in chosen.items()},
                "scenes_known": self.folder.scenes_known,
            },
            "features": {
                "space": self.space.name,
                "run": str(self.config.features or FEATURES),
                "test": read_json(features)["test"] if self.config.features is None else None,
            },
        }

    def train_features(self, _: _FeaturesCell, folder: Path, _place: str) -> dict[str, Any]:
        """Train the classifier in whose features patches are compared, on all classes of the training scenes."""
        train, test = (in_memory(self.whole.subset(part)) for part in self.parts.values())
        training, classes, title = self.config.features_training(), self.folder.classes, "classifier for the features"
        shown = balanced(train, 0.5)  # rare classes are told apart, too
        model, facts = train_on(shown, train, classes, training, folder, self.progress, title=title)
        if not is_main_process():
            return {}
        found = scores(test.labels, predict(model, test), len(classes))
        self.progress.note(f"{title}: balanced accuracy {100 * found['balanced_accuracy']:.1f} % on other scenes")
        return {"training": settings(training), **facts, "test": found}

    @property
    def space(self) -> Space:
        """The feature space."""
        if self._space is None:
            run = self.config.features or self.run_dir / FEATURES
            self._space = Space(run, self.folder.radiometry, self.folder.shape[0], self.folder.classes)
        return self._space

    def judge_of(self, scenario: Scenario) -> ScenarioJudge:
        """What generators of a scenario are scored by, its real patches embedded once."""
        if scenario not in self._judges:
            config, parts = self.config, (self.train, self.test)
            limits = config.samples, config.repeats
            self._judges[scenario] = ScenarioJudge(self.space, parts, scenario, config.filter, limits, self.progress)
        return self._judges[scenario]

    def floors(self, scenario: Scenario) -> dict[str, Any]:
        """What real patches score, from ``real/<scenario>`` where it was computed in this feature space before."""
        folder = self.run_dir / "real" / scenario
        if (folder / RESULT).is_file() and (kept := read_json(folder / RESULT))["space"] == self.space.name:
            return kept
        judge = self.judge_of(scenario)
        judge.show_real(folder)
        found = judge.floors()
        write_json(folder / RESULT, found)
        return found

    def pretrain(self, folder: Path, place: str) -> dict[str, Any]:
        """Learn the features of the discriminators from the training scenes; labels play no part."""
        config, title = self.config, f"features of the discriminators ({place})"
        fit = FitConfig(config.pretraining_steps, precision=config.precision, channels_last=config.channels_last)
        data, width = config.data, config.pretraining_width
        return pretrain_features(self.train, fit, folder, self.progress, data=data, width=width, title=title)

    def run(self, cell: Cell | PretrainingCell, folder: Path, place: str) -> dict[str, Any]:
        """Train one generator and score what it draws; that it diverged is a result, too."""
        if isinstance(cell, PretrainingCell):
            return self.pretrain(folder, place)
        training = self.config.training(cell)
        if isinstance(training, TrainGan):
            training = replace(training, features=self.run_dir / PretrainingCell().name)
        title = f"{cell.arm.replace('/', ', ').replace('_', ' ')}, seed {cell.seed} ({place})"
        try:
            facts = self._train(training, folder, title)
            found = {**facts, **self.score(cell, folder)} if is_main_process() else {}
        except Diverged as error:
            self.progress.note(f"{title}: {error}")
            found = {"space": self.space.name, "failed": str(error)}
        if not is_main_process():
            return {}
        if "scores" in found:
            said = {"SAR-KID": "kid", "grey values EMD": "histogram_emd", "ENL error": "enl_error"}
            values = {label: found["scores"][name]["value"] for label, name in said.items()}
            self.progress.note(
                f"{title}: " + ", ".join(f"{k} {'–' if v is None else f'{v:.3g}'}" for k, v in values.items())
            )
        return {"arm": cell.arm, "seed": cell.seed, "training": settings(training), **found}

    def _train(self, training: TrainBegan | TrainGan, folder: Path, title: str) -> dict[str, Any]:
        classes = self.folder.classes if self.config.class_name is None else [self.config.class_name]
        meta = {"classes": classes, "radiometry": self.train.radiometry.to_dict()}
        if isinstance(training, TrainGan):
            return gan.train_gan_on(self.train, training, folder, self.progress, meta=meta, title=title)
        return generation.train_generator(self.train, training, folder, self.progress, meta=meta, title=title)

    def score(self, cell: Cell, folder: Path) -> dict[str, Any]:
        """Draw patches from the generator of a cell, keep a picture of some, and score them."""
        judge, (model, meta) = self.judge_of(cell.scenario), load_generator(folder)
        made = judge.draw(model, seed=1000 + cell.seed)
        judge.show_made(made, folder)
        return {"space": self.space.name, "weights": meta["path"], **judge.judge(made)}

    def in_this_space(self, cell: Cell, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a cell, scored anew where it was in other features, as of a study made elsewhere."""
        if result["space"] == self.space.name:
            return result
        folder = self.run_dir / cell.name
        self.progress.note(f"{cell.name} is scored again, in the features of this study.")
        found = {"space": self.space.name} if "failed" in result else self.score(cell, folder)
        write_json(folder / RESULT, {**result, **found})
        return {**result, **found}
