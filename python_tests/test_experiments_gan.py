"""Trainings of the GAN from a folder to checkpoints, and what they are chosen by."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import FitConfig, load_weights
from sarcore.engine.ema import WeightAverage
from sarcore.engine.validation import run_validation
from sarcore.errors import CheckpointError
from sarcore.experiments import gan
from sarcore.experiments.contrastive import train_contrastive
from sarcore.experiments.drawing import draw_patches, load_generator
from sarcore.experiments.patches import PatchTensor, balanced, balanced_indices
from sarcore.experiments.progress import Silent
from sarcore.experiments.texture import texture_features
from sarcore.experiments.train_kinds import TrainContrastive, TrainGan
from sarcore.experiments.validations import gan_validation
from sarcore.metrics import kernel_distance
from sarcore.models import GAN, Contrastive, ContrastiveConfig, GANConfig, PlainStep
from sarcore.ops import speckle

SMALL = GANConfig(width=2, latent=8, speckle="fixed", looks=4.0, oversampling=2.0, lr=1e-3)
FIT = FitConfig(steps=3, batch_size=8, ema=0.9, log_every=1, accelerator="cpu")


@pytest.fixture(scope="module")
def features(data, tmp_path_factory):
    """A run of the contrastive pre-training, whose features the discriminators see."""
    run = tmp_path_factory.mktemp("features") / "run"
    config = TrainContrastive(
        data,
        model=ContrastiveConfig(depth=18, width=2, hidden=8, projection=4),
        fit=FitConfig(steps=1, batch_size=8, accelerator="cpu"),
        val_fraction=0.0,
    )
    train_contrastive(config, run, Silent())
    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_simulated(
        tmp_path_factory.mktemp("data") / "set", scenes_per_class=3, patches_per_scene_side=2, size=40
    )


def config_of(data, features, **changes):
    return TrainGan(data, **{"model": SMALL, "fit": FIT, "features": features, "val_fraction": 0.3, **changes})


# ---- which patches are shown


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_rare_classes_stand_as_often_as_the_power_says(power):
    counts = {-1: 9, 0: 64, 1: 4, 2: 1}
    labels = torch.cat([torch.full((count,), label) for label, count in counts.items()])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    found = balanced_indices(labels, power)
    assert found == sorted(found)
    repeats = torch.bincount(torch.tensor(found), minlength=len(labels))
    for label, count in counts.items():
        of_class = repeats[labels == label]
        assert int(of_class.sum()) == round(count ** (1 - power) * 64**power)
        assert int(of_class.max() - of_class.min()) <= 1
        assert int(of_class.min()) >= 1


def test_balanced_patches_are_those_of_the_indices():
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)
    patches = PatchTensor(images, torch.tensor([0, 0, 0, 0, 1, 1]), Radiometry("digital", 0, 255))
    shown = balanced(patches, 1.0)
    assert shown.images.flatten().tolist() == [0, 1, 2, 3, 4, 4, 5, 5]
    assert shown.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert balanced(patches, 0.0) is patches
    assert balanced_indices(torch.empty(0, dtype=torch.int64)) == []
    with pytest.raises(ValueError, match="power 0 or more"):
        balanced_indices(torch.zeros(2), -1.0)


def test_shares_and_brightness_of_classes_leave_unknown_labels_out():
    images = torch.tensor([0, 51, 102, 255, 204], dtype=torch.uint8).view(5, 1, 1, 1).expand(-1, 1, 4, 4)
    patches = PatchTensor(images, torch.tensor([0, 0, 2, -1, -1]), Radiometry("digital", 0, 255))
    assert gan.class_shares(patches, 3) == pytest.approx([2 / 3, 0.0, 1 / 3])
    means, deviations = gan.brightness(patches, 3)
    assert means == pytest.approx([0.1, 0.48, 0.4])
    within = 2 * 0.1**2  # of one degree of freedom
    assert deviations == pytest.approx([((within + 4 * within) / 5) ** 0.5, within**0.5, within**0.5])
    assert gan.class_shares(patches, 0) is None
    found = np.array([0, 51, 102, 255, 204]) / 255
    assert gan.brightness(patches, 0) == (pytest.approx([found.mean()]), pytest.approx([found.std(ddof=1)]))
    nobody = PatchTensor(images, torch.full((5,), -1), Radiometry("digital", 0, 255))
    assert gan.class_shares(nobody, 3) is None


# ---- trainings


@pytest.mark.parametrize(("scenario", "size"), [("simple", 20), ("intermediate", 20), ("hard", 40)])
def test_a_training_of_all_classes_writes_what_others_read(data, features, tmp_path, scenario, size):
    facts = gan.train_gan(config_of(data, features, scenario=scenario), tmp_path / "run", Silent())
    assert facts["best"]["name"] == "texture"
    folder = PatchFolder.open(data)
    model, meta = load_generator(tmp_path / "run")
    assert meta["kind"] == "gan"
    assert meta["classes"] == folder.classes
    assert meta["patch_size"] == 40
    assert meta["training"]["scenario"] == scenario
    assert meta["radiometry"] == folder.radiometry.to_dict()
    assert (model.config.size, model.config.classes) == (size, 7)
    assert model.config.limits == (folder.radiometry.low, folder.radiometry.high)
    assert float(model.class_shares.sum()) == pytest.approx(1.0)
    assert draw_patches(model, 2, 40, label=3).shape == (2, 1, 40, 40)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["patches"]["train"] + results["patches"]["val"] == len(folder)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss_g", "loss_d", "d_real", "d_fake", "ada_p", "ada_sign"} <= set(rows[0])


@pytest.mark.parametrize("changes", [{"class_name": "slope"}, {"unconditional": True}])
def test_one_class_or_all_untold_need_no_labels(data, features, tmp_path, changes):
    name = PatchFolder.open(data).classes[1]
    changes = {"class_name": name} if "class_name" in changes else changes
    gan.train_gan(config_of(data, features, **changes), tmp_path / "run", Silent())
    model, meta = load_generator(tmp_path / "run")
    assert model.config.classes == 0
    assert meta["classes"] == ([name] if "class_name" in changes else PatchFolder.open(data).classes)
    assert draw_patches(model, 2, 40).shape == (2, 1, 40, 40)


@pytest.mark.parametrize("more", [{}, {"accumulate": 2, "precision": "bf16-mixed", "channels_last": True}])
def test_a_resumed_training_is_the_same_in_every_bit(data, features, tmp_path, monkeypatch, more):
    folder = PatchFolder.open(data)
    train, held_out = (PatchTensor(*folder.native(range(k, len(folder), 4)), folder.radiometry) for k in (0, 1))

    def augmenting(*args, **more):
        model = GAN(*args, **more)
        model.augment.p.fill_(0.5)
        return model

    monkeypatch.setattr(gan, "GAN", augmenting)
    made = config_of(data, features, fit=dataclasses.replace(FIT, steps=7, checkpoint_every=3, **more))
    part = dataclasses.replace(made, fit=dataclasses.replace(made.fit, steps=3))
    meta = {"classes": folder.classes, "radiometry": folder.radiometry.to_dict()}
    for config, name in ((made, "whole"), (part, "parts"), (made, "parts")):
        gan.train_gan_on(train, config, tmp_path / name, Silent(), meta=meta, held_out=held_out)
    for which in ("last", "best"):
        one, other = (load_weights(tmp_path / run, kind="gan", which=which)[1] for run in ("whole", "parts"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert 0.0 < float(one["augment.p"]) < 0.5


def test_the_model_begins_with_the_means_and_shares_of_what_it_is_shown(features, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(gan, "GAN", lambda *args, **more: begun.append((more, GAN(*args, **more))) or begun[-1][1])
    images = torch.randint(0, 50, (20, 1, 20, 20), dtype=torch.uint8)
    images[16:] += 100
    patches = PatchTensor(images, (torch.arange(20) >= 16).long(), Radiometry("digital", 0, 255))
    meta = {"classes": ["dark", "bright"], "radiometry": patches.radiometry.to_dict()}
    gan.train_gan_on(patches, config_of("unused", features), tmp_path / "run", Silent(), meta=meta)
    dark, bright = (images[part].double().mean() / 255 for part in (slice(0, 16), slice(16, 20)))
    assert begun[0][0]["means"] == pytest.approx([float(dark), float(bright)], rel=1e-5)
    spread = [images[part].double().mean(dim=(1, 2, 3)).std() / 255 for part in (slice(0, 16), slice(16, 20))]
    within = (15 * spread[0] ** 2 + 3 * spread[1] ** 2) / 18
    leaning = [((n * s**2 + 4 * within) / (n + 4)) ** 0.5 for n, s in zip((15, 3), spread, strict=True)]
    assert begun[0][0]["deviations"] == pytest.approx([float(value) for value in leaning], rel=1e-5)
    assert begun[0][0]["class_shares"] == pytest.approx([2 / 3, 1 / 3])  # of 16 and 4 patches, 16 and 8 are shown
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert row["epoch"] == pytest.approx(8 / 24)


def test_patches_of_unknown_class_are_learnt_from(features, tmp_path):
    images = (torch.rand(24, 1, 20, 20) * 255).to(torch.uint8)
    labels = torch.where(torch.arange(24) < 6, torch.arange(24) % 2, -1)
    patches = PatchTensor(images, labels, Radiometry("digital", 0, 255))
    meta = {"classes": ["a", "b"], "radiometry": patches.radiometry.to_dict()}
    facts = gan.train_gan_on(patches, config_of("unused", features), tmp_path / "run", Silent(), meta=meta)
    assert facts["steps"] == 3
    assert load_generator(tmp_path / "run")[0].class_shares.tolist() == [0.5, 0.5]


def test_without_a_run_of_features_one_is_made_first_and_once(data, tmp_path):
    folder = PatchFolder.open(data)
    train = PatchTensor(*folder.native(range(0, len(folder), 8)), folder.radiometry)
    meta = {"classes": folder.classes, "radiometry": folder.radiometry.to_dict()}
    made = config_of(data, None, features_steps=1, fit=dataclasses.replace(FIT, steps=1))
    gan.train_gan_on(train, made, tmp_path / "run", Silent(), meta=meta)
    first = load_weights(tmp_path / "run" / "features", kind="contrastive")[1]
    model, meta_of = load_generator(tmp_path / "run")
    assert (meta_of["config"]["features_depth"], meta_of["config"]["features_width"]) == (18, 16)
    assert torch.equal(model.discriminator.backbone.conv1.weight, first["backbone.conv1.weight"])
    assert model.discriminator.std == first["std"]
    again = dataclasses.replace(made, fit=dataclasses.replace(made.fit, steps=2))
    gan.train_gan_on(train, again, tmp_path / "run", Silent(), meta=meta)
    assert len(list((tmp_path / "run" / "features" / "checkpoints").glob("step_*"))) == 1
    with pytest.raises(CheckpointError):
        gan.train_gan_on(train, config_of(data, tmp_path / "run"), tmp_path / "other", Silent(), meta=meta)


def test_the_command_trains_and_says_where(data, features, tmp_path, capsys):
    words = ["train", "gan", str(data), "--out", str(tmp_path / "run"), "--steps", "2", "--batch-size", "8"]
    words += ["--width", "2", "--looks", "4", "--oversampling", "2", "--scenario", "simple", "--accelerator", "cpu"]
    words += ["--features", str(features)]
    assert main(words) == 0
    assert "2 steps" in capsys.readouterr().out
    assert main(["train", "gan", str(data), "--out", "x", "--classes", "3"]) == 1
    assert "--classes follows from the folder" in capsys.readouterr().err
    assert main(["train", "gan", str(data), "--out", str(tmp_path / "y"), "--class", "nothing"]) == 1
    assert "has no class 'nothing'" in capsys.readouterr().err


# ---- what it is chosen by


def scenes(n, seed, looks=4.0):
    """Patches of two kinds: smooth ground, and ground with a bright half."""
    source = torch.Generator().manual_seed(seed)
    level = 0.15 + 0.2 * torch.rand(n, 1, 1, 1, generator=source)
    ground = level * torch.ones(n, 1, 32, 32)
    ground[::2, :, :, 16:] *= 2.0
    return speckle(ground, looks, seed=seed, domain="amplitude", psf=("gaussian", 2.0)).clamp(0, 1)


def test_texture_tells_speckle_level_and_structure_apart():
    real = scenes(64, 0)
    patches = PatchTensor((real * 255).round().to(torch.uint8), torch.zeros(64), Radiometry("digital", 0, 255))
    features = texture_features(patches, "hard")
    distance = {
        name: kernel_distance(features(real), features(images))
        for name, images in {
            "like": scenes(64, 1),
            "speckle": scenes(64, 1, looks=8.0),
            "level": 0.7 * scenes(64, 1),
            "structure": scenes(128, 1)[1::2],
            "one image": scenes(64, 1)[:1].expand(64, -1, -1, -1),
        }.items()
    }
    like = distance.pop("like")
    assert all(value > 10 * abs(like) for value in distance.values()), (like, distance)


def test_a_trained_gan_is_better_than_an_untrained_one():
    """By its texture, which the discriminator's features know nothing of: they are those of random weights."""
    real, labels = scenes(48, 2), torch.arange(48) % 2
    codes = (scenes(32, 3) * 255).round().to(torch.uint8)
    held_out = PatchTensor(codes, torch.arange(32) % 2, Radiometry("digital", 0, 255))
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, size=32, classes=2, width=4, features_width=8, ada_target=0.0)
    seen = PatchTensor((real * 255).round().to(torch.uint8), labels, held_out.radiometry)
    model = GAN(config, **dict(zip(("means", "deviations"), gan.brightness(seen, 2), strict=True)))
    random = Contrastive(ContrastiveConfig(depth=18, width=8), data_mean=0.35, data_std=0.2)
    model.discriminator.take_features(random.state_dict(), real)
    validation = gan_validation(held_out, "hard", config)
    before, _ = run_validation(model, validation, device="cpu")
    step, average = PlainStep(model.configure_optimizers()), WeightAverage(model, 0.95)
    for number in range(120):
        rows = torch.arange(16) + 16 * (number % 3)
        model.training_step((real[rows], labels[rows]), step)
        average.update(number + 1)
    with average.swapped():
        after, _ = run_validation(model, validation, device="cpu")
        dark, bright = (model.generate(model.fixed_latent[:16], torch.full((16,), k)) for k in (1, 0))
    assert after["texture"] < 0.5 * before["texture"]
    assert float(bright.mean()) > 1.05 * float(dark.mean())
