"""The loop: the caller's generators, a second Ctrl-C, divergence, mixed precision, no noise, bad requests."""

import json
import logging
import math
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn

from sarcore.engine import Diverged, Interrupted, fit
from sarcore.errors import DataError, SarcoreError

from .engine_pair import Pair, config, data


def test_callers_generators_are_left_alone(tmp_path):
    def draw():
        return torch.rand(1).item(), float(np.random.rand()), random.random()  # noqa: NPY002

    def seed():
        torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002

    task = Pair()
    seed()
    expected = draw()
    seed()
    fit(task, data(), config(steps=2), tmp_path)
    assert draw() == expected


def test_on_step_is_called_every_step_with_the_latest_logs(tmp_path):
    seen = []
    fit(Pair(), data(), config(steps=6, log_every=3), tmp_path, on_step=lambda step, logs: seen.append((step, logs)))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[0][1] == {}
    assert set(seen[3][1]) == {"loss_d", "loss_g", "k", "lr", "images_per_second", "seconds"}
    assert seen[3][1] == seen[2][1]


def test_a_second_ctrl_c_stops_within_the_step_and_saves_nothing_half_done(tmp_path):
    class Stuck(Pair):
        def training_step(self, batch, step):
            if calls.append(0) or len(calls) == 6:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            return super().training_step(batch, step)

    calls: list[int] = []
    with pytest.raises(Interrupted, match=r"after step 5.*step_000004") as caught:
        fit(Stuck(), data(), config(), tmp_path)
    assert caught.value.checkpoint.name == "step_000004"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000004"]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Exploding(Pair):
        def training_step(self, batch, step):
            logs = super().training_step(batch, step)
            calls.append(0)
            return {**logs, "loss_g": math.nan if len(calls) == 6 else 1.0, "ratio": math.inf}

    calls: list[int] = []
    with pytest.raises(Diverged, match=r"loss_g became nan at step 6 .*step_000004"):
        fit(Exploding(), data(), config(), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000004"]
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["loss_g"], last["ratio"]) == (6, None, None)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    class Broken(Pair):
        def training_step(self, batch, step):
            logs = super().training_step(batch, step)
            calls.append(0)
            if len(calls) == 8:
                with torch.no_grad():
                    self.generator[0].weight[0, 0] = math.inf
            return logs

    calls: list[int] = []
    with pytest.raises(Diverged, match=r"weight generator\.0\.weight .* at step 8"):
        fit(Broken(), data(), config(), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000004"]


def test_bf16_forward_sees_the_weights_of_the_last_optimizer_step(tmp_path):
    """Autocast caches its copies of the weights; two steps of optimizers in one block must not read old ones."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(16, 4, bias=False)

        def configure_optimizers(self):
            return {"net": torch.optim.SGD(self.parameters(), lr=1.0)}

        def training_step(self, batch, step):
            outputs = []
            for _ in range(2):
                out = self.net(batch[0].flatten(1))
                outputs.append(out.detach())
                step.zero_grad()
                step.backward(out.float().square().mean())
                step.update()
            dtypes.append(out.dtype)
            return {"loss": 0.0, "change": (outputs[1] - outputs[0]).abs().max()}

    dtypes: list[torch.dtype] = []
    result = fit(Twice(), data(), config(steps=1, precision="bf16-mixed"), tmp_path)
    assert dtypes == [torch.bfloat16]
    assert result.last_logs["change"] > 1e-3


def test_nothing_is_printed_and_nothing_is_written_elsewhere(tmp_path, capfd, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for precision in ("32-true", "bf16-mixed"):
        fit(Pair(), data(), config(steps=2, precision=precision), tmp_path / precision)
    assert capfd.readouterr() == ("", "")
    # Its handler holds the stderr of the time of import, which capfd may not see: ask the logger itself.
    assert not logging.getLogger("lightning_fabric.utilities.rank_zero").isEnabledFor(logging.INFO)
    assert list((tmp_path / "cwd").iterdir()) == []
    assert {path.name for path in (tmp_path / "32-true").iterdir()} == {
        "checkpoints",
        "metrics.jsonl",
        "run.lock",
        "samples",
        "status.json",
        "tensorboard",
    }


def test_bad_requests(tmp_path):
    with pytest.raises(DataError, match="3 images, fewer than one batch of 4"):
        fit(Pair(), data(3), config(), tmp_path)
    with pytest.raises(TypeError, match="Linear has no training_step"):
        fit(nn.Linear(1, 1), data(), config(), tmp_path)
    with pytest.raises(SarcoreError, match="accelerator 'nonsense'"):
        fit(Pair(), data(), config(accelerator="nonsense"), tmp_path)
    with pytest.raises(SarcoreError, match="needs a GPU"):
        fit(Pair(), data(), config(precision="16-mixed"), tmp_path)
    for wrong in ({"steps": 0}, {"batch_size": 0}, {"log_every": 0}, {"seed": -1}, {"keep_last": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            config(**wrong)
    assert list(tmp_path.iterdir()) == []
