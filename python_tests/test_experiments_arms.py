"""What arms of a study are trained on, and that they differ in nothing else."""

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.errors import DataError
from sarcore.experiments import classification
from sarcore.experiments.arms import ARMS, ArmTraining, train_arm
from sarcore.experiments.mixture import GENERATED, Mixture, quotas
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.progress import Silent
from sarcore.models import Classifier, ClassifierConfig
from sarcore.ops import encode

COUNTS = (40, 12, 5)
CLASSES = ["forest", "town", "water"]
TINY = ArmTraining(depth=18, width=4, steps=2, batch_size=8)


def numbered(counts, first, side=20):
    """Patches whose grey values are their numbers, from `first` on."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    values = torch.arange(first, first + len(labels), dtype=torch.uint8)
    return PatchTensor(values.view(-1, 1, 1, 1).repeat(1, 1, side, side), labels, GENERATED)


REAL, MADE = numbered(COUNTS, 0), numbered((0, 6, 90), 100)


def numbers(mixture):
    return mixture.arrays()[0][:, 0, 0, 0].tolist()


# --- the mixture ---


def test_classes_fill_their_shares_whatever_is_generated():
    alone, mixed = (Mixture(REAL, made, 570, balance=0.5, share=0.5) for made in (None, MADE))
    only = Mixture(REAL, numbered((9, 9, 9), 100), 570, balance=0.5, synthetic_only=True)
    assert torch.equal(alone.labels, mixed.labels)
    assert torch.equal(alone.labels, only.labels)
    roots = np.sqrt(COUNTS)
    assert np.bincount(alone.labels) == pytest.approx(570 * roots / roots.sum(), abs=1)
    assert np.bincount(Mixture(REAL, None, 570, balance=0.0).labels).tolist() == [400, 120, 50]
    assert np.bincount(Mixture(REAL, None, 570, balance=1.0).labels).tolist() == [190, 190, 190]


def test_generated_patches_take_their_share_of_a_class_and_no_more():
    counts = Mixture(REAL, MADE, 900, balance=1.0, share=0.5).counts(3)
    # 6 of 18 patches of the town are generated, 90 of 95 of the water
    assert counts == {"real": [300, 200, 150], "generated": [0, 100, 150]}
    assert Mixture(REAL, MADE, 900, balance=1.0, share=0.2).counts(3)["generated"] == [0, 60, 60]
    assert Mixture(REAL, MADE, 900, balance=1.0, share=0.0).counts(3)["generated"] == [0, 0, 0]
    assert sum(Mixture(REAL, numbered((9, 9, 9), 100), 90, synthetic_only=True).counts(3)["real"]) == 0


def test_every_patch_of_a_kind_and_class_is_met_equally_often():
    mixture = Mixture(REAL, MADE, 900, balance=1.0, share=0.5)
    met = np.bincount(numbers(mixture), minlength=256)
    assert set(met[:40]) == {7, 8}  # 300 items of 40 patches
    assert set(met[40:52]) == {16, 17}
    assert set(met[52:57]) == {30}
    assert set(met[100:106]) == {16, 17}
    assert set(met[106:196]) == {1, 2}
    others = np.bincount(numbers(Mixture(REAL, MADE, 900, balance=1.0, share=0.5, seed=1)), minlength=256)
    assert (others != met).any()
    assert others.sum() == met.sum()


def test_items_and_batches_are_the_patches_themselves():
    mixture = Mixture(REAL, MADE, 64)
    images, labels = mixture.arrays()
    assert images.dtype == torch.uint8
    assert mixture.nbytes == images.nbytes
    chosen = [63, 0, 31, 0]
    assert torch.equal(mixture.native(chosen)[0], images[chosen])
    assert torch.equal(mixture.native(chosen)[1], labels[chosen])
    assert torch.equal(mixture[5][0], images[5].float() / 255)
    both = torch.cat((REAL.labels, torch.full((43,), -1), MADE.labels))
    assert torch.equal(both[torch.tensor(numbers(mixture))], labels)


def test_patches_of_other_radiometry_come_out_as_their_sets_encode_them():
    decibels = Radiometry("db", -30.0, 0.0)
    real = PatchTensor(torch.linspace(-30, 0, 10).view(10, 1, 1, 1).repeat(1, 1, 4, 4), torch.zeros(10), decibels)
    real.labels = real.labels.long()
    made = PatchTensor(torch.full((10, 1, 4, 4), 51, dtype=torch.uint8), torch.zeros(10).long(), GENERATED)
    mixture = Mixture(real, made, 20, share=0.5)
    seen = encode(mixture.arrays()[0], mixture.radiometry)[:, 0, 0, 0]
    assert torch.allclose(
        seen.sort().values, torch.cat((torch.linspace(0, 1, 10), torch.full((10,), 0.2))).sort().values
    )
    assert mixture.counts(1) == {"real": [10], "generated": [10]}


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 1.5"):
        Mixture(REAL, MADE, 10, share=1.5)
    with pytest.raises(ValueError, match=r"generated patches are \(1, 8, 8\) \(C,H,W\) and real ones \(1, 20, 20\)"):
        Mixture(REAL, numbered((9,), 0, side=8), 10)
    with pytest.raises(DataError, match="class number 0 has no generated patch"):
        Mixture(REAL, MADE, 10, synthetic_only=True)


def test_quotas_add_up():
    source = np.random.default_rng(0)
    for _ in range(50):
        counts = source.integers(0, 30, 6)
        counts[2] = 7
        labels = torch.arange(6).repeat_interleave(torch.from_numpy(counts))
        length, balance = int(source.integers(1, 500)), float(source.uniform())
        found = quotas(labels, length, balance)
        weights = np.where(counts > 0, counts.clip(1) ** (1 - balance), 0.0)[: len(found)]
        assert int(found.sum()) == length
        assert np.abs(found.numpy() - length * weights / weights.sum()).max() < 1.0


# --- the training of an arm ---


@pytest.fixture
def calls(monkeypatch):
    """What the engine's fit was given."""
    found, fit = [], classification.fit

    def recorded(task, dataset, config, run_dir, **more):
        weights = {k: v.clone() for k, v in task.state_dict().items()}
        found.append({"weights": weights, "data": dataset, "config": config, "model": task.config})
        return fit(task, dataset, config, run_dir, **more)

    monkeypatch.setattr(classification, "fit", recorded)
    return found


def run(name, folder, training=TINY, **more):
    arm = ARMS[name]
    generated = numbered((0, 6, 90), 100) if arm.generated else None
    if not arm.real:
        generated = numbered((20, 20, 20), 100)
    given = {"data": folder, "seed": 3, **more}
    return train_arm(arm, REAL, generated, numbered((3, 3, 3), 0), CLASSES, training, folder / name, Silent(), **given)


def test_arms_differ_in_what_they_add_alone(tmp_path, calls):
    results = {name: run(name, tmp_path) for name in ARMS}
    first = calls[0]
    for call, (name, result) in zip(calls, results.items(), strict=True):
        assert call["config"] == first["config"]
        assert all(torch.equal(call["weights"][k], first["weights"][k]) for k in first["weights"])
        assert torch.equal(call["data"].labels, first["data"].labels)
        assert call["model"].augment == ARMS[name].augment == result["augment"]
        assert result["steps"] == 2
        assert result["seed"] == 3
        assert np.sum(result["confusion"], axis=1).tolist() == [3, 3, 3]
        assert len(result["predicted"]) == 9
        assert np.sum([*result["items"]["real"], *result["items"]["generated"]]) == 16
    assert results["flips"]["patches"] == {"real": [40, 12, 5], "generated": [0, 0, 0]}
    assert results["gan"]["patches"] == {"real": [40, 12, 5], "generated": [0, 6, 90]}
    assert results["synthetic_only"]["patches"] == {"real": [0, 0, 0], "generated": [20, 20, 20]}
    assert results["synthetic_only"]["items"]["real"] == [0, 0, 0]
    assert {name for name, arm in ARMS.items() if arm.generated} == {"gan", "both", "synthetic_only"}


def test_a_plan_replaces_the_steps_and_a_reference_the_normalisation(tmp_path, calls):
    bright = PatchTensor(torch.tensor([200, 220], dtype=torch.uint8).view(2, 1, 1, 1), torch.tensor([0, 1]), GENERATED)
    run("flips", tmp_path, steps=3, reference=bright)
    assert calls[0]["config"].steps == 3
    assert calls[0]["model"].total_steps == 3
    assert float(calls[0]["weights"]["mean"]) == pytest.approx(210 / 255)
    assert len(calls[0]["data"]) == 24


def test_generated_patches_go_with_the_arms_that_want_them(tmp_path):
    with pytest.raises(ValueError, match="arm 'gan' needs generated patches; none were given"):
        train_arm(ARMS["gan"], REAL, None, REAL, CLASSES, TINY, tmp_path, Silent(), data=tmp_path, seed=0)
    with pytest.raises(ValueError, match="arm 'flips' takes no generated patches; 96 were given"):
        train_arm(ARMS["flips"], REAL, MADE, REAL, CLASSES, TINY, tmp_path, Silent(), data=tmp_path, seed=0)


def levels(labels, values, seed=0):
    """Noise of so many grey levels around the values."""
    source = np.random.default_rng(seed)
    images = np.array(values)[:, None, None, None] + source.normal(scale=8, size=(len(values), 1, 20, 20))
    return PatchTensor(torch.from_numpy(images).clamp(0, 255).to(torch.uint8), torch.tensor(labels), GENERATED)


def test_good_patches_of_a_rare_class_help_it(tmp_path):
    """Water is dark or bright here, and only one patch of it is known; an ideal generator draws both."""
    train = levels([0] * 60 + [1] * 60 + [2], [100] * 60 + [150] * 60 + [220])
    test = levels([0] * 20 + [1] * 20 + [2] * 40, [100] * 20 + [150] * 20 + [30] * 20 + [220] * 20, seed=1)
    training = ArmTraining(depth=18, width=4, steps=40, batch_size=24, lr=3e-3, balance=1.0, share=0.9)
    given = {"flips": None, "gan": levels([2] * 60, [30, 220] * 30, seed=2)}
    recall = {}
    for name, generated in given.items():
        arm, folder = ARMS[name], tmp_path / name
        found = train_arm(arm, train, generated, test, CLASSES, training, folder, Silent(), data=tmp_path, seed=0)
        recall[name] = found["recall"][2]
    assert recall["gan"] > 0.9, recall
    assert recall["flips"] < 0.6, recall


def test_settings_are_checked_at_once():
    for changes, says in (
        ({"depth": 19}, "19"),
        ({"balance": -0.5}, "balance must lie in"),
        ({"speckle_looks": (8.0, 4.0)}, "low <= high"),
        ({"steps": 0}, "steps must be at least 1"),
    ):
        with pytest.raises(ValueError, match=says):
            ArmTraining(**changes)


# --- patches reduced before the network ---


def test_a_classifier_reduces_patches_by_area_means():
    torch.manual_seed(0)
    model = Classifier(ClassifierConfig(depth=18, width=4, classes=3, size=10), data_mean=0.4, data_std=0.2).eval()
    plain = Classifier(ClassifierConfig(depth=18, width=4, classes=3), data_mean=0.4, data_std=0.2).eval()
    plain.load_state_dict(model.state_dict())
    images = torch.rand(2, 1, 20, 20)
    blocks = images.reshape(2, 1, 10, 2, 10, 2).mean(dim=(3, 5))
    torch.testing.assert_close(model(images), plain(blocks))
    torch.testing.assert_close(model.predict(blocks), plain.predict(blocks))
    assert model.inputs(torch.rand(1, 1, 40, 20)).shape[-2:] == (10, 5)
    with pytest.raises(ValueError, match="size must be at most the side of the images, 8 pixels; 10 was given"):
        model(torch.rand(1, 1, 8, 8))
