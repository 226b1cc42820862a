"""What CycleGAN and Pix2Pix share: the fused optimizer beside PyTorch's plain one, whatever lies where in memory."""

import pytest
import torch
from torch import nn

from sarcore.models.fused_adam import adam
from sarcore.models.translation_config import TranslationConfig

LAYOUTS = {"rows first": torch.contiguous_format, "channels last": torch.channels_last}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 3))


def plain_steps(network, gradients):
    """The weights after PyTorch's Adam, one operation after the other."""
    weights = [p.detach().clone(memory_format=torch.contiguous_format).requires_grad_() for p in network.parameters()]
    optimizer = torch.optim.Adam(weights, 2e-4, (0.5, 0.999), foreach=False, fused=False)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return weights


def gradients_of(network, steps, generator):
    return [[torch.randn(p.shape, generator=generator) for p in network.parameters()] for _ in range(steps)]


@pytest.mark.parametrize("weights", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("gradients", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("moments", LAYOUTS.values(), ids=LAYOUTS)
def test_adam_is_adam_in_every_layout(network, generator, weights, gradients, moments):
    given = gradients_of(network, 4, generator)
    expected = plain_steps(network, given)
    network.to(memory_format=weights)
    optimizer = adam(TranslationConfig(), (network,))
    for number, step in enumerate(given):
        for weight, gradient in zip(network.parameters(), step, strict=True):
            weight.grad = gradient.clone(memory_format=gradients if gradient.ndim == 4 else torch.preserve_format)
        if number == 2:  # a resumed run, whose weights lay so
            saved = optimizer.state_dict()
            for state in saved["state"].values():
                for name in ("exp_avg", "exp_avg_sq"):
                    if state[name].ndim == 4:
                        state[name] = state[name].clone(memory_format=moments)
            optimizer = adam(TranslationConfig(), (network,))
            optimizer.load_state_dict(saved)
        optimizer.step()
    for weight, other in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=1e-7)


def test_adam_of_translations_is_fused_and_keeps_weights_without_gradient(network, generator):
    looks = nn.Parameter(torch.ones(()))
    optimizer = adam(TranslationConfig(), (network,), [looks])
    assert [group["fused"] for group in optimizer.param_groups] == [True, True]
    assert [group["lr"] for group in optimizer.param_groups] == [2e-4, 2e-3]
    before = [p.detach().clone() for p in network.parameters()]
    looks.grad = torch.ones(())
    optimizer.step()
    assert looks.item() == pytest.approx(1.0 - 2e-3, rel=1e-6)
    assert all(torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
