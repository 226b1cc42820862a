"""The augmentation experiment in miniature, and the single commands."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from sarcore.cli import main
from sarcore.data import PatchFolder, Split, write_simulated
from sarcore.engine import FitConfig, Interrupted, read_metrics
from sarcore.errors import CheckpointError, DataError, SarcoreError
from sarcore.experiments import classification, generation
from sarcore.experiments.augmentation import run_augmentation
from sarcore.experiments.augmentation_config import AugmentationConfig
from sarcore.experiments.classification import evaluate_classifier, train_classifier
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_config import TrainBegan, TrainClassifier
from sarcore.models import BEGANConfig, ClassifierConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    return write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=32, seed=3)


def tiny(data, **changes):
    settings = {
        "data": data,
        "synthetic": 5,
        "seeds": 2,
        "began_steps": 4,
        "began_width": 4,
        "began_batch_size": 4,
        "depth": 18,
        "classifier_steps": 2,
        "classifier_batch_size": 4,
        **changes,
    }
    return AugmentationConfig(**settings)


class Recorder:
    """Stands in front of the engine's fit and keeps what it was given."""

    def __init__(self, fit):
        self.fit, self.calls = fit, []

    def __call__(self, task, dataset, config, run_dir, **more):
        weights = {k: v.clone() for k, v in task.state_dict().items()}
        self.calls.append({"run": run_dir, "config": config, "weights": weights, "data": dataset})
        return self.fit(task, dataset, config, run_dir, **more)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """One finished run: (folder, results, recorded fits)."""
    run = tmp_path_factory.mktemp("augmentation") / "run"
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(classification.fit)
        patch.setattr(classification, "fit", recorder)
        patch.setattr(generation, "fit", recorder)
        results = run_augmentation(tiny(data), run, Silent())
    return run, results, recorder.calls


# --- the experiment ---


def test_results_add_up(finished, data):
    run, results, _ = finished
    assert json.loads((run / "results.json").read_text()) == json.loads(json.dumps(results))
    folder, split = PatchFolder.open(data), Split.load(run / "split.json")
    test_counts = list(folder.subset(split.test).class_counts().values())
    for arm in ("baseline", "augmented"):
        assert [one["seed"] for one in results["arms"][arm]] == [0, 1]
        for one in results["arms"][arm]:
            assert np.sum(one["confusion"], axis=1).tolist() == test_counts
    pairs = zip(results["arms"]["baseline"], results["arms"]["augmented"], strict=True)
    differences = [b["overall_accuracy"] - a["overall_accuracy"] for a, b in pairs]
    assert results["summary"]["overall_accuracy"]["difference"]["mean"] == pytest.approx(np.mean(differences))
    assert results["dataset"]["synthetic"] is True
    assert {"config", "seeds", "versions", "hardware"} <= json.loads((run / "run.json").read_text()).keys()
    assert {p.name for p in (run / "grids").iterdir()} == {"real.png", "prepared.png", "generated.png"}


def test_generated_patches_are_real_files_of_patch_size(finished):
    run, _, _ = finished
    made = generation.read_patches(run / "synthetic", "settlement")
    assert made.shape == (5, 1, 32, 32)
    assert made.dtype == torch.uint8
    assert json.loads((run / "synthetic" / "dataset.json").read_text())["synthetic"] is True


def test_both_arms_are_trained_alike(finished):
    fits = {call["run"].relative_to(finished[0]).as_posix(): call for call in finished[2]}
    for seed in (0, 1):
        first, second = fits[f"baseline/seed_{seed}"], fits[f"augmented/seed_{seed}"]
        assert first["config"] == second["config"]
        assert first["weights"].keys() == second["weights"].keys()
        assert all(torch.equal(first["weights"][k], second["weights"][k]) for k in first["weights"])
        assert len(second["data"]) == len(first["data"]) + 5
    one, other = (fits[f"baseline/seed_{seed}"]["weights"]["backbone.conv1.weight"] for seed in (0, 1))
    assert not torch.equal(one, other)


def test_no_test_patch_reaches_a_training(finished, data):
    run, _, calls = finished
    folder, split = PatchFolder.open(data), Split.load(run / "split.json")
    assert not {folder.scenes[i] for i in split.train} & {folder.scenes[i] for i in split.test}

    def digests(images):
        return {hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images}

    tests = digests(folder.subset(split.test).arrays()[0])
    settlement = folder.subset(split.train).of_class("settlement")
    began = next(call for call in calls if call["run"].name == "began")
    assert digests(began["data"].arrays()[0]) == digests(settlement.arrays()[0])
    for call in calls:
        parts = getattr(call["data"], "datasets", [call["data"]])
        assert not tests & digests(parts[0].arrays()[0])


def test_a_second_call_repeats_nothing_and_a_lost_stage_is_made_again(finished, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run, ignore=shutil.ignore_patterns("checkpoints"))
    recorder = Recorder(classification.fit)
    monkeypatch.setattr(classification, "fit", recorder)
    monkeypatch.setattr(generation, "fit", recorder)
    again = run_augmentation(tiny(data), run, Silent())
    assert not recorder.calls
    assert again["summary"] == finished[1]["summary"]
    (run / "augmented" / "seed_1" / "result.json").unlink()
    again = run_augmentation(tiny(data), run, Silent())
    assert [call["run"].name for call in recorder.calls] == ["seed_1"]
    assert again["summary"] == finished[1]["summary"]
    more = run_augmentation(tiny(data, seeds=3), run, Silent())
    assert [call["run"].name for call in recorder.calls] == ["seed_1", "seed_2", "seed_2"]
    assert more["summary"]["macro_f1"]["difference"]["n"] == 3


class StopAt(Silent):
    def __init__(self, title):
        self.wanted, self.now = title, ""

    def stage(self, title, total):
        self.now = title

    def step(self, step, logs):
        if self.wanted in self.now and step == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_ends_as_if_it_had_not_been(finished, data, tmp_path):
    run = tmp_path / "run"
    for title in ("BEGAN", "augmented, seed 1"):
        with pytest.raises(Interrupted, match="to continue"):
            run_augmentation(tiny(data), run, StopAt(title))
    results = run_augmentation(tiny(data), run, Silent())
    assert results["summary"] == finished[1]["summary"]
    assert results["quality"] == finished[1]["quality"]


def test_a_run_folder_holds_one_experiment(finished, data, tmp_path):
    with pytest.raises(SarcoreError, match="classifier_steps was 2, is 3"):
        run_augmentation(tiny(data, classifier_steps=3), finished[0], Silent())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(SarcoreError, match="no sarcore run"):
        run_augmentation(tiny(data), tmp_path / "other", Silent())
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class_name": "castle"}, "no class 'castle'"),
        ({"began_batch_size": 100}, "fewer than a batch of 100"),
    ],
)
def test_bad_requests_are_refused_before_any_training(data, tmp_path, changes, says):
    with pytest.raises(DataError, match=says):
        run_augmentation(tiny(data, **changes), tmp_path / "run", Silent())
    assert not (tmp_path / "run" / "baseline").exists()


def test_config_is_checked(data):
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        tiny(data, seeds=0)


# --- the single commands ---


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
    assert any("falls until step 5 now; up to here it did until 4" in said for said in notes.said)


def test_evaluation_refuses_other_classes_sizes_and_models(classifier, finished, data, tmp_path):
    run, _ = classifier
    small = write_simulated(tmp_path / "small", scenes_per_class=2, patches_per_scene_side=1, size=16)
    with pytest.raises(DataError, match="was trained on"):
        evaluate_classifier(run, small)
    copy = shutil.copytree(data, tmp_path / "copy")
    (copy / "labels.csv").unlink()
    (copy / "water").rename(copy / "lake")
    with pytest.raises(DataError, match="class lake is unknown"):
        evaluate_classifier(run, copy)
    with pytest.raises(CheckpointError, match="classifier was expected"):
        evaluate_classifier(finished[0] / "began", data)


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


def test_began_of_all_classes_draws_the_same_patches_from_the_same_seed(data, tmp_path):
    small = {"model": BEGANConfig.preset("sarcore", width=4), "fit": FitConfig(steps=2, batch_size=4)}
    generation.train_began(TrainBegan(data, scenario="hard", **small), tmp_path / "run", Silent())
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        info = generation.generate_folder(
            tmp_path / "run", tmp_path / out, 3, Silent(), size=48, filter="bilinear", seed=seed
        )
    a, b, c = (generation.read_patches(tmp_path / out, info["class"]) for out in "abc")
    assert a.shape == (3, 1, 48, 48)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    with pytest.raises(DataError, match="not an empty folder"):
        generation.generate_folder(tmp_path / "run", tmp_path / "a", 3, Silent(), filter="bicubic", seed=0)
    with pytest.raises(ValueError, match="of side 32"):
        generation.generate_folder(tmp_path / "run", tmp_path / "d", 3, Silent(), size=16, filter="bicubic", seed=0)
    assert not (tmp_path / "d").exists()


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
