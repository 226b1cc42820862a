"""How long a training runs and on what, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["32-true", "bf16-mixed", "16-mixed"]
_MAY_BE_ZERO = ("seed", "num_workers", "validate_every", "patience", "keep_best", "clip_norm", "ema")


@dataclass(frozen=True)
class FitConfig:
    """How long and on what to train; the model's own settings live in the model.

    Raises:
        ValueError: a number is too small, or the parts do not divide the batch.

    >>> FitConfig(steps=1000, batch_size=64, accumulate=4).batch_size
    64
    """

    steps: int
    """Training steps; a run that was stopped earlier goes on up to here."""
    batch_size: int = 16
    """Images per step, over all processes and parts together."""
    accumulate: int = 1
    """Parts in which a batch is worked off, one after the other: less memory, the same gradient."""
    clip_norm: float = 0.0
    """Largest norm of the gradient of one optimizer's weights; 0 does not clip."""
    ema: float = 0.0
    """Decay of a running mean of the weights, e.g. 0.999, which is then validated, shown and loaded; 0 keeps none."""
    seed: int = 0
    """Of the order of the data and of every draw."""
    precision: Precision = "32-true"
    """Arithmetic of the networks; weights and losses stay in 32 bit."""
    accelerator: str = "auto"
    """auto, cpu, cuda; the number of devices is that of the processes torchrun starts."""
    channels_last: bool = False
    """Keep weights and images channels-last, which convolutions on GPUs with tensor cores prefer."""
    compile: bool = False
    """Compile the networks with torch.compile."""
    deterministic: bool = False
    """Refuse operations whose result depends on timing (GPUs); the CPU is deterministic anyway."""
    num_workers: int = 0
    """Processes that read data not held in memory; 0 reads patches in a thread beside the training."""
    log_every: int = 10
    """Steps between two rows of metrics.jsonl."""
    sample_every: int = 200
    """Steps between two grids of generated images; a model that generates none ignores it."""
    validate_every: int = 0
    """Steps between two validations; 0 validates with every checkpoint."""
    patience: int = 0
    """Validations without a better score after which the run stops early; 0 never stops early."""
    checkpoint_every: int = 200
    """Steps between two checkpoints; the last step always logs, samples, validates and saves."""
    keep_last: int = 2
    """Newest checkpoints that are kept."""
    keep_best: int = 1
    """Best of all validated steps whose checkpoints are kept beside them; 0 keeps none."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name in _MAY_BE_ZERO else 1
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value < least:
                raise ValueError(f"{field.name} is {value}; give at least {least}.")
        if self.ema >= 1.0:
            raise ValueError(f"ema is {self.ema}; give a decay below 1, e.g. 0.999, or 0 for none.")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of accumulate, {self.accumulate}.")


@dataclass(frozen=True)
class FitResult:
    """How a training ended. `notes` are sentences worth showing, e.g. that a damaged checkpoint was passed over."""

    steps: int
    last_logs: dict[str, float]
    images_per_second: float
    checkpoint: Path
    notes: tuple[str, ...] = ()
    best: Path | None = None
    """The checkpoint with the best score of the validations, None without validation."""
    stopped_early: bool = False
