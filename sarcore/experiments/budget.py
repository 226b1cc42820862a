"""How many steps the trainings of a study may take so that all of it fits into a given time."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarcore.engine import write_json
from sarcore.engine.distributed import from_main, is_main_process
from sarcore.errors import SarcoreError
from sarcore.experiments.cells import RESULT, check_same_study
from sarcore.experiments.progress import Progress
from sarcore.experiments.runs import read_json

PLAN_FILE = "plan.json"
TRIAL_STEPS = 6
LEAST_STEPS = 10
_TRIALS = "trials"
_RESERVE = 0.05  # of the time: measurements of a few steps are no promise


@dataclass(frozen=True)
class Kind:
    """Trainings of a study that cost the same."""

    name: str
    """E.g. "classifier"; the plan is asked by it."""
    trainings: int
    """How many there are in the whole study."""
    steps: int
    """Steps of each as the settings have them; a plan never has more."""
    trial: Callable[[int, Path], float]
    """Do all of one training with so many steps in a new folder; return the seconds per step of its loop."""


def plan_steps(
    kinds: Sequence[Kind], run_dir: Path, progress: Progress, *, minutes: float | None
) -> tuple[dict[str, int], dict[str, Any] | None]:
    """The steps of every kind by its name, and the plan for ``results.json`` (None without a budget).

    Without ``minutes`` and without a plan in the folder the steps are those of the settings. With ``minutes`` a few
    steps of every kind are measured, once: the plan is kept as ``plan.json`` in the run folder, and holds whenever the
    study goes on, there or in a copy of the folder elsewhere, whatever ``minutes`` says then. A kind that is asked for
    later is added to the plan, shortened as the others are.

    All kinds are shortened by the same factor. Raises ``ValueError`` for minutes that are not positive, and
    ``SarcoreError`` for ``minutes`` where trainings were begun without: theirs would be longer than the planned ones.
    """
    if minutes is not None and not 0.0 < minutes < math.inf:
        raise ValueError(f"the budget must be a positive number of minutes, got {minutes}")
    path = run_dir / PLAN_FILE
    known = from_main(lambda: read_json(path) if path.is_file() else None)
    if known is None and minutes is None:
        return {kind.name: kind.steps for kind in kinds}, None
    if known is None:
        assert minutes is not None
        from_main(lambda: _check_not_begun(run_dir))
        measured = _measured(kinds, run_dir, progress)
        plan = from_main(lambda: _planned(kinds, measured, minutes))
    else:
        plan = _with_added(known, kinds)
    if plan != known and is_main_process():
        write_json(path, plan)
    known = plan
    progress.note(known["text"])
    return {name: one["steps"] for name, one in known["kinds"].items()}, known


def _check_not_begun(run_dir: Path) -> None:
    """Raise ``SarcoreError`` where a training was begun, beside measurements that were stopped."""
    begun = [path.relative_to(run_dir) for name in (RESULT, "checkpoints") for path in run_dir.rglob(name)]
    if any(place.parts[0] != _TRIALS for place in begun):
        raise SarcoreError(
            f"{run_dir}: its trainings were begun without a budget and take all steps of the settings; go on without "
            "--budget, or choose another folder with --out"
        )


def _with_added(plan: dict[str, Any], kinds: Sequence[Kind]) -> dict[str, Any]:
    """The plan with the kinds that it does not have yet, which nobody measured."""
    first = next(iter(plan["kinds"].values()))
    factor = first["steps"] / first["steps_of_the_settings"]
    added = {
        kind.name: {
            "trainings": kind.trainings,
            "steps": _shortened(kind, factor),
            "steps_of_the_settings": kind.steps,
        }
        for kind in kinds
        if kind.name not in plan["kinds"]
    }
    extended = {**plan, "kinds": {**plan["kinds"], **added}}
    return {**extended, "text": sentence(extended)} if added else plan


def _shortened(kind: Kind, factor: float) -> int:
    return max(min(LEAST_STEPS, kind.steps), int(factor * kind.steps))


def _measured(kinds: Sequence[Kind], run_dir: Path, progress: Progress) -> dict[str, tuple[float, float, float]]:
    """Seconds per step, seconds beside the steps, and seconds of the measurement, by kind."""
    found = {}
    from_main(lambda: shutil.rmtree(run_dir / _TRIALS, ignore_errors=True))  # of a measurement that was stopped
    for number, kind in enumerate(kinds):
        folder, began = run_dir / _TRIALS / kind.name, time.monotonic()
        if number == 0:  # what is loaded and set up once is no cost of every training
            kind.trial(1, run_dir / _TRIALS / "warm-up")
        warm = time.monotonic()
        steps = min(TRIAL_STEPS, kind.steps)
        progress.note(f"Measuring {steps} steps of the {kind.name}")
        each = kind.trial(steps, folder)
        ended = time.monotonic()
        found[kind.name] = (each, max(0.0, ended - warm - steps * each), ended - began)
    from_main(lambda: shutil.rmtree(run_dir / _TRIALS, ignore_errors=True))
    return found


def _planned(kinds: Sequence[Kind], measured: dict[str, tuple[float, float, float]], minutes: float) -> dict[str, Any]:
    seconds = 60.0 * minutes
    beside = sum(kind.trainings * measured[kind.name][1] for kind in kinds)
    spent = sum(took for _, _, took in measured.values())
    wanted = sum(kind.trainings * kind.steps * measured[kind.name][0] for kind in kinds)
    factor = min(1.0, max(0.0, (1.0 - _RESERVE) * seconds - spent - beside) / wanted)
    planned = {
        kind.name: {
            "trainings": kind.trainings,
            "steps": _shortened(kind, factor),
            "steps_of_the_settings": kind.steps,
            "seconds_per_step": measured[kind.name][0],
            "seconds_beside_the_steps": measured[kind.name][1],
        }
        for kind in kinds
    }
    expected = sum(
        one["trainings"] * (one["steps"] * one["seconds_per_step"] + one["seconds_beside_the_steps"])
        for one in planned.values()
    )
    plan = {"minutes": minutes, "expected_minutes": (spent + expected) / 60.0, "kinds": planned}
    return {**plan, "text": sentence(plan)}


def sentence(plan: dict[str, Any]) -> str:
    """What a plan says.

    >>> kind = {"trainings": 50, "steps": 380, "steps_of_the_settings": 400, "seconds_per_step": 0.09}
    >>> sentence({"minutes": 30, "expected_minutes": 28.41, "kinds": {"classifier": kind}})
    'Budget of 30 minutes: 50 times 380 of 400 steps of the classifier, 28.4 minutes expected.'
    """
    parts = [
        f"{one['trainings']} times {one['steps']} of {one['steps_of_the_settings']} steps of the {name}"
        for name, one in plan["kinds"].items()
    ]
    later = " and ".join(name for name, one in plan["kinds"].items() if "seconds_per_step" not in one)
    late = f" These are without the {later}, which came later." if later else ""
    over = " This is more than the budget: fewer seeds or arms would fit." if _exceeds(plan) else ""
    return (
        f"Budget of {plan['minutes']:g} minutes: {', '.join(parts)}, {plan['expected_minutes']:.1f} minutes expected."
        + late
        + over
    )


def _exceeds(plan: dict[str, Any]) -> bool:
    return bool(plan["expected_minutes"] > plan["minutes"])


def same_plan(run_dir: Path, others: Sequence[Path], may_change: Sequence[str] = ()) -> None:
    """Raise ``SarcoreError`` where another part of the study has another plan: call it before `merge_cells`.

    A run folder without a cell of its own takes the plan of the first of the others, and any takes from the others
    the kinds that its own plan lacks. ``may_change`` as `merge_cells` has it; folders with another study are refused
    before anything is written.
    """
    check_same_study(run_dir, others, may_change)
    own, path = _plan(run_dir), run_dir / PLAN_FILE
    plan = own
    if plan is None and not any(run_dir.rglob(RESULT)):
        plan = next((found for found in map(_plan, others) if found is not None), None)
    for other in others:
        theirs = _plan(other)
        if (plan is None) != (theirs is None) or (plan is not None and theirs is not None and _differ(plan, theirs)):
            raise SarcoreError(
                f"{other}: its cells were trained by another plan than those of {run_dir}; copy {PLAN_FILE} of one "
                "into the new run folder of the other before a study with --budget goes on elsewhere"
            )
        if plan is not None and theirs is not None:
            plan = {**plan, "kinds": {**theirs["kinds"], **plan["kinds"]}}
    if plan is not None and plan != own:
        write_json(path, {**plan, "text": sentence(plan)})


def _plan(run_dir: Path) -> dict[str, Any] | None:
    path = run_dir / PLAN_FILE
    return read_json(path) if path.is_file() else None


def _differ(plan: dict[str, Any], other: dict[str, Any]) -> bool:
    one, two = plan["kinds"], other["kinds"]
    return any(one[name]["steps"] != two[name]["steps"] for name in one.keys() & two.keys())
