"""In the three studies with GANs, their discriminators share features, which know nothing of the test scenes."""

import dataclasses
import shutil
from types import SimpleNamespace

import pytest
import torch

from sarcore.data import PatchFolder, Split, write_image, write_simulated
from sarcore.engine import FitConfig, load_weights
from sarcore.experiments import augmentation_generator, curve, curve_generator, gan, pretraining
from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.augmentation import run_augmentation
from sarcore.experiments.augmentation_config import AugmentationConfig
from sarcore.experiments.curve import run_curve
from sarcore.experiments.curve_config import CurveConfig
from sarcore.experiments.generation_study import run_study
from sarcore.experiments.generation_study_config import GenerationStudyConfig
from sarcore.experiments.progress import Silent

CLASSES = ("forest", "settlement", "water")
PRETRAINING = {"pretraining_steps": 2, "pretraining_width": 4}
GENERATOR = {"generator_steps": 2, "generator_width": 4, "generator_batch_size": 4, "synthetic": 2}
CLASSIFIER = ArmTraining(depth=18, width=4, size=20, steps=2, batch_size=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Patches of three classes and four scenes each."""
    folder = tmp_path_factory.mktemp("patches") / "set"
    write_simulated(folder, scenes_per_class=4, patches_per_scene_side=2, size=40)
    head, *lines = (folder / "labels.csv").read_text().splitlines(keepends=True)
    (folder / "labels.csv").write_text("".join([head, *(one for one in lines if one.split("/")[0] in CLASSES)]))
    return folder


def augmentation(data, run):
    given = {"arms": ("flips", "gan"), "targets": ("all",), "seeds": 2, "generators": 2}
    run_augmentation(
        AugmentationConfig(data, classifier=CLASSIFIER, **given, **GENERATOR, **PRETRAINING), run, Silent()
    )


def labels(data, run):
    given = {"arms": ("flips", "gan"), "fractions": (50.0, 100.0), "seeds": 1}
    run_curve(CurveConfig(data, classifier=CLASSIFIER, **given, **GENERATOR, **PRETRAINING), run, Silent())


def generation(data, run):
    given = {f"gan_{name}": 4 for name in ("steps", "width", "batch_size")}
    given |= {"features_steps": 2, "features_width": 4, "samples": 20, "repeats": 1, "presets": ("gan",)}
    run_study(GenerationStudyConfig(data, scenarios=("hard",), seeds=2, **given, **PRETRAINING), run, Silent())


class Kept:
    """Stands in front of the trainings, and keeps what they were given and what was drawn."""

    def __init__(self, patch):
        self.pretrained, self.gans, self.drawn = [], [], []
        pretrain, train, draw = pretraining.pretrain_on, gan.train_gan_on, curve.draw_for_cell

        def pretrain_on(patches, config, folder, *rest, **more):
            self.pretrained.append(folder)
            return pretrain(patches, config, folder, *rest, **more)

        def train_gan_on(patches, config, folder, *rest, **more):
            self.gans.append(SimpleNamespace(patches=patches, config=config, folder=folder, meta=more["meta"]))
            return train(patches, config, folder, *rest, **more)

        def draw_for_cell(*args, **more):
            self.drawn.append(draw(*args, **more))
            return self.drawn[-1]

        patch.setattr(pretraining, "pretrain_on", pretrain_on)
        patch.setattr(curve, "draw_for_cell", draw_for_cell)
        for module in (gan, augmentation_generator, curve_generator):
            patch.setattr(module, "train_gan_on", train_gan_on)


@pytest.fixture(scope="module", params=[augmentation, labels, generation], ids=lambda study: study.__name__)
def finished(request, data, tmp_path_factory):
    """A study, its folder, and what was kept of its trainings."""
    run = tmp_path_factory.mktemp("study") / "run"
    with pytest.MonkeyPatch.context() as patch:
        kept = Kept(patch)
        request.param(data, run)
    return SimpleNamespace(study=request.param, run=run, kept=kept)


def same(kind, one, other):
    a, b = (load_weights(run, kind=kind)[1] for run in (one, other))
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_one_pre_training_serves_all_gans(finished, data, monkeypatch):
    shared = finished.run / "pretraining"
    assert finished.kept.pretrained == [shared]
    assert (shared / "result.json").is_file()
    assert [one.config.features for one in finished.kept.gans] == [shared] * 2
    assert not any((one.folder / "features").exists() for one in finished.kept.gans)
    again = Kept(monkeypatch)
    shutil.rmtree(finished.kept.gans[-1].folder)
    finished.study(data, finished.run)
    assert again.pretrained == []
    assert [one.folder for one in again.gans] == [finished.kept.gans[-1].folder]


def test_a_gan_of_the_study_is_that_of_its_features_given_by_hand(finished, tmp_path):
    given = finished.kept.gans[-1]
    fit = FitConfig(2)
    pretraining.pretrain_features(given.patches, fit, tmp_path / "features", Silent(), data=tmp_path, width=4)
    assert same("contrastive", tmp_path / "features", finished.run / "pretraining")
    config = dataclasses.replace(given.config, features=tmp_path / "features")
    gan.train_gan_on(given.patches, config, tmp_path / "gan", Silent(), meta=given.meta)
    assert same("gan", tmp_path / "gan", given.folder)


def test_other_test_patches_change_no_features_no_gan_and_no_drawn_patch(finished, data, tmp_path, monkeypatch):
    changed = shutil.copytree(data, tmp_path / "set")
    folder, split = PatchFolder.open(changed), Split.load(finished.run / "split.json")
    for i in split.test:
        write_image(folder.paths[i], 255 - folder.native([i])[0][0].numpy())
    assert not torch.equal(PatchFolder.open(data).arrays()[0], PatchFolder.open(changed).arrays()[0])
    kept = Kept(monkeypatch)
    finished.study(changed, tmp_path / "run")
    assert Split.load(tmp_path / "run" / "split.json") == split
    assert same("contrastive", *(run / "pretraining" for run in (tmp_path / "run", finished.run)))
    for one in kept.gans:
        assert same("gan", one.folder, finished.run / one.folder.relative_to(tmp_path / "run"))
    assert [one.images.tolist() for one in kept.drawn] == [one.images.tolist() for one in finished.kept.drawn]
    drawn = [path for path in (tmp_path / "run").rglob("*.png") if {"synthetic"} & set(path.parts)]
    drawn += (tmp_path / "run").rglob("generated*.png")
    for path in drawn:
        assert path.read_bytes() == (finished.run / path.relative_to(tmp_path / "run")).read_bytes()
    assert drawn or kept.drawn
