"""The augmentation experiment in miniature."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from sarcore.data import PatchFolder, Split, write_simulated
from sarcore.engine import Interrupted
from sarcore.errors import DataError, SarcoreError
from sarcore.experiments import classification, generation
from sarcore.experiments.augmentation import run_augmentation
from sarcore.experiments.augmentation_config import AugmentationConfig
from sarcore.experiments.progress import Silent


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
