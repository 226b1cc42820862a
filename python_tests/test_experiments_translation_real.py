"""Translations of real Sentinel-1 and Sentinel-2 pairs: what a short training of small networks must reach."""

import json
from pathlib import Path

import pytest

from sarcore.cli import main
from sarcore.engine import read_metrics

SMALL = ["--width", "8", "--d-width", "8", "--crop", "64", "--accelerator", "cpu"]


@pytest.fixture
def pairs(test_data) -> Path:
    folder = test_data / "pairs256"
    if not folder.is_dir():
        pytest.skip(f"no pairs at {folder}")
    return folder


def mean(rows: list[dict], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


@pytest.mark.slow
def test_a_short_pix2pix_beats_the_mean_colour_on_held_out_scenes(pairs, tmp_path):
    words = ["--out", str(tmp_path / "run"), "--direction", "BtoA", "--steps", "400", "--batch-size", "4"]
    words += ["--depth", "4", "--lr", "0.001", "--log-every", "1", "--val-fraction", "0.2"]
    assert main(["train", "pix2pix", str(pairs), *words, *SMALL]) == 0
    rows = [row for row in read_metrics(tmp_path / "run") if "l1" in row]
    assert mean(rows[-100:], "l1") < 0.96 * mean(rows[:3], "l1")
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["val"]
    assert scores["weights"]["mae"] < 0.95 * scores["mean_colour"]["mae"]
    assert scores["weights"]["psnr"] > scores["mean_colour"]["psnr"] + 0.2


@pytest.mark.slow
def test_a_short_cyclegan_learns_the_way_back(pairs, tmp_path):
    words = ["--out", str(tmp_path / "run"), "--steps", "150", "--batch-size", "2", "--depth", "2", "--log-every", "1"]
    assert main(["train", "cyclegan", str(pairs), *words, *SMALL, "--lr", "0.001"]) == 0
    rows = [row for row in read_metrics(tmp_path / "run") if "cycle_a" in row]
    for name in ("cycle_a", "cycle_b"):
        assert mean(rows[-30:], name) < 0.85 * mean(rows[:3], name)
