"""Signals at awkward moments: while a run is read, when it is complete, while it is closed."""

import json
import os
import signal
from pathlib import Path

import pytest

from sarcore.engine import Interrupted, fit, loop
from sarcore.engine.status import RunStatus

from .engine_pair import Pair, config, data, rows

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def outer(monkeypatch):
    """Signals that the training did not catch."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    missed: list[int] = []
    before = {n: signal.signal(n, lambda number, _: missed.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    assert missed == []


class Hit(Pair):
    """A task that is sent a signal when its optimizers are made, before the checkpoint is read."""

    number = signal.SIGTERM

    def configure_optimizers(self):
        os.kill(os.getpid(), self.number)
        return super().configure_optimizers()


def state(run: Path) -> tuple[str, int]:
    status = json.loads((run / "status.json").read_text())
    return status["state"], status["step"]


@BOTH
def test_a_signal_while_the_run_is_read_is_answered_before_the_next_step(tmp_path, number):
    fit(Pair(), data(), config(steps=6), tmp_path)
    task = Hit()
    task.number = number
    with pytest.raises(Interrupted, match=r"after step 6 of 12: its state is saved in .*step_000006") as caught:
        fit(task, data(), config(), tmp_path, meta={"kind": "pair"})
    assert (caught.value.step, caught.value.signal) == (6, number)
    assert state(tmp_path) == ("interrupted", 6)
    fit(Pair(), data(), config(), tmp_path)
    fit(Pair(), data(), config(), tmp_path / "whole")
    assert rows(tmp_path) == rows(tmp_path / "whole")


def test_before_the_first_step_nothing_is_saved(tmp_path):
    with pytest.raises(Interrupted, match="after step 0 of 12: nothing was saved yet") as caught:
        fit(Hit(), data(), config(), tmp_path)
    assert caught.value.checkpoint is None
    assert not (tmp_path / "checkpoints").exists()
    assert state(tmp_path) == ("interrupted", 0)


def test_a_complete_run_does_not_swallow_it(tmp_path):
    """What comes after the training would not hear of it."""
    fit(Pair(), data(), config(steps=4), tmp_path)
    with pytest.raises(Interrupted, match="after step 4 of 4: its state is saved in"):
        fit(Hit(), data(), config(steps=4), tmp_path, meta={"kind": "pair"})


@BOTH
def test_one_that_comes_after_the_last_step_is_heard(tmp_path, monkeypatch, number):
    def slow_to_close(*args, **kwargs):
        try:
            yield from batches(*args, **kwargs)
        finally:
            os.kill(os.getpid(), number)

    batches = loop.batches
    monkeypatch.setattr(loop, "batches", slow_to_close)
    with pytest.raises(Interrupted, match="after step 4 of 4: its state is saved in") as caught:
        fit(Pair(), data(), config(steps=4), tmp_path)
    assert caught.value.signal == number


def test_a_second_sigterm_while_the_run_is_closed_changes_nothing(tmp_path, monkeypatch):
    """Schedulers send several; without its last status the run would seem to go on."""
    end = RunStatus.end

    def hit(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        end(self, *args, **kwargs)

    monkeypatch.setattr(RunStatus, "end", hit)

    def on_step(step, logs):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="after step 5 of 12"):
        fit(Pair(), data(), config(), tmp_path, on_step=on_step)
    assert state(tmp_path) == ("interrupted", 5)
