"""The learning curve in miniature."""

import csv
import json
import shutil

import pytest
import torch

from sarcore.data import write_simulated
from sarcore.errors import SarcoreError
from sarcore.experiments import arms, curve, curve_generator
from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.curve import run_curve
from sarcore.experiments.curve_config import CurveConfig
from sarcore.experiments.label_cells import LabelCell
from sarcore.experiments.progress import Silent
from sarcore.report import write_report


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    return write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=40, seed=3)


def tiny(data, **changes):
    training = {"width": 4, "size": 20, "steps": 3, "batch_size": 8, **changes.pop("classifier", {})}
    settings = {
        "fractions": (25.0, 100.0),
        "arms": ("flips", "gan", "both"),
        "seeds": 2,
        "synthetic": 4,
        "generator_steps": 2,
        "generator_width": 4,
        "generator_batch_size": 8,
        "pretraining_steps": 2,
        "pretraining_width": 4,
        **changes,
    }
    return CurveConfig(data, classifier=ArmTraining(**training), **settings)


class Trainings:
    """Stands in front of the trainings and keeps what they were given."""

    def __init__(self, patch):
        self.gans, self.arms = [], []
        train_gan_on, train_arm = curve_generator.train_gan_on, arms.train_arm
        patch.setattr(
            curve_generator,
            "train_gan_on",
            lambda patches, *rest, **more: self.gan(train_gan_on, patches, *rest, **more),
        )
        patch.setattr(
            "sarcore.experiments.label_study.train_arm", lambda *given, **more: self.arm(train_arm, *given, **more)
        )

    def gan(self, train, patches, config, folder, *rest, **more):
        self.gans.append((folder, patches, config))
        return train(patches, config, folder, *rest, **more)

    def arm(self, train, arm, real, generated, *rest, **more):
        self.arms.append((arm.name, more["seed"], real, generated, more))
        return train(arm, real, generated, *rest, **more)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """One finished run: (folder, results, trainings)."""
    run = tmp_path_factory.mktemp("curve") / "run"
    with pytest.MonkeyPatch.context() as patch:
        trainings = Trainings(patch)
        results = run_curve(tiny(data), run, Silent())
    return run, results, trainings


def test_one_generator_of_each_share_and_seed_serves_its_arms(finished):
    run, results, trainings = finished
    assert [folder.relative_to(run).as_posix() for folder, _, _ in trainings.gans] == [
        f"fraction_{share}/generator/seed_{seed}" for seed in (0, 1) for share in ("25", "100")
    ]
    assert len(trainings.arms) == 12
    with_generated = [generated for name, _, _, generated, _ in trainings.arms if name != "flips"]
    pairs = list(zip(with_generated[::2], with_generated[1::2], strict=True))
    assert all(gan is both for gan, both in pairs)
    drawn = pairs[0][0]
    assert torch.bincount(drawn.labels).tolist() == [4] * 7
    assert drawn.images.shape == (28, 1, 40, 40)
    assert drawn.images.dtype == torch.uint8
    assert not torch.equal(pairs[0][0].images, pairs[1][0].images)
    assert {row["arm"] for row in results["rows"]} == {"flips", "gan", "both"}


def test_the_generator_sees_all_pixels_and_only_the_labels_of_its_share(finished):
    _, results, trainings = finished
    everything = sum(results["dataset"]["patches"]["train"].values())
    for (_, patches, config), share in zip(trainings.gans, (25, 100, 25, 100), strict=True):
        known = patches.labels >= 0
        assert len(patches) == everything
        counts = torch.bincount(patches.labels[known], minlength=7).tolist()
        in_all = results["dataset"]["patches"]["train"].values()
        assert counts == [max(1, int(share / 100 * n + 0.5)) for n in in_all]
        assert config.val_fraction == 0.0
    first, second = trainings.gans[0][1].labels, trainings.gans[2][1].labels
    assert not torch.equal(first, second)  # another seed has other labels


def test_all_arms_of_a_share_and_seed_have_the_same_labels_and_nothing_of_the_test(finished):
    _, results, trainings = finished
    for at in range(0, 12, 3):
        reals = [real for _, _, real, _, _ in trainings.arms[at : at + 3]]
        assert all(torch.equal(reals[0].images, real.images) for real in reals[1:])
        assert {more["seed"] for *_, more in trainings.arms[at : at + 3]} == {at // 6}
        assert {more["steps"] for *_, more in trainings.arms[at : at + 3]} == {3}
    few, many = trainings.arms[0][2], trainings.arms[3][2]
    assert len(few) < len(many) == sum(results["dataset"]["patches"]["train"].values())
    labelled = {row["fraction"]: row["labelled"] for row in results["rows"]}
    assert labelled == {25.0: [len(few)] * 2, 100.0: [len(many)] * 2}


def test_results_table_and_page(finished):
    run, results, _ = finished
    kept = json.loads((run / "results.json").read_text())
    assert kept == json.loads(json.dumps(results))
    assert kept["missing"] == []
    assert kept["plan"] is None
    assert kept["kind"] == "curve"
    lines = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    assert {(line["fraction"], line["arm"]) for line in lines} == {
        (share, arm) for share in ("25.0", "100.0") for arm in ("flips", "gan", "both")
    }
    page = write_report(run).read_text()
    assert "With 25 % of the labels, flips + speckle + GAN" in page
    assert page.count("<svg") >= 2 + 7


def test_what_is_there_is_not_made_again_and_shares_arms_and_seeds_may_be_added(finished, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    trainings = Trainings(monkeypatch)
    again = run_curve(tiny(data), run, Silent())
    assert (trainings.gans, trainings.arms) == ([], [])
    assert again["rows"] == finished[1]["rows"]
    more = run_curve(tiny(data, fractions=(25.0, 50.0, 100.0), arms=("flips", "speckle"), seeds=1), run, Silent())
    assert [(name, seed) for name, seed, *_ in trainings.arms] == [
        ("speckle", 0),
        ("flips", 0),
        ("speckle", 0),
        ("speckle", 0),
    ]
    assert trainings.gans == []
    assert {row["fraction"] for row in more["rows"]} == {25.0, 50.0, 100.0}
    with pytest.raises(SarcoreError, match="classifier was"):
        run_curve(tiny(data, classifier={"steps": 4}), run, Silent())


def test_parts_made_elsewhere_are_merged(finished, data, tmp_path, monkeypatch):
    part = tmp_path / "part"
    run_curve(tiny(data, fractions=(25.0,), arms=("flips",), seeds=1), part, Silent())
    trainings = Trainings(monkeypatch)
    merged = run_curve(tiny(data), part, Silent(), merge=[finished[0]])
    assert (trainings.gans, trainings.arms) == ([], [])
    assert merged["rows"] == finished[1]["rows"]


def test_a_budget_shortens_all_trainings_alike(data, tmp_path, monkeypatch):
    config = tiny(
        data, fractions=(100.0,), arms=("flips", "gan"), seeds=1, generator_steps=100_000, pretraining_steps=100_000,
        classifier={"steps": 100_000},
    )  # fmt: skip
    trainings = Trainings(monkeypatch)
    results = run_curve(config, tmp_path / "run", Silent(), minutes=0.01)
    planned = {name: one["steps"] for name, one in results["plan"]["kinds"].items()}
    assert planned == {"classifier": 10, "pretraining": 10, "generator": 10}  # the least
    assert [more["steps"] for *_, more in trainings.arms][-2:] == [10, 10]
    assert trainings.gans[-1][2].fit.steps == 10
    assert json.loads((tmp_path / "run" / "pretraining" / "result.json").read_text())["steps"] == 10
    assert "Budget" in write_report(tmp_path / "run").read_text()


def test_cells_of_a_seed_stand_together_and_a_generator_before_its_arms(data):
    cells = [cell.name for cell in CurveConfig(data, fractions=(10.0, 2.5), arms=("both", "none"), seeds=2).cells()]
    assert cells[:7] == [
        "fraction_2.5/none/seed_0", "pretraining", "fraction_2.5/generator/seed_0", "fraction_2.5/both/seed_0",
        "fraction_10/none/seed_0", "fraction_10/generator/seed_0", "fraction_10/both/seed_0",
    ]  # fmt: skip
    assert len(cells) == 13
    assert all(isinstance(cell, LabelCell) for cell in CurveConfig(data, arms=("flips",)).cells())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": (0.0, 5.0)}, "different percentages above 0"),
        ({"fractions": (5.0, 5.0)}, "different percentages above 0"),
        ({"fractions": ()}, "different percentages above 0"),
        ({"arms": ("flips", "gann")}, "arms must be different ones of none, flips, speckle, gan, both"),
        ({"arms": ()}, "arms must be different ones"),
        ({"synthetic": 0}, "synthetic must be at least 1"),
        ({"pretraining_steps": 0}, "pretraining_steps must be at least 1"),
        ({"test_fraction": 1.0}, "test_fraction must lie in"),
    ],
)
def test_settings_that_are_refused(data, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(data, **changes)
    assert curve.REFERENCE == "flips"
