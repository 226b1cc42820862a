"""A budget becomes steps: by a clock that the tests turn."""

import json
import shutil

import pytest

from sarcore.errors import SarcoreError
from sarcore.experiments import budget
from sarcore.experiments.budget import PLAN_FILE, Kind, plan_steps, same_plan
from sarcore.experiments.progress import Silent


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(budget, "time", found)
    return found


def kind(clock, name, trainings, steps, each, beside, trials, loading=0.0):
    """Trainings of `each` seconds per step and `beside` seconds; the first one of all takes `loading` more."""

    def trial(count, folder):
        trials.append((name, count))
        folder.mkdir(parents=True)
        clock.now += count * each + beside + (loading if len(trials) == 1 else 0.0)
        return each

    return Kind(name, trainings, steps, trial)


def kinds(clock, trials):
    return [
        kind(clock, "classifier", 50, 400, 0.1, 10.0, trials, loading=30.0),
        kind(clock, "generator", 2, 5000, 0.5, 20.0, trials),
    ]


def test_a_study_that_fits_keeps_its_steps_and_one_that_does_not_is_shortened_to_fit(tmp_path, clock):
    trials = []
    steps, plan = plan_steps(kinds(clock, trials), tmp_path, Silent(), minutes=200.0)
    assert steps == {"classifier": 400, "generator": 5000}
    assert trials == [("classifier", 1), ("classifier", 6), ("generator", 6)]
    assert plan["kinds"]["classifier"]["seconds_per_step"] == pytest.approx(0.1)
    assert plan["kinds"]["classifier"]["seconds_beside_the_steps"] == pytest.approx(10.0)  # what is loaded once is not
    assert plan["expected_minutes"] < 200.0
    assert not (tmp_path / "trials").exists()
    shutil.rmtree(tmp_path)
    before = clock.now
    steps, plan = plan_steps(kinds(clock, []), tmp_path, Silent(), minutes=60.0)
    spent = clock.now - before
    needed = spent + 50 * (steps["classifier"] * 0.1 + 10.0) + 2 * (steps["generator"] * 0.5 + 20.0)
    assert 0.9 * 3600 < needed < 3600
    assert plan["expected_minutes"] == pytest.approx(needed / 60)
    assert steps["classifier"] / 400 == pytest.approx(steps["generator"] / 5000, rel=0.01)
    assert json.loads((tmp_path / PLAN_FILE).read_text()) == plan
    assert "50 times" in plan["text"]


def test_a_plan_holds_whenever_the_study_goes_on(tmp_path, clock):
    first = plan_steps(kinds(clock, []), tmp_path, Silent(), minutes=60.0)
    trials = []
    for minutes in (None, 5.0, 600.0):
        assert plan_steps(kinds(clock, trials), tmp_path, Silent(), minutes=minutes) == first
    assert not trials


def test_without_a_budget_nothing_is_measured(tmp_path, clock):
    trials = []
    assert plan_steps(kinds(clock, trials), tmp_path, Silent(), minutes=None) == (
        {"classifier": 400, "generator": 5000},
        None,
    )
    assert not trials
    assert not (tmp_path / PLAN_FILE).exists()


def test_a_budget_that_is_too_small_is_said(tmp_path, clock):
    steps, plan = plan_steps(kinds(clock, []), tmp_path, Silent(), minutes=1.0)
    assert steps == {"classifier": 10, "generator": 10}
    assert plan["expected_minutes"] > 1.0
    assert "more than the budget: fewer seeds or arms would fit" in plan["text"]
    for minutes in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive number of minutes"):
            plan_steps(kinds(clock, []), tmp_path, Silent(), minutes=minutes)


def test_what_a_stopped_measurement_left_is_removed(tmp_path, clock):
    (tmp_path / "trials" / "classifier" / "checkpoints").mkdir(parents=True)
    plan_steps(kinds(clock, []), tmp_path, Silent(), minutes=60.0)
    assert [path.name for path in tmp_path.iterdir()] == [PLAN_FILE]


def study(folder, **settings):
    """A run folder with settings and nothing else."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"config": {"lr": 0.1, **settings}}))
    return folder


def finish_cell(folder):
    (folder / "flips" / "seed_0").mkdir(parents=True)
    (folder / "flips" / "seed_0" / "result.json").write_text("{}")


def test_parts_of_a_study_have_one_plan(tmp_path, clock):
    mine, theirs, none = (study(tmp_path / name) for name in ("mine", "theirs", "none"))
    plan_steps(kinds(clock, []), theirs, Silent(), minutes=60.0)
    same_plan(mine, [theirs])  # an empty folder takes it
    assert (mine / PLAN_FILE).read_bytes() == (theirs / PLAN_FILE).read_bytes()
    with pytest.raises(SarcoreError, match="none: its cells were trained by another plan"):
        same_plan(mine, [theirs, none])
    other = study(tmp_path / "other")
    finish_cell(other)
    with pytest.raises(SarcoreError, match="theirs: its cells were trained by another plan than those of"):
        same_plan(other, [theirs])
    assert not (other / PLAN_FILE).exists()


def test_the_plan_of_another_study_is_not_taken(tmp_path, clock):
    mine, theirs = study(tmp_path / "mine"), study(tmp_path / "theirs", lr=0.2)
    plan_steps(kinds(clock, []), theirs, Silent(), minutes=60.0)
    with pytest.raises(SarcoreError, match="another study than .*mine; they differ in lr"):
        same_plan(mine, [theirs])
    assert not (mine / PLAN_FILE).exists()
    same_plan(mine, [theirs], ["lr"])
    assert (mine / PLAN_FILE).exists()


def test_a_kind_that_comes_later_is_shortened_as_the_others_are(tmp_path, clock):
    trials = []
    classifier, generator = kinds(clock, trials)
    first, _ = plan_steps([classifier], tmp_path, Silent(), minutes=15.0)
    assert 10 < first["classifier"] < 400
    measured = len(trials)
    steps, plan = plan_steps([classifier, generator], tmp_path, Silent(), minutes=15.0)
    assert steps == {**first, "generator": int(first["classifier"] / 400 * 5000)}
    assert len(trials) == measured
    assert "These are without the generator, which came later." in plan["text"]
    assert json.loads((tmp_path / PLAN_FILE).read_text()) == plan
    assert plan_steps([classifier], tmp_path, Silent(), minutes=None) == (steps, plan)


def test_a_part_without_a_kind_takes_its_steps_from_the_other(tmp_path, clock):
    mine, theirs, third = (study(tmp_path / name) for name in ("mine", "theirs", "third"))
    classifier, generator = kinds(clock, [])
    plan_steps([classifier], mine, Silent(), minutes=15.0)
    for folder in (theirs, third):
        shutil.copy(mine / PLAN_FILE, folder / PLAN_FILE)
    finish_cell(mine)
    steps, plan = plan_steps([classifier, generator], theirs, Silent(), minutes=None)
    same_plan(mine, [theirs])
    assert plan_steps([classifier, generator], mine, Silent(), minutes=None) == (steps, plan)
    changed = json.loads((theirs / PLAN_FILE).read_text())
    changed["kinds"]["generator"]["steps"] += 1
    (third / PLAN_FILE).write_text(json.dumps(changed))
    with pytest.raises(SarcoreError, match="third: its cells were trained by another plan"):
        same_plan(mine, [third])


@pytest.mark.parametrize("left", ["flips/seed_0/result.json", "flips/seed_0/checkpoints/step_000025/meta.json"])
def test_no_budget_comes_over_trainings_that_have_all_their_steps(tmp_path, clock, left):
    (tmp_path / left).parent.mkdir(parents=True)
    (tmp_path / left).write_text("{}")
    trials = []
    with pytest.raises(SarcoreError, match="begun without a budget and take all steps .* choose another folder"):
        plan_steps(kinds(clock, trials), tmp_path, Silent(), minutes=60.0)
    assert not trials
    assert not (tmp_path / PLAN_FILE).exists()
    assert plan_steps(kinds(clock, trials), tmp_path, Silent(), minutes=None)[0]["classifier"] == 400
