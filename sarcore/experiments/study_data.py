"""The data of a study of classifiers: opened and split once, with what is to be known of leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sarcore.data import PatchFolder, Split, check_leakage, patch_cache, split_by_scene
from sarcore.engine.distributed import from_main
from sarcore.errors import DataError
from sarcore.experiments.arms import ARMS, ArmTraining, train_arm
from sarcore.experiments.budget import same_plan
from sarcore.experiments.cells import merge_cells
from sarcore.experiments.given_weights import check_given, check_labels
from sarcore.experiments.label_subsets import labelled
from sarcore.experiments.patches import Patches, in_memory
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import open_run


class StudySettings(Protocol):
    """What the settings of all studies of classifiers have in common."""

    @property
    def data(self) -> Path:
        """Folder with one sub-folder of patches per class."""

    @property
    def seeds(self) -> int:
        """Repetitions."""

    @property
    def test_fraction(self) -> float:
        """Share of the patches whose scenes are kept for the test."""

    @property
    def split_seed(self) -> int:
        """Seed of the split by scene."""


@dataclass(frozen=True)
class StudyData:
    """The training scenes, whose labels may be hidden, and the test scenes."""

    folder: PatchFolder
    split: Split
    remarks: list[str]
    """What may have leaked, and what cannot be known of it."""
    whole: PatchFolder
    """The folder with its pixels where they are read fastest."""

    @classmethod
    def open(
        cls,
        config: StudySettings,
        command: str,
        run_dir: Path,
        progress: Progress,
        recorded: Mapping[str, Any],
        *,
        may_change: Sequence[str],
        merge: Sequence[Path] = (),
        weights: Sequence[str] = (),
        hidden_labels: bool = False,
    ) -> StudyData:
        """Open the data and the run folder of a study, split by scene, once, and copy the cells of the others.

        ``recorded`` is what must be the same when the study goes on, but for ``may_change``, the settings that only
        decide which cells there are. ``weights`` are files and runs that are given, which must not know the test
        scenes; with ``hidden_labels`` a remark tells which know labels. Raises ``DataError`` for data and weights that
        cannot be used, before anything is written, and ``SarcoreError`` for a folder with another study.
        """
        folder = PatchFolder.open(config.data)
        if len(folder.classes) < 2:
            raise DataError(f"{config.data}: has one class only; a classifier needs at least two class folders")

        def begin() -> tuple[Split, list[str]]:
            path, share = run_dir / "split.json", config.test_fraction
            known = path.is_file()
            split = Split.load(path) if known else split_by_scene(folder, (1.0 - share, 0.0, share), config.split_seed)
            remarks = [text for source in weights for text in check_given(Path(source), folder, split)]
            if hidden_labels:
                remarks += [text for source in weights for text in check_labels(Path(source), folder)]
            open_run(run_dir, command, recorded, folder, range(config.seeds), may_change=may_change)
            if not known:
                split.save(path)
            if merge:
                same_plan(run_dir, merge, may_change)
                progress.note(f"{merge_cells(run_dir, merge, may_change)} cells were copied.")
            return split, remarks

        split, remarks = from_main(begin)
        remarks += [f"Leakage: {message}" for message in check_leakage(folder, split)]
        if not folder.scenes_known:
            remarks.append(f"{config.data} does not tell the scene of every patch: neighbours may be on both sides.")
        for remark in remarks:
            progress.note(remark)
        return cls(folder, split, remarks, patch_cache(folder, on_note=progress.note))

    @cached_property
    def train(self) -> Patches:
        """All patches of the training scenes."""
        return in_memory(self.whole.subset(self.split.train))

    @cached_property
    def test(self) -> Patches:
        """All patches of the test scenes."""
        return in_memory(self.whole.subset(self.split.test))

    def known(self, fraction: float, seed: int) -> list[int]:
        """Indices, within the training patches, of those whose label is known."""
        part = self.folder.subset(self.split.train)
        return labelled(part.labels, part.scenes, fraction / 100.0, seed)

    def counts(self, known: Sequence[int]) -> dict[str, int]:
        """Labelled patches of every class."""
        return self.folder.subset([self.split.train[i] for i in known]).class_counts()

    def describe(self) -> dict[str, Any]:
        """What a page says of the data."""
        parts = {"train": self.folder.subset(self.split.train), "test": self.folder.subset(self.split.test)}
        return {
            "name": self.folder.root.resolve().name,
            "synthetic": self.folder.synthetic,
            "shape": list(self.folder.shape),
            "radiometry": self.folder.radiometry.to_dict(),
            "remarks": self.remarks,
            "patches": {name: part.class_counts() for name, part in parts.items()},
            "scenes": {name: len(set(part.scenes)) for name, part in parts.items()},
        }


def classifier_trial(data: StudyData, training: ArmTraining, progress: Progress) -> Callable[[int, Path], float]:
    """What `sarcore.experiments.budget.plan_steps` measures of a classifier: its seconds per step."""

    def run(steps: int, folder: Path) -> float:
        classes, title = data.folder.classes, "measuring a classifier"
        speckle = ARMS["speckle"]  # the dearest
        found = train_arm(
            speckle, data.train, None, data.test, classes, training, folder, progress,
            data=data.folder.root, seed=0, steps=steps, title=title,
        )  # fmt: skip
        return from_main(lambda: training.batch_size / float(found["images_per_second"]))

    return run
