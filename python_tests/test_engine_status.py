"""status.json: what it says, and how often."""

import json
import os
import time
from pathlib import Path

from sarcore.engine.status import RunStatus


def status_of(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def test_status_says_where_a_run_is_at_most_every_second(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    status = RunStatus(tmp_path, 1000, step=5, seconds=2.0, world_size=2)
    first = status_of(tmp_path)
    assert {name: first[name] for name in first if name not in ("started", "updated")} == {
        "state": "running",
        "pid": os.getpid(),
        "step": 5,
        "steps": 1000,
        "images_per_second": None,
        "seconds": 2.0,
        "world_size": 2,
        "message": "",
    }
    assert abs(first["started"] - time.time()) < 60
    now[0] += 0.5
    status.update(10, 99.0, 3.0)
    assert status_of(tmp_path) == first
    now[0] += 0.6
    status.update(20, 98.0, 4.0)
    assert [status_of(tmp_path)[n] for n in ("step", "images_per_second", "seconds")] == [20, 98.0, 4.0]
    status.update(30, 97.0, 5.0)
    status.end("stopped early", "No better score.")
    last = status_of(tmp_path)
    assert (last["state"], last["message"], last["step"]) == ("stopped early", "No better score.", 30)
    assert last["started"] == first["started"]
    assert last["updated"] >= first["updated"]
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
