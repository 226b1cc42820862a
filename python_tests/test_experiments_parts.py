"""The parts of the experiments, the scenarios and the numbers, against independent statements."""

import numpy as np
import pytest
import torch

from sarcore import Radiometry
from sarcore.experiments import quality, summary
from sarcore.experiments.patches import (
    PatchTensor,
    ScenarioPatches,
    mean_and_deviation,
    scenario_size,
    scenario_view,
)
from sarcore.experiments.validations import HeldOut

DIGITAL = Radiometry("digital", 0.0, 255.0)


# --- the scenarios ---


def test_simple_crops_are_windows_of_their_patch():
    patches = torch.arange(3 * 16 * 16, dtype=torch.float32).view(3, 1, 16, 16)
    crops = scenario_view(patches, "simple", generator=torch.Generator().manual_seed(0))
    corners = set()
    for patch, crop in zip(patches[:, 0], crops[:, 0], strict=True):
        y, x = divmod(int(crop[0, 0] - patch[0, 0]), 16)
        assert torch.equal(crop, patch[y : y + 8, x : x + 8])
        corners.add((y, x))
    assert len(corners) > 1


def test_intermediate_is_the_mean_of_each_2x2_block():
    patches = torch.rand(2, 1, 12, 12)
    blocks = patches.reshape(2, 1, 6, 2, 6, 2).mean(dim=(3, 5))
    torch.testing.assert_close(scenario_view(patches, "intermediate"), blocks)
    assert scenario_view(patches, "hard") is patches


def test_sizes_that_cannot_be_halved_are_refused():
    assert scenario_size(81, "hard") == 81
    with pytest.raises(ValueError, match="even, got 81"):
        scenario_size(81, "simple")
    with pytest.raises(ValueError, match="square"):
        scenario_view(torch.rand(1, 1, 8, 10), "hard")


def test_patch_tensor_encodes_on_access():
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    patches = PatchTensor(images, torch.tensor([2, 0, 1]), DIGITAL)
    image, label = patches[1]
    torch.testing.assert_close(image, images[1].float() / 255)
    assert label == 0
    mean, deviation = mean_and_deviation(patches)
    assert mean == pytest.approx(images.double().mean().item() / 255)
    assert deviation == pytest.approx(images.double().std(correction=0).item() / 255)
    with pytest.raises(ValueError, match="with N labels"):
        PatchTensor(images, torch.zeros(2), DIGITAL)


def test_crops_of_a_scenario_follow_from_their_seeds_and_go_everywhere():
    patches = PatchTensor(torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8), torch.tensor([0]), DIGITAL)
    view = ScenarioPatches(patches, "simple")
    seeds = torch.randint(-(2**63), 2**63 - 1, (2000,), generator=torch.Generator().manual_seed(0))
    crops = view.view(patches.images.expand(2000, -1, -1, -1), seeds)
    assert torch.equal(crops[:7], view.view(patches.images.expand(7, -1, -1, -1), seeds[:7]))
    corners, counts = crops[:, 0, 0, 0].unique(return_counts=True)
    assert corners.tolist() == [8 * y + x for y in range(5) for x in range(5)]
    assert counts.min() > 40  # 80 are expected in each of the 25 places
    assert torch.equal(view[0][0], view[0][0])
    assert view[0][0].shape == (1, 4, 4)


def test_held_out_patches_are_the_same_with_the_same_latents_in_every_validation():
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    patches = PatchTensor(images, images[:, 0, 0, 0].long(), DIGITAL)
    one, other = (HeldOut(patches, "hard", lambda n, source: torch.rand(n, 5, generator=source)) for _ in range(2))
    assert all(torch.equal(one[i][part], other[i][part]) for i in range(6) for part in (0, 1))
    assert [one[i][3] for i in range(6)] == list(range(6)), "their speckle follows from these numbers"
    assert all(round(255 * one[i][0][0, 0, 0].item()) == one[i][2] for i in range(6)), "labels go with their patches"
    means = [one[i][0].mean().item() for i in range(6)]
    assert sorted(means) == pytest.approx(sorted(images.float().mean(dim=(1, 2, 3)).div(255).tolist()))
    assert means != pytest.approx(images.float().mean(dim=(1, 2, 3)).div(255).tolist())
    latents = torch.stack([one[i][1] for i in range(6)])
    assert latents.shape == (6, 5)
    assert len(latents.unique(dim=0)) == 6


# --- the numbers ---


def test_distances_of_shifted_histograms():
    p = torch.zeros(64, dtype=torch.float64)
    p[10] = 1.0
    for shift in (0, 1, 17):
        d = quality.histogram_distances(p, p.roll(shift))
        assert d["emd"] == pytest.approx(shift / 64)
        assert d["l2"] == pytest.approx(2 / 64 if shift else 0.0)


def test_pooled_histogram_weights_images_alike_and_keeps_the_mean():
    images = torch.rand(70, 1, 9, 9) * 0.8 + 0.1
    h = quality.pooled_histogram(images)
    centres = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    assert float(h.sum()) == pytest.approx(1.0)
    assert float((h * centres).sum()) == pytest.approx(float(images.mean()), abs=1e-5)


def test_moments_show_a_generator_that_repeats_itself():
    one = torch.rand(1, 1, 16, 16)
    repeated, varied = one.expand(20, -1, -1, -1), torch.rand(20, 1, 16, 16) * torch.rand(20, 1, 1, 1)
    assert quality.moments(repeated)["std_of_patch_means"] == pytest.approx(0.0, abs=1e-12)
    assert quality.moments(varied)["std_of_patch_means"] > 0.05


def test_worse_patches_lie_farther_than_the_floor():
    real = torch.rand(40, 1, 16, 16)
    result = quality.compare(real, real.square())
    assert result["distance"]["emd"] > 5 * result["floor"]["emd"]
    assert quality.compare(real, real)["distance"] == {"l2": 0.0, "emd": 0.0}


def test_scene_bootstrap_extremes():
    target = np.array([0, 1] * 6)
    scenes = [f"s{i // 4}" for i in range(12)]
    right, wrong = np.stack([target] * 2), np.stack([1 - target] * 2)
    assert summary.scene_bootstrap(target, right, right, scenes, 2) == (0.0, 0.0)
    assert summary.scene_bootstrap(target, wrong, right, scenes, 2) == (1.0, 1.0)
    mixed = right.copy()
    mixed[:, :4] = 1 - mixed[:, :4]  # wrong in one scene of three
    low, high = summary.scene_bootstrap(target, mixed, right, scenes, 2)
    assert low == 0.0
    assert high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("low", "mean", "high", "over", "verdict", "says"),
    [
        (0.01, 0.02, 0.03, (0.005, 0.04), "better", "+2.0 points (95 % interval +1.0 to +3.0, 3 seeds)."),
        (0.01, 0.02, 0.03, (-0.01, 0.05), "better", "With other test scenes it might not be: −1.0 to +5.0 over 9"),
        (-0.03, -0.02, -0.01, (-0.04, -0.005), "worse", "−2.0 points"),
        (-0.01, 0.02, 0.05, (0.01, 0.03), "no measurable difference", "−1.0 to +5.0"),
        (None, 0.02, None, (0.0, 0.0), "unknown", "one seed, which says nothing yet"),
    ],
)
def test_a_verdict_claims_no_more_than_the_interval(low, mean, high, over, verdict, says):
    difference = {
        "scores": {"balanced_accuracy": {"mean": mean, "low": low, "high": high, "n": 3}},
        "over_scenes": {"low": over[0], "high": over[1], "scenes": 9},
    }
    found = summary.verdict("Speckle", difference, "flips", True)
    assert found["verdict"] == verdict
    assert says in found["text"]
    assert "synthetic scenes" in found["text"]
    assert "synthetic" not in summary.verdict("Speckle", difference, "flips", False)["text"]


def test_arms_are_paired_by_the_seeds_that_both_have():
    def run(seed, right, of=4):
        predicted = [0] * right + [1] * (of - right)
        recall = [right / of, None]
        return {
            "seed": seed, "predicted": predicted, "recall": recall,
            "balanced_accuracy": right / of, "overall_accuracy": right / of, "macro_f1": right / of,
        }  # fmt: skip

    runs = {"flips": [run(0, 1), run(1, 2), run(2, 3)], "gan": [run(2, 4), run(0, 3)], "new": [run(7, 4)]}
    target = np.zeros(4, dtype=np.int64)
    found = summary.compare_arms(runs, "flips", target, ["a", "a", "b", "b"], ["forest", "water"])
    assert found["flips"]["difference"] is None
    assert found["new"]["difference"] is None
    assert found["gan"]["seeds"] == [2, 0]
    change = found["gan"]["difference"]["scores"]["balanced_accuracy"]
    assert (change["mean"], change["n"]) == (0.375, 2)
    assert found["gan"]["scores"]["balanced_accuracy"]["mean"] == 0.875
    assert found["gan"]["recall"].keys() == {"forest"}
    assert found["gan"]["difference"]["recall"]["forest"]["mean"] == 0.375
    over = found["gan"]["difference"]["over_scenes"]
    # Pooled over both seeds scene a has 3 and then 4 hits of 4, scene b 1 and then 3.
    assert (over["low"], over["high"], over["scenes"]) == (0.25, 0.5, 2)
