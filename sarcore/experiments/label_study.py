"""What the studies over shares of the labels have in common: one classifier, and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sarcore.engine import write_json
from sarcore.experiments.arms import Arm, ArmTraining, train_arm
from sarcore.experiments.curve_summary import aim, by_share, headlines, pooled, rows_of, write_table
from sarcore.experiments.label_cells import LabelCell
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RESULTS_FILE
from sarcore.experiments.study_data import StudyData

TABLE_FILE = "results.csv"


def train_cell(
    cell: LabelCell,
    arm: Arm,
    data: StudyData,
    training: ArmTraining,
    folder: Path,
    progress: Progress,
    place: str,
    *,
    steps: int,
    generated: PatchTensor | None = None,
) -> dict[str, Any]:
    """Train a classifier on the known labels, and on generated patches, and score it on the test scenes.

    Its input is normalised by all training patches: their pixels are known, whatever is known of their labels.
    """
    known = data.known(cell.fraction, cell.seed)
    title = f"{cell.arm}, {cell.fraction:g} % of the labels, seed {cell.seed} ({place})"
    result = train_arm(
        arm,
        data.train.subset(known),
        generated,
        data.test,
        data.folder.classes,
        training,
        folder,
        progress,
        data=data.folder.root,
        seed=cell.seed,
        steps=steps,
        reference=data.train,
        title=title,
    )
    if result:
        progress.note(f"{title}: balanced accuracy {100 * result['balanced_accuracy']:.1f} %")
    return {**result, "labelled": data.counts(known)} if result else {}


def results_of(
    data: StudyData,
    done: Sequence[tuple[LabelCell, dict[str, Any]]],
    reference: str,
    names: Mapping[str, str],
    run_dir: Path,
    more: Mapping[str, Any],
    *,
    aims_at: str | None = None,
) -> dict[str, Any]:
    """Summarise the finished cells; write ``results.json`` and ``results.csv``.

    ``names`` are the arms in words, ``aims_at`` is the arm that is to gain over the ``reference``.
    """
    test, classes, made_up = data.folder.subset(data.split.test), data.folder.classes, data.folder.synthetic
    rows = rows_of(done, reference, test.labels.numpy(), test.scenes, classes)
    few = pooled(done, reference, test.labels.numpy(), test.scenes, classes)
    results = {
        "classes": classes,
        "reference": reference,
        "names": dict(names),
        "rows": rows,
        "few_labels": few,
        "headlines": headlines(rows, few, reference, names, made_up),
        "sentences": by_share(rows, reference, names, made_up),
        "aim": None if aims_at is None else aim(few, aims_at),
        "dataset": data.describe(),
        **more,
    }
    write_json(run_dir / RESULTS_FILE, results)
    write_table(run_dir / TABLE_FILE, rows)
    return results
