"""What lies in a run folder, finished or not: everything that can be read, and sentences about what cannot."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sarcore.engine.lock import LOCK
from sarcore.engine.logs import METRICS, STATISTICS, VALIDATION, parse_rows, sample_pictures
from sarcore.engine.sheets import LATENT, SHEET
from sarcore.engine.status import STATUS
from sarcore.engine.validation import ranked
from sarcore.errors import SarcoreError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MARKS = (METRICS, STATUS, "run.json", "config.toml", "results.json")


@dataclass
class RunFolder:
    """The files of one training run; what is missing is empty, what is damaged is named in ``problems``."""

    path: Path
    status: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[int, Path] = field(default_factory=dict)
    real: Path | None = None
    sheet: dict[str, Any] = field(default_factory=dict)
    """Columns, rows and header of the sample pictures, where they are labelled; {} where they are not."""
    latent: dict[str, Any] = field(default_factory=dict)
    """What the pictures of a generator between its training patches show; {} where there are none."""
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    name: str = ""
    host: str = ""

    @property
    def kind(self) -> str:
        """What was trained, e.g. "began", from wherever the folder says it; "" where it does not."""
        meta = self.checkpoints[-1] if self.checkpoints else {}
        command = str(self.config.get("command") or self.info.get("config", {}).get("command", ""))
        kind = self.results.get("kind") or meta.get("kind") or self.config.get("kind")
        return str(kind or command.removeprefix("train "))

    @property
    def classes(self) -> list[str]:
        """Names of the classes, [] where the folder does not tell them."""
        for source in (self.results, *reversed(self.checkpoints), self.config):
            names = source.get("classes")
            if isinstance(names, list):
                return [str(name) for name in names]
        return []

    @property
    def step(self) -> int:
        """The last step that the folder knows of."""
        return max(
            [
                *(_whole(row["step"]) for row in self.rows[-1:]),
                _whole(self.status.get("step")),
                _whole(self.results.get("steps")),
            ]
        )

    @property
    def steps(self) -> int | None:
        """The step at which the run ends, None where nothing says it."""
        for value in (self.status.get("steps"), _find(self.config, "steps")):
            if isinstance(value, int):
                return value
        return None

    @property
    def epochs(self) -> float | None:
        """How often all images were met, None where it was not logged."""
        return next((_number(row["epoch"]) for row in reversed(self.rows) if row.get("epoch") is not None), None)

    @property
    def seconds(self) -> float | None:
        """Training time of all sessions of the run, None where it was not logged."""
        logged = next((row["seconds"] for row in reversed(self.rows) if row.get("seconds") is not None), None)
        known = [value for value in (_number(logged), _number(self.status.get("seconds"))) if value is not None]
        return max(known, default=None)

    def names(self) -> list[str]:
        """Names of the logged scalars in the order in which they first appear, but for those that count alone."""
        seen = dict.fromkeys(name for row in self.rows for name in row)
        return [name for name in seen if name not in ("step", "images", "epoch", "seconds")]

    def scalar(self, name: str) -> list[tuple[int, float | None]]:
        """(step, value) of one scalar; the value is None where it was NaN or infinite."""
        return [(row["step"], _number(row[name])) for row in self.rows if name in row]


def read_run(path: Path) -> RunFolder:
    """Read a run folder. It may be of a run that is training at the moment, was killed, or lost some of its files.

    Raises ``SarcoreError`` where there is no run at all.
    """
    path = Path(path)
    if not any((path / name).is_file() for name in _MARKS):
        found = "holds no run: none of " + ", ".join(_MARKS) if path.is_dir() else "there is no such run folder"
        raise SarcoreError(f"{path}: {found}; give the folder named with --out when the run was started")
    run = RunFolder(path, name=path.resolve().name)
    run.info = _json(run, "run.json")
    run.status, run.results = _json(run, STATUS), _json(run, "results.json")
    run.config = _toml(run, "config.toml") or dict(run.info.get("config") or {})
    rows = _rows(run, METRICS)
    run.rows = [row for row in rows if "note" not in row]
    run.notes = [(row["step"], str(row["note"])) for row in rows if "note" in row]
    run.validation = _rows(run, VALIDATION)
    run.statistics = _rows(run, STATISTICS, unstepped=True)
    run.samples = sample_pictures(path)
    run.sheet, run.latent = _json(run, SHEET), _json(run, LATENT)
    run.real = path / "samples" / "real.png" if (path / "samples" / "real.png").is_file() else None
    run.checkpoints = _checkpoints(run)
    run.host = _text(run, LOCK).partition(" on ")[2].strip()  # of a running process; empty when it has ended
    return run


def trainings(run: RunFolder) -> list[RunFolder]:
    """The run itself, or the trainings that a study consists of, named by their place in it."""
    if run.rows or run.status or (run.path / METRICS).is_file():
        return [run]
    inner = sorted({file.parent for pattern in ("*", "*/*", "*/*/*") for file in run.path.glob(f"{pattern}/{METRICS}")})
    found = [read_run(folder) for folder in inner]
    for part in found:
        part.name = part.path.relative_to(run.path).as_posix()
        part.config = part.config or run.config
    return found or [run]


def state_of(run: RunFolder) -> tuple[str, str]:
    """In one word how the run is, and a sentence about it.

    Words: finished, running, killed, interrupted, diverged, stopped early, failed, unknown.
    """
    state, message = str(run.status.get("state", "unknown")), str(run.status.get("message") or "")
    pid = run.status.get("pid")
    if state == "running" and run.host not in ("", platform.node()):
        return state, f"It trains on {run.host}, which was last heard of {_moment(run.status.get('updated'))}."
    if state == "running" and not _alive(pid):
        sentence = (
            f"Process {pid} is gone: the run was killed. Given again, its command goes on from the last checkpoint."
        )
        return "killed", sentence if run.host else f"{sentence} Or it trains on another machine."
    if state == "unknown" and run.results:
        return "finished", message
    if state == "unknown" and STATUS not in "".join(run.problems):
        message = f"The folder has no {STATUS}."
    return state, message


def seconds_left(run: RunFolder) -> float | None:
    """Seconds to the last step at the rate so far, None where that is unknown or the run is over."""
    seconds, step, steps = run.seconds, run.step, run.steps
    if not seconds or not step or steps is None or step >= steps:
        return None
    return seconds / step * (steps - step)


def best_score(run: RunFolder) -> tuple[str, int, float, str] | None:
    """(name, step, value, mode) of the best checkpoint by the metric that the run monitors; None without one."""
    places = ranked(run.checkpoints)
    if not places:
        return None
    best = run.checkpoints[places[0]]
    score = best["score"]
    return str(score["name"]), int(best["step"]), float(score["value"]), str(score["mode"])


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one table with dotted names.

    >>> flatten({"fit": {"steps": 3}, "data": "x"})
    {'fit.steps': 3, 'data': 'x'}
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return flat


def _rows(run: RunFolder, name: str, *, unstepped: bool = False) -> list[dict[str, Any]]:
    lines = _text(run, name).splitlines()
    rows, damaged = parse_rows(lines, unstepped=unstepped)
    cut = bool(lines) and not parse_rows(lines[-1:], unstepped=unstepped)[0]
    if damaged - cut:  # the last line may be half written at this moment
        run.problems.append(f"{name}: {damaged - cut} of {len(lines)} lines cannot be read and are left out.")
    return rows


def _text(run: RunFolder, name: str) -> str:
    path = run.path / name
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        run.problems.append(f"{name}: cannot be read ({error.strerror or error}).")
        return ""


def _json(run: RunFolder, name: str) -> dict[str, Any]:
    text = _text(run, name)
    try:
        content = json.loads(text) if text else {}
    except ValueError as error:
        content = None
        run.problems.append(f"{name}: is damaged ({error}).")
    return content if isinstance(content, dict) else {}


def _toml(run: RunFolder, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(run, name))
    except tomllib.TOMLDecodeError as error:
        run.problems.append(f"{name}: is damaged ({error}).")
        return {}


def _checkpoints(run: RunFolder) -> list[dict[str, Any]]:
    """The meta.json of every checkpoint by step, each with the bytes its folder takes."""
    found = []
    for folder in sorted((run.path / "checkpoints").glob("step_*")):
        meta = _json(run, f"checkpoints/{folder.name}/meta.json")
        if isinstance(meta.get("step"), int):
            found.append({**meta, "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file())})
    return sorted(found, key=lambda meta: int(meta["step"]))


def _find(tree: Mapping[str, Any], name: str) -> Any:
    """The value of a name in nested tables, the outermost one."""
    inner = [value for value in tree.values() if isinstance(value, Mapping)]
    return tree[name] if name in tree else next((v for t in inner if (v := _find(t, name)) is not None), None)


def _moment(seconds: Any) -> str:
    moment = _number(seconds)
    return (
        "at an unknown time" if moment is None else f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d %H:%M} UTC"
    )


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return True  # nothing says otherwise
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _number(value: Any) -> float | None:
    given = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if given else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
