"""What a run writes while it trains, all inside its folder: metrics.jsonl, TensorBoard events, sample grids."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sarcore.engine.run import write_bytes

METRICS = "metrics.jsonl"


class RunLogs:
    """The logs of one run folder; what a killed run logged after the step it resumes from is removed first.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, run_dir: Path, resumed_step: int = 0) -> None:
        self._dir = Path(run_dir)
        self._dir.mkdir(parents=True, exist_ok=True)
        _drop_after(self._dir / METRICS, resumed_step)
        # Line-buffered: a kill loses no finished row.
        self._rows = (self._dir / METRICS).open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(
            str(self._dir / "tensorboard"), purge_step=resumed_step + 1 if resumed_step else None
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row `{"step": step, ...}`; NaN and infinity become null."""
        row = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._rows.write(json.dumps({"step": step, **row}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def note(self, step: int, text: str) -> None:
        """Append a row `{"step": step, "note": text}` for what is no number, e.g. a damaged checkpoint."""
        self._rows.write(json.dumps({"step": step, "note": text}) + "\n")

    def samples(self, step: int, images: Tensor) -> Path:
        """Write `samples/step_<step>.png`, 8 bit, and the same grid to TensorBoard."""
        grid = image_grid(images)
        buffer = io.BytesIO()
        Image.fromarray(grid).save(buffer, format="PNG")
        layout = "HW" if grid.ndim == 2 else "HWC"
        self._board.add_image("samples", grid, step, dataformats=layout)
        return write_bytes(self._dir / "samples" / f"step_{step:06d}.png", buffer.getvalue())

    def __enter__(self) -> RunLogs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # On a full disk closing fails as well, and must not hide the error that says so.
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            self._rows.close()
            self._board.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of numbers in a run's metrics.jsonl, by step; empty where there are none. A value may be None (NaN)."""
    path = Path(run_dir) / METRICS
    rows = _rows(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [row for row in rows if "note" not in row]


def _rows(text: str) -> list[dict[str, Any]]:
    rows = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # the last line of a killed run may be cut
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def _drop_after(path: Path, step: int) -> None:
    if path.is_file():
        kept = [row for row in _rows(path.read_text(encoding="utf-8")) if row["step"] <= step]
        write_bytes(path, "".join(json.dumps(row) + "\n" for row in kept).encode())


def image_grid(images: Tensor, columns: int | None = None, padding: int = 2) -> npt.NDArray[np.uint8]:
    """Images (N, C, H, W) in [0, 1] side by side as one 8-bit picture: (H', W') grey, or (H', W', 3) where C is 3.

    Of other channel counts the first channel is shown. NaN is black; values outside [0, 1] are clipped.

    Raises:
        ValueError: the images are not a batch of at least one.

    >>> image_grid(torch.ones(4, 1, 3, 3), padding=1).shape
    (9, 9)
    """
    if images.ndim != 4 or images.shape[0] == 0:
        raise ValueError(f"images has shape {tuple(images.shape)}; give (N, C, H, W) with at least one image.")
    shown = images.detach().float().cpu()
    shown = shown if shown.shape[1] == 3 else shown[:, :1]
    count, channels, height, width = shown.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    lines = math.ceil(count / columns)
    pixels = (shown.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    shape = (padding + lines * (height + padding), padding + columns * (width + padding), channels)
    grid = np.zeros(shape, dtype=np.uint8)
    for index, picture in enumerate(pixels):
        top = padding + index // columns * (height + padding)
        left = padding + index % columns * (width + padding)
        grid[top : top + height, left : left + width] = picture
    return grid if channels == 3 else grid[:, :, 0]
