"""Trainings of generators."""

import pytest

from sarcore.data import PatchFolder, write_simulated
from sarcore.experiments import generation


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
