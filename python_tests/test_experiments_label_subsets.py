"""Labels that are known: nested, stratified, drawn by scene."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore.data import PatchFolder
from sarcore.experiments.label_subsets import UNLABELLED, hidden, labelled

patches = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=60)


def parts(drawn):
    return torch.tensor([label for label, _ in drawn]), [f"s{scene}" for _, scene in drawn]


@given(patches, st.integers(0, 50), st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5, 1.0]))
def test_every_class_keeps_its_share_and_at_least_one(drawn, seed, fraction):
    labels, scenes = parts(drawn)
    known = labelled(labels, scenes, fraction, seed)
    assert known == sorted(set(known))
    had, kept = Counter(labels.tolist()), Counter(labels[known].tolist())
    assert kept == {label: max(1, math.floor(fraction * n + 0.5)) for label, n in had.items()}


@given(patches, st.integers(0, 50))
def test_smaller_shares_lie_within_larger_ones(drawn, seed):
    labels, scenes = parts(drawn)
    nested = [set(labelled(labels, scenes, fraction, seed)) for fraction in (0.02, 0.1, 0.3, 0.31, 0.8, 1.0)]
    assert all(small <= large for small, large in itertools.pairwise(nested))
    assert nested[-1] == set(range(len(labels)))


@given(patches, st.integers(0, 50), st.sampled_from([0.05, 0.3, 0.5]))
def test_whole_scenes_are_labelled_before_others_are_opened(drawn, seed, fraction):
    labels, scenes = parts(drawn)
    known = set(labelled(labels, scenes, fraction, seed))
    for label in set(labels.tolist()):
        own = [i for i in range(len(labels)) if labels[i] == label]
        opened = {scenes[i] for i in own if i in known}
        cut = {scene for scene in opened if any(scenes[i] == scene and i not in known for i in own)}
        assert len(cut) <= 1


def test_another_seed_opens_other_scenes():
    labels, scenes = torch.zeros(40, dtype=torch.int64), [f"s{i // 4}" for i in range(40)]
    found = {frozenset(scenes[i] for i in labelled(labels, scenes, 0.1, seed)) for seed in range(12)}
    assert len(found) > 4
    assert all(len(opened) == 1 for opened in found)  # the four labels are those of one scene
    assert labelled(labels, scenes, 0.1, 3) == labelled(labels, scenes, 0.1, 3)


def test_hidden_labels():
    found = hidden(torch.tensor([3, 0, 1, 2]), [0, 3])
    assert found.tolist() == [3, UNLABELLED, UNLABELLED, 2]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, math.nan])
def test_what_is_no_share_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction must lie in \(0, 1\]"):
        labelled(torch.tensor([0]), ["a"], fraction, 0)


def test_labels_and_scenes_must_fit():
    with pytest.raises(ValueError, match="2 scenes"):
        labelled(torch.tensor([0]), ["a", "b"], 0.5, 0)
    with pytest.raises(ValueError, match="labels must be"):
        labelled(torch.zeros(0, dtype=torch.int64), [], 0.5, 0)


def test_real_patches_of_few_labels_come_from_few_scenes(test_data):
    folder = PatchFolder.open(test_data / "terrain160" / "train")
    known = labelled(folder.labels, folder.scenes, 0.05, 0)
    assert folder.subset(known).class_counts() == {
        "agriculture": 4, "forest": 2, "hills_shrub": 6, "industrial_commercial": 3, "settlement": 32, "water": 2,
    }  # fmt: skip
    assert len({folder.scenes[i] for i in known}) <= 12  # of 59
