"""How long a training runs, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class FitConfig:
    """How long and on what to train; the model's own settings live in the model.

    `log_every`, `sample_every` and `checkpoint_every` are steps; the last step always does all three.

    Raises:
        ValueError: a count is below 1, or `devices` is not 1.
    """

    steps: int
    batch_size: int = 16
    seed: int = 0
    log_every: int = 10
    sample_every: int = 200
    checkpoint_every: int = 200
    keep_last: int = 2
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    num_workers: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name in ("seed", "num_workers") else 1
            if isinstance(value, int) and value < least:
                raise ValueError(f"{field.name} is {value}; give at least {least}.")
        if self.devices != 1:
            raise ValueError(f"devices is {self.devices}; this engine trains on one device, give 1.")


@dataclass(frozen=True)
class FitResult:
    """How a training ended. `notes` are sentences worth showing, e.g. that a damaged checkpoint was passed over."""

    steps: int
    last_logs: dict[str, float]
    images_per_second: float
    checkpoint: Path
    notes: tuple[str, ...] = ()
