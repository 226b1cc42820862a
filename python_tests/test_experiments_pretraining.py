"""The features that GANs share: made without labels, and the same whoever makes them."""

import dataclasses
import shutil

import pytest
import torch

from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import FitConfig, load_weights
from sarcore.experiments import gan
from sarcore.experiments.drawing import draw_patches, load_generator
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.pretraining import WIDTH, PretrainingCell, pretrain_features
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainGan
from sarcore.models import GANConfig

FIT = FitConfig(2, accelerator="cpu")


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    data = tmp_path_factory.mktemp("data") / "set"
    folder = PatchFolder.open(write_simulated(data, scenes_per_class=2, patches_per_scene_side=1, size=20))
    return PatchTensor(*folder.arrays(), folder.radiometry)


@pytest.fixture(scope="module")
def shared(train, tmp_path_factory):
    """The run of features that a study would make."""
    run = tmp_path_factory.mktemp("shared") / PretrainingCell().name
    facts = pretrain_features(train, FIT, run, Silent(), data=run)
    assert facts["steps"] == 2
    assert facts["batch_size"] == len(train) == 14  # fewer than the usual 64
    return run


def weights(run, kind):
    return load_weights(run, kind=kind)[1]


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def gan_on(train, run, features):
    model = GANConfig(width=2, latent=8, speckle="fixed", looks=4.0, oversampling=2.0, lr=1e-3)
    fit = dataclasses.replace(FIT, steps=3, batch_size=8, ema=0.9)
    config = TrainGan(run, features=features, features_steps=2, val_fraction=0.0, model=model, fit=fit)
    meta = {"classes": [str(k) for k in range(7)], "radiometry": train.radiometry.to_dict()}
    gan.train_gan_on(train, config, run, Silent(), meta=meta)
    return weights(run, "gan")


def test_labels_play_no_part(train, shared, tmp_path):
    hidden = PatchTensor(train.images, torch.full_like(train.labels, -1), train.radiometry)
    pretrain_features(hidden, FIT, tmp_path / "hidden", Silent(), data=tmp_path)
    assert same(weights(tmp_path / "hidden", "contrastive"), weights(shared, "contrastive"))
    darker = PatchTensor(train.images // 2, train.labels, train.radiometry)
    pretrain_features(darker, FIT, tmp_path / "darker", Silent(), data=tmp_path)
    assert not same(weights(tmp_path / "darker", "contrastive"), weights(shared, "contrastive"))


def test_a_gan_with_given_features_is_the_one_that_makes_them_itself(train, shared, tmp_path):
    given, own = gan_on(train, tmp_path / "given", shared), gan_on(train, tmp_path / "own", None)
    assert same(given, own)
    assert same(weights(tmp_path / "own" / "features", "contrastive"), weights(shared, "contrastive"))
    assert not (tmp_path / "given" / "features").exists()


def test_a_gan_needs_the_run_of_its_features_no_more(train, shared, tmp_path):
    run = shutil.copytree(shared, tmp_path / "features")
    gan_on(train, tmp_path / "run", run)
    shutil.rmtree(run)
    model, meta = load_generator(tmp_path / "run")
    assert meta["config"]["features_width"] == WIDTH
    assert torch.equal(
        model.discriminator.backbone.conv1.weight, weights(shared, "contrastive")["backbone.conv1.weight"]
    )
    assert draw_patches(model, 2, 20, label=3).shape == (2, 1, 20, 20)
