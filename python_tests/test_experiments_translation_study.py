"""The study of misregistration in miniature, and what it concludes from numbers that are known."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from sarcore.cli import main
from sarcore.data import PairedFolder, Split, write_image
from sarcore.errors import DataError, SarcoreError
from sarcore.experiments import translation_study
from sarcore.experiments.progress import Silent
from sarcore.experiments.summary import interval
from sarcore.experiments.translation_study import registered, run_study
from sarcore.experiments.translation_study_config import Cell, TranslationStudyConfig
from sarcore.experiments.translation_summary import crossing, overtaking, overtakings, rows_of, sentence
from sarcore.report import write_report

SCENES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two pairs of four scenes; the optical images of alpha lie 2 px to the left and 1 px down of the SAR images."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for scene in SCENES:
        for patch in range(2):
            ground = rng.integers(0, 256, (60, 60), dtype=np.uint8)
            dx, dy = (-2, 1) if scene == "alpha" else (0, 0)
            a, b = ground[8:52, 8:52], ground[8 - dy : 52 - dy, 8 - dx : 52 - dx]
            for folder, image in ((f"s1_{scene}", a[None]), (f"s2_{scene}", np.stack([b, b // 2, b // 4]))):
                (root / folder).mkdir(exist_ok=True)
                write_image(root / folder / f"x_{folder}_p{patch}.png", image)
    (root / "estimated_offsets.csv").write_text("scene,dx,dy,peak_z\nalpha,-2,1,4.0\nbeta,0,0,3.0\n")
    return root


def tiny(data: Path, **changes) -> TranslationStudyConfig:
    given = {"shifts": (0, 3), "seeds": 1, "steps": 2, "crop": 32, "batch_size": 2, "width": 4, "pix2pix_depth": 3}
    return TranslationStudyConfig(data, **{**given, "cyclegan_depth": 1, "test_fraction": 0.25, **changes})


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("study") / "run"
    return run, run_study(tiny(data, rotations=(4.0,), speckle_looks=2.0), run, Silent())


# --- the trainings ---


def test_what_is_known_of_the_registration_is_corrected(data):
    pairs, text = registered(PairedFolder.open(data))
    for i in range(len(pairs)):
        a, b = pairs.pair(i)
        assert (a[0] == b[0]).all(), pairs.keys[i]
    assert pairs.sizes[pairs.scenes.index("alpha")] == (43, 42)
    assert text.startswith("Shift 0 is the registration corrected by estimated_offsets.csv (2 of 4 scenes")


def test_without_offsets_the_registration_is_that_of_the_data(data, tmp_path):
    shutil.copytree(data, tmp_path / "pairs")
    (tmp_path / "pairs" / "estimated_offsets.csv").unlink()
    pairs, text = registered(PairedFolder.open(tmp_path / "pairs"))
    assert set(pairs.sizes) == {(44, 44)}
    assert "nothing is known" in text
    (tmp_path / "pairs" / "estimated_offsets.csv").write_text("scene,dx\nalpha,1\n")
    with pytest.raises(DataError, match=r"estimated_offsets.csv: cannot be read as offsets .* scene, dx, dy"):
        registered(PairedFolder.open(tmp_path / "pairs"))


def test_there_is_a_training_for_every_cell(finished):
    run, results = finished
    arms = {
        "cyclegan", "cyclegan_speckle2", "pix2pix_BtoA_speckle2",
        *(f"pix2pix_{d}_{what}" for d in ("AtoB", "BtoA") for what in ("shift0", "shift3", "rotation4")),
    }  # fmt: skip
    assert {path.parent.parent.name for path in run.glob("*/seed_0/result.json")} == arms
    assert {row["arm"] for row in results["rows"]} == arms
    assert [row["direction"] for row in results["rows"] if row["method"] == "cyclegan"] == ["AtoB", "BtoA"] * 2
    assert results["missing"] == []
    assert results == json.loads((run / "results.json").read_text())


def test_no_scene_is_trained_on_and_tested(finished, data):
    run, results = finished
    split, scenes = Split.load(run / "split.json"), PairedFolder.open(data).scenes
    assert {scenes[i] for i in split.train}.isdisjoint({scenes[i] for i in split.test})
    assert results["pairs"] == {"train": 6, "test": 2}


def test_training_pairs_are_shifted_and_test_pairs_are_not(data, tmp_path, monkeypatch):
    trained, tested = [], []

    real_views, real_judge = translation_study.PairViews, translation_study.judge

    def views(pairs, crop, **more):
        made = real_views(pairs, crop, **more)
        trained.append((more.get("shift", 0), made.folder))
        return made

    def judge(model, pairs, direction, space=None):
        tested.append(pairs)
        return real_judge(model, pairs, direction, space)

    monkeypatch.setattr(translation_study, "PairViews", views)
    monkeypatch.setattr(translation_study, "judge", judge)
    run_study(tiny(data), tmp_path / "run", Silent())
    for shift, folder in trained[1:]:  # the first only looks whether the images are large enough
        equal = [(folder.pair(i)[0][0] == folder.pair(i)[1][0]).all() for i in range(len(folder))]
        assert all(equal) if shift == 0 else not any(equal)
    assert {shift for shift, _ in trained[1:]} == {0, 3}
    assert all((pairs.pair(i)[0][0] == pairs.pair(i)[1][0]).all() for pairs in tested for i in range(len(pairs)))


def test_the_same_command_does_only_what_is_left(finished, data, tmp_path, monkeypatch):
    run = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(run / "cyclegan")
    made = []
    original = translation_study.train_on_pairs

    def train(*args, **more):
        made.append(more["title"])
        return original(*args, **more)

    monkeypatch.setattr(translation_study, "train_on_pairs", train)
    results = run_study(tiny(data, rotations=(4.0,), speckle_looks=2.0), run, Silent())
    assert made == ["cyclegan, seed 0 (1/9)"]
    first = {**finished[1], "seconds": 0}
    assert {**results, "seconds": 0} == first  # and to the same numbers
    run_study(tiny(data, rotations=(4.0,), speckle_looks=2.0, shifts=(0, 2, 3)), run, Silent())
    assert len(made) == 3  # two directions of another shift
    with pytest.raises(SarcoreError, match=r"another run \(width was 4, is 8\)"):
        run_study(tiny(data, rotations=(4.0,), speckle_looks=2.0, width=8), run, Silent())


def test_after_the_budget_nothing_more_is_begun(data, tmp_path):
    results = run_study(tiny(data), tmp_path / "run", Silent(), budget=0.0)
    assert (results["rows"], results["sentences"], len(results["missing"])) == ([], [], 5)
    assert "No seed has both" in write_report(tmp_path / "run").read_text()
    assert not run_study(tiny(data), tmp_path / "run", Silent(), budget=60.0)["missing"]


def test_the_table_has_every_score(finished):
    run, results = finished
    with (run / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(row["scores"]) for row in results["rows"])
    line = next(x for x in lines if (x["method"], x["direction"], x["metric"]) == ("pix2pix", "BtoA", "mae"))
    row = next(row for row in results["rows"] if row["arm"] == "pix2pix_BtoA_shift0")
    assert float(line["mean"]) == row["scores"]["mae"]["mean"]
    assert {x["shift"] for x in lines if x["method"] == "cyclegan"} == {""}


def test_the_page_has_curves_tables_and_pictures(finished):
    run, results = finished
    page = write_report(run).read_text()
    assert all(text in page for text in results["sentences"])
    assert page.count('<figure class="picture">') == 2 * 2 + len(results["rows"])
    assert "CycleGAN, no partners, speckle layer of 2 looks" in page
    assert "Pix2Pix, 4° turned" in page
    assert "What could not be read" not in page
    (run / "pix2pix_AtoB_shift0" / "seed_0" / "AtoB.png").unlink()
    assert "pix2pix_AtoB_shift0/seed_0/AtoB.png: cannot be read" in write_report(run).read_text()


def test_the_command_prints_the_table_and_names_the_page(data, tmp_path, capsys):
    words = ["--shifts", "0", "3", "--seeds", "1", "--steps", "1", "--crop", "32", "--batch-size", "2", "--width", "4"]
    words += ["--pix2pix-depth", "3", "--cyclegan-depth", "1", "--test-fraction", "0.25"]
    assert main(["experiment", "translation", str(data), "--out", str(tmp_path / "run"), *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "SAR to optical: mean (95 % interval)" in said
    assert f"Page: {(tmp_path / 'run' / 'report.html').resolve()}" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shifts": (1, 2)}, "with 0 among them"),
        ({"shifts": (0, 2, 2)}, "different whole pixels"),
        ({"rotations": (0.0,)}, "between 0 and 90 degrees"),
        ({"test_fraction": 1.0}, "test_fraction"),
        ({"width": 0}, "width must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(changes, says, data):
    with pytest.raises(ValueError, match=says):
        tiny(data, **changes)


def test_images_too_small_for_the_shifts_are_found_before_anything_is_trained(data, tmp_path):
    with pytest.raises(DataError, match="32"):
        run_study(tiny(data, shifts=(0, 16)), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


# --- what is concluded ---


def test_a_crossing_is_found_where_it_was_made():
    """Losses of 3 seeds and 40 images: the paired method loses 0.01 per pixel, the other one stands at 0.135."""
    rng, shifts = np.random.default_rng(0), (0, 1, 2, 4, 8, 16)
    image = 0.1 * rng.random((1, 40))
    paired = [0.1 + 0.01 * s + image + 0.002 * rng.standard_normal((3, 40)) for s in shifts]
    unpaired = 0.135 + image + 0.002 * rng.standard_normal((3, 40))
    found = overtaking(shifts, paired, unpaired, [str(i // 2) for i in range(40)])
    assert found["low"] < 3.5 < found["high"]
    assert found["shift"] == pytest.approx(3.5, abs=0.15)
    assert found["high"] - found["low"] < 0.6
    assert (found["within"], found["scenes"], found["seeds"]) == (1.0, 20, 3)


def test_a_crossing_beyond_the_range_is_said_to_be():
    never = overtaking((0, 4), [np.zeros((2, 6)), np.full((2, 6), 0.1)], np.ones((2, 6)), list("aabbcc"))
    assert (never["shift"], never["low"], never["high"], never["within"]) == (None, None, None, 0.0)
    text = sentence("AtoB", "psnr", never)
    assert (
        text
        == "SAR to optical, PSNR: Pix2Pix stays better than CycleGAN up to 4 px (95 % bootstrap beyond 4 px, 2 seeds)."
    )
    always = overtaking((0, 4), [np.ones((1, 6)), np.ones((1, 6))], np.zeros((1, 6)), list("aabbcc"))
    assert (always["shift"], always["low"], always["high"]) == (0.0, 0.0, 0.0)
    assert sentence("BtoA", "spectrum", always) == (
        "Optical to SAR, spectrum: CycleGAN is better than Pix2Pix even without a shift "
        "(95 % bootstrap 0.0 px, 1 seed)."
    )


def test_whole_scenes_are_drawn_anew():
    """One scene of many images decides the sign: drawn by images the interval would be far too short."""
    gap = np.concatenate([np.full(30, -1.0), np.full(30, 1.1)])[None]
    few = overtaking((0, 8), [gap - 2, gap], np.zeros((1, 60)), ["a"] * 30 + ["b"] * 30)
    many = overtaking((0, 8), [gap - 2, gap], np.zeros((1, 60)), [str(i) for i in range(60)])
    assert few["within"] < 0.8
    assert abs(few["within"] - 0.75) < 0.05  # aa, ab, ba, bb: three of four hold the scene that crosses
    assert many["within"] < 1.0


def test_a_crossing_between_two_shifts_lies_on_a_straight_line():
    assert crossing((0, 2, 6), (-0.3, -0.1, 0.3)) == pytest.approx(3.0)
    assert math.isinf(crossing((0, 2), (-0.3, 0.0)))


def test_intervals_are_students():
    found = interval([0.5, 0.6, 0.7])
    assert (found["low"], found["high"]) == (pytest.approx(0.3516, abs=1e-4), pytest.approx(0.8484, abs=1e-4))


def test_rows_put_the_seeds_of_an_arm_together():
    cells = [
        (Cell("pix2pix", "AtoB", 4, seed=s), {"scores": {"AtoB": {"mae": v, "psnr": None}}})
        for s, v in enumerate((0.1, 0.3))
    ]
    (row,) = rows_of(cells)
    assert (row["seeds"], row["shift"], row["scores"]["mae"]["mean"]) == (2, 4, pytest.approx(0.2))
    assert set(row["scores"]) == {"mae"}


def test_overtakings_turn_what_is_better_high():
    """CycleGAN at MAE 0.12 and 17 dB, Pix2Pix at 0.10 and 20 dB unshifted, 0.14 and 16 dB at 4 px."""
    scenes = ["a", "a", "b"]

    def result(mae, psnr, emd):
        images = {"mae": [mae] * 3, "psnr": [psnr] * 3, "ssim": [0.5 - mae] * 3}
        return {"images": {"AtoB": images}, "scores": {"AtoB": {"emd": emd, "spectrum": None}}}

    values = [result(0.10, 20.0, 0.05), result(0.14, 16.0, 0.05), result(0.12, 17.0, 0.02)]
    arms = [Cell("pix2pix", "AtoB", 0), Cell("pix2pix", "AtoB", 4), Cell("cyclegan")]
    found = overtakings(list(zip(arms, values, strict=True)), (4, 0), scenes)
    assert set(found) == {"AtoB"}
    shifts = {name: each["shift"] for name, each in found["AtoB"].items()}
    assert shifts == {"mae": pytest.approx(2), "psnr": pytest.approx(3), "ssim": pytest.approx(2), "emd": 0.0}
    assert overtakings(list(zip(arms[:2], values[:2], strict=True)), (0, 4), scenes) == {}
