"""The page of a study that is written here by hand: what it says, that it stands alone, and what it refuses."""

import base64
import html
import json
import re

import numpy as np
import pytest

from sarcore.data import write_image
from sarcore.errors import SarcoreError
from sarcore.report import write_report
from sarcore.report.formats import change, duration, percent, span
from sarcore.report.study_charts import recall_bars, score_dots


def three(baseline, augmented, low, high, n=3):
    def interval(mean, low, high):
        return {"mean": mean, "low": low, "high": high, "n": n}

    return {
        "baseline": interval(
            baseline, None if low is None else baseline - 0.02, None if low is None else baseline + 0.02
        ),
        "augmented": interval(
            augmented, None if low is None else augmented - 0.02, None if low is None else augmented + 0.02
        ),
        "difference": interval(augmented - baseline, low, high),
    }


def write_run(run, *, synthetic=True, class_name="water", one_seed=False):
    low, high = (None, None) if one_seed else (-0.011, 0.043)
    score = three(0.801, 0.817, low, high)
    classes = [class_name, "forest"]
    seeds = [0] if one_seed else [0, 1, 2]
    one = {"balanced_accuracy": 0.8, "overall_accuracy": 0.79, "macro_f1": 0.78, "confusion": [[8, 2], [2, 8]]}
    arms = {arm: [{"seed": s, **one} for s in seeds] for arm in ("baseline", "augmented")}
    bins = np.full(64, 1 / 64).tolist()
    numbers = {"mean": 0.31, "std": 0.12, "std_of_patch_means": 0.02, "mean_of_patch_stds": 0.11}
    results = {
        "kind": "augmentation",
        "class": class_name,
        "classes": classes,
        "headline": {
            "verdict": "no measurable difference",
            "text": f"Adding 9 {class_name} patches <changed> nothing.",
        },
        "summary": {
            **dict.fromkeys(("balanced_accuracy", "overall_accuracy", "macro_f1"), score),
            "recall": dict.fromkeys(classes, score),
            "over_scenes": {"low": -0.05, "high": 0.06, "scenes": 7},
        },
        "arms": arms,
        "dataset": {
            "name": "set",
            "synthetic": synthetic,
            "shape": [1, 32, 32],
            "radiometry": {},
            "scenes_known": True,
            "leakage": ["2 patches are in both parts"],
            "patches": {part: dict.fromkeys(classes, 11) for part in ("train", "test")},
            "scenes": {"train": 15, "test": 7},
        },
        "began": {},
        "quality": {
            "histogram_real": bins,
            "histogram_generated": bins,
            "histogram_native": bins,
            "real": numbers,
            "generated": numbers,
            "distance": {"emd": 0.0123, "l2": 4.5e-5},
            "floor": {"emd": 0.0011, "l2": 2e-6},
        },
        "seconds": 61.0,
    }
    config = {
        "scenario": "simple", "filter": "bicubic", "preset": "sarcore", "began_width": 8, "began_steps": 40,
        "began_batch": 4, "depth": 18, "init": "random", "classifier_lr": 0.001, "classifier_steps": 20,
        "classifier_batch": 4, "precision": "32-true", "synthetic": 9,
    }  # fmt: skip
    info = {
        "config": config,
        "seeds": seeds,
        "versions": {"sarcore": "0.1.0"},
        "hardware": {"cpu": "Some CPU", "threads": 2, "gpus": []},
    }
    (run / "grids").mkdir(parents=True)
    for name in ("real", "prepared", "generated"):
        write_image(
            run / "grids" / f"{name}.png", np.random.default_rng(0).integers(0, 255, (1, 34, 34), dtype=np.uint8)
        )
    (run / "results.json").write_text(json.dumps(results))
    (run / "run.json").write_text(json.dumps(info))
    (run / "began").mkdir()
    rows = [{"step": s, "M": 0.1 / s, "loss_real": 0.1, "loss_fake": None, "k": 0.01 * s} for s in (1, 2, 3)]
    (run / "began" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_the_page_says_what_the_results_say(tmp_path):
    page = write_report(write_run(tmp_path / "run")).read_text()
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "Adding 9 water patches <changed> nothing." in text
    assert "<changed>" not in page  # escaped
    assert "Synthetic data" in text
    for expected in ("80.1", "78.1 to 82.1", "+1.6", "−1.1 to +4.3", "−5.0 and +6.0", "0.0123", "0.0011", "1 min 1 s"):
        assert expected in text
    for expected in ("2 patches are in both parts", "Some CPU, 2 threads", "16×16 pixels", "bicubic to 32×32"):
        assert expected in text


def test_the_page_stands_alone_and_is_the_same_every_time(tmp_path):
    run = write_run(tmp_path / "run")
    page = write_report(run).read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 4
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in page
    assert write_report(run).read_text() == page


def test_real_data_one_seed_and_names_that_look_like_html(tmp_path):
    page = write_report(write_run(tmp_path / "run", synthetic=False, one_seed=True, class_name="<b>x</b>")).read_text()
    assert "Synthetic data" not in page
    assert "one seed" in page
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_what_is_missing_is_said_on_the_page(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "grids" / "real.png").unlink()
    (run / "began" / "metrics.jsonl").unlink()
    page = write_report(run).read_text()
    assert "This picture is missing" in page
    assert "grids/real.png: cannot be read (No such file or directory)" in page
    assert "began/metrics.jsonl: is not there" in page
    assert "no values" in page


def test_results_that_lack_something_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    del results["summary"]
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SarcoreError, match="results are incomplete .'summary'.; give the command of the run again"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_an_unfinished_study_shows_its_trainings(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "results.json").unlink()
    (run / "baseline" / "seed_0").mkdir(parents=True)
    (run / "baseline" / "seed_0" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    page = write_report(run).read_text()
    assert "2 training runs" in page
    assert "baseline/seed_0 · began" in page


def test_a_study_beside_another_run_is_refused(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b")]
    with pytest.raises(SarcoreError, match="a: is a study, which has a page of its own"):
        write_report(runs, tmp_path / "page.html")


def test_dots_and_bars_lie_where_the_scores_are():
    score = three(0.80, 0.90, 0.05, 0.15)
    arms = {"baseline": [{"f1": 0.78}, {"f1": 0.82}], "augmented": [{"f1": 0.88}, {"f1": 0.92}]}
    dots = re.findall(
        r'<circle class="c(\d)" r="3.5" cx="[^"]*" cy="([^"]*)"', score_dots("f1", "F1", {"f1": score}, arms)
    )
    assert [colour for colour, _ in dots] == ["0", "0", "1", "1"]
    heights = [float(y) for _, y in dots]
    assert heights[0] - heights[1] == pytest.approx(heights[2] - heights[3], abs=0.2)  # both 4 points apart
    assert heights[1] > heights[2]  # more is higher up
    widths = re.findall(r'<rect class="bar c\d" [^>]*width="([^"]*)"', recall_bars({"water": score}, "water"))
    assert float(widths[1]) / float(widths[0]) == pytest.approx(0.9 / 0.8, abs=0.002)


def test_numbers_are_written_plainly():
    assert percent(None) == "–"
    assert (change(0.0004), change(-0.0006)) == ("0.0", "−0.1")
    assert span({"low": -0.2, "high": 1.3}) == "0.0 to 100.0"
    assert span({"low": -0.2, "high": 0.3}, True) == "−20.0 to +30.0"
    assert [duration(s) for s in (0.2, 59.9, 3599.7, 7200)] == ["0 s", "1 min 0 s", "1 h 0 min", "2 h 0 min"]


def test_grids_are_embedded_byte_for_byte(tmp_path):
    run = write_run(tmp_path / "run")
    embedded = base64.b64encode((run / "grids" / "real.png").read_bytes()).decode()
    assert f"data:image/png;base64,{embedded}" in write_report(run).read_text()
