"""Drawings and pages of the studies over shares of the labels."""

import json
import re

import pytest

from sarcore.errors import SarcoreError
from sarcore.report import write_report
from sarcore.report.label_charts import Series, shares_chart


def interval(mean, low=None, high=None, n=3):
    return {"mean": mean, "low": low, "high": high, "n": n}


def circles(figure):
    return [
        (float(x), float(y)) for x, y in re.findall(r'<circle class="c\d" r="3" cx="([\d.]+)" cy="([\d.]+)"/>', figure)
    ]


def whiskers(figure):
    return [tuple(map(float, ends)) for ends in re.findall(r'opacity="0.45" d="M[\d.]+ ([\d.-]+)V([\d.-]+)"', figure)]


def test_shares_stand_side_by_side_whatever_they_are():
    figure = shares_chart("Accuracy", [Series("flips", 1, {share: interval(0.5) for share in (1.0, 2.0, 100.0)})])
    (a, _), (b, _), (c, _) = circles(figure)
    assert a < b < c
    assert c - b == pytest.approx(b - a, abs=0.2)
    for share in ("1", "2", "100"):
        assert f'text-anchor="middle">{share}</text>' in figure
    assert not whiskers(figure)  # one seed
    assert "flips: 1 %: 50.0, 2 %: 50.0, 100 %: 50.0" in figure


def test_higher_values_stand_higher_and_whiskers_hold_them():
    values = {1.0: interval(0.4, 0.35, 0.45), 5.0: interval(0.8, 0.75, 0.85)}
    figure = shares_chart("Accuracy", [Series("flips", 0, values), Series("both", 1, {5.0: interval(0.9, 0.88, 0.92)})])
    (_, low), (_, high), (_, best) = circles(figure)
    assert low > high > best  # y grows downwards
    for (bottom, top), middle in zip(whiskers(figure), (low, high, best), strict=True):
        assert bottom > middle > top


def test_a_long_interval_is_cut_at_the_border_and_leaves_the_means_apart():
    wide = {1.0: interval(0.50, -0.4, 1.4), 5.0: interval(0.56, 0.55, 0.57)}
    figure = shares_chart("Accuracy", [Series("flips", 0, wide)])
    bottom, top = whiskers(figure)[0]
    assert bottom <= 214.1
    assert top >= 9.9
    (_, first), (_, second) = circles(figure)
    assert first - second > 30


def test_differences_have_a_line_at_zero():
    gains = [Series("both", 1, {1.0: interval(0.03, -0.01, 0.07)})]
    assert 'class="reference"' in shares_chart("Difference", gains, signed=True)
    assert 'class="reference"' not in shares_chart("Accuracy", gains)
    names = shares_chart("A <b>", [Series("<i>", 0, {1.0: interval(0.1)})])
    assert "<i></i>&lt;i&gt;" in names
    assert "A &lt;b&gt;" in names


def write_run(run, **changes):
    score = interval(0.8, 0.7, 0.9)
    names = {"flips": "flips", "both": "flips + speckle + GAN"}
    scores = dict.fromkeys(("balanced_accuracy", "overall_accuracy", "macro_f1"), score)
    recall = {"field": score, "sea": score}
    gained = {"scores": dict.fromkeys(scores, interval(0.041, -0.012, 0.094)), "recall": recall}
    gained["over_scenes"] = {"low": -0.02, "high": 0.06, "scenes": 7}
    row = {"fraction": 5.0, "labelled": [31, 31, 31], "seeds": [0, 1, 2], "scores": scores, "recall": recall}
    results = {
        "kind": "curve",
        "classes": ["field", "sea", "bog"],
        "reference": "flips",
        "names": names,
        "rows": [{**row, "arm": "flips", "difference": None}, {**row, "arm": "both", "difference": gained}],
        "few_labels": [],
        "headlines": ["Few labels <say> much."],
        "sentences": ["One share."],
        "aim": {"reached": False, "text": "The aim was not reached."},
        "dataset": {
            "name": "set",
            "synthetic": False,
            "shape": [1, 32, 32],
            "remarks": ["2 patches are in both parts"],
            "patches": {"train": {"field": 11}, "test": {"field": 7}},
            "scenes": {"train": 15, "test": 7},
        },
        "missing": ["fraction_05/gan/seed_0"],
        "plan": None,
        "seconds": 61.0,
        **changes,
    }
    classifier = {"depth": 18, "width": 16, "size": 20, "steps": 400, "batch_size": 32, "lr": 0.001, "balance": 0.5}
    config = {"seeds": 3, "classifier": {**classifier, "share": 0.5}, "synthetic": 200, "scenario": "hard"}
    config |= {"generator_steps": 5000, "generator_width": 16, "generator_batch_size": 8}
    config |= {"pretraining_steps": 450, "pretraining_width": 12}
    config |= {"contrastive_steps": 2000, "contrastive_batch_size": 64}
    hardware = {"cpu": "one", "threads": 1, "gpus": []}
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"config": config, "hardware": hardware, "versions": {"torch": "2"}}))
    (run / "results.json").write_text(json.dumps(results))
    return run


def test_the_page_of_a_curve(tmp_path):
    page = write_report(write_run(tmp_path / "run")).read_text()
    assert "Few labels &lt;say&gt; much." in page
    assert "The aim was not reached." in page
    assert "1 training is left" in page
    assert "2 patches are in both parts" in page
    assert "+4.1</b> <small>−1.2 to +9.4" in page
    assert "−2.0 to +6.0" in page  # over scenes
    assert "31 patches" in page
    assert page.count("<figure") == 2 + 2  # no test patch of the third class
    assert "Synthetic data" not in page
    assert "patches reduced to 20 px" in page
    assert "conditional GAN" in page
    assert "width 12, 450 steps on all training patches without labels; one pre-training, which all shares" in page
    assert not re.search(r'(src|href)="https?:', page)


def test_the_page_of_first_weights(tmp_path):
    names = {"flips": "a random start", "both": "a SAR start", "contrastive": "a self-supervised start"}
    plan = {"minutes": 30, "expected_minutes": 28.4, "kinds": {"contrastive": {"steps": 123}}}
    run = write_run(
        tmp_path / "run", kind="init", aim=None, names=names, plan=plan, missing=[], headlines=[],
        sources={"flips": "random", "contrastive": "trained", "both": "runs/a"},
    )  # fmt: skip
    page = write_report(run).read_text()
    assert "From which weights should a classifier of SAR patches start?" in page
    assert "123 steps of 64 training patches" in page
    assert "30 minutes, of which 28.4 were planned" in page
    assert "a SAR start: runs/a; " not in page
    assert "a SAR start: runs/a" in page
    assert "GAN" not in page


def test_incomplete_results_are_named(tmp_path):
    run = write_run(tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    del results["rows"]
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SarcoreError, match="the results are incomplete"):
        write_report(run)
