"""What stopped early goes on: after kill -9 to the same bits, and in its folder what was refused before a step."""

import json
import random
import signal
from pathlib import Path

import pytest

from sarcore.cli import main
from sarcore.engine import last_checkpoint

from .processes import join, start
from .resume_runs import wait_for_step
from .test_engine_kill import check_same_run
from .translation_runs import KINDS, SMALL, images

STEPS = 40
# An image pool that is full before the kill, dropout, looks that are learnt, a decay that has begun, and parts.
MORE = ["--steps", str(STEPS), "--log-every", "1", "--checkpoint-every", "4", "--sample-every", "20"]
MORE += ["--dropout", "--accumulate", "2", "--speckle-looks", "2", "--learn-looks", "--constant-share", "0.25"]
OF_KIND = {"pix2pix": ["--direction", "BtoA"], "cyclegan": ["--pool", "4"]}


def words(kind: str, data: Path, run: Path) -> list[str]:
    return ["train", kind, str(data), "--out", str(run), *SMALL, *KINDS[kind], *MORE, *OF_KIND[kind]]


def _train(arguments: list[str]) -> None:
    raise SystemExit(main(arguments))


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_training_goes_on_to_the_same_bits(kind, tmp_path):
    data = images(tmp_path / "data")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(_train, words(kind, data, killed))
    wait_for_step(process, killed, random.randrange(10, 30))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert last_checkpoint(killed)[0] is not None
    assert not (killed / "results.json").exists()
    join([start(_train, words(kind, data, killed)), start(_train, words(kind, data, whole))])
    check_same_run(killed, whole)
    one, other = (json.loads((run / "results.json").read_text()) for run in (killed, whole))
    assert (one["val"], one["best"]) == (other["val"], other["best"])


def test_what_was_refused_before_its_first_step_gives_its_folder_to_the_next(tmp_path, capsys):
    folder, out = images(tmp_path / "data"), tmp_path / "run"
    words = ["train", "cyclegan", str(folder), "--out", str(out), "--steps", "2", *SMALL, *KINDS["cyclegan"]]
    assert main([*words, "--crop", "8"]) == 1  # less than a discriminator sees
    assert (out / "run.json").is_file()
    assert main([*words, "--crop", "32"]) == 0
    assert json.loads((out / "run.json").read_text())["config"]["crop"] == 32
    assert main([*words, "--crop", "24"]) == 1
    assert "holds another run (crop was 32, is 24)" in " ".join(capsys.readouterr().err.split())
