"""What a study over shares of the labels may say: intervals, paired differences, sentences."""

import csv

import numpy as np
import pytest
import scipy.stats
import torch

from sarcore.experiments.classification import scores
from sarcore.experiments.curve_summary import aim, by_share, headlines, pooled, rows_of, write_table
from sarcore.experiments.label_cells import LabelCell

CLASSES = ["field", "sea"]
TARGET = np.array([0] * 10 + [1] * 30)
SCENES = [f"s{i % 8}" for i in range(40)]
NAMES = {"flips": "flips", "both": "flips + speckle + GAN"}


def result(right, seed):
    """``right`` of ten patches of the first class are found, and all of the second."""
    predicted = TARGET.copy()
    predicted[right:10] = 1
    found = scores(torch.from_numpy(TARGET), predicted, 2)
    return {**found, "seed": seed, "predicted": predicted.tolist(), "labelled": {"field": 1, "sea": 3}, "seconds": 1.0}


def done(table):
    return [
        (LabelCell(share, arm, seed), result(right, seed))
        for (share, arm), runs in table.items()
        for seed, right in runs
    ]


def rows(table):
    return rows_of(done(table), "flips", TARGET, SCENES, CLASSES)


def few(table):
    return pooled(done(table), "flips", TARGET, SCENES, CLASSES)


STUDY = {
    (10.0, "flips"): [(0, 6), (1, 6), (2, 6)],
    (10.0, "both"): [(0, 6), (1, 7), (2, 8)],
    (5.0, "flips"): [(0, 2), (1, 3), (2, 4)],
    (5.0, "both"): [(0, 5), (1, 5), (2, 7)],
}


def t_interval(values):
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    return pytest.approx([np.mean(values), low, high])


def bounds(found):
    return [found["mean"], found["low"], found["high"]]


def test_rows_are_in_the_order_of_the_shares_with_differences_paired_by_seed():
    first, second, third, _ = rows(STUDY)
    assert [(row["fraction"], row["arm"]) for row in (first, second, third)] == [
        (5.0, "flips"), (5.0, "both"), (10.0, "flips"),
    ]  # fmt: skip
    assert first["difference"] is None
    # Half of the recall of one of two classes.
    assert bounds(second["difference"]["scores"]["balanced_accuracy"]) == t_interval(np.array([3, 2, 3]) / 20.0)
    assert bounds(second["recall"]["field"]) == t_interval([0.5, 0.5, 0.7])
    assert second["labelled"] == [4, 4, 4]


def test_a_seed_that_one_arm_lacks_is_in_no_difference():
    row = rows({**STUDY, (5.0, "both"): [(2, 7), (0, 5)]})[1]
    assert row["seeds"] == [0, 2]
    assert row["difference"]["scores"]["balanced_accuracy"]["n"] == 2
    assert row["difference"]["scores"]["balanced_accuracy"]["mean"] == pytest.approx(3 / 20)
    assert rows({(5.0, "both"): [(0, 5)]})[0]["difference"] is None


def test_few_labels_are_pooled_per_seed():
    (found,) = few(STUDY)
    gains = np.array([(3 + 0) / 2, (2 + 1) / 2, (3 + 2) / 2]) / 20.0
    assert found["fractions"] == [5.0, 10.0]
    assert found["arm"] == "both"
    assert bounds(found["difference"]["scores"]["balanced_accuracy"]) == t_interval(gains)
    over = found["difference"]["over_scenes"]
    assert over["scenes"] == 8
    assert over["low"] < gains.mean() < over["high"]


def test_pooling_leaves_out_seeds_and_shares_that_are_not_there():
    table = {**STUDY, (10.0, "both"): [(0, 6), (1, 7)], (50.0, "flips"): [(0, 0)], (50.0, "both"): [(0, 9)]}
    (found,) = few(table)
    assert found["difference"]["scores"]["balanced_accuracy"]["n"] == 2
    assert found["difference"]["scores"]["balanced_accuracy"]["mean"] == pytest.approx((1.5 + 1.5) / 2 / 20)


def test_without_such_shares_the_smallest_one_counts():
    table = {(share, "flips"): [(0, 1), (1, 1)] for share in (25.0, 50.0)}
    (found,) = few({**table, (50.0, "both"): [(0, 9), (1, 9)], (25.0, "both"): [(0, 2), (1, 4)]})
    assert found["fractions"] == [25.0]
    assert found["difference"]["scores"]["balanced_accuracy"]["mean"] == pytest.approx(2 / 20)
    assert few({}) == []


def test_sentences_say_what_the_intervals_allow():
    heads = headlines(rows(STUDY), few(STUDY), "flips", NAMES, False)
    shares = by_share(rows(STUDY), "flips", NAMES, True)
    assert heads[0].startswith("With 5 to 10 % of the labels, flips + speckle + GAN is better than flips")
    assert "+9.2 points" in heads[0]
    assert heads[-1] == "With flips balanced accuracy is 65.0 % with 5 % of the labels and 80.0 % with 10 %."
    assert shares[0].startswith(
        "With 5 % of the labels, flips + speckle + GAN is better than flips on synthetic scenes"
    )
    assert "no measurable difference to flips on synthetic scenes: balanced accuracy +5.0 points" in shares[1]
    assert len(shares) == 2


def test_the_aim_needs_size_and_certainty():
    assert aim(few(STUDY), "both")["reached"] is True
    assert aim(few(STUDY), "both", 10.0)["reached"] is False  # 9.2 points
    unsure = few({(5.0, "flips"): [(0, 2), (1, 5)], (5.0, "both"): [(0, 9), (1, 5)]})
    assert aim(unsure, "both") == {
        "reached": False,
        "text": "The aim was a gain of 3 points with 5 % of the labels, by an interval that excludes 0: not reached.",
    }
    assert aim(few({(5.0, "flips"): [(0, 2)], (5.0, "both"): [(0, 9)]}), "both") is None
    assert aim(few(STUDY), "gan") is None


def test_the_table_holds_every_score(tmp_path):
    path = write_table(tmp_path / "results.csv", rows(STUDY))
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert len(lines) == 4 * 5  # three scores, two recalls
    one = next(r for r in lines if r["fraction"] == "5.0" and r["arm"] == "both" and r["score"] == "balanced_accuracy")
    assert float(one["mean"]) == pytest.approx(0.5 + (5 + 5 + 7) / 60)
    assert float(one["difference"]) == pytest.approx(8 / 60)
    assert one["seeds"] == "3"
    recall = next(r for r in lines if r["arm"] == "both" and r["score"] == "recall of field")
    assert float(recall["difference"]) == pytest.approx(8 / 30)
    assert next(r for r in lines if r["arm"] == "flips")["difference"] == ""
