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
from sarcore.report.study_charts import difference_rows, score_rows

CONFIG = {
    "filter": "bicubic", "preset": "sarcore", "generator": "began", "generator_run": None,
    "generators": 1, "generator_width": 8, "generator_steps": 40, "generator_batch_size": 4, "synthetic": 9,
    "depth": 18, "width": 16, "size": 16, "init": "random", "lr": 0.001, "steps": 400, "batch_size": 4,
    "balance": 0.5, "share": 0.5, "speckle_looks": [8.0, 32.0], "precision": "32-true",
}  # fmt: skip


def interval(mean, low=None, high=None, n=3):
    return {"mean": mean, "low": low, "high": high, "n": n}


def arm(title, mean, seeds, classes, difference=None):
    around = (None, None) if len(seeds) == 1 else (mean - 0.02, mean + 0.02)
    score = interval(mean, *around, len(seeds))
    one = {"balanced_accuracy": mean, "overall_accuracy": mean - 0.01, "macro_f1": mean - 0.02}
    items = {"real": [30, 10], "generated": [0, 8] if difference else [0, 0]}
    found = {
        "title": title,
        "seeds": seeds,
        "scores": dict.fromkeys(("balanced_accuracy", "overall_accuracy", "macro_f1"), score),
        "recall": dict.fromkeys(classes, score),
        "difference": None,
        "runs": [
            {"seed": s, "steps": 20, **one, "confusion": [[8, 2], [2, 8]], "items": items, "patches": items}
            for s in seeds
        ],
    }
    if difference:
        found["difference"] = {
            "scores": dict.fromkeys(("balanced_accuracy", "overall_accuracy", "macro_f1"), difference),
            "recall": dict.fromkeys(classes, difference),
            "over_scenes": {"low": -0.05, "high": 0.06, "scenes": 7},
        }
    return found


def grey_values():
    bins = np.full(64, 1 / 64).tolist()
    numbers = {"mean": 0.31, "std": 0.12, "std_of_patch_means": 0.02, "mean_of_patch_stds": 0.11}
    return {
        "histogram_real": bins, "histogram_generated": bins, "real": numbers, "generated": numbers,
        "distance": {"emd": 0.0123, "l2": 4.5e-5}, "floor": {"emd": 0.0011, "l2": 2e-6},
    }  # fmt: skip


def write_run(run, *, synthetic=True, class_name="water", one_seed=False, scenario="simple"):
    seeds = [0] if one_seed else [0, 1, 2]
    classes = [class_name, "forest"]
    change = interval(0.016, *((None, None) if one_seed else (-0.011, 0.043)), len(seeds))
    generator = f"generator/{class_name.replace('/', '')}/seed_0"
    results = {
        "kind": "augmentation",
        "classes": classes,
        "reference": "flips",
        "arms": {
            "flips": arm("Flips", 0.801, seeds, classes),
            "gan_rarest": arm(f"Flips and generated patches of {class_name}", 0.817, seeds, classes, change),
        },
        "sentences": [f"Generated patches of {class_name} <change> nothing."],
        "targets": {"largest": ["forest"], "rarest": [class_name], "all": classes},
        "generators": [
            {"name": generator, "seed": 0, "class": class_name, "steps": 40, "drawn": {class_name: 9},
             "grey_values": {class_name: grey_values()}}
        ],
        "dataset": {
            "name": "set",
            "synthetic": synthetic,
            "shape": [1, 32, 32],
            "radiometry": {},
            "remarks": ["Leakage: 2 patches are in both parts"],
            "patches": {part: dict.fromkeys(classes, 11) for part in ("train", "test")},
            "scenes": {"train": 15, "test": 7},
        },
        "plan": {"text": "Budget of 30 minutes: 6 times 20 of 400 steps of the classifier."},
        "missing": [],
        "seconds": 61.0,
    }  # fmt: skip
    info = {
        "config": {**CONFIG, "scenario": scenario},
        "seeds": seeds,
        "versions": {"sarcore": "0.1.0"},
        "hardware": {"cpu": "Some CPU", "threads": 2, "gpus": []},
    }
    (run / "pictures").mkdir(parents=True)
    for name in ("real", "prepared", "generated"):
        write_image(run / "pictures" / f"{name}.png", np.random.default_rng(0).integers(0, 255, (1, 34, 34), np.uint8))
    for name, content in (("results", results), ("run", info)):
        (run / f"{name}.json").write_text(json.dumps(content))
    (run / generator).mkdir(parents=True)
    rows = [{"step": s, "M": 0.1 / s, "loss_real": 0.1, "k": 0.01 * s} for s in (1, 2, 3)]
    (run / generator / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("flips", "gan_rarest"):
        (run / name / "seed_0").mkdir(parents=True)
        (run / name / "seed_0" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5, "accuracy": 0.4}\n')
    return run


def test_the_page_says_what_the_results_say(tmp_path):
    page = write_report(write_run(tmp_path / "run")).read_text()
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "Generated patches of water <change> nothing." in text
    assert "<change>" not in page  # escaped
    assert "Synthetic data" in text
    for expected in ("80.1", "78.1 to 82.1", "+1.6", "−1.1 to +4.3", "gan, rarest", "0.0123", "0.0011", "1 min 1 s"):
        assert expected in text
    for expected in (
        "2 patches are in both parts", "Some CPU, 2 threads", "16×16 pixels", "bicubic to 32×32", "10 + 8",
        "BEGAN: convergence measure M", "Budget of 30 minutes", "20 steps of 4 patches", "reduced to 16 px",
    ):  # fmt: skip
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
    (run / "pictures" / "real.png").unlink()
    (run / "generator" / "water" / "seed_0" / "metrics.jsonl").unlink()
    page = write_report(run).read_text()
    assert "This picture is missing" in page
    assert "pictures/real.png: cannot be read (No such file or directory)" in page
    assert "water/seed_0/metrics.jsonl: is not there" in page


def test_results_that_lack_something_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    del results["arms"]
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SarcoreError, match="results are incomplete .'arms'.; give the command of the run again"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_an_unfinished_study_shows_its_trainings(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "results.json").unlink()
    page = write_report(run).read_text()
    assert "3 training runs" in page
    assert "flips/seed_0" in page


def test_whole_patches_need_no_preparation(tmp_path):
    page = write_report(write_run(tmp_path / "run", scenario="hard")).read_text()
    assert page.count("<img") == 2
    assert "no resampling" in page


def test_a_study_beside_another_run_is_refused(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b")]
    with pytest.raises(SarcoreError, match="a: is a study, which has a page of its own"):
        write_report(runs, tmp_path / "page.html")


def test_dots_lie_where_the_scores_are():
    arms = {"flips": arm("Flips", 0.8, [0, 1], ["water"]), "gan_all": arm("GAN", 0.9, [0, 1], ["water"])}
    for found, values in (("flips", (0.78, 0.82)), ("gan_all", (0.88, 0.92))):
        arms[found]["runs"] = [{"f1": value} for value in values]
        arms[found]["scores"]["f1"] = arms[found]["scores"]["macro_f1"]
    dots = re.findall(r'<circle class="c0" r="2.6" cx="([^"]*)" cy="([^"]*)"', score_rows("f1", "F1", arms))
    places = [float(x) for x, _ in dots]
    assert places == sorted(places)
    assert places[1] - places[0] == pytest.approx(places[3] - places[2], abs=0.2)  # both 4 points apart
    assert [y for _, y in dots] == [dots[0][1]] * 2 + [dots[2][1]] * 2


def test_differences_lie_on_their_side_of_zero_with_both_intervals():
    worse, better = interval(-0.03, -0.04, -0.02), interval(0.03, 0.01, 0.05)
    arms = {
        "flips": arm("Flips", 0.8, [0, 1, 2], ["water"]),
        "none": arm("None", 0.77, [0, 1, 2], ["water"], worse),
        "gan_all": arm("GAN", 0.83, [0, 1, 2], ["water"], better),
    }
    drawn = difference_rows("macro_f1", "F1", arms, "flips")
    zero = float(re.search(r'class="reference" d="M([0-9.]+)', drawn)[1])
    dots = [float(x) for x in re.findall(r'<circle class="c1" r="3.5" cx="([^"]*)"', drawn)]
    assert dots[0] < zero < dots[1]
    assert zero - dots[0] == pytest.approx(dots[1] - zero, abs=0.2)
    bands = re.findall(r'<rect class="area c1" x="([^"]*)" width="([^"]*)"', drawn)
    assert float(bands[1][1]) / float(bands[0][1]) == pytest.approx(2.0, rel=0.02)
    whiskers = re.findall(r'class="whisker" d="M([0-9.]+) [0-9.]+H([0-9.]+)"', drawn)
    for start, end in whiskers:  # 5 points to the left of zero, 6 to the right
        assert (float(end) - zero) / (zero - float(start)) == pytest.approx(1.2, rel=0.02)
    assert "gan, all" in drawn


def test_numbers_are_written_plainly():
    assert percent(None) == "–"
    assert (change(0.0004), change(-0.0006)) == ("0.0", "−0.1")
    assert span({"low": -0.2, "high": 1.3}) == "0.0 to 100.0"
    assert span({"low": -0.2, "high": 0.3}, True) == "−20.0 to +30.0"
    assert [duration(s) for s in (0.2, 59.9, 3599.7, 7200)] == ["0 s", "1 min 0 s", "1 h 0 min", "2 h 0 min"]


def test_grids_are_embedded_byte_for_byte(tmp_path):
    run = write_run(tmp_path / "run")
    embedded = base64.b64encode((run / "pictures" / "real.png").read_bytes()).decode()
    assert f"data:image/png;base64,{embedded}" in write_report(run).read_text()
