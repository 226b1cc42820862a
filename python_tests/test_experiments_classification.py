"""Classifiers: trained, scored, started from other weights."""

import json
import shutil

import pytest
import torch

from sarcore.cli import main
from sarcore.data import PatchFolder, Split, write_simulated
from sarcore.engine import FitConfig, read_metrics, save_checkpoint
from sarcore.errors import CheckpointError, DataError
from sarcore.experiments import classification
from sarcore.experiments.classification import evaluate_classifier, train_classifier
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainClassifier
from sarcore.models import ClassifierConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    return write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=32, seed=3)


def small_classifier(data, **changes):
    fit = FitConfig(steps=4, batch_size=4, log_every=4, checkpoint_every=2, accelerator="cpu")
    settings = {"model": ClassifierConfig(depth=18), "fit": fit, **changes}
    return TrainClassifier(data, **settings)


@pytest.fixture(scope="module")
def classifier(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("classifier") / "run"
    return run, train_classifier(small_classifier(data), run, Silent())


def test_evaluation_repeats_the_scores_of_the_training(classifier, data, tmp_path):
    run, results = classifier
    again = evaluate_classifier(run, data)
    assert again["part"] == "test"
    assert again["confusion"] == results["test"]["confusion"]
    assert evaluate_classifier(run, data, "all")["patches"] == 84
    copy = shutil.copytree(data, tmp_path / "copy")
    shutil.rmtree(copy / "water")
    (copy / "labels.csv").unlink()
    elsewhere = evaluate_classifier(run, copy)
    assert (elsewhere["part"], elsewhere["patches"]) == ("all", 72)
    assert elsewhere["recall"][elsewhere["classes"].index("water")] is None
    with pytest.raises(DataError, match="not the folder"):
        evaluate_classifier(run, copy, "val")


def test_the_best_validated_classifier_is_tested_and_evaluated(data, tmp_path):
    config = small_classifier(data, val_fraction=0.33, test_fraction=0.33)
    results = train_classifier(config, tmp_path / "run", Silent())
    rows = {row["step"]: row["val/balanced_accuracy"] for row in read_metrics(tmp_path / "run")}
    assert list(rows) == [2, 4]
    best = max(rows, key=lambda step: (rows[step], -step))
    assert results["best"] == {"step": best, "name": "balanced_accuracy", "value": rows[best], "mode": "max"}
    assert results["val"]["balanced_accuracy"] == pytest.approx(rows[best])
    lines = (tmp_path / "run" / "validation.jsonl").read_text().splitlines()
    seen = {row["step"]: row for row in map(json.loads, lines)}
    assert seen[best]["confusion"] == results["val"]["confusion"]
    chosen = evaluate_classifier(tmp_path / "run" / "checkpoints" / f"step_{best:06d}", data)
    assert chosen["confusion"] == evaluate_classifier(tmp_path / "run", data)["confusion"]
    assert chosen["confusion"] == results["test"]["confusion"]


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def test_what_a_training_goes_on_with_or_without_is_said(classifier, data, tmp_path):
    run, notes = shutil.copytree(classifier[0], tmp_path / "run"), Notes()
    assert classifier[1]["best"] is None  # of three scenes per class none is left for a tenth
    longer = FitConfig(steps=5, batch_size=4, log_every=4, checkpoint_every=2, accelerator="cpu")
    assert train_classifier(small_classifier(data, fit=longer), run, notes)["steps"] == 5
    assert any("No scene was held out for the validation" in said for said in notes.said)
    assert "56 patches to train on, 0 to validate, 28 to test." in notes.said
    assert any("falls until step 5 now; up to here it did until 4" in said for said in notes.said)


def test_a_class_that_the_validation_cannot_judge_is_named(data, tmp_path):
    folder = PatchFolder.open(data)
    water = folder.classes.index("water")
    val = [i for i, label in enumerate(folder.labels.tolist()) if label != water][::2]
    train = [i for i in range(len(folder)) if i not in val]
    Split(train, val, [], seed=0).save(tmp_path / "split.json")
    notes, config = Notes(), small_classifier(data, split=tmp_path / "split.json")
    train_classifier(config, tmp_path / "run", notes)
    assert f"{len(train)} patches to train on, {len(val)} to validate, 0 to test." in notes.said
    assert any("no patch of water: the best checkpoint is chosen without it" in said for said in notes.said)


def test_evaluation_refuses_other_classes_sizes_and_models(classifier, data, tmp_path):
    run, _ = classifier
    small = write_simulated(tmp_path / "small", scenes_per_class=2, patches_per_scene_side=1, size=16)
    with pytest.raises(DataError, match="was trained on"):
        evaluate_classifier(run, small)
    copy = shutil.copytree(data, tmp_path / "copy")
    (copy / "labels.csv").unlink()
    (copy / "water").rename(copy / "lake")
    with pytest.raises(DataError, match="class lake is unknown"):
        evaluate_classifier(run, copy)
    save_checkpoint(tmp_path / "began", 1, torch.nn.Linear(1, 1), {}, {"kind": "began"})
    with pytest.raises(CheckpointError, match="classifier was expected"):
        evaluate_classifier(tmp_path / "began", data)


def test_initial_weights_from_a_run_and_from_files(classifier, tmp_path):
    run, _ = classifier
    state = classification.read_initial_weights(str(run))
    assert "conv1.weight" in state
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    from_file = classification.read_initial_weights(str(tmp_path / "weights.pth"))
    assert all(torch.equal(state[k], from_file[k]) for k in state)
    cut = (tmp_path / "weights.pth").read_bytes()[:1000]
    (tmp_path / "cut.pth").write_bytes(cut)
    (tmp_path / "cut.safetensors").write_bytes(cut)
    for name in ("cut.pth", "cut.safetensors", "missing.pth"):
        with pytest.raises(CheckpointError, match=name):
            classification.read_initial_weights(str(tmp_path / name))


def test_a_classifier_takes_a_given_split(data, tmp_path, capsys):
    count = len(PatchFolder.open(data))
    mine = Split(list(range(1, count, 2)), [], list(range(0, count, 2)), seed=0)
    run = tmp_path / "run"
    small = ["--depth", "18", "--steps", "1", "--batch-size", "2", "--split", str(mine.save(tmp_path / "mine.json"))]
    assert main(["train", "classifier", str(data), "--out", str(run), *small]) == 0
    assert f"{len(mine.test)} patches of the test part" in capsys.readouterr().out
    assert Split.load(run / "split.json") == mine
    assert evaluate_classifier(run, data)["patches"] == len(mine.test)
    Split(mine.test, [], mine.train, seed=0).save(tmp_path / "mine.json")
    assert main(["train", "classifier", str(data), "--out", str(run), *small]) == 1
    assert "holds another run (split was " in capsys.readouterr().err
    for wrong, says in ((Split([0], [], [count], 0), f"up to number {count}, .*has {count} patches"),
                        (Split([], [], [1], 0), "no patches to train on")):  # fmt: skip
        given = small_classifier(data, split=wrong.save(tmp_path / "x.json"))
        with pytest.raises(DataError, match=says):
            train_classifier(given, tmp_path / "x", Silent())
    assert not (tmp_path / "x").exists()
