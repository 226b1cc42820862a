"""BEGAN: the networks and their samples, the step against its formulas."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sarcore.models.began import BEGAN
from sarcore.models.began_config import BEGANConfig
from sarcore.models.began_networks import Autoencoder, Generator
from sarcore.models.step import PlainStep

PRESETS = ["berthelot", "marmanis", "sarcore"]


def small(preset: str = "berthelot", **overrides: Any) -> BEGANConfig:
    return BEGANConfig.preset(preset, **{"size": 20, "width": 4, "latent": 8, **overrides})  # type: ignore[arg-type]


def images(n: int = 4, size: int = 20, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def batch(n: int = 4, size: int = 20) -> tuple[Tensor, Tensor]:
    return images(n, size), torch.zeros(n, dtype=torch.int64)


# ---- networks


@pytest.mark.parametrize("size", [5, 10, 22, 24, 40])
@pytest.mark.parametrize("preset", PRESETS)
def test_shapes(preset: str, size: int) -> None:
    config = small(preset, size=size, channels=2)
    assert Generator(config)(torch.rand(3, 8)).shape == (3, 2, size, size)
    assert Autoencoder(config)(torch.rand(3, 2, size, size)).shape == (3, 2, size, size)


@pytest.mark.parametrize("output", ["linear", "relu", "softplus"])
@pytest.mark.parametrize("mean", [0.1, 0.35, 0.8])
def test_output_bias_starts_at_the_mean_of_the_data(output: str, mean: float) -> None:
    config = small(output=output, output_bias=True)
    for network, inputs in (
        (Generator(config, data_mean=mean), torch.zeros(1, 8)),
        (Autoencoder(config, data_mean=mean), images()),
    ):
        torch.nn.init.zeros_((network if isinstance(network, Generator) else network.decoder).to_image.weight)
        torch.testing.assert_close(network(inputs).mean().item(), mean, rtol=1e-5, atol=1e-6)


def test_dead_fraction_tells_relu_from_softplus() -> None:
    torch.manual_seed(0)
    dead = {}
    for output in ("relu", "softplus"):
        model = BEGAN(small(output=output))
        dead[output] = float(model.training_step(batch(), PlainStep(model.configure_optimizers()))["dead_fraction"])
    assert 0.2 < dead["relu"] < 0.8  # without the bias half of the pixels start dead
    assert dead["softplus"] == 0.0


# ---- samples


def test_latents_fill_the_cube_and_follow_the_generator() -> None:
    model = BEGAN(small())
    z = model.latent(2000, torch.Generator().manual_seed(1))
    assert z.shape == (2000, 8)
    assert -1.0 <= float(z.min()) < -0.99
    assert 0.99 < float(z.max()) <= 1.0
    assert torch.equal(z, model.latent(2000, torch.Generator().manual_seed(1)))


def test_samples_lie_in_the_unit_range_and_the_grid_is_fixed() -> None:
    model = BEGAN(small(), seed=3)
    torch.nn.init.normal_(model.generator.to_image.weight, std=10.0)
    grid = model.sample_grid(6)
    assert grid.shape == (6, 1, 20, 20)
    assert float(grid.min()) == 0.0
    assert float(grid.max()) == 1.0
    assert not grid.requires_grad
    torch.testing.assert_close(grid, model.sample_grid(64)[:6])  # the batch size may change the order of sums
    assert torch.equal(model.fixed_latent, BEGAN(small(), seed=3).fixed_latent)
    assert not torch.equal(model.fixed_latent, BEGAN(small(), seed=4).fixed_latent)
    for n in (0, 65):
        with pytest.raises(ValueError, match="1 to 64"):
            model.sample_grid(n)


# ---- equilibrium


def losses(model: BEGAN, real: float, fake: float) -> dict[str, float]:
    logs = model.update_equilibrium(torch.tensor(real, dtype=torch.float32), torch.tensor(fake, dtype=torch.float32))
    return {name: float(value) for name, value in logs.items()}


def test_equilibrium_by_hand() -> None:
    model = BEGAN(small(gamma=0.5, lambda_k=0.1))
    first = losses(model, 0.4, 0.1)
    assert first["k"] == 0.0
    assert first["balance"] == pytest.approx(0.1)
    assert first["M"] == pytest.approx(0.5)
    assert first["loss_d"] == pytest.approx(0.4)
    second = losses(model, 0.4, 0.3)
    assert second["k"] == pytest.approx(0.01)
    assert second["loss_d"] == pytest.approx(0.4 - 0.01 * 0.3)
    assert second["M"] == pytest.approx(0.4 + 0.1)
    assert float(model.k) == pytest.approx(0.0, abs=1e-8)


def test_k_stays_in_the_unit_range() -> None:
    model = BEGAN(small(lambda_k=100.0))
    losses(model, 1.0, 0.0)
    assert float(model.k) == 1.0
    losses(model, 0.0, 1.0)
    assert float(model.k) == 0.0


def test_scale_free_k_does_not_see_the_scale_of_the_loss() -> None:
    series = [(0.4, 0.1), (0.3, 0.1), (0.35, 0.2), (0.2, 0.05)]
    config = small(gamma=0.5, lambda_k=0.02, k_ema=0.9, scale_free_k=True)
    ks = []
    for scale in (1.0, 1e-4):
        model = BEGAN(config)
        for real, fake in series:
            losses(model, scale * real, scale * fake)
        ks.append(float(model.k))
    k, mean = 0.0, series[0][0]
    for real, fake in series:
        mean = 0.9 * mean + 0.1 * real
        k = min(1.0, max(0.0, k + 0.02 * (0.5 - fake / mean)))
    assert ks == pytest.approx([k, k], rel=1e-5)
    raw = BEGAN(small(gamma=0.5, lambda_k=0.02))
    losses(raw, 0.4e-4, 0.1e-4)
    assert float(raw.k) < 1e-6  # why the switch exists: the raw balance does not move k at this scale


@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_those_of_both_losses(preset: str) -> None:
    torch.manual_seed(0)
    model = BEGAN(small(preset)).double()
    model.k.fill_(0.37)
    x = images().double()
    frozen = copy.deepcopy(model)
    step = PlainStep(model.configure_optimizers(), seed=5)
    model.training_step((x, x), step)

    z = PlainStep(step.optimizers, seed=5).draw(model._uniform, 4)
    fake = frozen.generator(z)
    loss_g = frozen.reconstruction_loss(fake)
    expected_g = torch.autograd.grad(loss_g, list(frozen.generator.parameters()))
    loss_d = frozen.reconstruction_loss(x) - 0.37 * frozen.reconstruction_loss(fake.detach())
    expected_d = torch.autograd.grad(loss_d, list(frozen.discriminator.parameters()))
    for network, expected in ((model.generator, expected_g), (model.discriminator, expected_d)):
        scale = max(float(g.abs().max()) for g in expected)
        assert scale > 0
        for parameter, gradient in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-4 * scale)


# ---- training


def test_l1_loss_is_the_mean_absolute_difference_and_adds_to_the_histogram() -> None:
    torch.manual_seed(0)
    x = images()
    model = BEGAN(small("berthelot"))
    l1 = (model.discriminator(x) - x).abs().mean()
    torch.testing.assert_close(model.reconstruction_loss(x), l1)
    parts = []
    for weight in (0.0, 0.25):
        torch.manual_seed(0)
        parts.append(BEGAN(small("berthelot", loss="histogram", l1_weight=weight)).reconstruction_loss(x))
    torch.testing.assert_close(parts[1] - parts[0], 0.25 * l1)


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_on_a_fixed_batch_lower_the_reconstruction_loss(preset: str) -> None:
    torch.manual_seed(0)
    model = BEGAN(small(preset, width=8, lr=2e-3), data_mean=0.5)
    step, fixed = PlainStep(model.configure_optimizers()), batch(8)
    series = [model.training_step(fixed, step) for _ in range(25)]
    assert all(math.isfinite(float(value)) for logs in series for value in logs.values())
    assert float(series[-1]["loss_real"]) < 0.8 * float(series[0]["loss_real"])
    keys = {"loss_d", "loss_g", "loss_real", "loss_fake", "M", "k", "balance", "lr", "dead_fraction"}
    assert set(series[0]) == keys


@pytest.mark.parametrize(
    ("preset", "real", "fake", "k"),
    [
        ("berthelot", 0.4893147945, 0.0752041638, 0.0030513450),
        ("marmanis", 0.0047240937, 0.0073983800, 0.0000258202),
    ],
)
def test_the_papers_presets_train_as_they_always_did(preset: str, real: float, fake: float, k: float) -> None:
    """Twenty steps from a seed: the published presets must not move with new settings and their defaults."""
    torch.manual_seed(0)
    model = BEGAN(small(preset), data_mean=0.4)
    step = PlainStep(model.configure_optimizers(), seed=1)
    for _ in range(20):
        logs = model.training_step((images(), images()), step)
    found = [float(logs[name]) for name in ("loss_real", "loss_fake", "k")]
    assert found == pytest.approx([real, fake, k], rel=1e-3)


def test_learning_rate_is_halved_when_m_stalls() -> None:
    model = BEGAN(small(lr=1e-3, lr_min=3e-4, lr_patience=100))
    optimizers = model.configure_optimizers()
    rates = []
    for step in range(1600):
        level = 1.0 - 0.0005 * min(step, 800)  # M falls for 800 steps, then stands still
        losses(model, level, 0.5 * level)
        rates.append(model._halve_lr_when_stalled(optimizers))
    assert set(rates[:900]) == {1e-3}
    assert list(dict.fromkeys(rates)) == pytest.approx([1e-3, 5e-4, 3e-4])
    assert {group["lr"] for o in optimizers.values() for group in o.param_groups} == {3e-4}


def test_patience_zero_keeps_the_learning_rate() -> None:
    model = BEGAN(small(lr_patience=0))
    optimizers = model.configure_optimizers()
    for _ in range(300):
        losses(model, 1.0, 0.5)
        assert model._halve_lr_when_stalled(optimizers) == 1e-4


def test_state_dict_carries_the_training_on() -> None:
    torch.manual_seed(0)
    config = small("sarcore", lr_patience=2)
    model = BEGAN(config, seed=1)
    optimizers = model.configure_optimizers()
    for _ in range(5):
        model.training_step(batch(), PlainStep(optimizers))
    other = BEGAN(config, seed=2)
    other_optimizers = other.configure_optimizers()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    for name, optimizer in optimizers.items():
        other_optimizers[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.steps.current == 5
    series = []
    for one, its in ((model, optimizers), (other, other_optimizers)):
        step = PlainStep(its, seed=9)
        series.append([{k: float(v) for k, v in one.training_step(batch(), step).items()} for _ in range(4)])
    assert series[0] == series[1]
    assert torch.equal(model.sample_grid(2), other.sample_grid(2))


def test_patches_of_another_shape_are_refused() -> None:
    model = BEGAN(small())
    with pytest.raises(ValueError, match=r"patches of \(1, 20, 20\), a batch of \(1, 40, 40\)"):
        model.training_step((images(size=40), torch.zeros(4)), PlainStep(model.configure_optimizers()))
