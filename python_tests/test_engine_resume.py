"""The same bits after a resume, Ctrl-C or a kill, however often one looks and however the data is read."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from sarcore import Radiometry
from sarcore.engine import FitResult, Interrupted, fit, read_checkpoint
from sarcore.errors import CheckpointError, SarcoreError
from sarcore.ops import encode

from .engine_pair import Pair, config, data, rows, same, stop_at


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
    del state["seconds"], expected_state["seconds"]
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


def test_ctrl_c_finishes_the_step_and_saves(whole, tmp_path):
    class Interrupting(Pair):
        def training_step(self, batch, step):
            if calls.append(0) or len(calls) == 5:
                os.kill(os.getpid(), signal.SIGINT)  # as the terminal does, in the middle of a step
            return super().training_step(batch, step)

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
    assert len(list((tmp_path / "samples").glob("step_*.png"))) == 12


def test_keep_last(whole):
    found = sorted(path.name for path in (run_of(whole) / "checkpoints").iterdir())
    assert found == ["step_000008", "step_000012"]


class Items(Dataset):
    """The same images through __getitem__ alone, as a data set that is read from disk offers them."""

    def __init__(self) -> None:
        self.images, self.labels = data().tensors

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        return self.images[i], int(self.labels[i])


class Arrays(Items):
    """A data set that holds 8-bit images, with the declared limits to encode them by."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = (self.images * 255).round().to(torch.uint8)
        self.radiometry = Radiometry("digital", 0, 255)
        self.images = encode(self.codes, self.radiometry)

    @property
    def nbytes(self):
        return self.codes.nbytes

    def native(self, indices):
        return self.codes[indices], self.labels[indices]

    def arrays(self):
        return self.codes, self.labels


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
    class Counting(Arrays):
        def __getitem__(self, i):
            read.append(i)
            return super().__getitem__(i)

    read: list[int] = []
    fit(Pair(), Counting(), config(), tmp_path / "memory")
    assert len(read) == 16  # for the picture of real images, once
    plain = Arrays()
    fit(Pair(), TensorDataset(plain.images, plain.labels), config(), tmp_path / "tensors")
    assert rows(tmp_path / "memory") == rows(tmp_path / "tensors")


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


def test_a_run_says_from_where_it_goes_on(tmp_path):
    said = []
    first = fit(Pair(), data(), config(steps=4), tmp_path, on_note=said.append)
    assert said == []
    fit(Pair(), data(), config(steps=6), tmp_path, on_note=said.append)
    assert said == [f"Resumed from {first.checkpoint}."]
    last = fit(Pair(), data(), config(steps=6), tmp_path, on_note=said.append)
    assert said[1:] == [f"All 6 steps are made already, the last in {last.checkpoint}."]
    assert last.notes == ()  # nothing that the files of the run should keep


def test_a_damaged_last_checkpoint_falls_back_and_says_so(whole, tmp_path):
    fit(Pair(), data(), config(steps=8), tmp_path)
    weights = tmp_path / "checkpoints/step_000008/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    said = []
    result = fit(
        Pair(), data(), config(), tmp_path, on_note=said.append, on_step=lambda step, _: said.append(f"step {step}")
    )
    assert "step_000008 is damaged" in result.notes[0]
    assert "step_000004" in result.notes[1]
    assert said[:3] == [*result.notes, "step 5"]  # before the training goes on, not when it is over
    assert rows(tmp_path) == rows(run_of(whole))
    assert "is damaged" in (tmp_path / "metrics.jsonl").read_text()
    assert same(read_checkpoint(result.checkpoint)[1], read_checkpoint(whole.checkpoint)[1])
    assert read_checkpoint(weights.parent)[0]["step"] == 8  # reached again and replaced


def test_a_damaged_checkpoint_is_not_counted_among_those_that_are_kept(tmp_path):
    """With another distance between checkpoints its step is never reached again."""
    fit(Pair(), data(), config(steps=8, keep_last=2), tmp_path)
    (tmp_path / "checkpoints/step_000008/state.pt").write_bytes(b"")
    fit(Pair(), data(), config(steps=7, checkpoint_every=3), tmp_path)
    kept = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert kept == ["step_000006", "step_000007", "step_000008"], "not reached yet"
    fit(Pair(), data(), config(steps=9, checkpoint_every=100), tmp_path)
    kept = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert kept == ["step_000007", "step_000009"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_cuda_trains_and_resumes(tmp_path, precision):
    class OnDevice(Pair):
        def training_step(self, batch, step):
            assert batch[0].is_cuda
            torch.set_default_device(batch[0].device)
            try:
                return super().training_step(batch, step)
            finally:
                torch.set_default_device(None)

    settings = config(accelerator="cuda", precision=precision)
    fit(OnDevice(), Arrays(), settings, tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(OnDevice(), Arrays(), settings, tmp_path / "resumed", on_step=stop_at(6))
    fit(OnDevice(), Arrays(), settings, tmp_path / "resumed")
    for a, b in zip(rows(tmp_path / "whole"), rows(tmp_path / "resumed"), strict=True):
        assert a == pytest.approx(b, rel=1e-5)
