"""Trainings of BEGAN by class and with speckle: what the data decide, what is kept, what is refused."""

from pathlib import Path

import pytest
import torch

from sarcore.cli import main
from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import FitConfig
from sarcore.experiments import generation
from sarcore.experiments.drawing import draw_patches, load_generator
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_config import read_config
from sarcore.experiments.train_kinds import TrainBegan
from sarcore.models import BEGANConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Seven simulated classes of three scenes of one patch."""
    return write_simulated(tmp_path_factory.mktemp("set"), scenes_per_class=3, patches_per_scene_side=1, size=20)


def train(data, run, **model):
    config = TrainBegan(
        data,
        scenario="hard",
        conditional=True,
        val_fraction=0.34,
        model=BEGANConfig.preset("sarcore", width=4, latent=8, **model),
        fit=FitConfig(steps=2, batch_size=4, validate_every=1),
    )
    return generation.train_began(config, run, Silent())


def test_one_model_of_all_classes_draws_the_class_it_is_asked_for(data, tmp_path):
    facts = train(data, tmp_path / "run")
    assert facts["best"] is not None, "held-out patches are judged with their labels"
    model, meta = load_generator(tmp_path / "run")
    assert (model.config.classes, meta["classes"]) == (7, PatchFolder.open(data).classes)
    first, second, again = (draw_patches(model, 3, 20, label=label, seed=1) for label in (0, 5, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_speckle_of_given_looks_is_part_of_what_is_drawn(data, tmp_path):
    train(data, tmp_path / "run", speckle="fixed", looks=3.0, oversampling=2.0)
    model, _ = load_generator(tmp_path / "run")
    assert (model.config.domain, model.config.limits) == ("amplitude", (0.0, 255.0))
    assert (model.config.looks, model.config.oversampling) == (3.0, 2.0)
    z, labels = model.latent(2), torch.tensor([1, 1])
    assert not torch.equal(model.generate(z, labels), model.reflectivity(z, labels))


def test_flags_of_the_switches_reach_the_settings(data, tmp_path, capsys):
    run = tmp_path / "run"
    words = "--scenario hard --steps 2 --width 4 --latent 8 --batch-size 4 --val-fraction 0 --conditional"
    switches = "--speckle learned --looks 4 --histogram-kernel hard --histogram-normalize count --preset marmanis"
    assert main(["train", "began", str(data), "--out", str(run), *words.split(), *switches.split()]) == 0
    kind, kept = read_config(run / "config.toml")
    assert (kind, kept["conditional"]) == ("began", True)
    expected = {"speckle": "learned", "looks": 4.0, "histogram_kernel": "hard", "histogram_normalize": "count"}
    assert {name: kept["model"][name] for name in expected} == expected
    assert not {"classes", "domain", "limits"} & set(kept["model"]), "these follow from the data"
    assert load_generator(run)[0].config.extra_convs == 2
    capsys.readouterr()
    assert main(["train", "began", str(data), "--out", str(run), "--classes", "3"]) == 1
    assert "--classes follows from the folder and --conditional" in capsys.readouterr().err


def test_one_class_of_many_is_refused_where_all_are_to_be_told_apart():
    with pytest.raises(ValueError, match="conditional needs several classes, and class is forest"):
        TrainBegan(Path("patches"), class_name="forest", conditional=True)
