"""`sarcore watch`: what it shows of a run that trains, has ended or was killed."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from sarcore.cli.app import run as main
from sarcore.cli.live import sparkline, view, watched
from sarcore.report.run_folder import read_run

from .report_runs import write_run


def shown(run, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(view(read_run(run), width))
    return console.file.getvalue()


def test_a_running_classifier(tmp_path):
    text = shown(write_run(tmp_path / "run", kind="classifier", state="running"))
    assert "run  running" in text
    assert "step 500 of 1\u202f000 · 55 s of training · about 55 s left · 140 images/s" in text
    assert "━" * 60 in text
    assert "Best balanced accuracy: 0.78 (highest), checkpoint of step 300" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert rows["val/ece"].split()[1:4] == ["0.085", "at", "500"]
    assert len(rows["loss"].split()[-1]) == 50  # as many as were logged


def test_notes_and_problems_are_shown(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "run.json").write_text("{")
    text = shown(run)
    assert "step 1\u202f000: k has been at 1 for 1200 steps: the generator wins; lower --lambda-k <now>." in text
    assert "run.json: is damaged" in text
    assert "finished" in text
    assert "left" not in text


def test_of_a_study_the_training_that_goes_on(tmp_path):
    study = tmp_path / "study"
    write_run(study / "baseline" / "seed_0", kind="classifier")
    running = write_run(study / "began", state="running")
    status = json.loads((running / "status.json").read_text())
    (running / "status.json").write_text(json.dumps({**status, "updated": status["updated"] + 60}))
    (study / "run.json").write_text("{}")
    console = Console(width=100, file=io.StringIO())
    console.print(watched(study))
    lines = console.file.getvalue().splitlines()
    assert lines[:3] == ["study", "baseline/seed_0  finished  step 1\u202f000", "began  running  step 500"]
    assert "began  running" in lines[4]
    assert any(line.strip().startswith("loss_real") for line in lines)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_name_or_value_is_cut(tmp_path, width):
    text = shown(write_run(tmp_path / "run", kind="classifier"), width)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "val/balanced_accuracy" in text


def test_a_killed_run_and_how_to_go_on(tmp_path):
    run = write_run(tmp_path / "run", state="running")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (run / "status.json").write_text(json.dumps({"state": "running", "pid": gone.pid, "step": 3, "steps": 9}))
    text = " ".join(shown(run).split())
    assert "run killed" in text
    assert f"Process {gone.pid} is gone: the run was killed." in text
    assert "Given again, its command goes on from the last checkpoint." in text


def test_sparklines_span_their_own_values():
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▅▅"
    assert sparkline([0.0, None, 7.0, 3.0]) == "▁ █▄"
    assert sparkline([-1e308, 1e308]) == "▅▅"


def test_once_prints_and_ends(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    assert main(["watch", str(run), "--once"]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["watch", str(tmp_path / "none"), "--once"]) == 1
    assert "there is no such run folder" in capsys.readouterr().err
    assert main(["watch", str(run), "--every", "0"]) == 1
    assert "every is 0.0; give seconds above 0." in capsys.readouterr().err


def test_ctrl_c_ends_the_watching_with_0(tmp_path):
    run = write_run(tmp_path / "run", state="running")
    command = [sys.executable, "-u", "-m", "sarcore", "watch", str(run), "--every", "0.05"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "FORCE_COLOR": "1"}
    ) as process:
        for line in process.stdout:
            if "images/s" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait() == 0
