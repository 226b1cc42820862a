"""run.json, and the atomic writers."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.engine import versions, write_bytes, write_json, write_run_info


def test_run_info(tmp_path):
    @dataclass
    class Inner:
        out: Path

    @dataclass
    class Config:
        inner: Inner
        lr: np.float32
        means: torch.Tensor

    path = write_run_info(tmp_path / "run", Config(Inner(Path("a/b")), np.float32(0.5), torch.ones(2)), [0, 1])
    info = json.loads(path.read_text())
    assert path.name == "run.json"
    assert info["config"] == {"inner": {"out": "a/b"}, "lr": 0.5, "means": [1.0, 1.0]}
    assert info["seeds"] == [0, 1]
    assert info["versions"] == versions()
    assert info["versions"]["torch"] == torch.__version__
    assert info["hardware"]["threads"] == torch.get_num_threads()
    assert info["hardware"]["cpu"]


def test_json_writer_refuses_what_json_cannot_say_and_keeps_the_old_file(tmp_path):
    path = write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError, match="object has no JSON form"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_atomic_write_keeps_the_old_file_when_the_disk_is_full(tmp_path, monkeypatch):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
