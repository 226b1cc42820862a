"""Checkpoints that are whole or absent: written beside, synced, renamed; checksums verified before anything is used.

A run keeps `checkpoints/step_000200/` with `weights.safetensors` (the state_dict of the task), `state.pt` (optimizers,
random generators, sampler position; read with `weights_only=True`) and `meta.json` (kind, model config, step, versions
and the SHA-256 of the other two).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sarcore.engine.run import versions, write_bytes, write_json
from sarcore.errors import CheckpointError

FORMAT = 1
WEIGHTS, STATE, META = "weights.safetensors", "state.pt", "meta.json"
_STEP_DIR = re.compile(r"step_(\d+)")


def save_checkpoint(
    run_dir: Path,
    step: int,
    task: nn.Module,
    optimizers: Mapping[str, Optimizer],
    extra_state: Mapping[str, Any],
    meta: Mapping[str, Any],
) -> Path:
    """Write `run_dir/checkpoints/step_<step>` atomically and return its path.

    `extra_state` may hold numbers, strings, tensors and containers of them. `meta["kind"]` names the model.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; nothing half-written is left behind.
    """
    # Everything is serialised in memory first, so that each file is one plain write: the writers of safetensors and of
    # torch report a full disk as errors of their own that are no OSError.
    state = io.BytesIO()
    torch.save({"optimizers": {n: o.state_dict() for n, o in optimizers.items()}, **extra_state}, state)
    files = {WEIGHTS: safetensors.torch.save(_tensors(task)), STATE: state.getvalue()}
    head = {"format": FORMAT, **meta, "step": step, "versions": versions()}
    head["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}

    final = Path(run_dir) / "checkpoints" / f"step_{step:06d}"
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_bytes(temporary / name, data)
        write_json(temporary / META, head)
        _put_in_place(temporary, final)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {final} could not be written ({error.strerror or error}); "
            "earlier checkpoints are intact: free some space or make the folder writable, and resume."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _tensors(task: nn.Module) -> dict[str, Tensor]:
    tensors = {}
    for name, value in task.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(f"State {name!r} is a {type(value).__name__}; make it a buffer, so that it can be saved.")
        # A copy of its own: safetensors refuses tensors that share memory, as tied weights do.
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return tensors


def _put_in_place(temporary: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    if final.exists():  # a damaged one that the run fell back from and has now reached again
        final.replace(old)
    temporary.replace(final)
    shutil.rmtree(old, ignore_errors=True)
    if os.name == "posix":  # the rename itself must reach the disk
        handle = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Verify and read one checkpoint folder: (meta, weights, state), all on the CPU.

    Raises:
        CheckpointError: a file is missing, truncated or altered, or of a newer format.
    """
    path = Path(path)
    meta, files = _verified(path)
    try:
        weights = safetensors.torch.load(files[WEIGHTS])
        state = torch.load(io.BytesIO(files[STATE]), map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise many kinds, and all mean the same here
        raise CheckpointError(
            f"The checkpoint {path} cannot be read ({_first_line(error)}); use another one."
        ) from error
    return meta, weights, state


def _verified(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        meta = json.loads((path / META).read_text(encoding="utf-8"))
        sums = meta["sha256"]
        files = {name: (path / name).read_bytes() for name in (WEIGHTS, STATE)}
        damaged = [name for name, data in files.items() if hashlib.sha256(data).hexdigest() != sums[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else f"{META} is damaged"
        raise CheckpointError(f"The checkpoint {path} cannot be read ({reason}); use another one.") from error
    if meta.get("format") != FORMAT:
        raise CheckpointError(
            f"The checkpoint {path} has format {meta.get('format')}, this version of sarcore reads format {FORMAT}; "
            "install the version that wrote it."
        )
    if damaged:
        raise CheckpointError(
            f"The checkpoint {path} is damaged: {' and '.join(damaged)} is truncated or altered "
            "(checksum differs); use another one."
        )
    return meta, files


def checkpoint_dirs(run_dir: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint of a run, oldest first, unverified."""
    folder = Path(run_dir) / "checkpoints"
    found = [(_STEP_DIR.fullmatch(p.name), p) for p in folder.iterdir()] if folder.is_dir() else []
    return sorted((int(match[1]), path) for match, path in found if match)


def last_checkpoint(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint of a run (None where it has none) and one sentence for each damaged newer one.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    problems: list[str] = []
    for _, path in reversed(checkpoint_dirs(run_dir)):
        try:
            _verified(path)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            return path, problems
    if problems:
        raise CheckpointError(f"No checkpoint of {run_dir} is usable. {' '.join(problems)}")
    return None, []


def find_checkpoint(path: Path) -> tuple[Path, list[str]]:
    """The checkpoint folder meant by `path`, itself one or a run folder, and what was passed over on the way.

    Raises:
        CheckpointError: there is none, or none that is whole.
    """
    path = Path(path)
    if (path / META).is_file() or (path / WEIGHTS).is_file():
        return path, []
    found, problems = last_checkpoint(path)
    if found is None:
        raise CheckpointError(f"There is no checkpoint in {path}; give a run folder or one of its checkpoints/step_*.")
    return found, problems


def load_weights(path: Path, *, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(meta, state_dict) of a checkpoint folder, or of the newest whole checkpoint of a run folder.

    `meta["path"]` is the folder that was read, `meta["problems"]` lists the damaged newer ones that were passed over.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of another kind of model.
    """
    found, problems = find_checkpoint(path)
    meta, weights, _ = read_checkpoint(found)
    check_kind(found, meta, kind)
    return {**meta, "path": str(found), "problems": problems}, weights


def check_kind(path: Path, meta: Mapping[str, Any], kind: str) -> None:
    """Raise CheckpointError unless the checkpoint is one of `kind`."""
    if meta.get("kind") != kind:
        raise CheckpointError(f"{path} is a checkpoint of {meta.get('kind')}, {kind} was expected; give one of {kind}.")


def prune(run_dir: Path, step: int, keep_last: int) -> None:
    """Remove all but the newest `keep_last` checkpoints up to `step`, and what a killed save left behind."""
    for _, path in [entry for entry in checkpoint_dirs(run_dir) if entry[0] <= step][:-keep_last]:
        shutil.rmtree(path, ignore_errors=True)
    for left in (Path(run_dir) / "checkpoints").glob(".step_*"):
        shutil.rmtree(left, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
