"""`sarcore metrics`: generated patches against real ones in the feature space of a classifier run."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console

from sarcore.cli import main
from sarcore.cli.metrics import table
from sarcore.data import PatchFolder, read_image, write_image, write_simulated
from sarcore.data.generated import write_generated
from sarcore.engine import save_checkpoint
from sarcore.errors import CheckpointError, DataError
from sarcore.experiments.features import classifier_features
from sarcore.experiments.patches import to_uint8
from sarcore.experiments.progress import Silent
from sarcore.experiments.scores import score_folders
from sarcore.experiments.set_scores import BETTER
from sarcore.metrics import frechet_distance
from sarcore.models import BEGAN, BEGANConfig, Classifier, ClassifierConfig, PlainStep
from sarcore.ops import Radiometry, encode

CLASS = "settlement"
NAMES = ("floor", "floor_deviation", "generated", "generated_deviation")


class Notes(Silent):
    """Keeps what was said."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def simulated(folder, seed, scenes=4):
    return write_simulated(folder, scenes_per_class=scenes, patches_per_scene_side=3, size=32, seed=seed)


def patches_of(folder):
    chosen = PatchFolder.open(folder).of_class(CLASS)
    return torch.stack([chosen[i][0] for i in range(len(chosen))])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders by name: real, train, and what generators of several talents made."""
    root = tmp_path_factory.mktemp("scores")
    folders = {"real": simulated(root / "real", seed=1), "train": simulated(root / "train", seed=2)}
    fresh = patches_of(simulated(root / "others", seed=3))
    made = {
        "fresh": fresh,
        "blurred": F.avg_pool2d(fresh, 5, stride=1, padding=2, count_include_pad=False),
        "copied": patches_of(folders["train"])[:20],
    }
    for name, images in made.items():
        write_set(root / name, CLASS, to_uint8(images))
        folders[name] = root / name
    return folders


def write_set(folder, class_name, images):
    write_generated(folder, [(class_name, images.numpy())], Radiometry("digital", 0.0, 255.0), "test", {})


def meta_of(config, folder):
    return {
        "kind": "classifier",
        "config": config.to_dict(),
        "classes": folder.classes,
        "radiometry": folder.radiometry.to_dict(),
        "shape": list(folder.shape),
    }


@pytest.fixture(scope="module")
def trained(data):
    """A classifier after a few steps, and the meta data of its checkpoint."""
    torch.manual_seed(0)
    folder = PatchFolder.open(data["train"])
    images, labels = folder.arrays()
    x = encode(images, folder.radiometry)
    config = ClassifierConfig(depth=18, total_steps=10, warmup_steps=2)
    model = Classifier(config, data_mean=float(x.mean()), data_std=float(x.std()))
    step = PlainStep(model.configure_optimizers())
    for part in torch.randperm(len(x))[: 10 * 12].split(12):
        model.training_step((x[part], labels[part]), step)
    return model.eval(), meta_of(config, folder)


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "classifier"
    save_checkpoint(folder, 12, trained[0], {}, trained[1])
    return folder


@pytest.fixture(scope="module")
def results(data, run):
    return {name: score_folders(data["real"], data[name], run, Notes(), repeats=3) for name in ("fresh", "blurred")}


# --- the feature space ---


def test_features_are_the_layer_below_the_logits(trained, run):
    model, _ = trained
    features, meta = classifier_features(run)
    images = torch.rand(5, 1, 32, 32)
    found = features(images)
    assert found.shape == (5, 256)
    assert meta["step"] == 12
    with torch.no_grad():
        torch.testing.assert_close(model.backbone.fc[-1](found), model(images))
    assert features.space.startswith("resnet18 penultimate sha256:")
    assert features.space == classifier_features(run)[0].space


def test_the_best_checkpoint_names_the_space(trained, run, tmp_path):
    model, meta = trained
    other = Classifier(model.config, data_mean=0.1)
    for step, network, value in ((10, model, 0.9), (20, other, 0.5)):
        score = {"score": {"name": "balanced_accuracy", "value": value, "mode": "max"}}
        save_checkpoint(tmp_path, step, network, {}, {**meta, **score})
    features, found = classifier_features(tmp_path)
    assert found["step"] == 10
    assert features.space == classifier_features(run)[0].space
    assert classifier_features(tmp_path / "checkpoints" / "step_000020")[0].space != features.space


def test_a_network_without_hidden_layers_gives_its_pooled_features(trained, tmp_path):
    config = ClassifierConfig(depth=18, head=())
    save_checkpoint(tmp_path, 1, Classifier(config), {}, {**trained[1], "config": config.to_dict()})
    assert classifier_features(tmp_path)[0](torch.rand(2, 1, 32, 32)).shape == (2, 512)


def test_other_runs_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint in"):
        classifier_features(tmp_path / "nothing")
    config = BEGANConfig(size=20, width=4)
    save_checkpoint(tmp_path, 1, BEGAN(config), {}, {"kind": "began", "config": config.to_dict()})
    with pytest.raises(CheckpointError, match="is a checkpoint of began, classifier was expected"):
        classifier_features(tmp_path)


# --- the scores ---


def test_a_perfect_generator_stands_on_the_floor_and_blur_far_above(results):
    fresh, blurred = (results[name]["scores"] for name in ("fresh", "blurred"))
    assert list(fresh) == list(BETTER)
    assert results["fresh"]["patches_compared"] == 18
    for name in ("fid", "histogram_emd", "spectrum_db", "autocorrelation"):
        assert fresh[name]["floor"] == blurred[name]["floor"]  # the same halves
        assert fresh[name]["generated"] < 3 * fresh[name]["floor"]
    for name in ("fid", "kid", "spectrum_db", "autocorrelation", "enl_error"):
        assert blurred[name]["generated"] > 1.5 * abs(fresh[name]["generated"])
    assert blurred["coverage"]["generated"] < 0.8 * fresh["coverage"]["generated"]


def test_a_result_is_json_and_says_what_it_is_of(results, run, data):
    result = results["fresh"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["features"]["space"] == classifier_features(run)[0].space
    assert result["features"]["checkpoint"].endswith("step_000012")
    assert result["real"] == {"path": str(data["real"]), "patches": 36}


def test_the_scores_are_those_of_the_halves(results, run, data):
    """One repeat by hand: the halves of the seed, the features one by one."""
    generator = torch.Generator().manual_seed(0)
    expected = []
    features, _ = classifier_features(run)
    real, made = (features(patches_of(data[name])) for name in ("real", "fresh"))
    for _ in range(3):
        order = torch.randperm(36, generator=generator)
        some = torch.randperm(36, generator=generator)[:18]
        half = real[order[:18]]
        unit = half.square().mean().sqrt()
        expected.append(frechet_distance(half / unit, made[some] / unit))
    assert results["fresh"]["scores"]["fid"]["generated"] == pytest.approx(np.mean(expected), rel=1e-4)


def test_generated_patches_have_the_scale_of_the_network_already(trained, data, tmp_path):
    """Amplitudes in float32 are encoded as the run says; 8-bit patches that `generate` wrote are not encoded twice."""
    images = patches_of(data["real"])
    for i, image in enumerate(images):
        (tmp_path / "float" / CLASS).mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "float" / CLASS / f"{i:02d}.tif", 500 * image.numpy())
    write_set(tmp_path / "made", CLASS, to_uint8(images))
    model, meta = trained
    radiometry = Radiometry("amplitude", 0.0, 500.0).to_dict()
    save_checkpoint(tmp_path / "run", 1, model, {}, {**meta, "radiometry": radiometry})
    scores = score_folders(tmp_path / "float", tmp_path / "made", tmp_path / "run", Notes(), repeats=2)["scores"]
    assert scores["histogram_emd"]["generated"] <= scores["histogram_emd"]["floor"] + 2 / 255
    assert scores["fid"]["generated"] < 1.5 * scores["fid"]["floor"]


# --- memorisation ---


def test_copies_of_training_patches_are_found(data, run, tmp_path):
    sheet = tmp_path / "pairs.png"
    result = score_folders(data["real"], data["copied"], run, Notes(), train=data["train"], sheet=sheet, repeats=1)[
        "memorisation"
    ]
    assert result["ratio"] < 0.05
    assert result["closer_share"] == 1.0
    assert result["p_value"] < 1e-6
    assert len(result["pairs"]) == 16
    for pair in result["pairs"]:
        np.testing.assert_array_equal(read_image(pair["generated"]), read_image(pair["train"]))
    picture = read_image(sheet)
    assert picture.shape == (1, 2 + 4 * 34, 2 + 8 * 34)
    np.testing.assert_array_equal(picture[0, 2:34, 2:34], picture[0, 2:34, 36:68])


def test_new_patches_are_no_copies(data, run):
    result = score_folders(data["real"], data["fresh"], run, Notes(), train=data["train"], repeats=1)["memorisation"]
    assert result["p_value"] > 0.01
    assert result["ratio"] > 0.7


# --- what is refused, and the command ---


def test_folders_that_cannot_be_compared(data, run, tmp_path):
    images = to_uint8(patches_of(data["real"]))
    cases = {
        "large": (images.repeat(1, 1, 2, 2), r"\(1, 64, 64\) \(C,H,W\).*sarcore generate --size"),
        "few": (images[:5], "at least 12 real and 6 generated patches.*has 36 and .*few 5"),
        "channels": (images.repeat(1, 3, 1, 1), r"has patches of \(3, 32, 32\).*of \(1, 32, 32\)"),
    }
    for name, (made, message) in cases.items():
        write_set(tmp_path / name, CLASS, made)
        with pytest.raises(DataError, match=message):
            score_folders(data["real"], tmp_path / name, run, Notes())
    with pytest.raises(DataError, match=r"\(3, 32, 32\) \(C,H,W\), the classifier takes 1"):
        score_folders(tmp_path / "channels", tmp_path / "channels", run, Notes())
    with pytest.raises(DataError, match=r"is given as the training patches as well; give real patches of scenes that"):
        score_folders(data["real"], data["fresh"], run, Notes(), train=data["real"], repeats=1)
    copied = shutil.copytree(data["real"], tmp_path / "copied")
    with pytest.raises(DataError, match="held_out images are copies of training images; hold out others"):
        score_folders(data["real"], data["fresh"], run, Notes(), train=copied, repeats=1)
    with pytest.raises(ValueError, match="give the training patches, too"):
        score_folders(data["real"], data["fresh"], run, Notes(), sheet=tmp_path / "pairs.png")


def test_classes_are_compared_with_themselves(data, run, tmp_path):
    notes = Notes()
    assert score_folders(data["real"], data["fresh"], run, notes, repeats=1)["real"]["patches"] == 36
    assert notes.notes == [f"{data['real']}: the 36 patches of settlement are compared."]
    write_set(tmp_path / "made", "generated", to_uint8(patches_of(data["real"])))
    notes = Notes()
    assert score_folders(data["real"], tmp_path / "made", run, notes, repeats=1)["real"]["patches"] == 252
    assert notes.notes == [f"{data['real']} has no class generated: all of its patches are compared."]


def test_the_command(data, run, tmp_path, capsys):
    out = tmp_path / "scores.json"
    arguments = [str(data["real"]), str(data["copied"]), "--features", str(run), "--repeats", "2"]
    assert main(["metrics", *arguments, "--train", str(data["train"]), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "18 against 18 patches" in printed
    for label in ("SAR-FID", "SAR-KID", "Precision", "Coverage", "Spectrum (dB)", "Looks (relative error)"):
        assert label in printed
    assert "closer than chance allows: look at the pairs" in printed
    assert "sha256:" in printed
    assert "SAR-FID of 18 patches in 256 features is mostly bias" in printed
    assert json.loads(out.read_text())["memorisation"]["closer_share"] == 1.0
    assert "Memorisation: generated patches lie 0.0" in printed
    assert main(["metrics", *arguments, "--repeats", "0"]) == 1
    assert capsys.readouterr().err == "sarcore: repeats must be at least 1, got 0\n"


def test_the_table_shows_what_is_not_known(results):
    scores = {**results["fresh"]["scores"], "enl_error": {"better": "lower"} | dict.fromkeys(NAMES)}
    console = Console(file=io.StringIO(), width=100)
    table({**results["fresh"], "scores": scores}, console)
    line = next(line for line in console.file.getvalue().splitlines() if "Looks" in line)
    assert line.split("error)")[1].split() == ["–", "–", "lower"]
