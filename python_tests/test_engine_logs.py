"""What a run writes while it trains: rows of numbers, validations, pictures and their statistics."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from sarcore.engine import image_grid, read_metrics
from sarcore.engine.logs import RunLogs, image_statistics, real_images
from sarcore.engine.status import RunStatus
from sarcore.errors import SarcoreError


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


def test_what_a_kill_left_unfinished_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "samples").mkdir()
    left = [".metrics.jsonl.7.tmp", ".validation.jsonl.7.tmp", ".status.json.12.tmp", "samples/.step_000004.png.7.tmp"]
    others = [".config.toml.9.tmp", ".notes.txt", "samples/mine.png"]
    for name in (*left, *others):
        (tmp_path / name).write_text("half")
    with RunLogs(tmp_path):
        assert [(tmp_path / name).exists() for name in (*left, *others)] == [False] * 4 + [True] * 3


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
