"""Two processes on the CPU, started by torchrun: the numbers of one, decided and written once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sarcore.engine import read_checkpoint, read_metrics

from . import engine_worker
from .engine_pair import rows

ROOT = Path(__file__).resolve().parent.parent


def torchrun(out: Path, processes: int = 2) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(port), "-m", "python_tests.engine_worker", str(out)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == ""
    assert "Warning" not in done.stderr


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    torchrun(out)
    return out


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one")
    engine_worker.train(out)
    return out


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("model", ["began", "classifier", "cyclegan", "pix2pix"])
def test_the_same_total_batch_gives_the_same_losses(one: Path, two: Path, model: str, parts: int) -> None:
    alone, shared = (rows(out / f"{model}{parts}") for out in (one, two))
    assert [row["step"] for row in shared] == [1, 2, 3, 4]
    for a, b in zip(alone, shared, strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)


def test_parts_of_a_batch_give_its_gradient(one: Path) -> None:
    for a, b in zip(rows(one / "began1"), rows(one / "began2"), strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
    # Batch statistics are those of a part, so that a classifier's losses do depend on the number of parts.
    assert rows(one / "classifier1")[-1] != pytest.approx(rows(one / "classifier2")[-1])


def test_a_stop_asked_of_one_process_ends_all_at_one_step_and_the_resume_has_the_same_bits(two: Path) -> None:
    assert rows(two / "stopped") == rows(two / "began1")
    meta, weights, state = read_checkpoint(two / "stopped/checkpoints/step_000004")
    _, expected, _ = read_checkpoint(two / "began1/checkpoints/step_000004")
    assert all(value.equal(expected[name]) for name, value in weights.items())
    assert meta["world_size"] == len(state["rng"]) == 2


def test_the_main_process_alone_writes(two: Path) -> None:
    status = json.loads((two / "began1/status.json").read_text())
    assert (status["state"], status["world_size"], status["step"]) == ("finished", 2, 4)
    steps = [json.loads(line)["step"] for line in (two / "began1/metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 4]  # the last row is of the validation
    assert "val/error" in read_metrics(two / "began1")[-1]


def test_votes_errors_and_gradients(two: Path) -> None:
    ranks = [json.loads((two / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for found in ranks:
        assert found["agree"] == [True, False]
        assert found["main"] == 0
        assert found["error"] == "no such folder"
        # 1/2 of 0 and 1; one process has a gradient; none has; types travel apart
        assert found["grads"] == [[0.5] * 4, [0.5] * 4, None, [0.5, 1.5, 2.5]]
        assert max(found["norms"]) < 1e-9


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sarcore.engine import fit

    from .engine_pair import Pair, config, data

    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="batch_size 4 is no multiple of 3 processes times accumulate 1"):
        fit(Pair(), data(), config(), tmp_path)
    assert list(tmp_path.iterdir()) == []
