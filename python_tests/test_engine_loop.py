"""The loop: the same bits after a resume, one batch order, Ctrl-C, divergence, mixed precision, no noise."""

import json
import logging
import math
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from sarcore.engine import Diverged, FitConfig, FitResult, Interrupted, fit, read_checkpoint, read_metrics
from sarcore.errors import CheckpointError, DataError, SarcoreError


class Pair(nn.Module):
    """Two networks, two optimizers, BatchNorm, dropout, an equilibrium buffer, and draws from three generators."""

    def __init__(self, seed: int = 0, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.generator = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 16))
        self.discriminator = nn.Sequential(nn.Linear(16, width), nn.Dropout(0.3), nn.ELU(), nn.Linear(width, 16))
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("best", torch.tensor(math.inf))
        self.register_buffer("latent", torch.rand(16, 4))

    def configure_optimizers(self):
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), lr=1e-2),
            "discriminator": torch.optim.SGD(self.discriminator.parameters(), lr=1e-2, momentum=0.9),
        }

    def training_step(self, batch, optimizers, backward):
        real = batch[0].flatten(1) + 0.01 * float(np.random.rand()) + 0.01 * random.random()  # noqa: NPY002
        fake = self.generator(torch.rand(len(real), 4))
        loss_real = (self.discriminator(real) - real).abs().mean()
        loss_fake = (self.discriminator(fake.detach()) - fake.detach()).abs().mean()
        loss_d = loss_real - self.k * loss_fake
        optimizers["discriminator"].zero_grad()
        backward(loss_d)
        optimizers["discriminator"].step()
        loss_g = (self.discriminator(fake) - fake).abs().mean()
        optimizers["generator"].zero_grad()
        backward(loss_g)
        optimizers["generator"].step()
        self.k.add_(0.01 * (0.5 * loss_real - loss_fake).detach()).clamp_(0, 1)
        self.best.copy_(torch.minimum(self.best, loss_real.detach()))
        lr = optimizers["generator"].param_groups[0]["lr"] = optimizers["generator"].param_groups[0]["lr"] * 0.99
        return {"loss_d": loss_d, "loss_g": loss_g.detach(), "k": self.k, "lr": lr}

    def sample_grid(self, n: int):
        torch.rand(3)  # a draw that must not reach the training
        was = self.training
        self.eval()
        images = self.generator(self.latent[:n]).sigmoid().reshape(-1, 1, 4, 4)
        self.train(was)
        return images


def data(n: int = 21) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    return TensorDataset(torch.rand(n, 1, 4, 4, generator=generator), torch.arange(n) % 3)


def config(steps: int = 12, **changes) -> FitConfig:
    every = {"log_every": 1, "sample_every": 4, "checkpoint_every": 4}
    return FitConfig(**{"steps": steps, "batch_size": 4, "accelerator": "cpu", **every, **changes})


def stop_at(step: int):
    def on_step(now, logs):
        if now == step:
            raise KeyboardInterrupt

    return on_step


def rows(run: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in read_metrics(run)]


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """A run that nothing interrupted."""
    return fit(Pair(), data(), config(), tmp_path_factory.mktemp("whole"))


def run_of(result: FitResult) -> Path:
    return result.checkpoint.parents[1]


@pytest.mark.parametrize("interrupted_at", [1, 4, 7, 11])
def test_resume_gives_the_same_bits(whole, tmp_path, interrupted_at):
    with pytest.raises(Interrupted, match="the same command again") as caught:
        fit(Pair(), data(), config(), tmp_path, on_step=stop_at(interrupted_at))
    assert caught.value.step == interrupted_at
    assert caught.value.checkpoint.is_dir()
    torch.manual_seed(99)  # whatever happens between the two processes
    resumed = fit(Pair(seed=1), data(), config(), tmp_path)
    assert resumed.steps == 12
    assert rows(tmp_path) == rows(run_of(whole))
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 13))
    _, weights, state = read_checkpoint(resumed.checkpoint)
    _, expected, expected_state = read_checkpoint(whole.checkpoint)
    assert same(weights, expected)
    assert same(state, expected_state)
    assert (tmp_path / "samples/step_000012.png").read_bytes() == (
        run_of(whole) / "samples/step_000012.png"
    ).read_bytes()


def test_the_resume_test_can_fail(whole, tmp_path):
    """Another seed, or a resume that forgets a generator, must show in what the test above compares."""
    fit(Pair(), data(), config(seed=1), tmp_path)
    assert rows(tmp_path) != rows(run_of(whole))


def test_resume_after_a_kill_drops_the_rows_after_the_checkpoint(whole, tmp_path):
    class KilledError(Exception):
        pass

    def die(step, logs):
        if step == 7:
            raise KilledError

    with pytest.raises(KilledError):
        fit(Pair(), data(), config(), tmp_path, on_step=die)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 8))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "loss_d": 0.')  # cut off
    fit(Pair(), data(), config(), tmp_path)
    assert rows(tmp_path) == rows(run_of(whole))


def test_a_run_can_be_extended_and_a_complete_one_returns_at_once(whole, tmp_path):
    fit(Pair(), data(), config(steps=8), tmp_path)
    again = fit(Pair(), data(), config(steps=8), tmp_path)
    assert again.images_per_second == 0
    assert again.last_logs["loss_d"] == rows(run_of(whole))[7]["loss_d"]
    fit(Pair(), data(), config(steps=12), tmp_path)
    assert rows(tmp_path) == rows(run_of(whole))


def test_how_often_one_looks_does_not_change_the_training(whole, tmp_path):
    result = fit(Pair(), data(), config(log_every=5, sample_every=1, checkpoint_every=100, keep_last=1), tmp_path)
    assert same(read_checkpoint(result.checkpoint)[1], read_checkpoint(whole.checkpoint)[1])
    assert [row["step"] for row in rows(tmp_path)] == [5, 10, 12]
    assert len(list((tmp_path / "samples").iterdir())) == 12


def test_keep_last(whole):
    found = sorted(path.name for path in (run_of(whole) / "checkpoints").iterdir())
    assert found == ["step_000008", "step_000012"]


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
    assert set(seen[3][1]) == {"loss_d", "loss_g", "k", "lr", "images_per_second"}
    assert seen[3][1] == seen[2][1]


class Items(Dataset):
    """The same images through __getitem__ alone, as a data set that is read from disk offers them."""

    def __init__(self) -> None:
        self.images, self.labels = data().tensors

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        return self.images[i], int(self.labels[i])


class Radiometry:
    def encode(self, x):
        return x.float() / 255


class Arrays(Items):
    """A data set that holds 8-bit images, with the declared limits to encode them by."""

    def __init__(self) -> None:
        super().__init__()
        self.native = (self.images * 255).round().to(torch.uint8)
        self.images = Radiometry().encode(self.native)
        self.radiometry = Radiometry()

    def arrays(self):
        return self.native, self.labels


# Python >= 3.12 warns of any fork in a process with threads, and PyTorch always has some.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@forks
@pytest.mark.parametrize("workers", [0, 2])
def test_every_way_of_reading_gives_the_same_training(whole, tmp_path, workers):
    fit(Pair(), Items(), config(num_workers=workers), tmp_path)
    assert rows(tmp_path) == rows(run_of(whole))


@forks
def test_resume_with_workers(whole, tmp_path):
    with pytest.raises(Interrupted):
        fit(Pair(), Items(), config(num_workers=2), tmp_path, on_step=stop_at(6))
    fit(Pair(), Items(), config(num_workers=2), tmp_path)
    assert rows(tmp_path) == rows(run_of(whole))


def test_a_set_in_memory_is_encoded_as_its_items_are(tmp_path):
    class NoItems(Arrays):
        def __getitem__(self, i):
            assert i == 0, "held in memory, yet read item by item"
            return super().__getitem__(i)

    fit(Pair(), NoItems(), config(), tmp_path / "memory")
    plain = Arrays()
    fit(Pair(), TensorDataset(plain.images, plain.labels), config(), tmp_path / "tensors")
    assert rows(tmp_path / "memory") == rows(tmp_path / "tensors")


def test_ctrl_c_finishes_the_step_and_saves(whole, tmp_path):
    class Interrupting(Pair):
        def training_step(self, batch, optimizers, backward):
            if calls.append(0) or len(calls) == 5:
                os.kill(os.getpid(), signal.SIGINT)  # as the terminal does, in the middle of a step
            return super().training_step(batch, optimizers, backward)

    calls: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    meta = {"kind": "pair", "command": "sarcore train pair --out run"}
    with pytest.raises(Interrupted, match=r"step 5 of 12.*`sarcore train pair --out run`") as caught:
        fit(Interrupting(), data(), config(), tmp_path, meta=meta)
    assert caught.value.checkpoint.name == "step_000005"
    assert isinstance(caught.value, SarcoreError)
    assert signal.getsignal(signal.SIGINT) is before
    fit(Pair(), data(), config(), tmp_path, meta=meta)
    assert rows(tmp_path) == rows(run_of(whole))


def test_a_second_ctrl_c_stops_within_the_step_and_saves_nothing_half_done(tmp_path):
    class Stuck(Pair):
        def training_step(self, batch, optimizers, backward):
            if calls.append(0) or len(calls) == 6:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            return super().training_step(batch, optimizers, backward)

    calls: list[int] = []
    with pytest.raises(Interrupted, match=r"after step 5.*step_000004") as caught:
        fit(Stuck(), data(), config(), tmp_path)
    assert caught.value.checkpoint.name == "step_000004"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000004"]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Exploding(Pair):
        def training_step(self, batch, optimizers, backward):
            logs = super().training_step(batch, optimizers, backward)
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
        def training_step(self, batch, optimizers, backward):
            logs = super().training_step(batch, optimizers, backward)
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

        def training_step(self, batch, optimizers, backward):
            outputs = []
            for _ in range(2):
                out = self.net(batch[0].flatten(1))
                outputs.append(out.detach())
                optimizers["net"].zero_grad()
                backward(out.float().square().mean())
                optimizers["net"].step()
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
        "samples",
        "tensorboard",
    }


def test_the_loop_costs_little(tmp_path):
    """The time of a step that does nothing is the overhead: well under a millisecond, with room for a busy machine."""

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 2)

        def configure_optimizers(self):
            return {"net": torch.optim.SGD(self.parameters(), lr=0.1)}

        def training_step(self, *_):
            ticks.append(time.perf_counter())
            return {"loss": 0.0}

    ticks: list[float] = []
    fit(Idle(), data(), config(steps=500, log_every=100, checkpoint_every=500), tmp_path)
    assert np.median(np.diff(ticks)) < 1e-3


def test_other_data_is_refused_on_resume(tmp_path):
    fit(Pair(), data(), config(steps=4), tmp_path)
    for changed, dataset in (({"batch_size": 5}, data()), ({"seed": 7}, data()), ({}, data(20))):
        with pytest.raises(CheckpointError, match="cannot go on exactly"):
            fit(Pair(), dataset, config(**changed), tmp_path)


def test_another_model_is_refused_on_resume(tmp_path):
    fit(Pair(), data(), config(steps=4), tmp_path, meta={"kind": "pair"})
    with pytest.raises(CheckpointError, match="a checkpoint of pair, classifier was expected"):
        fit(Pair(), data(), config(), tmp_path, meta={"kind": "classifier"})
    with pytest.raises(CheckpointError, match=r"does not fit this model.*size mismatch"):
        fit(Pair(width=9), data(), config(), tmp_path, meta={"kind": "pair"})


def test_a_run_is_not_overwritten(tmp_path):
    fit(Pair(), data(), config(steps=4), tmp_path)
    with pytest.raises(CheckpointError, match="resume it or give another folder"):
        fit(Pair(), data(), config(), tmp_path, resume=False)


def test_a_damaged_last_checkpoint_falls_back_and_says_so(whole, tmp_path):
    fit(Pair(), data(), config(steps=8), tmp_path)
    weights = tmp_path / "checkpoints/step_000008/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    result = fit(Pair(), data(), config(), tmp_path)
    assert "step_000008 is damaged" in result.notes[0]
    assert "step_000004" in result.notes[1]
    assert rows(tmp_path) == rows(run_of(whole))
    assert "is damaged" in (tmp_path / "metrics.jsonl").read_text()
    assert same(read_checkpoint(result.checkpoint)[1], read_checkpoint(whole.checkpoint)[1])
    assert read_checkpoint(weights.parent)[0]["step"] == 8  # reached again and replaced


def test_bad_requests(tmp_path):
    with pytest.raises(DataError, match="3 images, fewer than one batch of 4"):
        fit(Pair(), data(3), config(), tmp_path)
    with pytest.raises(TypeError, match="Linear has no training_step"):
        fit(nn.Linear(1, 1), data(), config(), tmp_path)
    with pytest.raises(SarcoreError, match="accelerator 'nonsense'"):
        fit(Pair(), data(), config(accelerator="nonsense"), tmp_path)
    with pytest.raises(SarcoreError, match="needs a GPU"):
        fit(Pair(), data(), config(precision="16-mixed"), tmp_path)
    for wrong in ({"steps": 0}, {"batch_size": 0}, {"log_every": 0}, {"seed": -1}, {"devices": 2}, {"keep_last": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            config(**wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_cuda_trains_and_resumes(tmp_path, precision):
    class OnDevice(Pair):
        def training_step(self, batch, optimizers, backward):
            assert batch[0].is_cuda
            torch.set_default_device(batch[0].device)
            try:
                return super().training_step(batch, optimizers, backward)
            finally:
                torch.set_default_device(None)

    settings = config(accelerator="cuda", precision=precision)
    fit(OnDevice(), Arrays(), settings, tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(OnDevice(), Arrays(), settings, tmp_path / "resumed", on_step=stop_at(6))
    fit(OnDevice(), Arrays(), settings, tmp_path / "resumed")
    for a, b in zip(rows(tmp_path / "whole"), rows(tmp_path / "resumed"), strict=True):
        assert a == pytest.approx(b, rel=1e-5)
