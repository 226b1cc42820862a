"""The command line: what it accepts, what it prints, and with which code it ends."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

import sarcore
from sarcore.cli import app, main
from sarcore.cli.progress import ConsoleProgress
from sarcore.engine import Interrupted, read_metrics
from sarcore.errors import DataError
from sarcore.experiments.train_kinds import KINDS


def words_of(table, before=""):
    for name, found in table.items():
        yield before + name
        if isinstance(found, Mapping):
            yield from words_of(found, f"{before}{name} ")


COMMANDS = ["", *words_of({**app.COMMANDS, "train": KINDS})]  # `run` alone fills in the commands of train
TINY = ["--width", "4", "--classifier-steps", "2", "--classifier-batch-size", "4"]
TINY += ["--generator-steps", "2", "--generator-width", "4", "--generator-batch-size", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "set"
    arguments = ["simulate", str(folder), "--scenes-per-class", "2", "--patches-per-side", "2", "--size", "32"]
    assert main(arguments) == 0
    return folder


def one_line(captured):
    """The single line on stderr."""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: sarcore {command}".strip() in out
    if command not in ("", "prep", "train", "experiment"):
        assert len(out.splitlines()) > 6
        assert not re.search(r"--\S+ \S+ *│\n│ *│", out)  # an option without a description


def test_wrong_usage_is_2(capsys):
    assert main(["fly"]) == 2
    assert main(["experiment", "augmentation"]) == 2
    assert main(["demo", "--no-such-flag"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evalute", "x"], "`sarcore` has no command 'evalute'; did you mean 'evaluate'?"),
        (["fly"], "`sarcore` has no command 'fly'; there is demo, doctor, simulate"),
        (["train", "bgan", "x"], "`sarcore train` has no command 'bgan'; did you mean 'began'?"),
        (["experiment"], "`sarcore experiment` needs a command; there is augmentation"),
        (["train", "--out", "x"], "`sarcore train` needs a command; there is began, gan, classifier"),
    ],
)
def test_a_wrong_command_is_one_line_with_the_nearest_one(words, says, capsys):
    assert main(words) == 2
    assert says in one_line(capsys.readouterr())


def test_a_wrong_option_is_compared_with_those_of_its_command_alone(capsys):
    assert main(["simulate", "x", "--scenes", "3"]) == 2
    said = capsys.readouterr().err
    assert "--scenes-per-class" in said
    assert "sarcore simulate --help" in said
    assert main(["experiment", "augmentation", "x", "--clas", "y"]) == 2
    said = capsys.readouterr().err
    assert "--class-names" not in said  # of tile
    assert "sarcore experiment augmentation --help" in said


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 0
    assert "sarcore demo" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sarcore {sarcore.__version__}\n"


def test_python_dash_m_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "sarcore", "report", "no/such/run"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sarcore: no/such/run")
    assert done.stderr.count("\n") == 1


def test_doctor_finds_the_cpu_working(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"cpu\s+works", out)
    assert sarcore.__version__ in out


def bad_folders(root):
    (root / "empty").mkdir()
    (root / "flat").mkdir()
    (root / "flat" / "a.png").write_bytes(b"x")
    return [root / "missing", root / "empty", root / "flat"]


@pytest.mark.parametrize("command", [["train", "began"], ["train", "classifier"]])
def test_bad_folders_are_one_line_with_the_path(command, tmp_path, capsys):
    for folder in bad_folders(tmp_path):
        assert main([*command, str(folder), "--out", str(tmp_path / "run")]) == 1
        assert str(folder) in one_line(capsys.readouterr())
        assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(sarcore.errors.DataError):
        main(["train", "began", str(tmp_path / "missing"), "--out", str(tmp_path / "run"), "--debug"])


def test_a_corrupt_file_in_the_middle_is_named(data, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(data, tmp_path / "copy")
    victim = sorted((copy / "forest").glob("*.png"))[3]
    victim.write_bytes(victim.read_bytes()[:200])
    run = tmp_path / "run"
    assert main(["experiment", "augmentation", str(copy), "--out", str(run)]) == 1
    assert victim.name in one_line(capsys.readouterr())
    assert not run.exists()


def test_simulate_refuses_a_folder_in_use(data, capsys):
    assert main(["simulate", str(data)]) == 1
    assert str(data) in one_line(capsys.readouterr())


def test_began_to_patches_to_wrong_use(data, tmp_path, capsys):
    run, out = tmp_path / "began", tmp_path / "patches"
    small = ["--steps", "2", "--width", "4", "--batch-size", "4"]
    assert main(["train", "began", str(data), "--class", "forest", "--out", str(run), *small]) == 0
    assert main(["generate", str(run), "--count", "3", "--out", str(out)]) == 0
    assert len(list((out / "forest").glob("*.png"))) == 3
    said = capsys.readouterr().out
    assert f"3 synthetic patches of 32×32 in {out}: forest 3; " in said
    assert f"Weights: {run / 'checkpoints' / 'step_000002'}" in said
    assert main(["train", "classifier", str(data), "--depth", "18", "--out", str(run), "--batch-size", "4"]) == 1
    assert f"{run}: holds a run of `sarcore train began`; choose another" in one_line(capsys.readouterr())
    assert main(["generate", str(run), "--count", "3", "--out", str(out)]) == 1
    assert str(out) in one_line(capsys.readouterr())
    other = ["generate", str(run), "--count", "3", "--out", str(tmp_path / "other")]
    assert main([*other, "--class", "water=2"]) == 1
    assert "no class 'water': the generator knows forest" in one_line(capsys.readouterr())
    assert main(["evaluate", str(run), str(data)]) == 1
    assert "classifier was expected" in one_line(capsys.readouterr())
    weights = next(run.glob("checkpoints/*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    assert main(["generate", str(run), "--count", "1", "--out", str(tmp_path / "other")]) == 1
    assert str(weights.parent) in one_line(capsys.readouterr())
    assert not (tmp_path / "other").exists()


def test_a_classifier_trains_with_more_speckle(data, tmp_path, capsys):
    run = tmp_path / "classifier"
    small = ["--depth", "18", "--steps", "2", "--batch-size", "4", "--out", str(run)]
    assert main(["train", "classifier", str(data), "--augment", "speckle", *small]) == 0
    meta = json.loads(next(run.glob("checkpoints/*/meta.json")).read_text())
    assert (meta["config"]["augment"], meta["config"]["domain"]) == ("speckle", "amplitude")
    assert meta["config"]["limits"] == [meta["radiometry"]["low"], meta["radiometry"]["high"]]
    capsys.readouterr()
    assert main(["evaluate", str(run), str(data)]) == 0
    assert f"Weights: {run / 'checkpoints' / 'step_000002'}" in capsys.readouterr().out
    assert main(["train", "classifier", str(data), "--augment", "rotations", *small]) == 2
    assert "rotations" in capsys.readouterr().err


def test_experiment_ends_with_a_table_and_a_page(data, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["experiment", "augmentation", str(data), "--scenario", "intermediate", "--generator", "began"]
    arguments += ["--arms", "flips", "gan", "--targets", "largest", "--synthetic", "3", "--seeds", "1"]
    arguments += ["--size", "16", "--budget", "5", "--out", str(run), *TINY]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "balanced accuracy" in out
    assert "one seed, which says nothing yet" in out
    assert "Budget of 5 minutes: 2 times 2 of 2 steps of the classifier" in out
    assert f"Page: {run / 'report.html'}" in out
    assert (run / "report.html").stat().st_size > 50_000
    assert re.search(r"Flips, seed 0 \(1/3\): 2/2  epoch [0-9.]+  loss [0-9.]+", (run / "progress.log").read_text())
    assert main(["report", str(run)]) == 0
    scores = tmp_path / "scores.json"
    assert main(["evaluate", str(run / "flips" / "seed_0"), str(data), "--out", str(scores)]) == 0
    first = json.loads((run / "results.json").read_text())["arms"]["flips"]["runs"][0]
    assert json.loads(scores.read_text())["confusion"] == first["confusion"]
    other = tmp_path / "other"
    assert main([*arguments[: -len(TINY) - 2], "--out", str(other), *TINY, "--merge", str(run)]) == 0
    assert "3 cells were copied" in capsys.readouterr().out
    assert (
        json.loads((other / "results.json").read_text())["arms"]
        == json.loads((run / "results.json").read_text())["arms"]
    )


def test_a_full_disk_is_one_line_and_leaves_no_half_checkpoint(data, tmp_path, monkeypatch, capsys):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    from sarcore.engine import checkpoint

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    run = tmp_path / "run"
    small = ["--steps", "2", "--width", "4", "--batch-size", "4"]
    assert main(["train", "began", str(data), "--out", str(run), *small]) == 1
    error = one_line(capsys.readouterr())
    assert "No space left" in error
    assert str(run) in error
    assert not list((run / "checkpoints").glob("*"))


def test_ctrl_c_is_130_and_says_how_to_go_on(data, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    small = ["--steps", "3", "--width", "4", "--batch-size", "4"]
    arguments = ["train", "began", str(data), "--out", str(run), *small]

    def interrupt(self, step, logs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ConsoleProgress, "step", interrupt)
        assert main(arguments) == 130
    error = one_line(capsys.readouterr())
    assert "step 1 of 3" in error
    assert "continue" in error
    assert main(arguments) == 0
    assert Interrupted.__name__ == "Interrupted"  # cli.app knows it by this name
    assert [row["step"] for row in read_metrics(run)] == [3]


def test_sigterm_saves_and_is_0(data, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    arguments = ["train", "began", str(data), "--out", str(run), "--steps", "3", "--width", "4", "--batch-size", "4"]
    with monkeypatch.context() as patch:
        patch.setattr(ConsoleProgress, "step", lambda self, step, logs: os.kill(os.getpid(), signal.SIGTERM))
        assert main(arguments) == 0
    assert "step 1 of 3" in one_line(capsys.readouterr())
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step_000001"]
    assert main(arguments) == 0
    assert (run / "results.json").is_file()


def test_processes_of_torchrun_tell_their_errors_and_one_of_them_the_end(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "2")
    assert app.failed(DataError("no patches")) == 1
    assert app.failed(Interrupted("after step 1", 1, None)) == 130
    assert capsys.readouterr().err == "sarcore: process 2: no patches\n"


def test_ctrl_c_outside_a_training_is_130_too(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(app.COMMANDS, "doctor", interrupted)
    assert main(["doctor"]) == 130
    assert "again to continue" in capsys.readouterr().err


def test_memory_that_runs_out_is_one_line(monkeypatch, capsys):
    def fail(*arguments, **options):
        raise MemoryError("Unable to allocate 74.5 GiB")

    monkeypatch.setattr("sarcore.data.patch_set.write_patch_set", fail)
    assert main(["tile", "a.tif", "--out", "set"]) == 1
    assert (
        one_line(capsys.readouterr())
        == "sarcore: not enough memory (unable to allocate 74.5 GiB); take smaller sizes\n"
    )
