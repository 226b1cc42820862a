"""The batch order, and the files of a run: metrics, samples, TensorBoard, run.json."""

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sarcore.engine import BatchOrder, image_grid, read_metrics, versions, write_bytes, write_json, write_run_info
from sarcore.engine.logs import RunLogs


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 2**40), start=st.integers(0, 100))
def test_every_epoch_holds_every_item_once(length, share, seed, start):
    batch_size = 1 + int(share * (length - 1))
    order = BatchOrder(length, batch_size, seed)
    drawn = [i for step in range(3 * length) for i in order[step].tolist()]
    assert all(len(order[step]) == batch_size for step in range(5))
    for epoch in range(3):
        assert Counter(drawn[epoch * length : (epoch + 1) * length]) == Counter(range(length))
    # Position is a pure function of the step: a fresh order, asked out of turn, agrees.
    assert torch.equal(BatchOrder(length, batch_size, seed)[start], order[start])


def test_the_order_is_shuffled_anew_each_epoch_and_by_seed():
    order = BatchOrder(100, 100, seed=0)
    assert not torch.equal(order[0], torch.arange(100))
    assert not torch.equal(order[0], order[1])
    assert not torch.equal(order[0], BatchOrder(100, 100, seed=1)[0])


def test_rows_survive_a_reopening_up_to_the_step(tmp_path):
    with RunLogs(tmp_path) as logs:
        for step in (1, 2, 3):
            logs.scalars(step, {"loss": 0.1 * step, "M": float("nan")})
        logs.note(3, "a sentence")
    with RunLogs(tmp_path, resumed_step=2) as logs:
        logs.scalars(3, {"loss": 7.0})
    assert read_metrics(tmp_path) == [
        {"step": 1, "loss": 0.1, "M": None},
        {"step": 2, "loss": 0.2, "M": None},
        {"step": 3, "loss": 7.0},
    ]
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_rows_are_on_disk_at_once(tmp_path):
    with RunLogs(tmp_path) as logs:
        logs.scalars(1, {"loss": 1.0})
        assert read_metrics(tmp_path) == [{"step": 1, "loss": 1.0}]


def test_no_metrics(tmp_path):
    assert read_metrics(tmp_path) == []


def test_tensorboard_holds_scalars_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunLogs(tmp_path) as logs:
        logs.scalars(10, {"loss": 0.5})
        logs.samples(10, torch.rand(4, 1, 8, 8))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(10, 0.5)]
    assert events.Images("samples")[0].height == 2 + 2 * 10


def test_sample_picture(tmp_path):
    images = torch.rand(5, 1, 6, 7)
    with RunLogs(tmp_path) as logs:
        path = logs.samples(200, images)
    assert path == tmp_path / "samples/step_000200.png"
    picture = Image.open(path)
    assert picture.mode == "L"
    assert np.array_equal(np.asarray(picture), image_grid(images))


def test_image_grid_places_every_image():
    images = torch.randint(0, 256, (5, 1, 3, 4)) / 255
    grid = image_grid(images, columns=2, padding=1)
    assert grid.shape == (1 + 3 * 4, 1 + 2 * 5)
    for index in range(5):
        top, left = 1 + index // 2 * 4, 1 + index % 2 * 5
        expected = (images[index, 0].double() * 255).round().to(torch.uint8).numpy()
        assert np.array_equal(grid[top : top + 3, left : left + 4], expected)
        grid[top : top + 3, left : left + 4] = 0
    assert not grid.any()  # nothing outside


def test_image_grid_of_colours_more_channels_and_bad_values():
    assert image_grid(torch.rand(2, 3, 4, 4)).shape == (8, 14, 3)
    two = torch.rand(2, 2, 4, 4)
    assert np.array_equal(image_grid(two), image_grid(two[:, :1]))
    bad = torch.tensor([float("nan"), -1.0, 2.0, float("inf")]).reshape(1, 1, 2, 2)
    assert image_grid(bad, padding=0).tolist() == [[0, 0], [255, 255]]
    for wrong in (torch.rand(4, 4), torch.rand(0, 1, 4, 4)):
        with pytest.raises(ValueError, match=r"give \(N, C, H, W\)"):
            image_grid(wrong)


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
