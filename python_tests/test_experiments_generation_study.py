"""The study of generation in miniature."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from sarcore.cli import main
from sarcore.data import PatchFolder, Split, write_simulated
from sarcore.engine import Diverged
from sarcore.errors import DataError, SarcoreError
from sarcore.experiments import generation, generation_study
from sarcore.experiments.generation_study import run_study
from sarcore.experiments.generation_study_config import GenerationStudyConfig
from sarcore.experiments.progress import Silent
from sarcore.experiments.set_scores import BETTER
from sarcore.report import write_report

CLASSES = ("forest", "settlement", "water")
ARMS = {"hard/sarcore", "hard/gan", "simple/sarcore", "simple/gan"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Patches of three classes and four scenes each."""
    full = write_simulated(
        tmp_path_factory.mktemp("patches") / "set", scenes_per_class=4, patches_per_scene_side=2, size=40
    )
    head, *lines = (full / "labels.csv").read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.split("/")[0] in CLASSES]
    (full / "labels.csv").write_text("".join([head, *kept]))
    return full


def tiny(data: Path, **changes) -> GenerationStudyConfig:
    given = {"scenarios": ("hard", "simple"), "presets": ("sarcore", "gan"), "seeds": 1, "samples": 30, "repeats": 2}
    given |= {f"{kind}_{name}": 4 for kind in ("began", "gan") for name in ("steps", "width", "batch_size")}
    given |= {"pretraining_steps": 2, "pretraining_width": 4}
    return GenerationStudyConfig(
        data, **{**given, "features_steps": 6, "features_width": 4, "features_batch_size": 16, **changes}
    )


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("study") / "run"
    return run, run_study(tiny(data), run, Silent())


# --- the trainings ---


def test_there_is_a_training_for_every_cell(finished):
    run, results = finished
    assert {path.parent.parent.relative_to(run).as_posix() for path in run.glob("*/*/seed_0/result.json")} == ARMS
    assert [row["arm"] for row in results["rows"]] == ["hard/sarcore", "hard/gan", "simple/sarcore", "simple/gan"]
    assert results["missing"] == []
    assert results == json.loads((run / "results.json").read_text())


def test_generators_and_the_classifier_see_the_training_scenes_alone(data, tmp_path, monkeypatch):
    seen, folder = {}, PatchFolder.open(data)
    originals = {name: getattr(module, name) for module, name in SEEN}

    def keeping(name):
        def train(patches, *args, **more):
            seen.setdefault(name, []).append(patches)
            return originals[name](patches, *args, **more)

        return train

    for module, name in SEEN:
        monkeypatch.setattr(module, name, keeping(name))
    run_study(tiny(data, scenarios=("hard",)), tmp_path / "run", Silent())
    split = Split.load(tmp_path / "run" / "split.json")
    assert {folder.scenes[i] for i in split.train}.isdisjoint({folder.scenes[i] for i in split.test})
    held_out = {image.numpy().tobytes() for image in folder.subset(split.test).arrays()[0]}
    assert set(seen) == {"train_generator", "train_gan_on", "train_on", "pretrain_features"}
    for patches in (one for group in seen.values() for one in group):
        assert held_out.isdisjoint({image.numpy().tobytes() for image in patches.arrays()[0]})


SEEN = (
    (generation, "train_generator"),
    (generation_study.gan, "train_gan_on"),
    (generation_study, "train_on"),
    (generation_study, "pretrain_features"),
)


def test_the_same_command_does_only_what_is_left(finished, data, tmp_path, monkeypatch):
    run = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(run / "hard" / "sarcore")
    made, original = [], generation.train_generator
    monkeypatch.setattr(
        generation, "train_generator", lambda *args, **more: made.append(more["title"]) or original(*args, **more)
    )
    results = run_study(tiny(data), run, Silent())
    assert made == ["hard, sarcore, seed 0 (1/5)"]
    assert {**results, "seconds": 0} == {**finished[1], "seconds": 0}  # and to the same numbers
    results = run_study(tiny(data, presets=("sarcore", "gan", "berthelot"), scenarios=("hard",)), run, Silent())
    assert made[1:] == ["hard, berthelot, seed 0 (4/4)"]
    assert set(results["floors"]) == {"hard"}
    with pytest.raises(SarcoreError, match=r"another run \(began_width was 4, is 8\)"):
        run_study(tiny(data, began_width=8), run, Silent())


def test_after_the_budget_nothing_more_is_begun(data, finished, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "run")
    results = run_study(tiny(data, seeds=2), run, Silent(), budget=0.0)
    assert results["missing"] == [
        f"{arm}/seed_1" for arm in ("hard/sarcore", "hard/gan", "simple/sarcore", "simple/gan")
    ]
    assert results["rows"] == finished[1]["rows"]
    assert "4 trainings are left" in write_report(run).read_text()


def test_trainings_of_another_machine_are_scored_in_the_features_of_this_one(finished, data, tmp_path):
    """Two studies with classifiers of their own; the one that takes over scores again, and nothing is trained."""
    here = tmp_path / "here"
    run_study(tiny(data, features=finished[0] / "features"), here, Silent(), budget=0.0)
    there = shutil.copytree(finished[0], tmp_path / "there")
    for cell in there.glob("*/*/seed_0/result.json"):
        content = json.loads(cell.read_text())
        content["space"], content["scores"]["kid"]["value"] = "another", -1000.0
        cell.write_text(json.dumps(content))
    results = run_study(tiny(data), here, Silent(), merge=[there], budget=0.0)
    assert results["missing"] == []
    assert results["rows"] == finished[1]["rows"]
    assert json.loads((here / "hard/gan/seed_0/result.json").read_text())["space"] == results["features"]["space"]


def test_what_a_conditional_generator_draws_is_of_its_class(data, tmp_path):
    """A hundred steps suffice for forest, settlement and water to be told apart more often than by chance."""
    steps = {"gan_steps": 100, "gan_batch_size": 8, "gan_ema": 0.9, "features_steps": 40, "features_width": 8}
    config = tiny(data, scenarios=("hard",), presets=("gan",), samples=40, **steps)
    results = run_study(config, tmp_path / "run", Silent())
    assert results["floors"]["hard"]["classified"]["balanced"] > 0.5  # the classifier knows the classes itself
    assert results["rows"][0]["right_class"]["mean"] > 0.45


def test_a_training_that_diverges_is_a_result(data, finished, tmp_path, monkeypatch):
    run = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(run / "hard" / "sarcore")

    def diverges(*args, **more):
        raise Diverged("loss_g is not finite at step 3")

    monkeypatch.setattr(generation, "train_generator", diverges)
    results = run_study(tiny(data), run, Silent())
    assert results["verdicts"][0]["failed"] == "loss_g is not finite at step 3"
    assert results["sentences"][0] == "hard, sarcore: solved in 0 of 1 seed; seed 0: diverged."
    assert results["rows"][0]["failed"] == 1
    assert all(score is None for score in results["rows"][0]["scores"].values())
    assert "diverged: loss_g is not finite at step 3" in write_report(run).read_text()


def test_one_class_alone(data, tmp_path):
    results = run_study(
        tiny(data, scenarios=("hard",), presets=("gan", "marmanis"), class_name="water", test_fraction=0.5),
        tmp_path / "run",
        Silent(),
    )
    assert results["dataset"]["classes"] == ["water"]
    assert sum(results["dataset"]["patches"]["train"].values()) == results["dataset"]["patches"]["train"]["water"]
    assert results["features"]["test"]["confusion"][0] != results["features"]["test"]["confusion"][-1]  # all classes
    training = json.loads((tmp_path / "run/hard/gan/seed_0/result.json").read_text())
    assert list(training["classified"]["right"]) == ["water"]


def test_what_cannot_be_trained_on_is_found_before_anything_is_trained(data, tmp_path):
    with pytest.raises(DataError, match="class 'moon'|moon"):
        run_study(tiny(data, class_name="moon"), tmp_path / "a", Silent())
    shutil.copytree(data / "water", tmp_path / "one" / "water")
    with pytest.raises(DataError, match="has one class: name it by --class, and by --features"):
        run_study(tiny(tmp_path / "one"), tmp_path / "b", Silent())
    with pytest.raises(DataError, match="12 patches to learn from and 4 held out are too few for batches of 4"):
        run_study(tiny(data, class_name="water"), tmp_path / "c", Silent())
    with pytest.raises(SarcoreError, match=r"no checkpoint in .*nothing"):
        run_study(tiny(data, features=tmp_path / "nothing"), tmp_path / "d", Silent())
    assert not any((tmp_path / name).exists() for name in "abcd")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"presets": ()}, "presets must be different ones, at least one"),
        ({"scenarios": ("hard", "hard")}, "scenarios must be different ones"),
        ({"test_fraction": 1.0}, "test_fraction"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"pretraining_width": 0}, "pretraining_width must be at least 1"),
        ({"began_steps": 0}, "steps is 0"),
        ({"gan_width": 0}, "width must be at least"),
        ({"gan_ema": 1.0}, "ema is 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, says, data):
    with pytest.raises(ValueError, match=says):
        tiny(data, **changes)


def test_an_ablation_is_set_against_its_preset(data, tmp_path, capsys):
    config = tiny(data, scenarios=("hard",), presets=("sarcore",), ablation=True, ablation_changes=("relu",))
    results = run_study(config, tmp_path / "run", Silent())
    (one,) = results["ablation"]
    rows = {row["arm"]: row for row in results["rows"]}
    kid = one["scores"]["kid"]
    assert kid["changed"]["mean"] == rows["hard/sarcore-relu"]["scores"]["kid"]["mean"]
    assert kid["base"]["mean"] == rows["hard/sarcore"]["scores"]["kid"]["mean"]
    assert kid["difference"]["mean"] == pytest.approx(kid["changed"]["mean"] - kid["base"]["mean"])
    assert 0.0 < one["last"]["dead_fraction"]["mean"] < 1.0
    page = write_report(tmp_path / "run").read_text()
    assert one["sentence"] in page
    assert "What every suspected cause does" in page
    assert len(results["sentences"]) == 1  # the preset's; a changed one is not asked whether it solves the scenario


# --- what is written ---


def test_the_table_has_every_score_beside_the_floors(finished):
    run, results = finished
    with (run / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(BETTER) * (2 + 2 * 2)  # two hard arms, two simple ones at two sizes
    line = next(
        x for x in lines if (x["scenario"], x["preset"], x["size"], x["score"]) == ("simple", "gan", "used", "kid")
    )
    row = next(row for row in results["rows"] if row["arm"] == "simple/gan")
    assert float(line["mean"]) == row["used"]["kid"]["mean"]
    assert float(line["other_scenes"]) == results["floors"]["simple"]["used"]["other_scenes"]["kid"]["value"]


def test_the_page_has_answers_tables_pictures_and_curves(finished, tmp_path):
    run, results = finished
    page = write_report(run).read_text()
    assert all(text in page for text in results["sentences"])
    assert page.count('<figure class="picture">') == 3 * (1 + 2)  # real, and two arms: hard, simple, simple enlarged
    for text in ("Real, shrunk and enlarged alike", "BEGAN: balance term k", "GAN: probability of augmentation"):
        assert text in page
    assert "width 4, 2 steps on the training patches without labels; one pre-training, which" in page
    assert "The patches to learn from are synthetic scenes" in page
    assert "What could not be read" not in page
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / "hard/gan/seed_0/generated.png").unlink()
    (damaged / "hard/gan/seed_0/metrics.jsonl").unlink()
    page = write_report(damaged).read_text()
    assert "hard/gan/seed_0/generated.png: cannot be read" in page
    assert "hard/gan/seed_0/metrics.jsonl: is not there" in page


def test_the_command_prints_the_tables_and_names_the_page(data, tmp_path, capsys):
    words = ["--scenarios", "hard", "--presets", "gan", "--seeds", "1", "--samples", "20", "--repeats", "1"]
    words += ["--gan-steps", "2", "--gan-width", "4", "--gan-batch-size", "4", "--features-steps", "2"]
    words += ["--pretraining-steps", "2", "--pretraining-width", "4"]
    run = tmp_path / "run"
    assert (
        main(
            [
                "experiment",
                "generation",
                str(data),
                "--out",
                str(run),
                *words,
                "--features-width",
                "4",
                "--features-batch-size",
                "8",
            ]
        )
        == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "hard, 40 px: means over seeds" in said
    assert "hard, gan: solved in" in said
    assert f"Page: {(run / 'report.html').resolve()}" in said
