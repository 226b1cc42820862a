"""Checkpoints: whole or absent, checked before use, of the right kind."""

import errno
import hashlib
import json
import os
import pickle
import random
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sarcore.engine import checkpoint, find_checkpoint, last_checkpoint, load_weights, read_checkpoint, save_checkpoint
from sarcore.engine.checkpoint import prune, read_ema
from sarcore.engine.randomness import preserved_rng, rng_state, set_rng_state
from sarcore.errors import CheckpointError


def save(run: Path, step: int = 200, model: nn.Module | None = None, ema=None, **meta) -> Path:
    model = model or nn.Linear(40, 30)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, 40)).sum().backward()
    optimizer.step()
    state = {"optimizers": {"net": optimizer.state_dict()}, "rng": [rng_state()], "sampler": {"position": 3}}
    meta = {"kind": "began", "config": {"size": 80}, "classes": ["forest"], **meta}
    return save_checkpoint(run, step, model, state, meta, ema=ema)


def scored(run: Path, step: int, value: float, name: str = "accuracy", mode: str = "max") -> Path:
    return save(run, step, score={"name": name, "value": value, "mode": mode})


def steps(run: Path) -> list[int]:
    return sorted(int(p.name.removeprefix("step_")) for p in (run / "checkpoints").iterdir())


def everything(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def test_round_trip(tmp_path):
    model = nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30))
    path = save(tmp_path, model=model)
    assert path == tmp_path / "checkpoints/step_000200"
    assert {p.name for p in path.iterdir()} == {"weights.safetensors", "state.pt", "meta.json"}
    meta, weights, state = read_checkpoint(path)
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert (meta["kind"], meta["step"], meta["config"], meta["classes"]) == ("began", 200, {"size": 80}, ["forest"])
    assert meta["versions"]["torch"] == torch.__version__
    assert set(state) == {"optimizers", "rng", "sampler"}
    assert state["optimizers"]["net"]["state"][0]["exp_avg"].shape == (30, 40)


def test_generators_survive_the_file(tmp_path):
    def draw():
        return torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.gauss(0, 1)  # noqa: NPY002

    with preserved_rng():
        draw()
        path = save(tmp_path)
        expected = draw()
        draw()
        set_rng_state(read_checkpoint(path)[2]["rng"][0])
        assert draw() == expected


def test_tied_and_strided_weights(tmp_path):
    model = nn.Linear(4, 4)
    model.tied = model.weight
    model.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
    _, weights, _ = read_checkpoint(save_checkpoint(tmp_path, 1, model, {}, {"kind": "x"}))
    assert torch.equal(weights["tied"], model.weight)
    assert torch.equal(weights["turned"], model.turned)


def test_state_that_is_no_tensor_is_refused(tmp_path):
    class Odd(nn.Linear):
        def get_extra_state(self):
            return {"k": 0.1}

    with pytest.raises(TypeError, match=r"_extra_state.*buffer"):
        save(tmp_path, model=Odd(40, 30))


@pytest.mark.parametrize("name", ["weights.safetensors", "ema.safetensors", "state.pt", "meta.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove"])
def test_damage_is_found(tmp_path, name, damage):
    path = save(tmp_path, ema={"weight": torch.zeros(30, 40)})
    file = path / name
    content = file.read_bytes()
    middle = len(content) // 2
    if damage == "remove":
        file.unlink()
    elif damage == "flip":
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        file.write_bytes(b"" if damage == "empty" else content[:middle])
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    with pytest.raises(CheckpointError, match=r"No checkpoint of .* is usable"):
        load_weights(tmp_path, kind="began")


def test_fall_back_to_the_one_before(tmp_path):
    good, bad = save(tmp_path, 900), save(tmp_path, 1000000)  # by number, not by name
    (bad / "state.pt").write_bytes(b"cut")
    found, problems = last_checkpoint(tmp_path)
    assert found == good
    assert len(problems) == 1
    assert "step_1000000 is damaged: state.pt is truncated" in problems[0]
    meta, _ = load_weights(tmp_path, kind="began")
    assert (meta["step"], meta["path"], meta["problems"]) == (900, str(good), problems)


def test_no_checkpoint(tmp_path):
    assert last_checkpoint(tmp_path / "nowhere") == (None, [])
    with pytest.raises(CheckpointError, match=r"There is no checkpoint in .*nowhere"):
        load_weights(tmp_path / "nowhere", kind="began")


def test_kind(tmp_path):
    path = save(tmp_path)
    assert load_weights(path, kind="began")[0]["step"] == 200
    with pytest.raises(CheckpointError, match="is a checkpoint of began, classifier was expected"):
        load_weights(tmp_path, kind="classifier")


def test_a_newer_format_is_named(tmp_path):
    path = save(tmp_path)
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps({**meta, "format": 9}))
    with pytest.raises(CheckpointError, match="format 9"):
        read_checkpoint(path)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    path = save(tmp_path)
    (path / "state.pt").write_bytes(pickle.dumps(Attack()))
    meta = json.loads((path / "meta.json").read_text())
    meta["sha256"]["state.pt"] = hashlib.sha256((path / "state.pt").read_bytes()).hexdigest()
    meta["sha256"]["meta.json"] = checkpoint._meta_checksum(meta)
    (path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match=r"cannot be read .*[Ww]eights"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("call", range(7))
def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, call):
    """The n-th fsync fails as it does on a full disk: two files, meta.json, its folder, then the one around it."""
    before = everything(save(tmp_path, 100).parents[1])
    calls = []
    fsync = os.fsync

    def full(handle):
        calls.append(handle)
        if len(calls) - 1 == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    if call > 4:
        save(tmp_path)
        assert len(calls) == 5, "the test no longer reaches every write"
        return
    with pytest.raises(CheckpointError, match=r"step_000200 could not be written \(No space left on device\)"):
        save(tmp_path)
    after = everything(tmp_path)
    if call == 4:  # the folder is in place and whole, only its name may not have reached the disk
        assert read_checkpoint(tmp_path / "checkpoints/step_000200")[0]["step"] == 200
        shutil.rmtree(tmp_path / "checkpoints/step_000200")
        after = everything(tmp_path)
    assert after == before
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step_000100"]


@pytest.mark.parametrize("limit", [0, 1000, 8000])
def test_a_write_that_really_fails_half_way(tmp_path, limit):
    """A file size limit of the process: the write itself stops in the middle of a file."""
    (tmp_path / "checkpoints").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_run_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(CheckpointError, match="run"):
        save(tmp_path / "run")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    before = everything(save(tmp_path, 100).parents[1])

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder = tmp_path / "checkpoints"
    folder.chmod(0o555)
    if os.geteuid() == 0:  # root may write everywhere, so the system's refusal is acted
        monkeypatch.setattr(Path, "mkdir", refuse)
    try:
        with pytest.raises(CheckpointError, match=r"step_000200 could not be written \(Permission denied\); earlier"):
            save(tmp_path)
    finally:
        folder.chmod(0o755)
    assert everything(tmp_path) == before


def test_ema_replaces_its_entries_where_it_is_wanted(tmp_path):
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    mean = {"0.weight": torch.full((3, 4), 7.0)}
    path = save_checkpoint(tmp_path, 5, model, {}, {"kind": "x"}, ema=mean)
    assert torch.equal(read_ema(path)["0.weight"], mean["0.weight"])
    meta, weights = load_weights(tmp_path, kind="x")
    assert meta["ema"] is True
    assert weights.keys() == model.state_dict().keys()
    assert torch.equal(weights["0.weight"], mean["0.weight"])
    assert torch.equal(weights["0.bias"], model[0].bias)
    meta, weights = load_weights(tmp_path, kind="x", ema=False)
    assert meta["ema"] is False
    assert torch.equal(weights["0.weight"], model[0].weight)
    assert torch.equal(read_checkpoint(path)[1]["0.weight"], model[0].weight)
    plain = save_checkpoint(tmp_path, 6, model, {}, {"kind": "x"})
    assert read_ema(plain) is None
    assert load_weights(plain, kind="x")[0]["ema"] is False


def test_the_best_checkpoint(tmp_path):
    for step, value in ((100, 0.5), (200, 0.9), (300, 0.9), (400, 0.7)):
        scored(tmp_path, step, value)
    save(tmp_path, 500)  # not validated
    assert find_checkpoint(tmp_path, "best")[0].name == "step_000200", "of equal ones the earlier"
    assert find_checkpoint(tmp_path)[0].name == "step_000500"
    assert load_weights(tmp_path, kind="began", which="best")[0]["score"]["value"] == 0.9
    assert find_checkpoint(tmp_path / "checkpoints/step_000100", "best")[0].name == "step_000100"
    (tmp_path / "checkpoints/step_000200/state.pt").write_bytes(b"cut")
    found, problems = find_checkpoint(tmp_path, "best")
    assert found.name == "step_000300"
    assert "step_000200 is damaged" in problems[0]
    with pytest.raises(ValueError, match="which is 'worst'"):
        find_checkpoint(tmp_path, "worst")


def test_the_smallest_is_best_where_the_mode_says_so_and_other_metrics_do_not_count(tmp_path):
    scored(tmp_path, 100, 0.01)  # an accuracy, before the run was given another metric
    for step, value in ((200, 0.3), (300, 0.2), (400, 0.4)):
        scored(tmp_path, step, value, "emd", "min")
    assert find_checkpoint(tmp_path, "best")[0].name == "step_000300"


def test_a_score_that_is_no_number_is_none(tmp_path):
    scored(tmp_path, 100, 0.5)
    path = scored(tmp_path, 200, float("nan"))
    assert "score" not in read_checkpoint(path)[0]
    assert find_checkpoint(tmp_path, "best")[0].name == "step_000100"


def test_best_without_validation(tmp_path):
    save(tmp_path)
    with pytest.raises(CheckpointError, match="was not validated; use the last one"):
        find_checkpoint(tmp_path, "best")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        find_checkpoint(tmp_path / "empty", "best")


def test_prune_keeps_the_best_beside_the_newest(tmp_path):
    for step, value in ((100, 0.5), (200, 0.9), (300, 0.6), (400, 0.1), (500, 0.2)):
        scored(tmp_path, step, value)
    prune(tmp_path, step=500, keep_last=2, keep_best=2)
    assert steps(tmp_path) == [200, 300, 400, 500]
    prune(tmp_path, step=500, keep_last=1, keep_best=0)
    assert steps(tmp_path) == [500]


def test_prune_keeps_the_newest_and_spares_what_lies_ahead(tmp_path):
    for step in (100, 200, 300, 900):
        save(tmp_path, step)
    (tmp_path / "checkpoints/.step_000250.1.tmp").mkdir()
    prune(tmp_path, step=300, keep_last=2, keep_best=1)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step_000200", "step_000300", "step_000900"]
