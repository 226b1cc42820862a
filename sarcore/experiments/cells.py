"""The cells of a study: trainings and scores in folders of their own, made once, and mergeable across machines."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sarcore.engine import write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import SarcoreError
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import RUN_FILE, read_json, recorded_config

RESULT = "result.json"
_UNFINISHED = ".merging"


class Cell(Protocol):
    """What a study is made of; every field decides the result, and `name` is different for different cells."""

    @property
    def name(self) -> str:
        """Folder below that of the study, with / between its parts, e.g. ``"hard/sarcore/seed_0"``."""


AnyCell = TypeVar("AnyCell", bound=Cell)


def run_cells(
    cells: Sequence[AnyCell],
    run: Callable[[AnyCell, Path, str], dict[str, Any]],
    run_dir: Path,
    progress: Progress,
    *,
    minutes: float | None = None,
) -> tuple[list[tuple[AnyCell, dict[str, Any]]], list[str]]:
    """Make the cells that are not there yet; returns those with a result, in order, and the names of the others.

    ``run`` gets the cell, its folder and its place ("3/12") and returns what ``result.json`` in the folder will hold.
    After ``minutes`` no further cell is begun. Results are those of the main process; other processes get none.
    """
    started = time.monotonic()
    done: list[tuple[AnyCell, dict[str, Any]]] = []
    missing: list[str] = []
    for number, cell in enumerate(cells):
        folder = run_dir / cell.name
        if not from_main((folder / RESULT).is_file):
            if from_main(lambda: minutes is not None and time.monotonic() - started > 60.0 * minutes):
                missing.append(cell.name)
                continue
            began = time.monotonic()
            result = run(cell, folder, f"{number + 1}/{len(cells)}")
            if is_main_process():
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / RESULT, {"seconds": time.monotonic() - began, **result})
        if is_main_process():
            done.append((cell, read_json(folder / RESULT)))
    if missing:
        progress.note(f"{len(missing)} of {len(cells)} cells are left; give the same command again to make them.")
    return done, missing


def merge_cells(run_dir: Path, others: Sequence[Path], may_change: Sequence[str] = ()) -> int:
    """Copy the finished cells of studies of the same settings and data into ``run_dir``; returns how many.

    A cell that is there already is kept. ``may_change`` names the settings that may differ, as those that only decide
    which cells there are. Raises ``SarcoreError`` for a folder with another study, before anything is copied.
    """
    check_same_study(run_dir, others, may_change)
    copied = 0
    for other in others:
        for result in sorted(other.rglob(RESULT)):
            target = run_dir / result.parent.relative_to(other)
            if (target / RESULT).is_file():
                continue
            part = target.with_name(target.name + _UNFINISHED)  # a cell appears whole or not at all
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(result.parent, part)
            shutil.rmtree(target, ignore_errors=True)  # one that was begun
            part.rename(target)
            copied += 1
    return copied


def check_same_study(run_dir: Path, others: Sequence[Path], may_change: Sequence[str] = ()) -> None:
    """Raise ``SarcoreError`` unless all of the others hold the study of ``run_dir``, in folders of their own."""
    own = _settings(run_dir, may_change)
    for other in others:
        if other.resolve() == run_dir.resolve():
            raise SarcoreError(f"{other}: is the study itself; name folders with other cells of it")
        theirs = _settings(other, may_change)
        if differing := sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name)):
            raise SarcoreError(f"{other}: holds another study than {run_dir}; they differ in {', '.join(differing)}")


def _settings(run_dir: Path, may_change: Sequence[str]) -> dict[str, Any]:
    if not (run_dir / RUN_FILE).is_file():
        raise SarcoreError(f"{run_dir}: holds no sarcore study; name its run folder")
    recorded = json.loads(json.dumps(recorded_config(run_dir)))
    return {name: value for name, value in recorded.items() if name not in may_change}
