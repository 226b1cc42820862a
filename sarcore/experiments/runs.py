"""Run folders: opened once, continued with the same settings only."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from sarcore.data import PairedFolder, PatchFolder, Split, UnpairedFolder, data_fingerprint
from sarcore.engine import FitResult, RunLock, load_weights, read_metrics, write_run_info
from sarcore.engine.checkpoint import by_score
from sarcore.engine.distributed import from_main
from sarcore.errors import DataError, SarcoreError
from sarcore.experiments.train_config import MAY_CHANGE, settings, write_config
from sarcore.experiments.train_kinds import TrainConfig

Folder: TypeAlias = PatchFolder | PairedFolder | UnpairedFolder
RUN_FILE = "run.json"
RESULTS_FILE = "results.json"
_GOING_ON: dict[str, Any] = {"may_change": MAY_CHANGE, "may_grow": ["steps"]}


def open_run(
    run_dir: Path,
    command: str,
    config: Mapping[str, Any],
    folder: Folder,
    seeds: Sequence[int],
    *,
    may_change: Sequence[str] = (),
    may_grow: Sequence[str] = (),
    resume: bool = True,
    begun: bool = True,
) -> bool:
    """Create the run folder with its ``run.json``, or check that an existing one holds the same experiment.

    Returns whether it existed. ``may_change`` names settings that may differ from the first time, ``may_grow`` those
    that may not become smaller. A run that was not ``begun`` is replaced, whatever it was to be.

    Raises:
        SarcoreError: the folder holds something else, other settings or other data, or a run although ``resume`` is
            False.
    """
    recorded = {"command": command, **json.loads(json.dumps(config, default=str))}
    recorded["data_fingerprint"] = data_fingerprint(folder)
    existing = (run_dir / RUN_FILE).is_file()
    if existing and begun and not resume:
        raise SarcoreError(f"{run_dir}: holds a run; go on with it by --resume, or choose another folder with --out")
    if existing and begun:
        _check_same(run_dir, recorded, may_change, may_grow)
    elif not existing and run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise SarcoreError(f"{run_dir}: exists and is no sarcore run; choose another folder with --out")
    run_dir.mkdir(parents=True, exist_ok=True)
    write_run_info(run_dir, recorded, list(seeds))
    return existing


def _check_same(run_dir: Path, recorded: Mapping[str, Any], may_change: Sequence[str], may_grow: Sequence[str]) -> None:
    previous = recorded_config(run_dir)
    if (was := previous.get("command")) != recorded["command"]:
        raise SarcoreError(f"{run_dir}: holds a run of `sarcore {was}`; choose another folder with --out")
    changed = []
    for name in sorted((previous.keys() | recorded.keys()) - set(may_change)):
        was, now = previous.get(name), recorded.get(name)
        if was != now and not (name in may_grow and was is not None and now > was):
            changed.append(f"{name} was {was}, is {now}" + (", and may only grow" if name in may_grow else ""))
    if changed:
        raise SarcoreError(f"{run_dir}: holds another run ({'; '.join(changed)}); choose another folder with --out")


def start_run(
    run_dir: Path,
    config: TrainConfig,
    folder: Folder,
    split: Split,
    *,
    resume: bool,
    repeats: Path | None,
    items: int | None = None,
) -> int:
    """Open the folder of a training and write ``config.toml`` and ``split.json``, in the main process alone.

    Returns the steps that the run in it was to have before, 0 for a new one. Raises what `open_run` and, for the run
    that it ``repeats``, `check_same_data` raise, and ``DataError`` where the ``items`` to train on (those of the split
    without it) are fewer than a batch: in every process, before anything is written.
    """
    count = len(split.train) if items is None else items
    what = "patches" if isinstance(folder, PatchFolder) else "pairs"
    recorded = {name: value for name, value in settings(config).items() if name not in config.DERIVED}
    for name in {"split", "manifest"} & {name for name, value in recorded.items() if value is not None}:
        recorded[name] = hashlib.sha256(repr(split).encode()).hexdigest()[:16]

    def start() -> int:
        if count < config.fit.batch_size:
            raise DataError(
                f"{folder.root}: {count} {what} to train on are fewer than a batch of "
                f"{config.fit.batch_size}; lower --batch-size or --val-fraction"
            )
        if repeats is not None:
            check_same_data(repeats, folder)
        command, seeds = f"train {config.KIND}", [config.fit.seed]
        before = 0
        if (run_dir / RUN_FILE).is_file():
            with RunLock(run_dir):  # a running training keeps the settings that it was started with
                before = int(recorded_config(run_dir).get("steps", 0))
                begun = _begun(run_dir)
                open_run(run_dir, command, recorded, folder, seeds, **_GOING_ON, resume=resume, begun=begun)
                if not begun:  # the real images shown there may be those of other data
                    shutil.rmtree(run_dir / "samples", ignore_errors=True)
        else:
            open_run(run_dir, command, recorded, folder, seeds, **_GOING_ON, resume=resume)
        write_config(run_dir, config)
        split.save(run_dir / "split.json")
        return before

    return from_main(start)


def _begun(run_dir: Path) -> bool:
    """Whether a step was made: a training may be refused as late as that, for images that its networks cannot take."""
    return any((run_dir / "checkpoints").glob("step_*")) or bool(read_metrics(run_dir))


def recorded_config(run_dir: Path) -> dict[str, Any]:
    """The settings that ``run.json`` keeps; ``SarcoreError`` where it cannot be read."""
    config: dict[str, Any] = read_json(run_dir / RUN_FILE).get("config", {})
    return config


def trained_on(run_dir: Path, folder: Folder) -> bool:
    """Whether the folder holds what the run was trained on."""
    return bool(recorded_config(run_dir).get("data_fingerprint") == data_fingerprint(folder))


def check_same_data(run_dir: Path, folder: Folder) -> None:
    """Raise ``SarcoreError`` unless the folder holds what the run was trained on."""
    if not trained_on(run_dir, folder):
        raise SarcoreError(
            f"{folder.root}: has changed since {run_dir} was trained on it (files, sizes, classes or scenes); the run "
            f"cannot be repeated, train on what is there now with --config {run_dir / 'config.toml'}"
        )


def chosen_weights(run: Path, kind: str | tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """`load_weights` of the best checkpoint of a run, of the last one where none was validated.

    ``kind`` is that of the run, or those that it may be of. Raises ``CheckpointError`` as `load_weights`.
    """
    return load_weights(run, kind=kind, which="best" if by_score(run) else "last")


def weights_text(meta: Mapping[str, Any]) -> str:
    """Which weights `chosen_weights` took, for the user: the folder, and what is known of how good they are.

    >>> weights_text({"path": "run/checkpoints/step_000020", "ema": True, "score": {"name": "emd", "value": 0.07761}})
    'run/checkpoints/step_000020 (running mean, emd 0.07761)'
    """
    score = meta.get("score")
    known = ["running mean"] if meta["ema"] else []
    known += [f"{score['name']} {score['value']:.4g}"] if score else []
    return f"{meta['path']} ({', '.join(known)})" if known else str(meta["path"])


def fit_facts(result: FitResult) -> dict[str, Any]:
    """What ``results.json`` says of a training: steps, rate, whether it stopped early, the best score and its step."""
    best = None
    if result.best is not None:
        meta = read_json(result.best / "meta.json")
        best = {"step": meta["step"], **meta["score"]}
    return {
        "steps": result.steps,
        # Nothing was trained where the run was complete already: then the rate is the one that was logged.
        "images_per_second": result.images_per_second or result.last_logs.get("images_per_second", 0.0),
        "stopped_early": result.stopped_early,
        "best": best,
    }


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ``SarcoreError`` with the path when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SarcoreError(f"{path}: cannot be read ({error}); give a finished sarcore run") from error
    if not isinstance(content, dict):
        raise SarcoreError(f"{path}: holds no JSON object; give a finished sarcore run")
    return content
