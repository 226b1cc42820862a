"""What the study of generation concludes from numbers that are known."""

import math

import pytest

from sarcore.experiments.generation_study_config import Cell
from sarcore.experiments.generation_study_summary import row_of, sentence, summarise, verdict
from sarcore.experiments.set_scores import BETTER


def cell_result(kid, enl=0.05, emd=0.01, seed=0):
    values = dict.fromkeys(BETTER, 0.5) | {"kid": kid, "enl_error": enl, "histogram_emd": emd}
    scores = {name: {"value": value, "deviation": 0.0} for name, value in values.items()}
    memorisation = {"ratio": 1.0, "closer_share": 0.01, "p_value": 0.5, "pairs": []}
    result = {"scores": scores, "memorisation": memorisation, "looks": 5.0, "classified": None, "seconds": 2.0}
    return Cell("hard", "gan", seed=seed), result


def floors(kid=4.0, halves=(0.0, 0.0)):
    values = {name: {"value": 0.5, "deviation": 0.0} for name in BETTER} | {"kid": {"value": kid, "deviation": 0.0}}
    noise = values | {"kid": dict(zip(("value", "deviation"), halves, strict=True))}
    return {"hard": {"own": {"other_scenes": values, "halves": noise}}}


@pytest.mark.parametrize(
    ("kid", "enl", "emd", "floor", "met"),
    [
        (6.0, 0.10, 0.02, 4.0, (True, True, True)),  # each exactly on its target
        (6.1, 0.10, 0.02, 4.0, (False, True, True)),
        (6.0, 0.11, 0.02, 4.0, (True, False, True)),
        (6.0, 0.10, 0.021, 4.0, (True, True, False)),
        (-1.0, None, 0.02, 4.0, (True, False, True)),
        (1.0, 0.10, 0.02, -0.1, (False, True, True)),
    ],
)
def test_a_scenario_is_solved_where_all_three_targets_are_met(kid, enl, emd, floor, met):
    found = verdict(*cell_result(kid, enl, emd), floors(floor)["hard"])
    assert tuple(found["met"].values()) == met
    assert found["solved"] == all(met)


@pytest.mark.parametrize(
    ("kid", "floor", "halves", "counted", "met"),
    [
        (0.7, -0.2, (0.3, 0.4), 0.5, True),  # a floor below 0 is noise, as is a value of that size
        (0.8, -0.2, (0.3, 0.4), 0.5, False),
        (-0.4, -0.2, (0.0, 0.5), 0.5, True),
        (0.7, 0.01, (-0.5, 0.0), 0.5, True),  # one draw has no deviation, but a size
        (5.0, 4.0, (0.3, 0.4), 4.0, True),
    ],
)
def test_a_floor_of_kid_about_0_is_the_noise_of_random_halves(kid, floor, halves, counted, met):
    found = verdict(*cell_result(kid), floors(floor, halves)["hard"])
    assert (found["kid_floor"], found["met"]["kid"]) == (pytest.approx(counted), met)
    assert found["kid_ratio"] == pytest.approx(kid / counted)


def test_rows_are_intervals_over_seeds():
    cells = [cell_result(kid, seed=seed) for seed, kid in enumerate((3.0, 5.0))]
    results = summarise(cells, floors())
    assert results["rows"][0]["scores"]["kid"]["mean"] == 4.0
    half = 12.706204736432095 * math.sqrt(2.0) / math.sqrt(2.0)  # Student's t of one degree of freedom
    assert results["rows"][0]["scores"]["kid"]["low"] == pytest.approx(4.0 - half)
    assert (results["rows"][0]["seeds"], results["seconds"]) == (2, 4.0)
    assert results["sentences"] == [sentence("hard/gan", results["verdicts"])]
    assert results["sentences"][0].startswith("hard, gan: solved in 2 of 2 seeds; seed 0: SAR-KID 0.75 times the floor")


def test_a_score_that_one_seed_lacks_has_no_interval():
    lucky, unlucky = cell_result(3.0), cell_result(3.0, enl=None, seed=1)
    assert row_of("hard/gan", [lucky, unlucky])["scores"]["enl_error"] is None
    assert row_of("hard/gan", [lucky])["scores"]["enl_error"]["mean"] == 0.05
