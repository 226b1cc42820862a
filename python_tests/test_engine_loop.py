"""The loop: the caller's generators, a second Ctrl-C, divergence, mixed precision, no noise, bad requests."""

import contextlib
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
from torchmetrics import MeanMetric

from sarcore.engine import Diverged, Interrupted, Validation, fit, load_weights, read_metrics
from sarcore.errors import DataError, SarcoreError

from .engine_pair import Pair, config, data, rows, stop_at


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
    assert set(seen[3][1]) == {"loss_d", "loss_g", "k", "lr", "images", "epoch", "images_per_second", "seconds"}
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


def test_statistics_that_are_not_finite_are_never_saved(tmp_path):
    """In float16 a batch that overflows leaves the weights alone, and its mean in the norm."""

    class Broken(Pair):
        def training_step(self, batch, step):
            logs = super().training_step(batch, step)
            if calls.append(0) or len(calls) == 6:
                self.generator[1].running_mean[0] = math.nan
            return logs

    calls: list[int] = []
    with pytest.raises(Diverged, match=r"generator\.1\.running_mean .* at step 8"):
        fit(Broken(), data(), config(), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000004"]


class Sloped(nn.Module):
    """One weight that moves by one per step, scores that are given, and a scheduler."""

    def __init__(self, scores=(0.0,)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))
        self.scores = scores

    def configure_optimizers(self):
        return {"net": torch.optim.SGD(self.parameters(), lr=1.0)}

    def configure_schedulers(self, optimizers):
        return {"net": torch.optim.lr_scheduler.ExponentialLR(optimizers["net"], gamma=0.5)}

    def training_step(self, batch, step):
        rate = step.optimizers["net"].param_groups[0]["lr"]
        step.zero_grad()
        step.backward(-self.weight)
        step.update()
        self.seen.add_(1)
        return {"loss": self.weight.detach().clone(), "lr": rate}


def judge(mode="max"):
    def step(task, batch, metrics):
        assert not task.training
        torch.rand(1)  # a draw that must not reach the training
        metrics["score"].update(task.scores[int(task.seen) - 1], weight=len(batch[0]))

    return Validation(data(7), {"score": MeanMetric()}, step, "score", mode, batch_size=3)


def test_schedulers_are_stepped_after_every_step_and_go_on(tmp_path):
    fit(Sloped(), data(), config(steps=3), tmp_path)
    fit(Sloped(), data(), config(steps=6), tmp_path)
    assert [row["lr"] for row in rows(tmp_path)] == [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]
    assert rows(tmp_path)[-1]["loss"] == sum(0.5**i for i in range(6))


def test_the_best_checkpoint_is_kept_and_named(tmp_path):
    scores = (0.1, 0.2, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7)
    settings = config(steps=8, validate_every=1, checkpoint_every=4, keep_last=1)
    result = fit(Sloped(scores), data(), settings, tmp_path, validation=judge())
    assert result.best == tmp_path / "checkpoints/step_000003"
    assert not result.stopped_early
    assert {path.name for path in result.best.parent.iterdir()} == {"step_000003", "step_000008"}
    assert [row["val/score"] for row in rows(tmp_path)] == pytest.approx(scores)
    assert result.last_logs["val/score"] == pytest.approx(0.7)
    meta, weights = load_weights(tmp_path, kind="sloped", which="best")
    assert meta["score"] == {"name": "score", "value": pytest.approx(0.9), "mode": "max"}
    assert weights["seen"] == 3


@pytest.mark.parametrize(("keep", "kept"), [(0, [8]), (1, [1, 8]), (2, [1, 3, 8]), (3, [1, 3, 4, 8])])
def test_the_best_of_all_validations_are_kept_also_those_that_were_not_the_best_when_they_came(tmp_path, keep, kept):
    settings = config(steps=8, validate_every=1, checkpoint_every=100, keep_last=1, keep_best=keep)
    result = fit(Sloped((0.9, 0.5, 0.8, 0.7, 0.3, 0.2, 0.1, 0.0)), data(), settings, tmp_path, validation=judge())
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [f"step_{n:06d}" for n in kept]
    assert (result.best and result.best.name) == ("step_000001" if keep else None)


def test_another_metric_begins_anew(tmp_path):
    def other(task, batch, metrics):
        metrics["other"].update(0.1 * task.seen, weight=len(batch[0]))

    fit(Sloped([0.9] * 4), data(), config(steps=4, validate_every=1), tmp_path, validation=judge())
    changed = Validation(data(7), {"other": MeanMetric()}, other, "other", "max")
    result = fit(Sloped(), data(), config(steps=8, validate_every=1, patience=2), tmp_path, validation=changed)
    assert (result.steps, result.best.name) == (8, "step_000008")


def test_validation_with_every_checkpoint_by_default(tmp_path):
    fit(Sloped([0.5] * 9), data(), config(steps=9), tmp_path, validation=judge())
    assert [row["step"] for row in rows(tmp_path) if "val/score" in row] == [4, 8, 9]


def test_patience_ends_a_run_early_also_when_it_was_resumed(tmp_path):
    scores = (0.5, 0.4, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9)
    settings = {"steps": 8, "validate_every": 1, "checkpoint_every": 8, "patience": 3}
    with pytest.raises(Interrupted):
        fit(Sloped(scores), data(), config(**settings), tmp_path, validation=judge("min"), on_step=stop_at(4))
    result = fit(Sloped(scores), data(), config(**settings), tmp_path, validation=judge("min"))
    assert (result.steps, result.stopped_early, result.best.name) == (5, True, "step_000002")
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "stopped early"
    again = fit(Sloped(scores), data(), config(**settings), tmp_path, validation=judge("min"))
    assert (again.steps, again.stopped_early) == (5, True)
    on = fit(Sloped(scores), data(), config(**settings | {"patience": 0}), tmp_path, validation=judge("min"))
    assert (on.steps, on.stopped_early) == (8, False)


def test_looking_does_not_change_the_training(tmp_path):
    fit(Pair(), data(), config(steps=6), tmp_path / "plain")

    def step(task, batch, metrics):
        metrics["real"].update(task.loss(batch[0].flatten(1)))

    watched = Validation(data(9), {"real": MeanMetric()}, step, "real", "min")
    fit(Pair(), data(), config(steps=6, validate_every=1), tmp_path / "watched", validation=watched)
    training = [{k: v for k, v in row.items() if k != "val/real"} for row in rows(tmp_path / "watched")]
    assert training == rows(tmp_path / "plain")


@pytest.mark.parametrize(
    ("end", "state"), [(None, "finished"), (KeyboardInterrupt, "interrupted"), (OSError, "failed")]
)
def test_the_status_says_how_a_run_ended(tmp_path, end, state):
    def on_step(step, logs):
        if end is not None and step == 3:
            raise end("no more")

    with pytest.raises((Interrupted, OSError)) if end else contextlib.nullcontext():
        fit(Pair(), data(), config(steps=5), tmp_path, on_step=on_step)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["step"], status["steps"]) == (state, 3 if end else 5, 5)
    assert bool(status["message"]) == bool(end)


def test_rows_count_images_and_epochs_over_all_sessions(tmp_path):
    """Steps are batches: what they mean for the data set is said beside them."""
    items = len(data())
    fit(Pair(), data(), config(steps=3, batch_size=2), tmp_path)
    fit(Pair(), data(), config(steps=7, batch_size=2), tmp_path)
    found = [(row["step"], row["images"], row["epoch"]) for row in read_metrics(tmp_path)]
    assert found == [(step, 2 * step, 2 * step / items) for step in range(1, 8)]


def test_seconds_count_all_sessions(tmp_path):
    fit(Pair(), data(), config(steps=3), tmp_path)
    fit(Pair(), data(), config(steps=6), tmp_path)
    seconds = [row["seconds"] for row in read_metrics(tmp_path)]
    assert seconds == sorted(seconds)
    assert seconds[3] > seconds[2] > 0


def test_what_goes_wrong_is_noted(tmp_path):
    class Dead(Pair):
        def training_step(self, batch, step):
            return {**super().training_step(batch, step), "dead_fraction": 0.99}

    said, steps = [], config(steps=110, log_every=10, sample_every=1000, checkpoint_every=70)
    result = fit(Dead(), data(), steps, tmp_path, on_note=said.append)
    assert tuple(said) == result.notes
    assert len(result.notes) == 1
    assert "softplus" in result.notes[0]
    assert result.notes[0] in (tmp_path / "metrics.jsonl").read_text()
    again = fit(Dead(), data(), config(steps=150, log_every=10, sample_every=1000), tmp_path)
    assert again.notes == ()  # said already


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
