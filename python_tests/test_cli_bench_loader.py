"""sarcore bench-loader: the rates it takes, the table it prints, the sentence it ends with."""

import functools
import itertools
import re

import numpy as np
import pytest
import torch

from sarcore.cli import main
from sarcore.data import PatchFolder, patch_cache
from sarcore.data.shards import ShardWriter
from sarcore.experiments import loader_speed
from sarcore.experiments.loader_speed import LoaderSpeed, measure_loader
from sarcore.experiments.progress import Silent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loader") / "set"
    assert main(["simulate", str(folder), "--scenes-per-class", "2", "--patches-per-side", "1", "--size", "32"]) == 0
    return folder


@pytest.mark.parametrize("model", ["classifier", "began"])
def test_the_table_and_the_verdict(data, capsys, model):
    arguments = ["--batch-size", "4", "--seconds", "0.01", "--model", model, "--depth", "18", "--width", "4"]
    assert main(["bench-loader", str(data), *arguments]) == 0
    out = capsys.readouterr().out
    for row in ("files, cold", "files, read before", "in memory", r"training step, (ResNet-18|BEGAN 16 x 16) \(cpu"):
        assert re.search(rf"^ *{row}.* [\d,.]*[1-9]", out, re.MULTILINE), out
    assert re.search(r"^The loader .* times as fast as the training step", out, re.MULTILINE)


def test_help_and_wrong_use(data, capsys):
    assert main(["bench-loader", "--help"]) == 0
    assert "usage: sarcore bench-loader" in capsys.readouterr().out
    for wrong, message in (
        (["--batch-size", "0"], "batch_size must be at least 1"),
        (["--num-workers", "-1"], "num_workers must be at least 0"),
        (["--seconds", "0"], "seconds must be positive"),
        (["--batch-size", "1000"], "fewer than one batch of 1000"),
    ):
        assert main(["bench-loader", str(data), *wrong]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_large_set_is_read_from_its_decoded_copy(data, tmp_path, monkeypatch, workers):
    monkeypatch.setenv("SARCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(loader_speed, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(loader_speed, "patch_cache", functools.partial(patch_cache, limit=0))
    found = measure_loader(data, Silent(), depth=18, batch_size=4, num_workers=workers, seconds=0.01)
    assert list(found.rates) == ["files, cold", "files, read before", "decoded copy"]
    assert not found.in_memory
    assert list((tmp_path / "patches").glob("set-*/shard_00000.npy"))


def test_a_rate_leaves_out_the_first_batch(monkeypatch):
    """By a clock that a batch moves by half a second, and the first one by two."""
    now = [0.0]
    monkeypatch.setattr(loader_speed.time, "perf_counter", lambda: now[0])

    def source():
        for step in itertools.count():
            now[0] += 0.5 if step else 2.0
            yield step

    assert loader_speed._rate(source(), 8, 3.0, torch.device("cpu")) == 16.0
    assert loader_speed._rate(itertools.islice(source(), 3), 8, 3.0, torch.device("cpu")) == 16.0
    assert loader_speed._rate(source(), 8, 2.0, torch.device("cpu")) == 4.0  # but a first one that takes all the time


@pytest.mark.parametrize(
    ("rate", "workers", "memory", "shards", "verdict"),
    [
        (1234, 0, True, False, "The loader is 12 times as fast as the training step."),
        (250, 0, False, False, "The loader is 2.5 times as fast as the training step."),
        (
            120,
            2,
            False,
            True,
            "The loader hardly keeps up, 1.2 times as fast as the training step: use --num-workers 3.",
        ),
        (
            40,
            1,
            False,
            False,
            "The loader is the bottleneck, 0.4 times as fast as the training step: use --num-workers 4 or shards "
            "(sarcore tile --format shards).",
        ),
        (1, 4, False, True, "0.01 times as fast as the training step: use --num-workers 16."),
        (1, 16, False, True, "0.01 times as fast as the training step: use --num-workers 17."),
        (90, 0, True, False, "in memory already"),
    ],
)
def test_verdicts(rate, workers, memory, shards, verdict):
    found = LoaderSpeed({"cold": 1.0, "used": rate}, 100.0, "ResNet-50", "cpu", workers, memory, shards)
    assert verdict in found.verdict


def test_shards_have_no_decoded_copy(data, tmp_path, monkeypatch):
    folder = PatchFolder.open(data)
    with ShardWriter(tmp_path, folder.shape, np.uint8) as writer:
        names = [writer.add(folder.stored(i)) for i in range(8)]
    (tmp_path / "labels.csv").write_text(
        "file,class,scene\n" + "".join(f"{name},{'ab'[i % 2]},s{i}\n" for i, name in enumerate(names))
    )
    monkeypatch.setattr(loader_speed, "MEMORY_LIMIT", 0)
    found = measure_loader(tmp_path, Silent(), depth=18, batch_size=4, seconds=0.01)
    assert list(found.rates) == ["shards, cold", "shards, read before"]
    assert found.in_shards
