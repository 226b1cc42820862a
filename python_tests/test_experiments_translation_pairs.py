"""What a training of a translation is given: parts of a manifest, held-out scenes, and no partners for a CycleGAN."""

from pathlib import Path

import pytest

from sarcore.data import PairedFolder
from sarcore.experiments.train_kinds import TrainPix2Pix
from sarcore.experiments.translation_pairs import open_pairs, sides, split_pairs, without_partners

from .translation_runs import images


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("pairs"))


def test_the_parts_of_a_manifest_count(folder, tmp_path):
    pairs = PairedFolder.open(folder)
    rows = [
        f"{pairs.a.places[i].path.relative_to(folder)},{pairs.b.places[i].path.relative_to(folder)},"
        f"{pairs.scenes[i]},{part}"
        for i, part in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 4)
    ]
    manifest = tmp_path / "mine.csv"
    manifest.write_text("\n".join(["a,b,scene,part", *rows]))
    chosen = TrainPix2Pix(folder, manifest=manifest)
    opened, _ = open_pairs(chosen)
    split, notes = split_pairs(opened, chosen)
    assert (split.train, split.val, split.test) == ([0, 1, 2, 3, 4, 5], [6, 7], [8, 9, 10, 11])
    assert notes == ["pairs: 6 to train on, 2 to validate, 4 to test."]


def test_few_scenes_hold_none_out(tmp_path):
    chosen = TrainPix2Pix(images(tmp_path, scenes=1))
    split, notes = split_pairs(open_pairs(chosen)[0], chosen)
    assert (split.train, split.val) == ([0, 1], [])
    assert "too few scenes to hold some out: there is no validation" in notes[0]
    assert "`sarcore pairs --val-strip`" in notes[0]


def test_nothing_is_held_out_where_none_is_asked_for(folder):
    chosen = TrainPix2Pix(folder, val_fraction=0.0)
    split, notes = split_pairs(open_pairs(chosen)[0], chosen)
    assert (len(split.train), split.val, notes) == (12, [], ["pairs: 12 to train on, 0 to validate, 0 to test."])


def test_a_cyclegan_is_not_told_who_belongs_to_whom(folder):
    """Of pairs it draws A and B apart: an item may be of two scenes."""
    pairs = PairedFolder.open(folder)
    apart = without_partners(pairs)
    drawn = [apart.drawn(i) for i in range(len(apart))]
    assert [i for i, _ in drawn] == list(range(len(pairs)))
    assert any(i != j for i, j in drawn)
    assert sides(apart, [0, 12, 3, 23]) == ([0, 3], [0, 11])
