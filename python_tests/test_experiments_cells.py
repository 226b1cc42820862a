"""The cells of a study: made once, ended in time, merged across folders."""

import json
from dataclasses import dataclass

import pytest

from sarcore.engine import write_json
from sarcore.errors import SarcoreError
from sarcore.experiments.cells import merge_cells, run_cells
from sarcore.experiments.progress import Silent


@dataclass(frozen=True)
class Cell:
    arm: str
    seed: int

    @property
    def name(self):
        return f"{self.arm}/seed_{self.seed}"


CELLS = [Cell(arm, seed) for arm in ("flips", "none") for seed in range(2)]


def score(cell, folder, place):
    return {"score": len(cell.arm) + cell.seed, "place": place}


def study(folder, **config):
    write_json(folder / "run.json", {"config": config})
    return folder


def test_results_are_those_of_the_cells_in_their_order(tmp_path):
    done, missing = run_cells(CELLS, score, tmp_path, Silent())
    assert [(cell, result["score"]) for cell, result in done] == [(c, len(c.arm) + c.seed) for c in CELLS]
    assert [result["place"] for _, result in done] == ["1/4", "2/4", "3/4", "4/4"]
    assert missing == []
    assert json.loads((tmp_path / "none/seed_1/result.json").read_text())["score"] == 5


def test_a_cell_with_a_result_is_not_made_again(tmp_path):
    run_cells(CELLS[:2], score, tmp_path, Silent())
    made = []
    done, _ = run_cells(CELLS, lambda cell, *rest: made.append(cell) or score(cell, *rest), tmp_path, Silent())
    assert made == CELLS[2:]
    assert len(done) == 4


def test_no_cell_is_begun_after_the_time_is_over(tmp_path):
    run_cells(CELLS[3:], score, tmp_path, Silent())
    done, missing = run_cells(CELLS, score, tmp_path, Silent(), minutes=0.0)
    assert [cell for cell, _ in done] == CELLS[3:]
    assert missing == [cell.name for cell in CELLS[:3]]


def test_studies_of_two_machines_are_merged(tmp_path):
    first, second = study(tmp_path / "a", steps=3, seeds=1), study(tmp_path / "b", steps=3, seeds=2)
    run_cells(CELLS[:2], score, first, Silent())
    run_cells(CELLS[1:], lambda *_: {"score": -1}, second, Silent())
    (second / "none/seed_0/checkpoints").mkdir()
    assert merge_cells(first, [second], may_change=["seeds"]) == 2
    done, _ = run_cells(CELLS, score, first, Silent())
    assert [result["score"] for _, result in done] == [5, 6, -1, -1]
    assert (first / "none/seed_0/checkpoints").is_dir()
    assert not list(first.rglob("*.merging"))


def test_another_study_is_not_merged(tmp_path):
    first, second = study(tmp_path / "a", steps=3), study(tmp_path / "b", steps=4)
    run_cells(CELLS, score, second, Silent())
    with pytest.raises(SarcoreError, match="differ in steps"):
        merge_cells(first, [second])
    with pytest.raises(SarcoreError, match="the study itself"):
        merge_cells(first, [first])
    with pytest.raises(SarcoreError, match="holds no sarcore study"):
        merge_cells(first, [tmp_path / "nothing"])
    assert not list(first.rglob("result.json"))
