"""Where rows go beside the files of a run: TensorBoard, Weights & Biases."""

import sys
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from sarcore.engine import fit
from sarcore.engine.logs import RunLogs

from .engine_pair import Pair, config, data


def test_tensorboard_holds_scalars_and_pictures(tmp_path):
    with RunLogs(tmp_path) as logs:
        logs.scalars(10, {"loss": 0.5})
        logs.samples(10, torch.rand(4, 1, 8, 8))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(10, 0.5)]
    assert events.Images("samples")[0].height == 2 + 2 * 10


def shown(run) -> list[int]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars("loss")]


@pytest.mark.parametrize("resumed_step", [0, 2])
def test_tensorboard_shows_a_step_of_a_killed_run_once(tmp_path, monkeypatch, resumed_step):
    """Also where it was killed before its first checkpoint."""
    now, sessions = time.time, []
    for start in (0, resumed_step):
        sessions.append(RunLogs(tmp_path, resumed_step=start))
        for step in range(start + 1, 5):
            sessions[-1].scalars(step, {"loss": 0.1 * step})
        sessions[-1].flush()  # and no more: killed
        monkeypatch.setattr(time, "time", lambda: now() + 1)  # which names the files
    assert shown(tmp_path) == [1, 2, 3, 4]
    for logs in sessions:
        logs.__exit__(None, None, None)


def test_what_a_checkpoint_knows_of_is_in_the_files(tmp_path):
    """TensorBoard writes in a thread: a kill after the checkpoint would leave a hole that no resume fills."""
    seen = []

    def on_step(step, logs):
        if step % 4 == 0:
            seen.append(shown(tmp_path))

    def slow(self, event):
        time.sleep(0.02)
        write(self, event)

    write = RecordWriter.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordWriter, "write", slow)
        fit(Losing(), data(), config(steps=8, sample_every=100), tmp_path, on_step=on_step)
    assert seen == [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8]]


class Losing(Pair):
    def training_step(self, batch, step):
        return {"loss": super().training_step(batch, step)["loss_g"]}


class FakeWandb:
    """What the engine uses of wandb."""

    def __init__(self) -> None:
        self.settings: dict = {}
        self.rows: list = []
        self.finished = 0

    def init(self, **settings):
        torch.rand(1)  # the package draws names
        self.settings = settings
        return self

    def log(self, row, step):
        self.rows.append((step, row))

    def finish(self):
        self.finished += 1

    class Image:
        def __init__(self, grid) -> None:
            self.shape = grid.shape


def test_weights_and_biases_takes_part_where_it_is_asked_for(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    with RunLogs(tmp_path / "run") as logs:
        logs.scalars(1, {"loss": 1.0})
    assert wandb.rows == []
    monkeypatch.setenv("WANDB_PROJECT", "radar")
    before = torch.get_rng_state()
    with RunLogs(tmp_path / "run", resumed_step=1) as logs:
        assert logs.note_at_start is None
        logs.scalars(2, {"loss": 0.5})
        logs.samples(2, torch.rand(4, 1, 8, 8, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)
    first = dict(wandb.settings)
    assert (first["name"], first["resume"], first["dir"]) == ("run", "allow", str(tmp_path / "run"))
    assert [(step, list(row)) for step, row in wandb.rows] == [(2, ["loss"]), (2, ["samples"])]
    assert wandb.rows[1][1]["samples"].shape == (22, 22)
    assert wandb.finished == 1
    with RunLogs(tmp_path / "run", resumed_step=2):
        assert wandb.settings == first, "a resumed run goes on in the same one"
    with RunLogs(tmp_path / "other"):
        assert wandb.settings["id"] != first["id"]


def test_weights_and_biases_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "radar")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with RunLogs(tmp_path) as logs:
        assert "wandb is not installed" in logs.note_at_start
