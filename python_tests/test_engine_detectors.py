"""What goes wrong without an error: said once, in time, with the remedy; never of a healthy training."""

import pytest
import torch

from sarcore.engine.detectors import Detectors
from sarcore.engine.logs import image_statistics


def watch(detectors: Detectors, observations):
    """(step, sentence) of all that is said about (step, scalars[, statistics]) observations."""
    return [(seen[0], sentence) for seen in observations for sentence in detectors.observe(*seen)]


@pytest.mark.parametrize(("k", "remedy"), [(0.0, "raise --gamma"), (1.0, "lower --gamma or --lambda-k")])
def test_k_stuck_at_a_bound(k, remedy):
    said = watch(Detectors(), [(step, {"k": k}) for step in range(10, 5000, 10)])
    assert [step for step, _ in said] == [1010], "1000 steps after the first, and once"
    assert remedy in said[0][1]
    assert "since step 10:" in said[0][1]
    rare = watch(Detectors(), [(step, {"k": k}) for step in range(0, 5001, 100)])
    assert [step for step, _ in rare] == [4900], "50 observations"


def test_k_that_leaves_its_bound_is_not_stuck_and_is_reported_anew():
    touching = [(step, {"k": 0.0 if step % 500 else 0.01}) for step in range(0, 5000, 10)]
    assert watch(Detectors(), touching) == []
    twice = [(step, {"k": 0.5 if step == 3000 else 1.0}) for step in range(0, 6000, 10)]
    assert [step for step, _ in watch(Detectors(), twice)] == [1000, 4010]


def test_dead_pixels():
    said = watch(Detectors(), [(step, {"dead_fraction": 0.95}) for step in range(0, 500, 10)])
    assert [step for step, _ in said] == [100]
    assert "--output softplus" in said[0][1]
    assert "95%" in said[0][1]
    assert watch(Detectors(), [(step, {"dead_fraction": 0.85}) for step in range(0, 500, 10)]) == []


def look(images: torch.Tensor, steps=range(200, 1001, 200)):
    return [(step, {}, {"": image_statistics(images)}) for step in steps]


def with_real(images: torch.Tensor) -> Detectors:
    detectors = Detectors()
    detectors.real = {"": image_statistics(images)}
    return detectors


def test_collapse_and_saturation():
    torch.manual_seed(0)
    real = torch.rand(16, 1, 20, 20)
    assert watch(with_real(real), look(torch.rand(16, 1, 20, 20))) == []
    one = torch.rand(1, 1, 20, 20).expand(16, -1, -1, -1) + 0.01 * torch.rand(16, 1, 20, 20)
    said = watch(with_real(real), look(one))
    assert [step for step, _ in said] == [800]
    assert "collapsed" in said[0][1]
    for level, colour in ((0.0, "black"), (1.0, "white")):
        half = torch.where(torch.rand(16, 1, 20, 20) < 0.5, torch.full((), level), torch.rand(16, 1, 20, 20))
        said = watch(with_real(real), look(half))
        assert len(said) == 1
        assert f"pixels have been {colour}" in said[0][1]
        assert watch(with_real(half), look(half)) == [], "real images are like that"
    assert watch(Detectors(), look(one)) == [], "nothing to compare with"


def test_statistics_that_say_nothing_are_passed_over():
    empty = {"histogram": [None] * 64, "spectrum": [None] * 32, "diversity": None}
    detectors = with_real(torch.rand(4, 1, 8, 8))
    assert watch(detectors, [(step, {}, {"": empty}) for step in range(0, 5000, 100)]) == []
    flat = with_real(torch.zeros(4, 1, 8, 8))
    assert watch(flat, look(torch.zeros(4, 1, 8, 8))) == []


def test_autoencoder_that_wins():
    healthy = [
        (s, {"k": 0.1, "loss_d": 0.001, "loss_g": 0.05, "loss_real": 0.1, "loss_fake": 0.05})
        for s in range(0, 3000, 10)
    ]
    assert watch(Detectors(), healthy) == []
    lost = [
        (s, {"k": 0.1, "loss_d": 0.001, "loss_g": 0.7, "loss_real": 0.1, "loss_fake": 0.7}) for s in range(0, 3000, 10)
    ]
    said = watch(Detectors(), lost)
    assert [step for step, _ in said] == [500]
    assert "7.0 times worse" in said[0][1]


@pytest.mark.parametrize(("d", "g"), [("loss_d", "loss_g"), ("loss_d_a", "loss_g_a"), ("loss_d_b", "loss_g")])
def test_classifier_that_wins(d, g):
    def observations(loss_d, growth):
        return [(step, {d: loss_d, g: 1.0 + growth * step / 1000}) for step in range(0, 6000, 10)]

    said = watch(Detectors(), observations(0.001, 2.0))
    assert len(said) == 1
    assert 500 <= said[0][0] < 2000
    assert "winning" in said[0][1]
    assert watch(Detectors(), observations(0.25, 2.0)) == [], "a discriminator that errs"
    assert watch(Detectors(), observations(0.001, 0.0)) == [], "a generator that holds"


def test_two_discriminators_are_told_apart():
    def observations():
        return [(s, {"loss_d_a": 0.2, "loss_d_b": 0.001, "loss_g": 1 + s / 500}) for s in range(0, 6000, 10)]

    assert len(watch(Detectors(), observations())) == 1


@pytest.mark.parametrize("cut", [300, 1000, 1500])
def test_a_resumed_run_says_nothing_twice_and_counts_on(cut):
    observations = [
        (step, {"k": 0.0, "dead_fraction": 0.99, "loss_d": 0.0, "loss_g": 1.0 + step}) for step in range(0, 3000, 10)
    ]
    whole = watch(Detectors(), observations)
    assert len(whole) == 3
    first, second = Detectors(), Detectors()
    before = watch(first, [seen for seen in observations if seen[0] <= cut])
    second.load(torch.load(_saved(first.state()), weights_only=True))
    assert before + watch(second, [seen for seen in observations if seen[0] > cut]) == whole


def _saved(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_discriminators_are_held_against_the_generator_that_they_judge():
    """That of A judges the generator from B; of a Pix2Pix, the large L1 part of the loss hides nothing."""
    steps = [(step, 1.0 + 0.005 * step) for step in range(0, 1500, 10)]
    cycle = [
        (s, {"loss_d_a": 0.001, "loss_d_b": 0.3, "loss_g_ba": g, "loss_g_ab": 1.0, "loss_g": 40.0}) for s, g in steps
    ]
    assert len(watch(Detectors(), cycle)) == 1
    swapped = [(s, {**row, "loss_g_ba": 1.0, "loss_g_ab": row["loss_g_ba"]}) for s, row in cycle]
    assert watch(Detectors(), swapped) == []
    assert len(watch(Detectors(), [(s, {"loss_d": 0.001, "loss_g": 60.0, "loss_g_gan": g}) for s, g in steps])) == 1


def test_translations_are_held_against_real_images_of_their_own_domain():
    torch.manual_seed(0)
    dark, bright = 0.02 * torch.rand(8, 1, 20, 20), 0.4 + 0.2 * torch.rand(8, 1, 20, 20)
    dark[:, :, :10] = 0.0
    detectors = Detectors()
    detectors.real = {"AtoB": image_statistics(bright), "BtoA": image_statistics(dark)}
    steps = range(200, 1001, 200)
    right = {"AtoB": image_statistics(bright), "BtoA": image_statistics(dark)}
    assert watch(detectors, [(step, {}, right) for step in steps]) == []
    wrong = {"AtoB": image_statistics(dark), "BtoA": image_statistics(bright[:1].expand(8, -1, -1, -1))}
    said = [sentence for _, sentence in watch(detectors, [(step, {}, wrong) for step in steps])]
    assert any("of the pixels translated AtoB have been black" in sentence for sentence in said)
    assert any("translations BtoA have had 0.0% of the diversity" in sentence for sentence in said)
    assert not any("AtoB" in sentence and "diversity" not in sentence and "black" not in sentence for sentence in said)


def test_inverted_intensities_of_an_unpaired_training():
    def rows(value, **more):
        return [(step, {"correlation_ab": 0.1, "correlation_ba": value, **more}) for step in range(0, 3000, 10)]

    said = watch(Detectors(), rows(-0.6, cycle_a=1.0))
    assert len(said) == 1
    assert said[0][0] == 500
    assert "Translations BtoA have been dark where their inputs are bright since step 0" in said[0][1]
    assert "--structure-weight" in said[0][1]
    assert watch(Detectors(), rows(-0.2, cycle_a=1.0)) == [], "real pairs are often like that"
    assert watch(Detectors(), rows(-0.6)) == [], "pairs have told the model so"
    # Single batches scatter: their running mean counts.
    noisy = [
        (step, {"correlation_ab": -0.5 + 0.7 * (i % 3 - 1), "cycle_a": 1.0})
        for i, step in enumerate(range(0, 3000, 10))
    ]
    assert len(watch(Detectors(), noisy)) == 1


def test_a_resumed_run_goes_on_with_the_smoothed_correlation():
    observations = [(step, {"correlation_ab": -0.35, "cycle_a": 1.0}) for step in range(0, 1000, 10)]
    first = Detectors()
    assert watch(first, observations[:40]) == []
    state = first.state()
    second = Detectors()
    second.load(state)
    assert [step for step, _ in watch(second, observations[40:])] == [500]
    del state["correlation"]  # of an earlier version
    Detectors().load(state)
