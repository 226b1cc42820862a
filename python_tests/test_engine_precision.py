"""How the arithmetic is chosen: bfloat16, channels-last, compiled, deterministic; and put back afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sarcore.engine import Interrupted, fit, loop, read_checkpoint
from sarcore.models import BEGAN, BEGANConfig

from .engine_pair import Pair, config, data, rows, stop_at


class _Seen(torch.autograd.Function):
    """The identity; notes whether autocast was on when it went back."""

    autocast: list[bool] = []  # noqa: RUF012  # what a Function has is its class

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        _Seen.autocast.append(torch.is_autocast_enabled("cpu"))
        return grad


class Twice(nn.Module):
    """Two steps of an optimizer within one training step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(16, 4, bias=False)
        self.dtypes: list[torch.dtype] = []

    def configure_optimizers(self):
        return {"net": torch.optim.SGD(self.parameters(), lr=1.0)}

    def training_step(self, batch, step):
        outputs = []
        for _ in range(2):
            out = self.net(batch[0].flatten(1))
            outputs.append(out.detach())
            step.zero_grad()
            step.backward(_Seen.apply(out.float()).square().mean())
            step.update()
        self.dtypes.append(out.dtype)
        return {"loss": 0.0, "change": (outputs[1] - outputs[0]).abs().max()}


def test_bf16_forward_sees_the_weights_of_the_last_optimizer_step(tmp_path):
    """Autocast caches its copies of the weights; two steps of optimizers in one block must not read old ones."""
    _Seen.autocast.clear()
    task = Twice()
    result = fit(task, data(), config(steps=1, precision="bf16-mixed"), tmp_path)
    assert task.dtypes == [torch.bfloat16]
    assert task.net.weight.dtype == torch.float32
    assert result.last_logs["change"] > 1e-3
    assert _Seen.autocast == [False, False]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_bf16_is_close_to_full_precision(tmp_path, accumulate):
    settings = {"steps": 4, "accumulate": accumulate}
    fit(Pair(), data(), config(**settings), tmp_path / "full")
    fit(Pair(), data(), config(**settings, precision="bf16-mixed"), tmp_path / "mixed")
    full, mixed = rows(tmp_path / "full"), rows(tmp_path / "mixed")
    assert full != mixed
    for a, b in zip(full, mixed, strict=True):
        assert b == pytest.approx(a, rel=0.03, abs=0.01)


def test_channels_last_gives_the_same_losses_and_the_same_files(tmp_path):
    dataset = torch.utils.data.TensorDataset(torch.rand(8, 2, 20, 20, generator=torch.Generator().manual_seed(1)))
    layouts: list[bool] = []

    class Model(BEGAN):
        def training_step(self, batch, step):
            layouts.append(batch[0].is_contiguous(memory_format=torch.channels_last))
            layouts.append(self.generator.to_image.weight.is_contiguous(memory_format=torch.channels_last))
            return super().training_step(batch, step)

    results = []
    for wanted in (False, True):
        torch.manual_seed(0)
        model = Model(BEGANConfig(size=20, width=4, channels=2))
        results.append(fit(model, dataset, config(steps=3, channels_last=wanted), tmp_path / str(wanted)))
    assert layouts == [False] * 6 + [True] * 6
    for a, b in zip(rows(tmp_path / "False"), rows(tmp_path / "True"), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    saved = [read_checkpoint(result.checkpoint)[1] for result in results]
    assert saved[0].keys() == saved[1].keys()
    assert saved[1]["generator.to_image.weight"].is_contiguous()
    torch.manual_seed(0)  # and goes on from them
    again = fit(Model(BEGANConfig(size=20, width=4, channels=2)), dataset, config(steps=4), tmp_path / "True")
    assert again.steps == 4


def test_networks_are_compiled_within_the_training_alone(tmp_path, monkeypatch):
    """The compiler itself is replaced by a counter: it needs a minute, and is PyTorch's to test."""
    calls: list[str] = []

    def compile(network, *args, **kwargs):
        def compiled(*inputs):
            calls.append(type(network).__name__)
            return network._call_impl(*inputs)

        network._compiled_call_impl = compiled

    monkeypatch.setattr(nn.Module, "compile", compile)
    task = Pair()
    names = set(task.state_dict())
    fit(task, data(), config(steps=4), tmp_path / "plain")
    assert calls == []
    result = fit(task := Pair(), data(), config(steps=4, compile=True), tmp_path / "compiled")
    assert len(calls) > 4
    assert rows(tmp_path / "compiled") == rows(tmp_path / "plain")
    assert read_checkpoint(result.checkpoint)[1].keys() == names
    assert task.generator._compiled_call_impl is None


def test_deterministic_algorithms_are_asked_for_within_the_training_alone(tmp_path):
    class Asking(Pair):
        def training_step(self, batch, step):
            seen.append(torch.are_deterministic_algorithms_enabled())
            return super().training_step(batch, step)

    seen: list[bool] = []
    fit(Asking(), data(), config(steps=1, deterministic=True), tmp_path / "a")
    assert not torch.are_deterministic_algorithms_enabled()
    fit(Asking(), data(), config(steps=1), tmp_path / "b")
    assert seen == [True, False]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    "switch", [{}, {"precision": "bf16-mixed"}, {"precision": "16-mixed"}, {"compile": True}, {"channels_last": True}]
)
def test_every_switch_trains_on_a_gpu(tmp_path, switch):
    task = BEGAN(BEGANConfig(size=20, width=8))
    dataset = torch.utils.data.TensorDataset(torch.rand(16, 1, 20, 20))
    result = fit(task, dataset, config(steps=12, accelerator="cuda", ema=0.9, clip_norm=1.0, **switch), tmp_path)
    assert result.last_logs["loss_real"] < rows(tmp_path)[0]["loss_real"]


def test_the_loss_scale_goes_on(tmp_path, monkeypatch):
    """That of float16, here for the CPU: the scale, and the steps since it was last changed."""

    def scaled(settings):
        fabric = make(settings)
        fabric.strategy.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=3)
        return fabric

    make = loop.make_fabric
    monkeypatch.setattr(loop, "make_fabric", scaled)
    whole = fit(Pair(), data(), config(steps=8), tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(Pair(), data(), config(steps=8), tmp_path / "run", on_step=stop_at(4))
    result = fit(Pair(), data(), config(steps=8), tmp_path / "run")
    found, expected = (read_checkpoint(each.checkpoint)[2]["scaler"] for each in (result, whole))
    assert found == expected
    assert (found["scale"], found["_growth_tracker"]) == (2.0 * 2**2, 2)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
