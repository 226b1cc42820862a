"""What the engine's Step does with parts, gradients and the scale of losses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sarcore.engine.step import TrainingStep
from sarcore.models import PlainStep, Step


def nets() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"g": nn.Linear(3, 4), "d": nn.Linear(4, 1)})


def sgd(networks: nn.ModuleDict, lr: float = 0.5) -> dict[str, torch.optim.Optimizer]:
    return {name: torch.optim.SGD(net.parameters(), lr=lr) for name, net in networks.items()}


def made(networks: nn.ModuleDict, **options) -> TrainingStep:
    return TrainingStep(sgd(networks), torch.Generator().manual_seed(0), **options)


def weights(networks: nn.ModuleDict) -> list[Tensor]:
    return [p.detach().clone() for p in networks.parameters()]


def rows(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, 3, generator=generator)


X = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))


def test_it_is_a_step_as_the_plain_one_is() -> None:
    methods = [name for name in vars(Step) if not name.startswith("_")]
    assert {"draw", "parts", "join", "zero_grad", "backward", "update", "average"} <= set(methods)
    for kind in (TrainingStep, PlainStep):
        assert all(callable(getattr(kind, name)) for name in methods)


def test_draws_are_those_of_the_generator() -> None:
    expected = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
    step = made(nets())
    assert torch.equal(step.draw(rows, 5), expected[:5])
    assert torch.equal(step.draw(rows, 3), expected[5:])


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_all_processes_together_work_on_the_same_items_in_every_part(processes, monkeypatch) -> None:
    """A batch of 16 in 2 parts: part a holds every second item, and draws follow the items."""
    together: list[list[int]] = [[], []]
    items = torch.arange(16)
    drawn = torch.rand(16, 3, generator=torch.Generator().manual_seed(0))
    for rank in range(processes):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        monkeypatch.setenv("RANK", str(rank))
        step = made(nets(), accumulate=2)
        mine = items.chunk(processes)[rank]
        for part, (indices, draws) in enumerate(step.parts(mine, step.draw(rows, len(mine)))):
            together[part] += indices.tolist()
            assert torch.equal(draws, drawn[indices])
        assert torch.equal(step.join([part for (part,) in step.parts(mine)]), mine)
    assert [sorted(part) for part in together] == [list(range(0, 16, 2)), list(range(1, 16, 2))]


def test_a_batch_without_equal_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="8 items has no 3 equal parts"):
        next(made(nets(), accumulate=3).parts(X))


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_parts_add_up_to_the_gradient_of_the_batch(accumulate) -> None:
    networks = nets().double()
    step = made(networks, accumulate=accumulate)
    losses = []
    for (x,) in step.parts(X.double()):
        losses.append(networks["d"](networks["g"](x)).square().mean())
        step.backward(losses[-1])
    expected = torch.autograd.grad(networks["d"](networks["g"](X.double())).square().mean(), [*networks.parameters()])
    for parameter, gradient in zip(networks.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-14)
    mean = step.average(losses)
    assert mean.item() == pytest.approx(networks["d"](networks["g"](X.double())).square().mean().item())
    assert not mean.requires_grad


def test_update_and_zero_grad_touch_the_named_optimizers_alone() -> None:
    networks = nets()
    step, before = made(networks), weights(networks)
    step.backward(networks["d"](networks["g"](X)).mean())
    step.update("d")
    assert all(torch.equal(a, b) for a, b in zip(networks["g"].parameters(), before[:2], strict=True))
    assert not torch.equal(networks["d"].weight, before[2])
    step.zero_grad("d")
    assert networks["d"].weight.grad is None
    assert networks["g"].weight.grad is not None
    step.zero_grad()
    assert networks["g"].weight.grad is None


def test_gradients_are_clipped_by_the_norm_of_each_optimizer() -> None:
    networks = nets()
    step = made(networks, clip_norm=0.25)
    step.backward(100 * networks["d"](networks["g"](X)).mean() + 0 * networks["g"].weight.sum())
    raw = {name: torch.cat([p.grad.flatten() for p in net.parameters()]) for name, net in networks.items()}
    step.update()
    for name, net in networks.items():
        clipped = torch.cat([p.grad.flatten() for p in net.parameters()])
        assert raw[name].norm() > 1
        torch.testing.assert_close(clipped, 0.25 * raw[name] / raw[name].norm())


# ---- scaled losses. Scales are powers of two, so that nothing but an overflow may show.


def scaler(**options) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=2.0**10, **options)


def critic(networks: nn.ModuleDict, step, turns: int) -> None:
    """Several turns of one network, then one of the other: what a scale that changes in between would spoil."""
    for _ in range(turns):
        step.zero_grad("d")
        step.backward(networks["d"](networks["g"](X).detach()).square().mean())
        step.update("d")
    step.zero_grad("g")
    step.backward(networks["d"](networks["g"](X)).mean())
    step.update("g")


def shared(networks: nn.ModuleDict, step, turns: int) -> None:
    """All backward passes, then the updates one by one."""
    step.zero_grad()
    step.backward(networks["d"](networks["g"](X)).square().mean())
    for name in ("d", "g"):
        step.update(name)


@pytest.mark.parametrize("pattern", [critic, shared])
@pytest.mark.parametrize("clip_norm", [0.0, 0.01])
def test_a_scaled_loss_gives_the_same_weights_while_the_scale_grows(pattern, clip_norm) -> None:
    results = []
    for with_scale in (None, scaler(growth_interval=1)):
        networks = nets()
        step = made(networks, scaler=with_scale, clip_norm=clip_norm)
        for _ in range(4):
            pattern(networks, step, 3)
            step.finish()
        results.append(weights(networks))
    assert with_scale is not None
    assert with_scale.get_scale() >= 2.0**14
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_an_overflow_skips_the_update_and_halves_the_scale() -> None:
    networks, scale = nets(), scaler()
    step, before = made(networks, scaler=scale), weights(networks)
    step.backward(networks["d"](networks["g"](X)).mean() * torch.tensor(3e38))
    step.update("d")
    assert scale.get_scale() == 2.0**10  # not before the step ends: gradients of this scale may be waiting
    step.finish()
    assert scale.get_scale() == 2.0**9
    assert all(torch.equal(a, b) for a, b in zip(networks.parameters(), before, strict=True))


def test_an_optimizer_without_gradients_is_no_error_under_a_scale() -> None:
    networks = nets()
    step, before = made(networks, scaler=scaler()), weights(networks)
    step.update()
    step.finish()
    assert all(torch.equal(a, b) for a, b in zip(networks.parameters(), before, strict=True))
