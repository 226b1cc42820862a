"""kill -9 at any moment, a full disk, a folder in use: the run goes on with the bits of an undisturbed one."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sarcore.cli import main
from sarcore.engine import find_checkpoint, last_checkpoint, read_checkpoint, read_ema, read_metrics, save_checkpoint

from .engine_pair import rows, same
from .processes import PROCESSES, join
from .resume_runs import (
    FullDisk,
    KillInSave,
    ReadOnlyFolder,
    SmallFiles,
    complete,
    start,
    start_two,
    wait_for_step,
)

KINDS = ("began", "classifier", "translator")
STEPS = 115


def state_of(path: Path) -> dict:
    """All of a checkpoint that must be equal."""
    meta, weights, state = read_checkpoint(path)
    del state["seconds"], meta["sha256"]
    return {"meta": meta, "weights": weights, "state": state, "ema": read_ema(path)}


def check_same_run(run: Path, whole: Path) -> None:
    assert rows(run) == rows(whole)
    assert same(state_of(last_checkpoint(run)[0]), state_of(last_checkpoint(whole)[0]))
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == [
        p.name for p in sorted((whole / "checkpoints").iterdir())
    ]
    for name in ("validation.jsonl", "samples/statistics.jsonl"):
        assert (run / name).is_file() == (whole / name).is_file()
        if (run / name).is_file():
            assert (run / name).read_text() == (whole / name).read_text()


@pytest.fixture(scope="module", params=KINDS)
def whole(request, tmp_path_factory) -> tuple[str, Path]:
    """A run that nothing happened to."""
    run = tmp_path_factory.mktemp(request.param)
    complete(request.param, run, STEPS)
    assert len(rows(run)) == STEPS
    return request.param, run


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """The same, of the task that holds most, and over after 12 steps."""
    run = tmp_path_factory.mktemp("short")
    complete("translator", run, 12)
    return run


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_moment(whole, tmp_path, workers):
    """After the first checkpoint, with 100 steps to go: else less would be shown than is promised."""
    kind, expected = whole
    never = WaitFor(tmp_path / "never", STEPS - 100)
    process = start(kind, tmp_path, STEPS, workers=workers, on_step=never)
    wait_for_step(process, tmp_path, random.randrange(6, 1 + STEPS - 100))
    time.sleep(random.random() * 0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert last_checkpoint(tmp_path)[0] is not None
    assert 6 <= rows(tmp_path)[-1]["step"] <= STEPS - 100
    complete(kind, tmp_path, STEPS, workers=workers)
    check_same_run(tmp_path, expected)


def complete_two(kind: str, run: Path, steps: int) -> None:
    join(start_two(kind, run, steps))


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    for first, then, run in ((complete, complete_two, "more"), (complete_two, complete, "fewer")):
        first("began", tmp_path / run, 7)
        then("began", tmp_path / run, 14)
    complete("began", tmp_path / "one", 14)
    for run in ("more", "fewer"):
        for mine, alone in zip(rows(tmp_path / run), rows(tmp_path / "one"), strict=True):
            assert mine == pytest.approx(alone, rel=1e-5, abs=1e-6)
        assert "The run was saved by" in (tmp_path / run / "metrics.jsonl").read_text()


def test_two_processes_killed_at_any_moment(tmp_path):
    """With what each of them draws, a pool that they fill together, and BatchNorm over both; one is enough."""
    complete_two("translator", tmp_path / "whole", 30)
    said = PROCESSES.Queue()
    processes = start_two("translator", tmp_path / "killed", 30, said=said)
    wait_for_step(processes[0], tmp_path / "killed", random.randrange(1, 20))
    killed, left = random.sample(processes, 2)
    killed.kill()
    for process in processes:
        process.join()
    assert (killed.exitcode, left.exitcode) == (-signal.SIGKILL, 0)
    assert said.get(timeout=600).startswith("SarcoreError: Another process of this training has ended")
    complete_two("translator", tmp_path / "killed", 30)
    check_same_run(tmp_path / "killed", tmp_path / "whole")
    generators = read_checkpoint(last_checkpoint(tmp_path / "whole")[0])[2]["rng"]
    assert not torch.equal(generators[0]["torch"], generators[1]["torch"])


@pytest.mark.parametrize("call", range(1, 8))
def test_killed_while_saving(short, tmp_path, call):
    process = start("translator", tmp_path, 12, on_step=KillInSave(call))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert last_checkpoint(tmp_path)[1] == [], "half a checkpoint looks like a damaged one"
    complete("translator", tmp_path, 12)
    check_same_run(tmp_path, short)


@pytest.mark.parametrize("trouble", [FullDisk(), SmallFiles(0), SmallFiles(3000), ReadOnlyFolder()])
def test_what_cannot_be_written_is_one_sentence_and_costs_nothing_that_was_saved(short, tmp_path, trouble):
    said = PROCESSES.Queue()
    process = start("translator", tmp_path, 12, on_step=trouble, said=said)
    message = said.get(timeout=600)
    process.join()
    assert process.exitcode == 0, "the error of the disk, and no other after it"
    assert "could not be written (" in message
    assert "intact: free some space or make the folder writable, and resume." in message
    assert "\n" not in message
    found, problems = last_checkpoint(tmp_path)
    assert (found.name, problems) == ("step_000006", [])
    assert {p.name for p in found.parent.iterdir()} <= {"step_000003", "step_000006"}, "nothing half-written"
    complete("translator", tmp_path, 12)
    check_same_run(tmp_path, short)


def test_a_second_training_in_the_folder_is_refused_and_the_first_goes_on(short, tmp_path):
    gate = tmp_path / "go"
    process = start("translator", tmp_path / "run", 12, on_step=WaitFor(gate))
    try:
        wait_for_step(process, tmp_path / "run", 4)
        said = PROCESSES.Queue()
        complete("translator", tmp_path / "run", 12, said=said)
        message = said.get(timeout=600)
        assert message.startswith("SarcoreError: ")
        assert f"in use by process {process.pid} on" in message
    finally:
        gate.touch()
        process.join()
    assert process.exitcode == 0
    check_same_run(tmp_path / "run", short)


def test_what_a_kill_after_the_last_step_left_behind_is_removed(short, tmp_path):
    shutil.copytree(short, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints/.step_000009.77.old").mkdir()
    complete("translator", tmp_path, 12)
    check_same_run(tmp_path, short)


class WaitFor:
    """Stop after a step until there is a file."""

    def __init__(self, gate: Path, step: int = 4) -> None:
        self.gate, self.step = gate, step

    def __call__(self, step: int, _logs) -> None:
        while step == self.step and not self.gate.exists():
            time.sleep(0.01)


def test_sigterm_finishes_the_step_and_saves(short, tmp_path):
    said = PROCESSES.Queue()
    gate = tmp_path / "go"
    process = start("translator", tmp_path / "run", 12, on_step=WaitFor(gate), said=said)
    wait_for_step(process, tmp_path / "run", 4)
    os.kill(process.pid, signal.SIGTERM)
    gate.touch()
    assert said.get(timeout=600).startswith("Interrupted: Interrupted after step 4 of 12: its state is saved in")
    process.join()
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["step"], status["pid"]) == ("interrupted", 4, process.pid)
    complete("translator", tmp_path / "run", 12)
    check_same_run(tmp_path / "run", short)
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "finished"


def test_a_command_answers_sigterm_by_saving_and_goes_on(tmp_path):
    """As schedulers of clusters stop a job: exit code 0, so that it counts as done for now and is started again."""
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["simulate", str(data), "--scenes-per-class", "2", "--patches-per-side", "2", "--size", "32"]) == 0
    command = [sys.executable, "-m", "sarcore", "train", "began", str(data), "--out", str(run), "--steps", "1000000"]
    command += ["--width", "4", "--batch-size", "4", "--accelerator", "cpu"]
    step = 0
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while (read_metrics(run) or [{"step": 0}])[-1]["step"] <= step:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.01)
            while process.poll() is None:  # several times, as they do
                process.terminate()
                time.sleep(0.005)
            _, error = process.communicate()
        assert process.returncode == 0, error
        assert "its state is saved in" in error
        found, problems = last_checkpoint(run)
        step = read_checkpoint(found)[0]["step"]
        assert problems == []
        assert json.loads((run / "status.json").read_text())["step"] == step >= read_metrics(run)[-1]["step"]
    steps = [row["step"] for row in read_metrics(run)]
    assert steps == sorted(set(steps))


def test_the_best_is_kept_and_found(short):
    values = {row["step"]: row["val/l1"] for row in rows(short) if "val/l1" in row}
    assert sorted(values) == [3, 6, 9, 12]
    best = min(values, key=values.get)
    assert find_checkpoint(short, "best")[0].name == f"step_{best:06d}"


class Weights:
    """What saves as a model with these weights."""

    def __init__(self, weights: dict) -> None:
        self.state_dict = lambda: weights


def _other_draws(weights, state, ema):
    state["draws"] = torch.Generator().manual_seed(1).get_state()


def _other_global_generator(weights, state, ema):
    state["rng"][0]["torch"] = torch.Generator().manual_seed(1).get_state()


def _no_moments(weights, state, ema):
    state["optimizers"]["generator"]["state"] = {}


def _schedule_from_the_start(weights, state, ema):
    state["schedulers"]["discriminator"]["last_epoch"] = 0


def _empty_pool(weights, state, ema):
    weights["pool.images"].zero_()


def _mean_of_no_weights(weights, state, ema):
    for mean in ema.values():
        mean.zero_()


def _nothing(weights, state, ema):
    pass


@pytest.mark.parametrize(
    "forget",
    [
        _other_draws,
        _other_global_generator,
        _no_moments,
        _schedule_from_the_start,
        _empty_pool,
        _mean_of_no_weights,
        _nothing,
    ],
)
def test_a_resume_that_forgets_anything_would_be_seen(short, tmp_path, forget):
    complete("translator", tmp_path, 6)
    found = last_checkpoint(tmp_path)[0]
    (meta, weights, state), ema = read_checkpoint(found), read_ema(found)
    forget(weights, state, ema)
    save_checkpoint(tmp_path, 6, Weights(weights), state, meta, ema=ema)
    complete("translator", tmp_path, 12)
    assert (rows(tmp_path) == rows(short)) == (forget is _nothing)
