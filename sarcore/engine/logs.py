"""What a run writes while it trains, all inside its folder: rows of numbers, validations, sample grids, trackers."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from sarcore.engine.randomness import preserved_rng
from sarcore.engine.run import explained, write_bytes
from sarcore.engine.sheets import SHEET, sheet_picture
from sarcore.engine.sources import HeldOut
from sarcore.engine.status import STATUS
from sarcore.engine.trackers import open_trackers
from sarcore.metrics import histogram_density, pairwise_diversity, radial_spectrum
from sarcore.models.sample_sheet import SampleSheet

METRICS, VALIDATION, STATISTICS = "metrics.jsonl", "validation.jsonl", "samples/statistics.jsonl"
_UNFINISHED = (f".{METRICS}", f".{VALIDATION}", f".{STATUS}", "samples/.*")


class RunLogs:
    """The logs of one run folder; what a killed run logged after the step it resumes from is removed first.

    `note_at_start` is a sentence for the user, e.g. that a tracker that was asked for is missing, or None.

    Raises:
        SarcoreError: the disk is full or the folder cannot be written.
    """

    def __init__(self, run_dir: Path, resumed_step: int = 0) -> None:
        self._dir = Path(run_dir)
        with explained(self._dir):
            self._open(resumed_step)

    def _open(self, resumed_step: int) -> None:
        (self._dir / "samples").mkdir(parents=True, exist_ok=True)
        # What a kill left behind in the middle of a file that is given its name when it is whole.
        for left in itertools.chain(*(self._dir.glob(f"{name}.*.tmp") for name in _UNFINISHED)):
            left.unlink()
        for name in (METRICS, VALIDATION, STATISTICS):
            _drop_after(self._dir / name, resumed_step)
        for step, path in sample_pictures(self._dir).items():
            if step > resumed_step:
                path.unlink()
        # Line-buffered: a kill loses no finished row.
        self._rows = (self._dir / METRICS).open("a", encoding="utf-8", buffering=1)
        self._trackers, self.note_at_start = open_trackers(self._dir, resumed_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row `{"step": step, ...}`; NaN and infinity become null."""
        row = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with explained(self._dir / METRICS):
            self._rows.write(json.dumps({"step": step, **row}) + "\n")
            for tracker in self._trackers:
                tracker.scalars(step, values)

    def note(self, step: int, text: str) -> None:
        """Append a row `{"step": step, "note": text}` for what is no number, e.g. a damaged checkpoint."""
        with explained(self._dir / METRICS):
            self._rows.write(json.dumps({"step": step, "note": text}) + "\n")

    def flush(self) -> None:
        """Make sure that what was logged is on the disk: a checkpoint must not know of steps that the logs do not."""
        with explained(self._dir / METRICS):
            os.fsync(self._rows.fileno())
            for tracker in self._trackers:
                tracker.flush()

    def validation(self, step: int, scalars: Mapping[str, float], arrays: Mapping[str, Any]) -> None:
        """Log the numbers as `val/<name>`, and the values with several elements as one row of validation.jsonl."""
        self.scalars(step, {f"val/{name}": value for name, value in scalars.items()})
        if arrays:
            self._append(VALIDATION, {"step": step, **{name: _without_nan(value) for name, value in arrays.items()}})

    def samples(self, step: int, images: Tensor) -> dict[str, Any]:
        """Write `samples/step_<step>.png` and the statistics of the images (N, C, H, W) in [0, 1]; return these."""
        grid = self._picture(f"step_{step:06d}.png", images)
        self._track(step, grid)
        return self._statistics(step, images)

    def real(self, images: Tensor) -> dict[str, Any]:
        """Write `samples/real.png`, with the layout and stretch of the samples, and the statistics, once per run."""
        first = next((row for row in _rows_of(self._dir / STATISTICS) if row["step"] is None), None)
        if first is not None and (self._dir / "samples" / "real.png").is_file():
            return {name: value for name, value in first.items() if name != "step"}
        self._picture("real.png", images)
        return self._statistics(None, images)

    def targets(self, images: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        """The statistics of real images (N, C, H, W) by direction, that of their translation; once per run."""
        known = {row["of"]: row for row in _rows_of(self._dir / STATISTICS) if row["step"] is None and "of" in row}
        return {of: known[of] if of in known else self._statistics(None, real, of) for of, real in images.items()}

    def sheet(self, step: int, sheet: SampleSheet) -> dict[str, dict[str, Any]]:
        """Write `samples/step_<step>.png` with its titles and the statistics of the translations; return these."""
        name, (grid, layout) = f"step_{step:06d}.png", sheet_picture(sheet)
        self._write_picture(name, grid)
        with explained(self._dir / SHEET):
            write_bytes(self._dir / SHEET, json.dumps(layout).encode())
        self._track(step, grid)
        return {of: self._statistics(step, images, of) for of, images in sheet.translated.items()}

    def _track(self, step: int, grid: npt.NDArray[np.uint8]) -> None:
        with explained(self._dir / "tensorboard"):
            for tracker in self._trackers:
                tracker.picture(step, "samples", grid)

    def _picture(self, name: str, images: Tensor) -> npt.NDArray[np.uint8]:
        grid = image_grid(images)
        self._write_picture(name, grid)
        return grid

    def _write_picture(self, name: str, grid: npt.NDArray[np.uint8]) -> None:
        buffer = io.BytesIO()
        Image.fromarray(grid).save(buffer, format="PNG")
        with explained(self._dir / "samples" / name):
            write_bytes(self._dir / "samples" / name, buffer.getvalue())

    def _statistics(self, step: int | None, images: Tensor, of: str = "") -> dict[str, Any]:
        found = image_statistics(images)
        self._append(STATISTICS, {"step": step, **({"of": of} if of else {}), **found})
        return found

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with explained(self._dir / name), (self._dir / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def __enter__(self) -> RunLogs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # On a full disk closing fails as well, and must not hide the error that says so.
        for close in (self._rows.close, *(tracker.close for tracker in self._trackers)):
            with contextlib.suppress(OSError) if kind else explained(self._dir):
                close()


def image_statistics(images: Tensor) -> dict[str, Any]:
    """What `samples/statistics.jsonl` keeps of images (N, C, H, W) in [0, 1]; NaN becomes None.

    `histogram`: 64 densities on [0, 1]; `spectrum`: log10 of the radial power, 32 bins from 0 to Nyquist; `diversity`:
    mean root mean square difference of two images.

    >>> sorted(image_statistics(torch.rand(4, 1, 8, 8)))
    ['diversity', 'histogram', 'spectrum']
    """
    images = images.detach().float().cpu()
    return {
        "histogram": _without_nan(histogram_density(images).tolist()),
        "spectrum": _without_nan(radial_spectrum(images).tolist()),
        "diversity": _without_nan(pairwise_diversity(images)),
    }


def real_images(dataset: Dataset[Any], count: int, seed: int = 0) -> Tensor:
    """Images (n, C, H, W) of a data set whose items start with an image, drawn without repetition: at most `count`.

    >>> real_images(torch.utils.data.TensorDataset(torch.rand(3, 1, 4, 4)), 16).shape
    torch.Size([3, 1, 4, 4])
    """
    order = np.random.default_rng((seed, 2)).permutation(len(dataset))  # type: ignore[arg-type]  # map-style
    with preserved_rng():
        items = HeldOut(dataset, count).items(order[:count].tolist())
    return torch.stack([torch.as_tensor(item[0]) for item in items])


def _without_nan(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_nan(element) for element in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of numbers in a run's metrics.jsonl, by step; empty where there are none. A value may be None (NaN).

    What was logged at one step in several rows, as training and validation are, is put together.
    """
    rows: dict[int, dict[str, Any]] = {}
    for row in _rows_of(Path(run_dir) / METRICS):
        if "note" not in row:
            rows.setdefault(row["step"], {}).update(row)
    return list(rows.values())


def _rows_of(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return parse_rows(lines, unstepped=True)[0]  # the last line of a killed run may be cut


def parse_rows(lines: Sequence[str], *, unstepped: bool = False) -> tuple[list[dict[str, Any]], int]:
    """The rows of JSON lines that have a step (None among them if `unstepped`), and how many lines are none.

    >>> parse_rows(['{"step": 1, "k": 0.5}', '{"ste'])
    ([{'step': 1, 'k': 0.5}], 1)
    """
    rows, damaged = [], 0
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        step = row.get("step", "") if isinstance(row, dict) else ""
        if isinstance(row, dict) and (isinstance(step, int) or (unstepped and step is None)):
            rows.append(row)
        else:
            damaged += 1
    return rows, damaged


def sample_pictures(run_dir: Path) -> dict[int, Path]:
    """The grids of generated images of a run, by step."""
    named = ((re.fullmatch(r"step_(\d+)\.png", path.name), path) for path in (run_dir / "samples").glob("step_*.png"))
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def _drop_after(path: Path, step: int) -> None:
    """Remove the rows of later steps; those without one, of the real images, stay."""
    if path.is_file():
        kept = [row for row in _rows_of(path) if row["step"] is None or row["step"] <= step]
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
