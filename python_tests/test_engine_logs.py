"""The batch order, and the files of a run: metrics, samples, TensorBoard, run.json."""

import json
import math
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import TensorDataset

from sarcore.engine import BatchOrder, image_grid, read_metrics, versions, write_bytes, write_json, write_run_info
from sarcore.engine.logs import RunLogs, image_statistics, real_images
from sarcore.engine.status import RunStatus
from sarcore.errors import SarcoreError


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


def test_training_and_validation_of_a_step_are_read_together(tmp_path):
    with RunLogs(tmp_path) as logs:
        logs.scalars(10, {"loss": 0.5})
        logs.validation(
            10, {"accuracy": 0.75, "m": math.nan}, {"recall": [0.5, math.nan], "confusion": [[1, 2], [3, 4]]}
        )
        logs.validation(20, {"accuracy": 0.5}, {})
    assert read_metrics(tmp_path) == [
        {"step": 10, "loss": 0.5, "val/accuracy": 0.75, "val/m": None},
        {"step": 20, "val/accuracy": 0.5},
    ]
    rows = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [{"step": 10, "recall": [0.5, None], "confusion": [[1, 2], [3, 4]]}]


def test_what_lies_after_the_step_of_a_resume_is_removed_everywhere(tmp_path):
    images = torch.rand(4, 1, 8, 8)
    with RunLogs(tmp_path) as logs:
        real = logs.real(torch.rand(4, 1, 8, 8))
        for step in (10, 20, 30):
            logs.samples(step, images)
            logs.validation(step, {"a": 1.0}, {"b": [1, 2]})
    with RunLogs(tmp_path, resumed_step=20) as logs:
        assert logs.real(torch.zeros(4, 1, 8, 8)) == real, "real images are looked at once per run"
    statistics = [json.loads(line) for line in (tmp_path / "samples/statistics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in statistics] == [None, 10, 20]
    assert [row["step"] for row in read_metrics(tmp_path)] == [10, 20]
    assert len((tmp_path / "validation.jsonl").read_text().splitlines()) == 2
    assert {path.name for path in (tmp_path / "samples").glob("*.png")} == {
        "real.png",
        "step_000010.png",
        "step_000020.png",
    }


def test_statistics_of_samples_and_of_real_images(tmp_path):
    """Against numbers that are known: half the pixels at 1/4, half at 3/4, and white noise."""
    levels = torch.tensor([0.25, 0.75]).repeat_interleave(8).reshape(1, 1, 4, 4).expand(2, -1, -1, -1)
    found = image_statistics(levels)
    histogram = np.array(found["histogram"])
    assert histogram.sum() == pytest.approx(64)
    assert histogram[14:18].sum() == histogram[46:50].sum() == pytest.approx(32)
    assert found["diversity"] == 0
    opposite = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    assert image_statistics(opposite)["diversity"] == 1
    noise = torch.randn(32, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.5
    assert np.array(image_statistics(noise)["spectrum"]) == pytest.approx(-2, abs=0.3)
    one = image_statistics(torch.full((1, 1, 4, 4), math.nan))
    assert one["diversity"] is None
    assert one["histogram"] == [None] * 64
    with RunLogs(tmp_path) as logs:
        assert logs.samples(5, noise) == image_statistics(noise)


def test_real_images_are_drawn_without_repetition_and_not_from_the_generators():
    images = torch.arange(40.0)[:, None, None, None].expand(-1, 1, 2, 2)
    before = torch.get_rng_state()
    drawn = real_images(TensorDataset(images, torch.zeros(40)), 16)
    assert drawn.shape == (16, 1, 2, 2)
    assert len(set(drawn[:, 0, 0, 0].tolist())) == 16
    assert torch.equal(real_images(TensorDataset(images), 16), drawn)
    assert not torch.equal(real_images(TensorDataset(images), 16, seed=1), drawn)
    assert len(real_images(TensorDataset(images), 64)) == 40
    assert torch.equal(torch.get_rng_state(), before)


class FakeWandb:
    """What the engine uses of wandb."""

    def __init__(self) -> None:
        self.settings: dict = {}
        self.rows: list = []
        self.finished = 0

    def init(self, **settings):
        torch.rand(1)  # the package draws names
        self.settings = settings
        return self

    def log(self, row, step):
        self.rows.append((step, row))

    def finish(self):
        self.finished += 1

    class Image:
        def __init__(self, grid) -> None:
            self.shape = grid.shape


def test_weights_and_biases_takes_part_where_it_is_asked_for(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    with RunLogs(tmp_path / "run") as logs:
        logs.scalars(1, {"loss": 1.0})
    assert wandb.rows == []
    monkeypatch.setenv("WANDB_PROJECT", "radar")
    before = torch.get_rng_state()
    with RunLogs(tmp_path / "run", resumed_step=1) as logs:
        assert logs.note_at_start is None
        logs.scalars(2, {"loss": 0.5})
        logs.samples(2, torch.rand(4, 1, 8, 8, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)
    first = dict(wandb.settings)
    assert (first["name"], first["resume"], first["dir"]) == ("run", "allow", str(tmp_path / "run"))
    assert [(step, list(row)) for step, row in wandb.rows] == [(2, ["loss"]), (2, ["samples"])]
    assert wandb.rows[1][1]["samples"].shape == (22, 22)
    assert wandb.finished == 1
    with RunLogs(tmp_path / "run", resumed_step=2):
        assert wandb.settings == first, "a resumed run goes on in the same one"
    with RunLogs(tmp_path / "other"):
        assert wandb.settings["id"] != first["id"]


def test_weights_and_biases_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "radar")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with RunLogs(tmp_path) as logs:
        assert "wandb is not installed" in logs.note_at_start


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


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/metrics.jsonl").symlink_to("/dev/full")  # a file on a disk without space

    def write():
        with RunLogs(tmp_path / "a") as logs:
            logs.scalars(1, {"loss": 1.0})

    with pytest.raises(SarcoreError, match=r"metrics.jsonl could not be written \(No space left on device\)"):
        write()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SarcoreError, match=r"status.json could not be written .*the checkpoints are intact"):
        RunStatus(tmp_path, 10)
    with RunLogs(tmp_path / "b") as logs, pytest.raises(SarcoreError, match=r"step_000001.png could not be written"):
        logs.samples(1, torch.rand(4, 1, 8, 8))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SarcoreError, match="file could not be written"):
        RunLogs(tmp_path / "file")


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
        logs.samples(200, images)
    picture = Image.open(tmp_path / "samples/step_000200.png")
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
