"""Run folders: opened once, continued with the same settings only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sarcore.data import PatchFolder, data_fingerprint
from sarcore.engine import write_run_info
from sarcore.errors import SarcoreError

RUN_FILE = "run.json"
RESULTS_FILE = "results.json"


def open_run(
    run_dir: Path,
    command: str,
    config: Mapping[str, Any],
    folder: PatchFolder,
    seeds: Sequence[int],
    *,
    may_change: Sequence[str] = (),
) -> bool:
    """Create the run folder with its ``run.json``, or check that an existing one holds the same experiment.

    Returns whether it existed. ``may_change`` names settings that may differ from the first time. Raises
    ``SarcoreError`` for a folder that holds something else, other settings or other data.
    """
    recorded = {"command": command, **json.loads(json.dumps(config, default=str))}
    recorded["data_fingerprint"] = data_fingerprint(folder)
    existing = (run_dir / RUN_FILE).is_file()
    if existing:
        previous = read_json(run_dir / RUN_FILE).get("config", {})
        names = sorted((previous.keys() | recorded.keys()) - set(may_change))
        changed = [
            f"{n} was {previous.get(n)}, is {recorded.get(n)}" for n in names if previous.get(n) != recorded.get(n)
        ]
        if changed:
            raise SarcoreError(f"{run_dir}: holds another run ({'; '.join(changed)}); choose another folder with --out")
    elif run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise SarcoreError(f"{run_dir}: exists and is no sarcore run; choose another folder with --out")
    run_dir.mkdir(parents=True, exist_ok=True)
    write_run_info(run_dir, recorded, list(seeds))
    return existing


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ``SarcoreError`` with the path when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SarcoreError(f"{path}: cannot be read ({error}); give a finished sarcore run") from error
    if not isinstance(content, dict):
        raise SarcoreError(f"{path}: holds no JSON object; give a finished sarcore run")
    return content
