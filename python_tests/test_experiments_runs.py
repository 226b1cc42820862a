"""Runs of `sarcore train`: repeated from their folder, prolonged, refused; by two processes."""

import contextlib
import json
import shutil

import pytest

from sarcore.cli import main
from sarcore.data import write_simulated
from sarcore.engine import read_metrics
from sarcore.engine.distributed import rank
from sarcore.experiments.train_config import read_config

from .processes import join, start_all


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "set"
    return write_simulated(folder, scenes_per_class=3, patches_per_scene_side=2, size=20, seed=1)


def train(data, run, *more):
    small = ["--steps", "4", "--width", "4", "--batch-size", "4", "--scenario", "hard", "--checkpoint-every", "2"]
    return main(["train", "began", str(data), "--out", str(run), "--accelerator", "cpu", *small, *more])


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert train(data, folder) == 0
    return folder


def weights(run, step=4):
    return (run / "checkpoints" / f"step_{step:06d}" / "weights.safetensors").read_bytes()


def test_a_repeated_run_has_the_same_bits(run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.toml", "run.json", "split.json"):  # all that a repetition needs
        shutil.copy(run / name, copy / name)
    assert main(["train", "--from", str(copy)]) == 0
    repeat = tmp_path / "copy-repeat"
    assert weights(repeat) == weights(run)
    assert (repeat / "split.json").read_bytes() == (run / "split.json").read_bytes()
    first, second = (read_config(folder / "config.toml") for folder in (run, repeat))
    assert first == second
    best = [json.loads((folder / "results.json").read_text())["best"] for folder in (run, repeat)]
    assert best[0] == best[1]
    assert best[0]["name"] == "M"


def test_a_run_on_data_that_changed_is_not_repeated(run, data, tmp_path, capsys):
    moved = shutil.copytree(data, tmp_path / "set")
    assert main(["train", "--from", str(run), str(moved), "--out", str(tmp_path / "moved")]) == 0
    assert weights(tmp_path / "moved") == weights(run)
    patch = next((moved / "water").glob("*.png"))
    patch.write_bytes(patch.read_bytes() + b"more")
    capsys.readouterr()
    again = tmp_path / "again"
    assert main(["train", "--from", str(tmp_path / "moved"), "--out", str(again)]) == 1
    assert f"{moved}: has changed since {tmp_path / 'moved'} was trained on it" in capsys.readouterr().err
    assert not again.exists()


def test_a_run_goes_on_with_more_steps_and_with_nothing_else(run, data, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    for change, says in (
        (["--steps", "3"], "steps was 4, is 3, and may only grow"),
        (["--gamma", "0.5"], "gamma was 1.0, is 0.5"),
        (["--ema", "0.5"], "ema was 0.0, is 0.5"),
        (["--no-resume"], "holds a run; go on with it by --resume"),
    ):
        assert train(data, tmp_path / "run", *change) == 1
        assert says in capsys.readouterr().err
    assert weights(tmp_path / "run") == weights(run)
    assert train(data, tmp_path / "run", "--steps", "6", "--log-every", "3") == 0
    assert train(data, tmp_path / "six", "--steps", "6") == 0
    assert weights(tmp_path / "run", 6) == weights(tmp_path / "six", 6)
    assert read_config(tmp_path / "run" / "config.toml")[1]["fit"]["steps"] == 6


def test_too_few_patches_for_a_batch_leave_no_folder(data, tmp_path, capsys):
    assert train(data, tmp_path / "run", "--class", "water", "--batch-size", "9") == 1
    assert "8 patches to train on are fewer than a batch of 9; lower --batch-size" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def command(arguments, folder):
    with (folder / f"{rank()}.txt").open("w") as out, contextlib.redirect_stdout(out):
        raise SystemExit(main(arguments))


def test_two_processes_write_one_run(run, tmp_path):
    join(start_all(2, command, ["train", "--from", str(run), "--out", str(tmp_path / "two")], tmp_path))
    said = [(tmp_path / f"{number}.txt").read_text() for number in range(2)]
    assert said[0].count("run: ") == 1
    assert said[1] == ""
    alone, both = (read_metrics(folder)[-1] for folder in (run, tmp_path / "two"))
    for name in ("loss_real", "loss_fake", "M", "val/M", "val/emd", "val/spectrum"):
        assert both[name] == pytest.approx(alone[name], rel=1e-4)
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert results["patches"] == json.loads((run / "results.json").read_text())["patches"]
