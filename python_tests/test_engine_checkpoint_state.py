"""What state.pt may hold: all that can be read back without unpickling, and nothing else."""

from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sarcore.engine import Interrupted, fit, read_checkpoint, save_checkpoint

from .engine_pair import Pair, config, data, rows, stop_at


def saved(run: Path, state: dict) -> dict:
    return read_checkpoint(save_checkpoint(run, 1, nn.Linear(2, 2), state, {"kind": "x"}))[2]


def test_whatever_schedules_keep_is_read_back(tmp_path):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.5)
    schedulers = [
        torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]),
        torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10, cycle_momentum=False),
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: np.cos(step / 9)),
    ]
    state = {"schedulers": [s.state_dict() for s in schedulers], "optimizer": optimizer.state_dict()}
    assert isinstance(state["optimizer"]["param_groups"][0]["lr"], np.generic)
    state |= {"sizes": torch.Size([2]), "bits": b"ab", "set": {1, 2}, np.int64(3): np.bool_(True), "n": np.float32(0.1)}
    read = saved(tmp_path, state)
    assert read == state
    assert type(read["optimizer"]["param_groups"][0]["lr"]) is float
    assert type(read["schedulers"][0]["milestones"]) is Counter


@pytest.mark.parametrize(
    "value", [np.ones(2), Path("a"), print, deque([1]), np.datetime64("2020-01-01"), np.longdouble(1)]
)
def test_what_could_not_be_read_back_is_refused_before_it_is_needed(tmp_path, value):
    with pytest.raises(TypeError, match=r"state\['schedulers'\]\['net'\]\[1\] is a .*cannot give back"):
        saved(tmp_path, {"schedulers": {"net": (0, value)}})
    assert list(tmp_path.iterdir()) == []


class Waved(Pair):
    """A schedule as one writes it, with NumPy: its numbers made every checkpoint of a run unreadable."""

    def configure_schedulers(self, optimizers):
        wave = torch.optim.lr_scheduler.LambdaLR(optimizers["discriminator"], lambda step: 0.5 + 0.5 * np.cos(step / 4))
        return {"discriminator": wave}


def test_a_schedule_written_with_numpy_goes_on_with_the_same_bits(tmp_path):
    fit(Waved(), data(), config(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(Waved(), data(), config(), tmp_path / "run", on_step=stop_at(6))
    fit(Waved(), data(), config(), tmp_path / "run")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
