"""The files that say what a run was: config, seeds, versions, hardware; and the atomic writers of the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sarcore.errors import SarcoreError


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> Path:
    """Write a file atomically: a reader sees the old content or the new one, never a part.

    `durable` waits until the content has reached the disk, so that this holds after a power cut, too.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left behind.

    >>> import tempfile
    >>> write_bytes(Path(tempfile.mkdtemp()) / "a.bin", b"abc").read_bytes()
    b'abc'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return path


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of the disk within the block as one sentence on what could not be written and what to do."""
    try:
        yield
    except OSError as error:
        raise SarcoreError(
            f"{path} could not be written ({error.strerror or error}); the checkpoints are intact: "
            "free some space or make the folder writable, and resume."
        ) from error


def write_json(path: Path, obj: Any) -> Path:
    """Write indented JSON atomically; dataclasses, paths, NumPy values and tensors are converted, NaN is refused.

    Raises:
        ValueError: a number is NaN or infinite, which JSON has no word for.
        TypeError: a value has no JSON form.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> write_json(Path(tempfile.mkdtemp()) / "a.json", {"size": np.int64(80)}).read_text()
    '{\\n  "size": 80\\n}\\n'
    """
    return write_bytes(path, json_text(obj).encode())


def json_text(obj: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(obj, indent=2, allow_nan=False, default=_to_json) + "\n"


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Field by field, not asdict: a nested value may itself need this function.
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (np.generic, np.ndarray, torch.Tensor)):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"A {type(value).__name__} has no JSON form; convert it to numbers, strings, lists or dicts.")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers.

    >>> versions()["python"] == platform.python_version()
    True
    """
    # PyTorch by itself: what pip knows of it leaves out the CUDA that it was built for.
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for package in ("sarcore", "numpy", "lightning-fabric", "safetensors"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, threads PyTorch uses, and the names of the GPUs it sees.

    >>> hardware()["threads"] == torch.get_num_threads()
    True
    """
    gpus = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "cuda": torch.version.cuda,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_run_info(run_dir: Path, config: Any, seeds: Sequence[int] | dict[str, int]) -> Path:
    """Write `run.json` into the run folder: config, seeds, versions and hardware.

    Raises:
        OSError: the folder cannot be written.

    >>> import tempfile
    >>> path = write_run_info(Path(tempfile.mkdtemp()), {"steps": 3}, seeds=[0])
    >>> sorted(json.loads(path.read_text()))
    ['config', 'hardware', 'seeds', 'versions']
    """
    info = {"config": config, "seeds": seeds, "versions": versions(), "hardware": hardware()}
    return write_json(Path(run_dir) / "run.json", info)
