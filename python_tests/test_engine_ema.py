"""The running mean of the weights: its formula, its exchange with the weights, its place in a run."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn

from sarcore.engine import fit, load_weights, read_checkpoint, read_ema
from sarcore.engine.ema import WeightAverage
from sarcore.errors import CheckpointError

from .engine_pair import Pair, config, data


def test_the_mean_by_hand() -> None:
    net = nn.Linear(2, 1, bias=False).double()
    average = WeightAverage(net, decay=0.5)
    expected = net.weight.detach().clone()
    for step in range(1, 12):
        with torch.no_grad():
            net.weight.copy_(torch.rand(1, 2))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach()
        average.update(step)
    torch.testing.assert_close(average.state_dict()["weight"], expected, rtol=1e-12, atol=0)
    weight = net.weight.detach().clone()
    with contextlib.suppress(ValueError), average.swapped():
        shown = net.weight.detach().clone(), average.state_dict()["weight"]
        raise ValueError
    torch.testing.assert_close(shown[0], expected, rtol=1e-12, atol=0)
    assert torch.equal(shown[1], weight)
    assert torch.equal(net.weight, weight)
    assert net.weight.requires_grad


def test_tied_weights_stay_tied_and_every_name_is_saved() -> None:
    net = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    net["b"].weight = net["a"].weight
    average = WeightAverage(net, decay=0.9)
    assert set(average.state_dict()) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    with average.swapped():
        assert net["b"].weight is net["a"].weight


def test_layout_and_optimizer_survive_the_exchange() -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters())
    average = WeightAverage(net, decay=0.9)
    with average.swapped():
        assert net.weight.is_contiguous(memory_format=torch.channels_last)
    net(torch.rand(1, 3, 5, 5)).sum().backward()
    before = net.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(net.weight, before)
    assert torch.equal(average.state_dict()["weight"], before)


def test_a_mean_of_another_model_is_refused() -> None:
    average = WeightAverage(nn.Linear(2, 2), decay=0.9)
    for wrong in ({}, {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}):
        with pytest.raises(CheckpointError, match="no running mean of the weight weight"):
            average.load_state_dict(wrong)


def test_a_run_keeps_the_mean_of_its_weights_and_shows_it(tmp_path) -> None:
    class Remembering(Pair):
        def training_step(self, batch, step):
            logs = super().training_step(batch, step)
            weights.append(copy.deepcopy(self.generator[0].weight.detach()))
            return logs

        def sample_grid(self, n):
            shown.append(self.generator[0].weight.detach().clone())
            return super().sample_grid(n)

    weights, shown = [], []
    task = Remembering()
    expected = task.generator[0].weight.detach().clone()
    result = fit(task, data(), config(steps=6, ema=0.8, sample_every=6), tmp_path)
    for step, weight in enumerate(weights, start=1):
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    saved = read_ema(result.checkpoint)
    torch.testing.assert_close(saved["generator.0.weight"], expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(shown[-1], saved["generator.0.weight"])
    assert torch.equal(task.generator[0].weight, weights[-1])
    assert torch.equal(read_checkpoint(result.checkpoint)[1]["generator.0.weight"], weights[-1])
    assert torch.equal(load_weights(tmp_path, kind="remembering")[1]["generator.0.weight"], shown[-1])


def test_a_mean_that_is_asked_for_later_starts_from_the_last_weights(tmp_path) -> None:
    fit(Pair(), data(), config(steps=4), tmp_path)
    result = fit(Pair(), data(), config(steps=8, ema=0.9), tmp_path)
    assert "No running mean of the weights was saved" in result.notes[0]
    assert read_ema(result.checkpoint) is not None
