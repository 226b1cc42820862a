"""The page of training runs: what it says of every file, of files that are missing or damaged, and how big it gets."""

import json
import platform
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sarcore.cli.app import run as main
from sarcore.errors import SarcoreError
from sarcore.report import write_report
from sarcore.report.run_folder import best_score, read_run, seconds_left, state_of
from sarcore.report.samples import PAGE_BYTES, cell_of

from .report_pages import charts, decoded, frames, text_of
from .report_runs import CLASSES, picture, write_run


def test_a_page_of_a_gan_says_what_its_folder_holds(tmp_path):
    run = write_run(tmp_path / "first")
    page = write_report(run, price=0.6)
    assert page == run / "report.html"
    text = text_of(page)
    for expected in (
        "BEGAN",
        "finished",
        "5 epochs",
        "1 min 50 s",
        "0.02 EUR",
        "Some CPU, 2 threads",
        "Some GPU",
        "width 16",
    ):
        assert expected in text
    assert "k has been at 1 for 1200 steps: the generator wins; lower --lambda-k <now>." in text
    assert "<now>" not in page.read_text()
    assert "steps with pictures are shown" not in text  # all of them are: nothing to say
    assert "share of generated pixels at or below 0" in text
    drawn = charts(page)
    assert not {"Images", "Epoch"} & set(drawn), "counts are no curves"
    assert [one["label"] for one in drawn["Loss"]["series"]] == ["Loss d", "Loss g", "Loss real", "Loss fake"]
    assert not drawn["k"]["log"]
    assert drawn["M"]["series"][0]["x"] == list(range(10, 1001, 10))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert drawn["M"]["series"][0]["y"] == pytest.approx([row["M"] for row in rows if "M" in row], rel=1e-3)


def test_samples_histograms_and_spectra_of_every_step_are_in_the_page(tmp_path):
    run = write_run(tmp_path / "run")
    page = write_report(run)
    data = frames(page)
    assert data["steps"] == data["runs"][0]["steps"] == [200, 400, 600, 800, 1000]
    for step, uri in data["runs"][0]["pictures"].items():
        np.testing.assert_array_equal(
            decoded(uri), np.asarray(Image.open(run / "samples" / f"step_{int(step):06d}.png"))
        )
    shown = re.findall(r'<img class="[^"]*" src="([^"]*)"', page.read_text())
    np.testing.assert_array_equal(decoded(shown[0]), np.asarray(Image.open(run / "samples" / "step_001000.png")))
    np.testing.assert_array_equal(decoded(shown[1]), np.asarray(Image.open(run / "samples" / "real.png")))
    rows = [json.loads(line) for line in (run / "samples" / "statistics.jsonl").read_text().splitlines()]
    for row in rows[1:]:
        frame = data["runs"][0]["frames"][str(row["step"])]
        assert frame["histogram"] == pytest.approx(row["histogram"], rel=1e-3, abs=1e-12)
        assert frame["spectrum"] == pytest.approx(row["spectrum"], rel=1e-3, abs=1e-6)
    assert [one["label"] for one in charts(page)["Histogram"]["series"]] == ["real", "generated"]
    assert charts(page)["Diversity"]["series"][0]["y"] == [0.22, 0.22]


def test_a_page_of_a_classifier_shows_validation_and_confusion(tmp_path):
    run = write_run(tmp_path / "run", kind="classifier")
    page = write_report(run)
    text, raw = text_of(page), page.read_text()
    assert "Best balanced accuracy 0.78 highest, at step 600" in text
    assert "best, step 600" in text
    assert "Samples" not in text
    assert [one["label"] for one in charts(page)["Recall of every class"]["series"]] == CLASSES
    assert "validation at step 1 000" in text
    assert "test part, at the end" in text
    confusion = json.loads((run / "validation.jsonl").read_text().splitlines()[-1])["confusion"]
    total = sum(confusion[0])
    assert f'title="{confusion[0][0]} of {total} images of forest taken for forest"' in raw
    assert f'style="--share:{confusion[0][0] / total:.3f}" class="high"' in raw
    assert "Test, balanced accuracy 0.81" in text
    assert "mean recall of the classes that are held out" in text


def test_scores_in_another_precision_than_that_of_the_training_are_said_to_be(tmp_path):
    run = write_run(tmp_path / "run", kind="classifier")
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps({**results, "val": results["test"]}))
    assert "scored with the chosen checkpoint in 32 bit" not in text_of(write_report(run))
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("32-true", "bf16-mixed"))
    assert "scored with the chosen checkpoint in 32 bit" in text_of(write_report(run))


def test_several_runs_are_compared(tmp_path):
    runs = [write_run(tmp_path / "a" / "run"), write_run(tmp_path / "b" / "run", seed=1, width=32, gamma=0.5)]
    page = write_report(runs, tmp_path / "page.html")
    text = text_of(page)
    assert "a/run · b/run" in text
    differ, same = text[text.index("Settings that differ") :].split("settings that all runs share")
    assert "model.width 16 32" in differ
    assert "model.gamma – 0.5" in differ
    assert "fit.steps" in same
    assert "model.width" not in same.partition("Machine")[0]
    assert [one["label"] for one in charts(page)["Loss real"]["series"]] == ["a/run", "b/run"]
    assert len(frames(page)["runs"]) == 2
    with pytest.raises(SarcoreError, match="--out page.html"):
        write_report(runs)


def test_the_page_is_the_same_every_time_and_names_no_address(tmp_path):
    run = write_run(tmp_path / "run")
    page = write_report(run).read_text()
    assert write_report(run).read_text() == page
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|url\(|@import", page)
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]*)"', page))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("running", "running"), ("interrupted", "interrupted"), ("diverged", "diverged"), ("failed", "failed"),
        ("stopped early", "stopped early"),
    ],
)  # fmt: skip
def test_every_state_has_a_page(tmp_path, state, said):
    run = write_run(tmp_path / "run", kind="classifier", state=state)
    page = write_report(run)
    assert re.search(rf'<span class="badge {said.split()[0]}">{said}</span>', page.read_text())
    text = text_of(page)
    assert ("of 1 000" in text) == (state != "stopped early")
    assert ("left" in text) == (state == "running")


def test_a_run_whose_process_is_gone_was_killed(tmp_path):
    run = write_run(tmp_path / "run", state="running")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "pid": gone.pid}))
    state, sentence = state_of(read_run(run))
    assert state == "killed"
    assert sentence.startswith(f"Process {gone.pid} is gone: the run was killed. Given again, its command goes on")
    assert sentence.endswith("Or it trains on another machine.")
    assert "killed" in text_of(write_report(run))
    (run / "run.lock").write_text(f"process {gone.pid} on {platform.node()}\n")
    assert state_of(read_run(run)) == ("killed", sentence.removesuffix(" Or it trains on another machine."))
    (run / "run.lock").write_text(f"process {gone.pid} on node7\n")
    state, sentence = state_of(read_run(run))
    assert (state, sentence) == ("running", "It trains on node7, which was last heard of 2027-01-15 08:01 UTC.")


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"config": {"command": "train began", "steps": 40}}')
    text = text_of(write_report(run))
    assert "Nothing has been logged yet." in text
    assert "BEGAN" in text
    assert "no status.json" in text


def test_damaged_files_are_named_and_the_rest_is_shown(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "config.toml").write_text("steps = = 3")
    (run / "status.json").write_text("{")
    (run / "samples" / "step_000400.png").write_bytes(b"no picture")
    (run / "samples" / "real.png").unlink()
    (run / "checkpoints" / "step_000800" / "meta.json").write_text("")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines[3], lines[4] = lines[3][:20], "[1, 2]"
    (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 10')
    page = write_report(run)
    text = text_of(page)
    for expected in (
        "config.toml: is damaged",
        "status.json: is damaged",
        "samples/step_000400.png: cannot be shown",
        "metrics.jsonl: 2 of 102 lines cannot be read and are left out",
        "There is no picture of real images",
        "width 16",  # from run.json
    ):
        assert expected in text
    assert frames(page)["steps"] == [200, 600, 800, 1000]
    assert charts(page)["M"]["series"][0]["x"][:5] == [10, 20, 30, 60, 70]


def test_nan_breaks_a_line_and_does_not_scale_the_axis(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    values = [1.0, 2.0, None, 3.0, 4.0]
    rows = [json.dumps({"step": i, "loss": value}) for i, value in enumerate(values)]
    (run / "metrics.jsonl").write_text("\n".join([*rows, '{"step": 5, "loss": NaN}', '{"step": 6, "loss": Infinity}']))
    page = write_report(run)
    one = charts(page)["Loss"]
    assert one["series"][0]["y"] == [*values, None, None]
    assert one["y"][1] < 5
    assert re.search(r'<path class="line c0" d="(.*?)"', page.read_text())[1].count("M") == 2


def test_a_page_stays_small_and_says_what_it_leaves_out(tmp_path):
    run = write_run(tmp_path / "run", cells=8, side=80)
    last = (run / "samples" / "step_001000.png").read_bytes()
    for step in range(1010, 1600, 10):
        (run / "samples" / f"step_{step:06d}.png").write_bytes(last)
    page = write_report(run)
    assert page.stat().st_size < 5e6
    steps = frames(page)["steps"]
    assert steps[0] == 200
    assert steps[-1] == 1590
    assert 12 <= len(steps) < 64
    assert f"{len(steps)} of 64 steps with pictures are shown; of every grid 25 of 64 images" in text_of(page)
    both = write_report([run, write_run(tmp_path / "other", cells=8, side=80)], tmp_path / "both.html")
    assert both.stat().st_size < 5e6


def test_pictures_of_any_size_and_kind_fit(tmp_path):
    run = write_run(tmp_path / "run")
    noise = np.random.default_rng(0).integers(1, 255, (1200, 1100, 3), dtype=np.uint8)
    for file in (run / "samples").glob("*.png"):
        Image.fromarray(noise).save(file, compress_level=1)
    page = write_report(run)
    assert PAGE_BYTES / 8 < page.stat().st_size < 5e6
    assert "the upper left of every picture" in text_of(page)


def test_the_cells_of_a_grid_are_found():
    rng = np.random.default_rng(0)
    assert cell_of(picture(rng, 4, 20, 0.5)) == (20, 20, 2)
    assert cell_of(np.stack([picture(rng, 3, 16, 0.5)] * 3, axis=-1)) == (16, 16, 2)
    assert cell_of(rng.integers(1, 255, (50, 50), dtype=np.uint8)) is None
    assert cell_of(np.zeros((20, 20), dtype=np.uint8)) is None


def test_best_score_and_time_left(tmp_path):
    run = read_run(write_run(tmp_path / "run", kind="classifier", state="running"))
    assert best_score(run) == ("val/balanced_accuracy", 300, 0.78, "max")
    for meta in run.checkpoints:
        meta["score"]["mode"] = "min"
    assert best_score(run) == ("val/balanced_accuracy", 500, 0.71, "min")
    assert seconds_left(run) == pytest.approx(500 * 0.11)
    assert run.step == 500
    assert run.steps == 1000


def test_a_run_without_pictures_leaves_its_place_to_the_others(tmp_path):
    runs = [write_run(tmp_path / "classifier", kind="classifier"), write_run(tmp_path / "gan")]
    page = write_report(runs, tmp_path / "page.html")
    assert len(frames(page)["runs"]) == 1
    assert len(re.findall(r'id="samples-\d"', page.read_text())) == 1
    columns = '<div class="columns">\n<div>\n<h3><span class="swatch'  # one gallery has the width of the page
    assert columns not in page.read_text().replace("\n\n", "\n")
    assert '<span class="swatch k1"></span>gan' in page.read_text()
    assert [one["label"] for one in charts(page)["Diversity"]["series"]] == ["real, gan", "gan"]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(SarcoreError, match="missing: there is no such run folder"):
        write_report(tmp_path / "missing")
    with pytest.raises(SarcoreError, match=r"holds no run: none of metrics\.jsonl, status\.json"):
        write_report(tmp_path)
    with pytest.raises(ValueError, match="price is -1"):
        write_report(write_run(tmp_path / "run"), price=-1.0)
    with pytest.raises(ValueError, match="no run folder"):
        write_report([])


def test_the_command_writes_pages_of_one_and_of_several_runs(tmp_path, capsys):
    first, second = (str(write_run(tmp_path / name, kind="classifier")) for name in ("first", "second"))
    assert main(["report", first, "--price", "0.5"]) == 0
    assert f"Page: {first}/report.html" in capsys.readouterr().out
    assert main(["report", first, second, "--out", str(tmp_path / "both.html")]) == 0
    assert "2 training runs" in (tmp_path / "both.html").read_text()
    capsys.readouterr()
    assert main(["report", first, second]) == 1
    assert "say where with --out page.html" in capsys.readouterr().err
