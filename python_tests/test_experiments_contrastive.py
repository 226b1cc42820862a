"""Pre-training on patches and on scenes: run folders, resuming, and classifiers that start from them."""

import dataclasses
import json

import pytest
import torch

from sarcore.cli.app import run
from sarcore.data import PatchFolder, write_image, write_simulated
from sarcore.data.scene_patches import scene_patches, scenes_in
from sarcore.engine import FitConfig, load_weights
from sarcore.errors import CheckpointError, DataError, SarcoreError
from sarcore.experiments.classification import read_initial_weights, train_on
from sarcore.experiments.contrastive import pretrain_on, train_contrastive
from sarcore.experiments.patches import in_memory
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainClassifier, TrainContrastive
from sarcore.models import ClassifierConfig, ContrastiveConfig
from sarcore.ops import speckle

MODEL = ContrastiveConfig(depth=18, width=4, hidden=16, projection=8)
FIT = FitConfig(steps=4, batch_size=4, checkpoint_every=2, log_every=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SARCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def scenes(tmp_path):
    """Four scenes of 8 bit: 2 x 3 whole patches of 40 pixels in each, and a margin."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in range(4):
        ground = torch.full((1, 1, 90, 130), 40.0 + 20 * number)
        image = speckle(ground, 4.0, seed=number, domain="amplitude")[0].clamp(0, 255)
        write_image(folder / f"s{number}.png", image.round().byte().numpy())
    return folder


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_simulated(tmp_path_factory.mktemp("sim") / "set", scenes_per_class=2, size=40, seed=1)


def test_scenes_are_cut_once_into_whole_patches(scenes, cache):
    files = scenes_in(scenes)
    assert [file.name for file in files] == ["s0.png", "s1.png", "s2.png", "s3.png"]
    folder = scene_patches(files, 40)
    assert (len(folder), folder.shape, sorted(set(folder.scenes))) == (24, (1, 40, 40), ["s0", "s1", "s2", "s3"])
    first = sorted(cache.rglob("*.npy"))[0].stat().st_mtime_ns
    assert scene_patches(files, 40).root == folder.root
    assert sorted(cache.rglob("*.npy"))[0].stat().st_mtime_ns == first
    assert scene_patches(files, 32).root != folder.root
    write_image(files[0], torch.full((1, 90, 130), 9, dtype=torch.uint8).numpy())
    assert scene_patches(files, 40).root != folder.root, "a scene that changed"


def test_folders_of_patches_are_none_of_scenes(patches, scenes, tmp_path):
    assert scenes_in(patches) == []
    assert scenes_in(tmp_path / "nothing") == []
    (scenes / "labels.csv").write_text("file,class\n")
    assert scenes_in(scenes) == []


def test_scenes_too_small_for_a_patch_are_refused(scenes):
    with pytest.raises(DataError, match="no patch"):
        train_contrastive(TrainContrastive(scenes, size=160, model=MODEL, fit=FIT), scenes.parent / "run", Silent())


def test_a_run_on_scenes_goes_on_and_is_judged_on_other_scenes(scenes, tmp_path):
    config = TrainContrastive(scenes, size=40, val_fraction=0.25, model=MODEL, fit=FIT)
    out = tmp_path / "run"
    results = train_contrastive(config, out, Silent())
    assert json.loads((out / "results.json").read_text()) == results
    assert results["patches"] == {"train": 18, "val": 6}
    assert results["best"]["name"] == "loss"
    meta = load_weights(out, kind="contrastive")[0]
    assert meta["config"]["limits"] == [0.0, 255.0]
    assert (meta["config"]["domain"], meta["config"]["total_steps"], meta["shape"]) == ("amplitude", 4, [1, 40, 40])
    longer = dataclasses.replace(config, fit=dataclasses.replace(FIT, steps=6))
    assert train_contrastive(longer, out, Silent())["steps"] == 6
    other = dataclasses.replace(config, model=dataclasses.replace(MODEL, temperature=0.5))
    with pytest.raises(SarcoreError, match="temperature was 0.2, is 0.5"):
        train_contrastive(other, out, Silent())


def test_a_classifier_starts_from_it(patches, tmp_path):
    folder = in_memory(PatchFolder.open(patches))
    start = tmp_path / "contrastive"
    pretrain_on(folder, TrainContrastive(patches, model=MODEL, fit=FIT), start, Silent())
    weights = read_initial_weights(str(start))
    assert "conv1.weight" in weights
    rate = 1e-12  # so that a step leaves the weights as they were
    model = ClassifierConfig(depth=18, width=4, lr=rate, weight_decay=0.0)
    config = TrainClassifier(patches, init=str(start), model=model, fit=dataclasses.replace(FIT, steps=1))
    classes = PatchFolder.open(patches).classes
    trained, _ = train_on(folder, folder, classes, config, tmp_path / "classifier", Silent())
    torch.testing.assert_close(trained.backbone.conv1.weight, weights["conv1.weight"])
    torch.testing.assert_close(trained.backbone.layer4[1].conv2.weight, weights["layer4.1.conv2.weight"])
    wider = dataclasses.replace(config, model=dataclasses.replace(model, width=8))
    with pytest.raises(CheckpointError, match="same depth and width"):
        train_on(folder, folder, classes, wider, tmp_path / "wider", Silent())


def test_the_command_trains_repeats_and_reports(scenes, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--size", "40", "--depth", "18", "--width", "4", "--hidden", "16", "--steps", "2", "--batch-size", "4"]
    assert run(["train", "contrastive", str(scenes), "--out", str(out), "--val-fraction", "0.25", *words]) == 0
    assert "2 steps at" in capsys.readouterr().out
    assert run(["train", "--from", str(out), "--out", str(tmp_path / "again")]) == 0
    first, again = (load_weights(folder, kind="contrastive")[1] for folder in (out, tmp_path / "again"))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    capsys.readouterr()
    assert run(["train", "contrastive", str(scenes), "--out", str(tmp_path / "x"), "--limits", "0", "1"]) == 1
    assert "--limits follows from the radiometry" in capsys.readouterr().err
    assert run(["train", "contrastive", str(scenes), "--out", str(tmp_path / "x"), "--crop", "2"]) == 1
    assert "crop must be a share" in capsys.readouterr().err
    assert run(["report", str(out), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Contrastive pre-training" in page
    assert "whose nearest other view" in page
