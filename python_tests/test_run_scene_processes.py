"""`run_scene` in several processes: shares of rows, the launcher of torch, kills."""

import json
import re
import signal
import subprocess
import sys

import pytest

from sarcore.errors import DataError
from sarcore.inference import run_scene
from sarcore.inference.scene_processes import SceneProcesses, process_of_environment, share_of

from .run_scene_helpers import BLEND, CROP, WORKER, finished, lee, parts_of, small_scene, start


@pytest.fixture
def scene(tmp_path):
    return small_scene(tmp_path)


def test_shares_are_contiguous_and_whole():
    for count in (1, 2, 5, 9):
        for bands in (0, 1, 4, 17):
            assert [band for rank in range(count) for band in share_of(rank, count, bands)] == list(range(bands))


@pytest.mark.parametrize(
    ("given", "words"),
    [(("2", "2"), "RANK"), (("0", None), "RANK"), (("a", "2"), "RANK"), (("-1", "2"), "RANK"), ((None, "2"), "RANK")],
)
def test_a_wrong_environment_is_said(monkeypatch, given, words):
    for name, value in zip(("RANK", "WORLD_SIZE"), given, strict=True):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=words):
        process_of_environment()


def test_processes_share_the_rows(scene, tmp_path):
    whole, out = run_scene(scene, lee, tmp_path / "whole.tif", **BLEND), tmp_path / "out.tif"
    out.write_bytes(b"old")
    processes = [start(scene, out, {"RANK": str(k), "WORLD_SIZE": "2"}, **BLEND) for k in range(2)]
    assert all(int(finished(process)[0].split()[1]) > 0 for process in processes)
    assert out.read_bytes() == whole.read_bytes()
    assert not parts_of(out).exists()


def test_the_torch_launcher(scene, tmp_path):
    whole, out = run_scene(scene, lee, tmp_path / "whole.tif", **CROP), tmp_path / "out.tif"
    command = [
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        "0",
        "--standalone",
        str(WORKER),
    ]
    done = subprocess.run(
        [sys.executable, *command, str(scene), str(out), json.dumps(CROP)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall("calls [1-9]", done.stdout)) == 2
    assert out.read_bytes() == whole.read_bytes()


def test_processes_go_on_after_a_kill(scene, tmp_path):
    whole, out = run_scene(scene, lee, tmp_path / "whole.tif", **CROP), tmp_path / "out.tif"
    options = {"kill_after": 2, "kill_rank": "1", "wait": 0.2, "name": "lee", **CROP}
    first, second = (start(scene, out, {"RANK": str(k), "WORLD_SIZE": "2"}, **options) for k in range(2))
    finished(second, -signal.SIGKILL)
    assert "process 1 of 2 ended before its rows were finished" in finished(first, 1)[1]
    assert not out.exists()
    run_scene(scene, lee, out, name="lee", **CROP)
    assert out.read_bytes() == whole.read_bytes()
    assert not parts_of(out).exists()


def test_two_runs_do_not_work_on_one_output(scene, tmp_path):
    out = tmp_path / "out.tif"

    def nested(x):
        with pytest.raises(DataError, match=r"another process \(number 0\) is working in .*out.tif.parts"):
            run_scene(scene, lee, out, **CROP)
        return lee(x)

    run_scene(scene, nested, out, **CROP)
    assert out.exists()


def test_a_process_that_was_never_started_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("sarcore.inference.scene_processes._PATIENCE", 0.2)
    with SceneProcesses(tmp_path / "a.parts", 0, 2) as processes:
        processes.join(lambda first: None)
        assert not processes.is_last()
        with pytest.raises(DataError, match="process 1 of 2 was never started"):
            processes.wait()
