"""The study of first weights in miniature."""

import csv
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sarcore.data import Split, write_simulated
from sarcore.engine import FitConfig
from sarcore.errors import CheckpointError, DataError, SarcoreError
from sarcore.experiments import init_study
from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.classification import train_classifier
from sarcore.experiments.contrastive import train_contrastive
from sarcore.experiments.curve import run_curve
from sarcore.experiments.curve_config import CurveConfig
from sarcore.experiments.given_weights import fingerprint
from sarcore.experiments.init_config import InitConfig
from sarcore.experiments.init_study import reduced, run_init
from sarcore.experiments.patches import PatchTensor, encoded
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainClassifier, TrainContrastive
from sarcore.models import ClassifierConfig, ContrastiveConfig
from sarcore.models.resnet import ResNet
from sarcore.ops import Radiometry
from sarcore.report import write_report


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    return write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=40, seed=3)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Weights of a network with three channels and a head of its own, as those of ImageNet have."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "imagenet.safetensors"
    save_file({k: v.contiguous() for k, v in ResNet(18, channels=3, classes=10, width=4).state_dict().items()}, path)
    return path


def tiny(data, **changes):
    training = {"width": 4, "size": 20, "steps": 2, "batch_size": 8, "lr": 1e-9, **changes.pop("classifier", {})}
    settings = {
        "fractions": (25.0, 100.0),
        "seeds": 2,
        "contrastive_steps": 2,
        "contrastive_batch_size": 8,
        **changes,
    }
    return InitConfig(data, classifier=ArmTraining(**training), **settings)


@pytest.fixture(scope="module")
def finished(data, imagenet, tmp_path_factory):
    run = tmp_path_factory.mktemp("init") / "run"
    return run, run_init(tiny(data, imagenet=imagenet), run, Silent())


def weights_of(cell, name="layer1.0.conv1.weight"):
    state = load_file(next(cell.glob("checkpoints/step_*/weights.safetensors")))
    return state.get(name, state.get(f"backbone.{name}"))


def test_every_classifier_starts_from_the_weights_that_it_is_named_after(finished, imagenet):
    """At a rate of 1e-9 the first weights are the last ones."""
    run, _ = finished
    given = load_file(imagenet)["layer1.0.conv1.weight"]
    for seed in (0, 1):
        for share in ("25", "100"):
            cells = {
                arm: run / f"fraction_{share}" / arm / f"seed_{seed}" for arm in ("random", "imagenet", "contrastive")
            }
            assert torch.allclose(weights_of(cells["imagenet"]), given, atol=1e-5)
            pretrained = weights_of(run / "contrastive" / f"seed_{seed}")
            assert torch.allclose(weights_of(cells["contrastive"]), pretrained, atol=1e-5)
            assert not torch.allclose(weights_of(cells["random"]), given, atol=1e-2)
            assert not torch.allclose(weights_of(cells["random"]), pretrained, atol=1e-2)
    one, other = (weights_of(run / "contrastive" / f"seed_{seed}") for seed in (0, 1))
    assert not torch.allclose(one, other, atol=1e-2)


def test_results_and_page(finished):
    run, results = finished
    assert results == json.loads((run / "results.json").read_text())
    assert [(row["fraction"], row["arm"]) for row in results["rows"]] == [
        (share, arm) for share in (25.0, 100.0) for arm in ("random", "imagenet", "contrastive")
    ]
    assert results["aim"] is None
    assert results["reference"] == "random"
    page = write_report(run).read_text()
    assert "From which weights should a classifier of SAR patches start?" in page
    assert "a self-supervised start" in page


def test_nothing_is_trained_twice_and_other_weights_are_another_study(finished, data, imagenet, tmp_path, monkeypatch):
    run, results = finished
    monkeypatch.setattr(init_study, "pretrain_on", None)
    monkeypatch.setattr(init_study, "train_cell", None)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(imagenet.read_bytes())
    assert run_init(tiny(data, imagenet=moved), run, Silent())["rows"] == results["rows"]
    others = {k: v + 1 for k, v in load_file(imagenet).items()}
    save_file(others, moved)
    with pytest.raises(SarcoreError, match="imagenet was"):
        run_init(tiny(data, imagenet=moved), run, Silent())


def test_runs_are_taken_as_weights(finished, data, tmp_path):
    run, _ = finished
    pretrained, classifier = run / "contrastive" / "seed_0", run / "fraction_100" / "random" / "seed_0"
    config = tiny(data, contrastive=str(pretrained), sar=classifier, fractions=(25.0,), seeds=1)
    assert [cell.name for cell in config.cells()] == [
        f"fraction_25/{arm}/seed_0" for arm in ("random", "contrastive", "sar")
    ]
    run_init(config, tmp_path / "run", Silent())
    for arm, source in (("contrastive", pretrained), ("sar", classifier)):
        started = weights_of(tmp_path / "run" / "fraction_25" / arm / "seed_0")
        assert torch.allclose(started, weights_of(source), atol=1e-5)


def test_weights_of_another_network_are_refused_before_anything_is_written(data, imagenet, tmp_path):
    with pytest.raises(CheckpointError, match="same depth and width"):
        run_init(tiny(data, imagenet=imagenet, classifier={"width": 8}), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_weights_that_know_the_test_scenes_are_refused_before_anything_is_written(finished, data, tmp_path):
    """Pre-training on the whole folder, and a classifier that starts from it on training scenes alone."""
    everything = tmp_path / "everything"
    training = TrainContrastive(
        data, val_fraction=0.0, model=ContrastiveConfig(18, 4), fit=FitConfig(steps=1, batch_size=8)
    )
    train_contrastive(training, everything, Silent())
    tests = len(Split.load(finished[0] / "split.json").test)
    with pytest.raises(
        DataError, match=f"everything: learnt from {tests} of the {tests} test patches, .* --split-seed"
    ):
        run_init(tiny(data, contrastive=str(everything)), tmp_path / "run", Silent())
    config = CurveConfig(data, (100.0,), ("flips",), 1, ArmTraining(width=4, steps=2, init=str(everything)))
    with pytest.raises(DataError, match="everything: learnt from"):
        run_curve(config, tmp_path / "run", Silent())
    later = tmp_path / "later"
    model = ClassifierConfig(depth=18, width=4)
    split = finished[0] / "split.json"
    run = TrainClassifier(data, split, str(everything), 0.0, 0.0, model, FitConfig(steps=1, batch_size=8))
    train_classifier(run, later, Silent())
    with pytest.raises(DataError, match="everything: learnt from"):
        run_init(tiny(data, contrastive="none", sar=later), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_a_classifier_that_knows_hidden_labels_is_named(finished, data, tmp_path):
    known = finished[0] / "fraction_100" / "random" / "seed_0"
    config = tiny(data, contrastive="none", sar=known, fractions=(25.0,), seeds=1)
    results = run_init(config, tmp_path / "run", Silent())
    assert any("knows some of those that are to be unknown" in text for text in results["dataset"]["remarks"])
    assert finished[1]["dataset"]["remarks"] == []


def test_data_of_one_scene_and_a_size_above_theirs_leave_no_folder(data, tmp_path):
    one = tmp_path / "one"
    shutil.copytree(data, one)
    rows = list(csv.DictReader((one / "labels.csv").read_text().splitlines()))
    with (one / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows({**row, "scene": "only"} for row in rows)
    with pytest.raises(DataError, match="come from one scene"):
        run_init(tiny(one), tmp_path / "run", Silent())
    with pytest.raises(ValueError, match="size must be at most the side of the patches, 40 pixels; 64 was given"):
        run_init(tiny(data, classifier={"size": 64}), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_a_study_without_self_supervised_weights(data):
    config = tiny(data, contrastive="none", seeds=1)
    assert config.sources == {"random": "random"}
    assert len(list(config.cells())) == 2


def test_patches_are_reduced_by_means_of_what_they_stand_for():
    images = torch.arange(32, dtype=torch.uint8).view(1, 1, 4, 8).repeat(3, 1, 1, 1)
    patches = PatchTensor(images, torch.tensor([2, 0, 1]), Radiometry("digital", 0.0, 255.0))
    small = reduced(patches, 4)
    expected = images.double().view(3, 1, 2, 2, 4, 2).mean((3, 5))
    assert torch.allclose(small.arrays()[0].double(), expected, atol=1e-4)
    assert torch.allclose(encoded(small).double(), expected / 255, atol=1e-6)
    assert small.labels.tolist() == [2, 0, 1]
    assert reduced(patches, 0) is patches
    assert reduced(patches, 8) is patches


def test_a_fingerprint_is_that_of_names_shapes_and_values():
    base = {"a": torch.zeros(2), "b": torch.ones(1)}
    same = fingerprint({"b": torch.ones(1), "a": torch.zeros(2)})
    assert fingerprint(base) == same
    changed = [{**base, "a": torch.tensor([0.0, 1e-30])}, {"a": base["a"]}, {**base, "a": torch.zeros(2, 1)}]
    assert same not in {fingerprint(one) for one in changed}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier": {"init": "weights.pth"}}, "start from the weights that are compared"),
        ({"contrastive_batch_size": 1}, "contrastive_batch_size must be at least 2"),
        ({"fractions": (101.0,)}, "different percentages"),
        ({"test_fraction": 0.0}, "test_fraction must lie in"),
    ],
)
def test_settings_that_are_refused(data, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(data, **changes)
