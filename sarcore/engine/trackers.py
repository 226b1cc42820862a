"""Where the rows of a run go beside its own files: TensorBoard always, Weights & Biases where it is asked for."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch.utils.tensorboard import SummaryWriter

from sarcore.engine.randomness import preserved_rng
from sarcore.engine.run import write_bytes

Picture = npt.NDArray[np.uint8]


class Tracker(Protocol):
    """Takes numbers and pictures by step."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""

    def picture(self, step: int, name: str, grid: Picture) -> None:
        """An 8-bit picture (H, W) or (H, W, 3)."""

    def flush(self) -> None:
        """Have what was taken so far in its files."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in `run_dir/tensorboard`; what a killed run wrote after `resumed_step` is not shown."""

    def __init__(self, run_dir: Path, resumed_step: int) -> None:
        # Of a run that was killed before its first checkpoint everything is written anew.
        self._writer = SummaryWriter(str(run_dir / "tensorboard"), purge_step=resumed_step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, grid: Picture) -> None:
        """An 8-bit picture."""
        self._writer.add_image(name, grid, step, dataformats="HW" if grid.ndim == 2 else "HWC")

    def flush(self) -> None:
        """Wait for the thread that writes."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases with the name of the run folder; a resumed run goes on in it."""

    def __init__(self, run_dir: Path, wandb: Any) -> None:
        self._wandb = wandb
        id_file = run_dir / "wandb.id"
        if not id_file.is_file():
            write_bytes(id_file, secrets.token_hex(8).encode())
        # The package draws names; the training's generators must not notice.
        with preserved_rng():
            self._run = wandb.init(
                dir=str(run_dir), name=run_dir.resolve().name, id=id_file.read_text(encoding="ascii"), resume="allow"
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, grid: Picture) -> None:
        """An 8-bit picture."""
        self._run.log({name: self._wandb.Image(grid)}, step=step)

    def flush(self) -> None:
        """Rows are sent by a process of its own, which outlives a kill of this one."""

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()


def open_trackers(run_dir: Path, resumed_step: int) -> tuple[list[Tracker], str | None]:
    """The trackers of a run, and a sentence where one that was asked for is missing.

    Weights & Biases takes part where the environment sets WANDB_PROJECT and the package is installed; its own
    variables (WANDB_MODE, WANDB_ENTITY, ...) hold as everywhere.
    """
    board = TensorBoard(run_dir, resumed_step)
    project = os.environ.get("WANDB_PROJECT")
    if not project:
        return [board], None
    try:
        wandb = importlib.import_module("wandb")
    except ImportError:
        return [board], f"WANDB_PROJECT is {project}, but wandb is not installed: give `pip install wandb`."
    return [board, WeightsAndBiases(run_dir, wandb)], None
