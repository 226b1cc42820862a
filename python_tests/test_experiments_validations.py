"""What a generator is judged by."""

import pytest
import torch

from sarcore import Radiometry
from sarcore.engine.validation import run_validation
from sarcore.experiments.patches import PatchTensor
from sarcore.experiments.validations import Convergence, generator_validation
from sarcore.models import BEGAN, BEGANConfig, PlainStep
from sarcore.ops import speckle


def test_convergence_is_the_measure_of_all_patches():
    metric = Convergence(0.5)
    for real, fake, count in ((0.4, 0.1, 3), (0.8, 0.5, 1)):
        metric.update(torch.tensor(real), torch.tensor(fake), count)
    real, fake = (3 * 0.4 + 0.8) / 4, (3 * 0.1 + 0.5) / 4
    assert float(metric.compute()) == pytest.approx(real + abs(0.5 * real - fake), rel=1e-6)


def test_a_trained_generator_is_better_than_an_untrained_one():
    """The distance of the grey values says the opposite: noise is near to speckle."""
    amplitude = 0.4 * speckle(torch.ones(48, 1, 20, 20), looks=3, seed=0).sqrt()
    codes = (amplitude.clamp(0, 1) * 255).round().to(torch.uint8)
    config = BEGANConfig.preset("sarcore", size=20, width=8)
    torch.manual_seed(0)
    model = BEGAN(config, data_mean=float(amplitude.mean()))
    held_out = PatchTensor(codes[32:], torch.zeros(16, dtype=torch.int64), Radiometry("digital", 0, 255))
    validation = generator_validation(held_out, "hard", config)
    before, _ = run_validation(model, validation, device="cpu")
    step = PlainStep(model.configure_optimizers())
    for _ in range(40):
        model.training_step((amplitude[:32], torch.zeros(32)), step)
    after, _ = run_validation(model, validation, device="cpu")
    assert after["M"] < 0.8 * before["M"]
