"""One training loop for models with several optimizers: exact resume, atomic checkpoints, logs that survive a crash."""

from sarcore.engine.checkpoint import (
    find_checkpoint,
    last_checkpoint,
    load_weights,
    read_checkpoint,
    read_ema,
    save_checkpoint,
)
from sarcore.engine.config import FitConfig, FitResult
from sarcore.engine.lock import RunLock
from sarcore.engine.logs import image_grid, read_metrics
from sarcore.engine.loop import fit
from sarcore.engine.order import BatchOrder
from sarcore.engine.run import hardware, versions, write_bytes, write_json, write_run_info
from sarcore.engine.task import Diverged, Interrupted, Samples, SampleSheets, Scheduled, Task
from sarcore.engine.validation import Validation, run_validation

__all__ = [
    "BatchOrder",
    "Diverged",
    "FitConfig",
    "FitResult",
    "Interrupted",
    "RunLock",
    "SampleSheets",
    "Samples",
    "Scheduled",
    "Task",
    "Validation",
    "find_checkpoint",
    "fit",
    "hardware",
    "image_grid",
    "last_checkpoint",
    "load_weights",
    "read_checkpoint",
    "read_ema",
    "read_metrics",
    "run_validation",
    "save_checkpoint",
    "versions",
    "write_bytes",
    "write_json",
    "write_run_info",
]
