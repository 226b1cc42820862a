"""Trainings of generators and what is drawn from them."""

import pytest
import torch

from sarcore.data import PatchFolder, write_simulated
from sarcore.engine import FitConfig
from sarcore.errors import DataError
from sarcore.experiments import generation
from sarcore.experiments.progress import Silent
from sarcore.experiments.train_kinds import TrainBegan
from sarcore.models import BEGANConfig


@pytest.mark.parametrize(("scenes", "fraction", "held_out"), [(2, 0.1, 0), (2, 0.5, 1), (3, 0.1, 1), (9, 0.0, 0)])
def test_whole_scenes_are_held_out_unless_they_are_too_much(tmp_path, scenes, fraction, held_out):
    folder = PatchFolder.open(write_simulated(tmp_path / "set", scenes_per_class=scenes, size=16))
    per_scene = len(folder) // (7 * scenes)
    chosen = [i for i, label in enumerate(folder.labels.tolist()) if label == 3]
    for indices, classes in ((chosen, 1), (list(range(len(folder))), 7)):
        split, notes = generation.hold_out(folder, indices, fraction)
        assert len(split.val) == held_out * classes * per_scene
        assert sorted([*split.train, *split.val]) == indices
        assert not {folder.scenes[i] for i in split.train} & {folder.scenes[i] for i in split.val}
        assert len(notes) == (fraction > 0)


def test_began_of_all_classes_draws_the_same_patches_from_the_same_seed(tmp_path):
    data = write_simulated(tmp_path / "set", scenes_per_class=2, patches_per_scene_side=2, size=32)
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
