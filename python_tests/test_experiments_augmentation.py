"""The augmentation study in miniature."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from sarcore.data import PatchFolder, Split, write_simulated
from sarcore.engine import Interrupted
from sarcore.errors import CheckpointError, DataError, SarcoreError
from sarcore.experiments import classification, gan, generation
from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.augmentation import run_augmentation
from sarcore.experiments.augmentation_config import AugmentationConfig
from sarcore.experiments.augmentation_generator import read_drawn
from sarcore.experiments.cells import merge_cells
from sarcore.experiments.given_weights import check_given
from sarcore.experiments.progress import Silent
from sarcore.experiments.runs import open_run
from sarcore.models.resnet import ResNet

ARMS = ["flips", "gan_rarest", "both_rarest", "gan_all", "both_all", "synthetic_only"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=20, seed=3)
    lines = (folder / "labels.csv").read_text().splitlines()
    kept = [line for line in lines[1:] if line.startswith(("agriculture/", "forest/", "water/"))]
    rarest = [line for line in kept if line.startswith("water/")][:2]
    (folder / "labels.csv").write_text("\n".join([lines[0], *(line for line in kept if line not in rarest)]) + "\n")
    return folder


TRAINING = ArmTraining(depth=18, width=4, steps=2, batch_size=8)


def tiny(data, **changes):
    settings = {
        "data": data,
        "arms": ("flips", "gan", "both", "synthetic_only"),
        "targets": ("rarest", "all"),
        "synthetic": 4,
        "seeds": 2,
        "classifier": TRAINING,
        "generator_steps": 2,
        "generator_width": 2,
        "generator_batch_size": 4,
        "generator_speckle": "none",
        "pretraining_steps": 2,
        "pretraining_width": 4,
        **changes,
    }
    return AugmentationConfig(**settings)


class Recorder:
    """Stands in front of the engine's fit and keeps what it was given."""

    def __init__(self, patch):
        self.calls, fit = [], classification.fit

        def recorded(task, dataset, config, run_dir, **more):
            weights = {k: v.clone() for k, v in task.state_dict().items()}
            self.calls.append({"run": run_dir, "config": config, "weights": weights, "data": dataset})
            return fit(task, dataset, config, run_dir, **more)

        for module in (classification, gan, generation):
            patch.setattr(module, "fit", recorded)

    def names(self, run):
        return [call["run"].relative_to(run).as_posix() for call in self.calls]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """One finished run: (folder, results, recorded fits)."""
    run = tmp_path_factory.mktemp("augmentation") / "run"
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        results = run_augmentation(tiny(data), run, Silent())
    return run, results, recorder


def test_results_add_up(finished, data):
    run, results, _ = finished
    assert json.loads((run / "results.json").read_text()) == json.loads(json.dumps(results))
    folder, split = PatchFolder.open(data), Split.load(run / "split.json")
    test_counts = list(folder.subset(split.test).class_counts().values())
    assert list(results["arms"]) == ARMS
    flips = results["arms"]["flips"]
    assert flips["difference"] is None
    for name, arm in results["arms"].items():
        assert arm["seeds"] == [0, 1]
        assert all(np.sum(one["confusion"], axis=1).tolist() == test_counts for one in arm["runs"])
        assert arm["scores"]["macro_f1"]["mean"] == pytest.approx(np.mean([one["macro_f1"] for one in arm["runs"]]))
        if name != "flips":
            for score in ("balanced_accuracy", "overall_accuracy", "macro_f1"):
                paired = [b[score] - a[score] for a, b in zip(flips["runs"], arm["runs"], strict=True)]
                assert arm["difference"]["scores"][score]["mean"] == pytest.approx(np.mean(paired))
            recall = [b["recall"][0] - a["recall"][0] for a, b in zip(flips["runs"], arm["runs"], strict=True)]
            assert arm["difference"]["recall"]["agriculture"]["mean"] == pytest.approx(np.mean(recall))
    assert len(results["sentences"]) == len(ARMS) - 1
    assert results["targets"]["rarest"] == ["water"]
    assert results["missing"] == []
    assert results["plan"] is None
    assert results["dataset"]["synthetic"] is True
    assert {"config", "seeds", "versions", "hardware"} <= json.loads((run / "run.json").read_text()).keys()
    assert {p.name for p in (run / "pictures").iterdir()} == {"real.png", "prepared.png", "generated.png"}


def test_the_table_has_what_the_results_have(finished):
    run, results, _ = finished
    with (run / "results.csv").open() as file:
        rows = {(row["arm"], row["score"]): row for row in csv.DictReader(file)}
    assert len(rows) == len(ARMS) * (3 + 3)
    row, arm = rows["gan_all", "balanced_accuracy"], results["arms"]["gan_all"]
    assert float(row["mean"]) == arm["scores"]["balanced_accuracy"]["mean"]
    assert float(row["difference_low"]) == arm["difference"]["scores"]["balanced_accuracy"]["low"]
    assert rows["flips", "recall of water"]["difference"] == ""


def test_generated_patches_go_to_the_classes_of_the_arm(finished, data):
    run, results, recorder = finished
    classes = PatchFolder.open(data).classes
    added = {name: arm["runs"][0]["patches"]["generated"] for name, arm in results["arms"].items()}
    rare = [4 if name == "water" else 0 for name in classes]
    assert added == dict(zip(ARMS, ([0] * 3, rare, rare, [4] * 3, [4] * 3, [4] * 3), strict=True))
    fits = dict(zip(recorder.names(run), recorder.calls, strict=True))
    for name in ARMS:
        assert torch.equal(fits[f"{name}/seed_1"]["data"].labels, fits["flips/seed_1"]["data"].labels)
        assert all(
            torch.equal(value, fits["flips/seed_1"]["weights"][key])
            for key, value in fits[f"{name}/seed_1"]["weights"].items()
        )
        assert fits[f"{name}/seed_1"]["config"] == fits["flips/seed_1"]["config"]
    assert set(results["arms"]["synthetic_only"]["runs"][0]["items"]["real"]) == {0}


def test_no_test_patch_reaches_a_training(finished, data):
    run, _, recorder = finished
    folder, split = PatchFolder.open(data), Split.load(run / "split.json")
    assert not {folder.scenes[i] for i in split.train} & {folder.scenes[i] for i in split.test}

    def digests(images):
        return {hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images}

    tests, train = digests(folder.subset(split.test).arrays()[0]), digests(folder.subset(split.train).arrays()[0])
    assert recorder.names(run).count("generator/all/seed_0") == 1
    for call in recorder.calls:
        seen = digests(call["data"].arrays()[0])
        assert not tests & seen
        assert seen <= train or call["run"].parent.name.startswith(("gan", "both", "synthetic"))


def test_the_drawn_patches_say_what_they_are(finished, data):
    run, results, _ = finished
    drawn = run / "generator" / "all" / "seed_0"
    card = json.loads((drawn / "synthetic" / "dataset.json").read_text())
    assert card["synthetic"] is True
    assert "synthetic" in card["license_note"]
    assert card["model"]["sha256"] == results["generators"][0]["sha256"]
    classes = PatchFolder.open(data).classes
    patches = read_drawn([drawn], classes, ["water", "forest"])
    assert patches.images.shape == (8, 1, 20, 20)
    assert patches.images.dtype == torch.uint8
    assert sorted(set(patches.labels.tolist())) == sorted(classes.index(name) for name in ("water", "forest"))
    assert set(results["generators"][0]["grey_values"]) == set(classes)


def test_a_second_call_repeats_nothing_and_what_is_lost_or_more_is_made(finished, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run, ignore=shutil.ignore_patterns("checkpoints"))
    recorder = Recorder(monkeypatch)
    again = run_augmentation(tiny(data), run, Silent())
    assert not recorder.calls
    assert again["arms"] == finished[1]["arms"]
    (run / "gan_all" / "seed_1" / "result.json").unlink()
    more = run_augmentation(tiny(data, arms=("none", "flips", "gan")), run, Silent())
    assert recorder.names(run) == ["none/seed_0", "none/seed_1", "gan_all/seed_1"]
    for name in ("flips", "gan_rarest", "gan_all"):
        assert more["arms"][name]["scores"] == finished[1]["arms"][name]["scores"]


def test_parts_of_two_machines_are_merged(finished, data, tmp_path, monkeypatch):
    part, other = tmp_path / "part", tmp_path / "other"
    for folder, arms in ((part, ("flips", "both", "generator")), (other, ("flips", "gan", "synthetic"))):
        shutil.copytree(finished[0], folder)
        for cell in folder.iterdir():
            if cell.is_dir() and not cell.name.startswith(arms):
                shutil.rmtree(cell)
    recorder = Recorder(monkeypatch)
    merged = run_augmentation(tiny(data), part, Silent(), merge=(other,))
    assert not recorder.calls
    assert merged["arms"] == finished[1]["arms"]
    open_run(tmp_path / "third", "experiment augmentation", {"synthetic": 9}, PatchFolder.open(data), [0])
    with pytest.raises(SarcoreError, match="differ in .* synthetic"):
        merge_cells(tmp_path / "third", [other], ["data"])


class StopAt(Silent):
    def __init__(self, title):
        self.wanted, self.now = title, ""

    def stage(self, title, total):
        self.now = title

    def step(self, step, logs):
        if self.wanted in self.now and step == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_ends_as_if_it_had_not_been(finished, data, tmp_path):
    run, config = tmp_path / "run", tiny(data, arms=("flips", "gan"), targets=("all",))
    for title in ("generator", "all classes, seed 1"):
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            run_augmentation(config, run, StopAt(title))
    results = run_augmentation(config, run, Silent())
    for name in ("flips", "gan_all"):
        assert results["arms"][name]["scores"] == finished[1]["arms"][name]["scores"]


def test_a_began_of_every_class_serves_the_paper(data, tmp_path, monkeypatch):
    recorder = Recorder(monkeypatch)
    config = tiny(
        data, arms=("flips", "gan"), targets=("largest",), seeds=1, generator="began", scenario="simple",
        generator_width=4, generator_speckle=None,
    )  # fmt: skip
    results = run_augmentation(config, tmp_path / "run", Silent(), minutes=10.0)
    largest = results["targets"]["largest"][0]
    fits = [name for name in recorder.names(tmp_path / "run") if not name.startswith("trials")]
    assert fits == ["flips/seed_0", f"generator/{largest}/seed_0", "gan_largest/seed_0"]
    folder = PatchFolder.open(data)
    learnt = next(call for call in recorder.calls if call["run"].parent.name == largest)["data"]
    assert set(learnt.arrays()[1].tolist()) == {folder.classes.index(largest)}
    assert results["plan"]["kinds"].keys() == {"classifier", "generator"}
    assert results["plan"]["kinds"]["classifier"]["trainings"] == 2
    assert list(results["generators"][0]["drawn"]) == [largest]


def test_a_given_generator_must_not_know_the_test(finished, data, tmp_path):
    given = finished[0] / "generator" / "all" / "seed_0"
    config = tiny(data, arms=("flips", "gan"), targets=("rarest",), seeds=1, generator_run=given)
    results = run_augmentation(config, tmp_path / "run", Silent())
    assert [one["name"] for one in results["generators"]] == ["generator/water/seed_0"]
    assert "steps" not in results["generators"][0]
    folder, split = PatchFolder.open(data), Split.load(finished[0] / "split.json")
    with pytest.raises(DataError, match="learnt from 1 of the 3 test patches"):
        check_given(given, folder, Split([], [], [split.train[0], *split.test[:2]], 0))
    home = tmp_path / "chosen"  # the best of its checkpoints was chosen by patches that are to test
    shutil.copytree(given, home)
    Split(split.train, split.test, [], 0).save(home / "split.json")
    shutil.copy(finished[0] / "run.json", home / "run.json")
    with pytest.raises(DataError, match=f"chosen: was chosen by {len(split.test)} of the {len(split.test)} test"):
        check_given(home, folder, split)
    other = write_simulated(tmp_path / "other", scenes_per_class=2, patches_per_scene_side=1, size=20, seed=4)
    assert "trained on other data" in check_given(given, PatchFolder.open(other), split)[0]


def test_first_weights_are_tried_before_anything_is_written_and_belong_to_the_study(finished, data, tmp_path):
    wrong = ArmTraining(depth=18, width=4, steps=2, batch_size=8, init=str(tmp_path / "nothing.pth"))
    with pytest.raises(CheckpointError, match="nothing.pth: no such weights"):
        run_augmentation(tiny(data, classifier=wrong), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()
    weights = tmp_path / "weights.pth"
    right = ArmTraining(depth=18, width=4, steps=2, batch_size=8, init=str(weights))
    state = ResNet(18, channels=1, classes=3, width=4).state_dict()
    torch.save(state, weights)
    config = tiny(data, arms=("flips",), seeds=1, classifier=right)
    run_augmentation(config, tmp_path / "run", Silent())
    torch.save({name: values + 1 for name, values in state.items()}, weights)
    with pytest.raises(SarcoreError, match="init_fingerprint was"):
        run_augmentation(config, tmp_path / "run", Silent())


def test_a_run_folder_holds_one_study(finished, data, tmp_path):
    longer = ArmTraining(depth=18, width=4, steps=3, batch_size=8)
    with pytest.raises(SarcoreError, match=r"holds another run \(steps was 2, is 3\)"):
        run_augmentation(tiny(data, classifier=longer), finished[0], Silent())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(SarcoreError, match="no sarcore run"):
        run_augmentation(tiny(data), tmp_path / "other", Silent())
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.tex"]
