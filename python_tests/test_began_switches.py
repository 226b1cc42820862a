"""BEGAN's switches: classes, speckle behind the generator, and the readings of the paper's histogram loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sarcore.models.began import BEGAN
from sarcore.models.began_config import BEGANConfig
from sarcore.models.step import PlainStep
from sarcore.ops import speckle


def small(preset: str = "berthelot", **overrides: Any) -> BEGANConfig:
    return BEGANConfig.preset(preset, **{"size": 20, "width": 4, "latent": 8, **overrides})  # type: ignore[arg-type]


def images(n: int = 4) -> Tensor:
    return torch.rand(n, 1, 20, 20, generator=torch.Generator().manual_seed(0))


def batch(n: int = 4) -> tuple[Tensor, Tensor]:
    return images(n), torch.zeros(n, dtype=torch.int64)


def test_labels_choose_what_is_drawn_and_what_is_reconstructed() -> None:
    torch.manual_seed(0)
    model = BEGAN(small(classes=3))
    z, x = model.latent(1).expand(3, 8), images(1).expand(3, 1, 20, 20)
    labels = torch.arange(3)
    for patches in (model.generate(z, labels), model.discriminator(x, labels).detach()):
        assert float((patches[0] - patches[1]).abs().max()) > 1e-3
        assert float((patches[1] - patches[2]).abs().max()) > 1e-3
    assert not torch.equal(model.reconstruction_loss(x, labels), model.reconstruction_loss(x, labels.flip(0) * 0))
    for wrong in (None, labels + 1, labels[:2]):
        with pytest.raises(ValueError, match="labels of the classes 0 to 2"):
            model.generate(z, wrong)
    with pytest.raises(ValueError, match="without classes"):
        BEGAN(small()).generate(z, labels)
    with pytest.raises(ValueError, match="give the labels"):
        model.discriminator(x)


def test_the_grid_of_a_model_with_classes_shows_one_class_per_row() -> None:
    model = BEGAN(small(classes=3), seed=3)
    rows = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    assert torch.equal(model.sample_grid(8), model.generate(model.fixed_latent[:8], rows))


@pytest.mark.parametrize("mode", ["fixed", "learned"])
def test_speckle_multiplies_what_the_generator_makes(mode: str) -> None:
    torch.manual_seed(0)
    width = 2.0 if mode == "fixed" else 0.0
    model = BEGAN(small("sarcore", speckle=mode, looks=5.0, oversampling=width), data_mean=0.4)
    z, index = model.latent(3), torch.tensor([5, 0, 6])
    expected = speckle(
        model.reflectivity(z), 5.0, seed=9, domain="amplitude", index=index, psf=("gaussian", width) if width else None
    )
    drawn = model.generate(z, seed=9, index=index)
    torch.testing.assert_close(drawn, expected.clamp(0, 1))
    torch.testing.assert_close(drawn[2:], model.generate(z[2:], seed=9, index=index[2:]))
    assert not torch.equal(drawn, model.generate(z, seed=8, index=index))
    assert torch.equal(model.generate(z, seed=1), model.generate(z, seed=1, index=torch.arange(3)))


def test_the_discriminator_sees_speckle_and_the_looks_are_learnt_faster_than_weights() -> None:
    torch.manual_seed(0)
    model = BEGAN(small("sarcore", speckle="learned", looks=5.0))
    before = model.speckle.looks()
    seen: list[Tensor] = []
    model.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    logs = model.training_step(batch(), PlainStep(model.configure_optimizers()))
    roughness = (seen[0][..., 1:] - seen[0][..., :-1]).square().mean() / seen[0].square().mean()
    assert float(roughness) > 0.5 * 2 / 5 / 4, "white speckle of an amplitude: twice its variance of 1 / (4 L)"
    assert torch.equal(seen[1], batch()[0])
    change = float((model.speckle.looks() / before).log().abs())
    assert change == pytest.approx(10 * model.config.lr, rel=1e-2), "Adam's first step is as long as its rate"
    assert float(logs["looks"]) == pytest.approx(float(model.speckle.looks()))


def test_every_step_has_speckle_of_its_own() -> None:
    model = BEGAN(small("sarcore", speckle="fixed", looks=1.0))
    step = PlainStep(model.configure_optimizers())
    assert not torch.equal(step.draw(model.speckle.draw, 4), step.draw(model.speckle.draw, 4))


@pytest.mark.parametrize("kernel", ["linear", "hard"])
@pytest.mark.parametrize("normalize", ["probability", "count"])
def test_the_histogram_loss_is_the_papers_formula(kernel: str, normalize: str) -> None:
    """L = 1/bins sum (h(x) - h(D(x)))^2 + omega mean (x - D(x))^2, h by hand; the hard one has no gradient."""
    torch.manual_seed(0)
    model = BEGAN(small("marmanis", bins=8, histogram_kernel=kernel, histogram_normalize=normalize)).double()
    torch.nn.init.constant_(model.discriminator.decoder.to_image.bias, 0.4)  # type: ignore[arg-type]
    x = images(3).double()

    def histogram(image: Tensor) -> Tensor:
        places = image.flatten() * 8 - 0.5
        if kernel == "hard":
            return torch.histc(image, 8, 0.0, 1.0)
        centres = torch.arange(8, dtype=torch.float64)
        return (1 - (places.clamp(0, 7)[:, None] - centres).abs()).clamp(min=0).sum(dim=0)

    made = model.discriminator(x).detach().clamp(0, 1)
    scale = 400.0 if normalize == "probability" else 1.0
    distance = torch.stack(
        [((histogram(a) - histogram(b)) / scale).square().mean() for a, b in zip(x, made, strict=True)]
    )
    spatial = 0.001 * (x - model.discriminator(x)).square().mean()
    torch.testing.assert_close(model.reconstruction_loss(x), distance.mean() + spatial, rtol=1e-9, atol=0)
    weights = list(model.discriminator.parameters())
    whole = torch.autograd.grad(model.reconstruction_loss(x), weights)
    alone = torch.autograd.grad(0.001 * (x - model.discriminator(x)).square().mean(), weights)
    same = [torch.allclose(a, b, rtol=1e-6, atol=1e-12) for a, b in zip(whole, alone, strict=True)]
    assert all(same) == (kernel == "hard")
