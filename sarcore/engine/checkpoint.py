"""Checkpoints that are whole or absent: written beside, synced, renamed; checksums verified before anything is used.

A run keeps `checkpoints/step_000200/` with `weights.safetensors` (the state_dict of the task), `ema.safetensors` (the
running mean of the weights, where one is kept), `state.pt` (optimizers, schedulers, random generators and whatever
else the loop needs to go on; read with `weights_only=True`) and `meta.json` (kind, model config, step, score, versions
and the SHA-256 of every file, itself included).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import safetensors.torch
import torch
from torch import Tensor, nn

from sarcore.engine.checkpoint_state import readable
from sarcore.engine.run import json_text, versions, write_bytes, write_json
from sarcore.engine.validation import ranked
from sarcore.errors import CheckpointError

FORMAT = 2
WEIGHTS, EMA, STATE, META = "weights.safetensors", "ema.safetensors", "state.pt", "meta.json"
Which: TypeAlias = Literal["last", "best"]
_STEP_DIR = re.compile(r"step_(\d+)")


def save_checkpoint(
    run_dir: Path,
    step: int,
    task: nn.Module,
    state: Mapping[str, Any],
    meta: Mapping[str, Any],
    *,
    ema: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write `run_dir/checkpoints/step_<step>` atomically and return its path.

    `state` may hold numbers, strings, tensors and containers of them (`readable`). `meta["kind"]` names the model;
    `meta["score"]`, where the step was validated, is `{"name", "value", "mode"}`; one that is not finite is left out.
    `ema` replaces entries of the state_dict.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; nothing half-written is left behind.
        TypeError, ValueError: a state of the model is no tensor, `state` holds something else, or `meta` has no JSON
            form.
    """
    # Everything is serialised in memory first, so that each file is one plain write: the writers of safetensors and of
    # torch report a full disk as errors of their own that are no OSError.
    pickled = io.BytesIO()
    torch.save(readable(dict(state)), pickled)
    files = {WEIGHTS: safetensors.torch.save(_tensors(task.state_dict())), STATE: pickled.getvalue()}
    if ema is not None:
        files[EMA] = safetensors.torch.save(_tensors(ema))
    head = {"format": FORMAT, **meta, "step": step, "versions": versions()}
    if not math.isfinite(head.get("score", {}).get("value", 0.0)):
        del head["score"]  # never the best, and nothing that JSON has a word for
    head["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    head = json.loads(json_text(head))
    head["sha256"][META] = _meta_checksum(head)

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


def _tensors(named: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"State {name!r} is a {type(value).__name__}; make it a buffer, so that it can be saved.")
        # A copy of its own: safetensors refuses tensors that share memory, as tied weights do.
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return tensors


def _meta_checksum(meta: Mapping[str, Any]) -> str:
    sums = {name: value for name, value in meta["sha256"].items() if name != META}
    return hashlib.sha256(json.dumps({**meta, "sha256": sums}, sort_keys=True).encode()).hexdigest()


def _put_in_place(temporary: Path, final: Path) -> None:
    _sync_folder(temporary)
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    if final.exists():  # a damaged one that the run fell back from and has now reached again
        final.replace(old)
    temporary.replace(final)
    shutil.rmtree(old, ignore_errors=True)
    _sync_folder(final.parent)  # the rename itself must reach the disk


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Verify and read one checkpoint folder: (meta, weights, state), all on the CPU.

    Raises:
        CheckpointError: a file is missing, truncated or altered, or of another format.
    """
    path = Path(path)
    meta, files = _verified(path)
    return meta, _read(path, files, WEIGHTS), _read(path, files, STATE)


def read_ema(path: Path) -> dict[str, Tensor] | None:
    """The running mean of the weights in one checkpoint folder, None where none is kept.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    _, files = _verified(path := Path(path))
    return _read(path, files, EMA) if EMA in files else None


def _read(path: Path, files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        if name != STATE:
            return safetensors.torch.load(files[name])
        state: dict[str, Any] = torch.load(io.BytesIO(files[name]), map_location="cpu", weights_only=True)
        return state
    except Exception as error:  # the readers raise many kinds, and all mean the same here
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"The checkpoint {path} cannot be read ({reason}); use another one.") from error


def _verified(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        meta = json.loads((path / META).read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            raise CheckpointError(
                f"The checkpoint {path} has format {meta['format']}, this version of sarcore reads format {FORMAT}; "
                "install the version that wrote it."
            )
        sums = dict(meta["sha256"])
        damaged = [META] if sums.pop(META) != _meta_checksum(meta) else []
        files = {name: (path / name).read_bytes() for name in (WEIGHTS, STATE, *([EMA] if EMA in sums else []))}
        damaged += sorted(name for name, data in files.items() if hashlib.sha256(data).hexdigest() != sums[name])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else f"{META} is damaged"
        raise CheckpointError(f"The checkpoint {path} cannot be read ({reason}); use another one.") from error
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


def by_score(run_dir: Path) -> list[tuple[int, Path]]:
    """(step, folder) of the validated checkpoints, best first, unverified."""
    found = checkpoint_dirs(run_dir)
    return [found[place] for place in ranked([_described(path) for _, path in found])]


def _described(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((path / META).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # damaged, which shows when it is to be read


def last_checkpoint(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint of a run (None where it has none) and one sentence for each damaged newer one.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged.
    """
    return _first_whole(run_dir, checkpoint_dirs(run_dir)[::-1])


def _first_whole(run_dir: Path, candidates: list[tuple[int, Path]]) -> tuple[Path | None, list[str]]:
    problems: list[str] = []
    for _, path in candidates:
        try:
            _verified(path)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            return path, problems
    if problems:
        raise CheckpointError(f"No checkpoint of {run_dir} is usable. {' '.join(problems)}")
    return None, []


def find_checkpoint(path: Path, which: Which = "last") -> tuple[Path, list[str]]:
    """The checkpoint folder meant by `path`, itself one or a run folder, and what was passed over on the way.

    Of a run folder the newest whole checkpoint is meant, or the one with the best score of the validation.

    Raises:
        CheckpointError: there is none, or none that is whole.
        ValueError: `which` is neither last nor best.
    """
    path = Path(path)
    if which not in ("last", "best"):
        raise ValueError(f"which is {which!r}; give 'last' or 'best'.")
    if (path / META).is_file() or (path / WEIGHTS).is_file():
        return path, []
    if which == "best":
        candidates = by_score(path)
        if not candidates and checkpoint_dirs(path):
            raise CheckpointError(f"No checkpoint of {path} has a score: the run was not validated; use the last one.")
        found, problems = _first_whole(path, candidates)
    else:
        found, problems = last_checkpoint(path)
    if found is None:
        raise CheckpointError(f"There is no checkpoint in {path}; give a run folder or one of its checkpoints/step_*.")
    return found, problems


def load_weights(
    path: Path, *, kind: str | tuple[str, ...], which: Which = "last", ema: bool = True
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(meta, state_dict) of a checkpoint folder, or of the last or the best whole checkpoint of a run folder.

    With `ema` the running mean of the weights where one is kept; `meta["ema"]` says whether it was. `meta["path"]` is
    the folder that was read, `meta["problems"]` lists the damaged ones that were passed over.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of another kind of model.
    """
    found, problems = find_checkpoint(path, which)
    meta, files = _verified(found)
    check_kind(found, meta, kind)
    weights, use_ema = _read(found, files, WEIGHTS), ema and EMA in files
    if use_ema:
        weights.update(_read(found, files, EMA))
    return {**meta, "path": str(found), "problems": problems, "ema": use_ema}, weights


def check_kind(path: Path, meta: Mapping[str, Any], kind: str | tuple[str, ...]) -> None:
    """Raise CheckpointError unless the checkpoint is of (one of) `kind`."""
    kinds = (kind,) if isinstance(kind, str) else kind
    if meta.get("kind") not in kinds:
        wanted = " or ".join(kinds)
        raise CheckpointError(f"{path} is a checkpoint of {meta.get('kind')}, {wanted} was expected; give {wanted}.")


def prune(
    run_dir: Path, step: int, keep_last: int, keep_best: int = 0, *, damaged: Collection[Path] = frozenset()
) -> None:
    """Remove the checkpoints up to `step` but the newest and the best ones.

    The `damaged` ones are removed, too: they must not be counted among those that a run could go back to.
    """
    earlier = [path for found, path in checkpoint_dirs(run_dir) if found <= step]
    whole = [path for path in earlier if path not in damaged]
    best = [path for _, path in by_score(run_dir) if path in whole]
    for path in sorted(set(earlier) - set(whole[-keep_last:]) - set(best[:keep_best])):
        # Renamed first: a kill half-way through must not leave what looks like a damaged checkpoint.
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f".{path.name}.{os.getpid()}.old"))
    sweep(run_dir)


def sweep(run_dir: Path) -> None:
    """Remove what a killed save left behind."""
    for left in (Path(run_dir) / "checkpoints").glob(".step_*"):
        shutil.rmtree(left, ignore_errors=True)
