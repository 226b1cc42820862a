"""The adversarial losses against their formulas, written in NumPy."""

import numpy as np
import pytest
import torch

from sarcore.models.adversarial import generator_loss, mean_difference, score_loss

LOSSES = {
    "lsgan": (lambda s: (s - 1) ** 2, lambda s: s**2),
    "bce": (lambda s: np.log1p(np.exp(-s)), lambda s: np.log1p(np.exp(s))),
    "hinge": (lambda s: np.maximum(0, 1 - s), lambda s: np.maximum(0, 1 + s)),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_those_of_the_papers(loss, generator):
    real, fake = (2 * torch.randn(2, 1, 5, 4, generator=generator) for _ in range(2))
    of_real, of_fake = LOSSES[loss]
    for scores, formula, is_real in ((real, of_real, True), (fake, of_fake, False)):
        expected = formula(scores.double().numpy()).mean()
        assert float(score_loss(scores, loss, real=is_real)) == pytest.approx(expected, rel=1e-6)
    fooled = -fake.double().numpy().mean() if loss == "hinge" else of_real(fake.double().numpy()).mean()
    assert float(generator_loss(fake, loss)) == pytest.approx(fooled, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_computed_in_full_precision(loss):
    scores = torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)  # its square overflows float16
    for value in (score_loss(scores, loss, real=False), generator_loss(scores, loss)):
        assert value.dtype == torch.float32
        assert value.isfinite()
    assert mean_difference(scores, scores - 1).dtype == torch.float32
    assert score_loss(scores.double(), loss, real=True).dtype == torch.float64
