"""The tables of a page of training runs: confusion, results, checkpoints, settings and their differences, machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sarcore.report.formats import duration, number, words
from sarcore.report.run_folder import RunFolder, best_score, flatten


def confusions(run: RunFolder) -> list[dict[str, Any]]:
    """The confusion of the last validation and of every part that ``results.json`` scores, ready for a table."""
    found: list[tuple[str, Any]] = []
    last = next((row for row in reversed(run.validation) if "confusion" in row), None)
    if last is not None:
        found.append((f"validation at step {number(last['step'])}", last["confusion"]))
    parts = ((name, part) for name, part in run.results.items() if isinstance(part, Mapping))
    found += [
        (f"{'validation' if name == 'val' else name} part, at the end", part["confusion"])
        for name, part in parts
        if "confusion" in part
    ]
    tables = [(title, _matrix(counts)) for title, counts in found]
    if any(rows is None for _, rows in tables):
        run.problems.append("A confusion matrix is no square table of counts and is left out.")
    found_tables = []
    for title, rows in tables:
        if rows:
            names = run.classes if len(run.classes) == len(rows) else [f"class {i}" for i in range(len(rows))]
            found_tables.append({"run": run.name, "title": title, "classes": names, "rows": shares(rows, names)})
    return found_tables


def shares(counts: Sequence[Sequence[float]], classes: Sequence[str]) -> list[tuple[str, Any, float]]:
    """Rows (class, [(count, share of the true class)], count) of a confusion matrix, as the template shows them.

    >>> shares([[3, 1], [0, 4]], ["a", "b"])[0]
    ('a', [(3, 0.75), (1, 0.25)], 4)
    """
    totals = [sum(row) for row in counts]
    cells = [
        [(count, count / total if total else 0.0) for count in row] for row, total in zip(counts, totals, strict=True)
    ]
    return list(zip(classes, cells, totals, strict=True))


def settings(runs: Sequence[RunFolder]) -> dict[str, Any]:
    """The configurations as rows: (name, value per run) of those that differ, (name, value) of those all runs share.

    ``sections`` has the shared ones by the table of the configuration that they are in.
    """
    flat = [flatten(run.config) for run in runs]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = [(name, [_written(one[name]) if name in one else "–" for one in flat]) for name in names]
    differ = [row for row in rows if len(set(row[1])) > 1]
    same = [(name, values[0]) for name, values in rows if len(set(values)) == 1]
    sections: dict[str, list[tuple[str, str]]] = {}
    for name, value in same:
        section, _, rest = name.rpartition(".")
        sections.setdefault(section, []).append((rest, value))
    return {"differ": differ, "same": same, "sections": sections}


def results(runs: Sequence[RunFolder]) -> list[tuple[str, list[str]]]:
    """Scalars of ``results.json``, without what the page says elsewhere."""
    skipped = ("last.", "steps", "seconds", "images_per_second", "kind", "data", "config", "best.")
    flat = [flatten(run.results) for run in runs]
    names = dict.fromkeys(name for one in flat for name, value in one.items() if type(value) in (int, float))
    kept = [name for name in names if not name.startswith(skipped)]
    return [(words(name.replace(".", ", ")), [_shown(one.get(name)) for one in flat]) for name in kept]


def checkpoints(run: RunFolder) -> list[dict[str, Any]]:
    """What every checkpoint of a run is worth, and which one is the best."""
    best = best_score(run)
    rows = []
    for meta in run.checkpoints:
        score = meta.get("score") if isinstance(meta.get("score"), Mapping) else {}
        value = score.get("value") if score else None
        name = words(str(score["name"])) if score and "name" in score else ""
        rows.append(
            {
                "step": meta["step"],
                "score": _shown(value),
                "name": name,
                "bytes": meta["bytes"],
                "best": best and best[1] == meta["step"],
            }
        )
    return rows


def machine(runs: Sequence[RunFolder], price: float | None) -> list[tuple[str, list[str]]]:
    """Hardware, versions, time and cost as rows (name, value per run)."""
    rows: dict[str, list[str]] = {}
    for i, run in enumerate(runs):
        hardware, versions = run.info.get("hardware") or {}, run.info.get("versions") or {}
        facts = {
            "Processor": _processor(hardware),
            "GPUs": ", ".join(str(gpu) for gpu in hardware.get("gpus") or []),
            "Processes": number(run.status["world_size"]) if isinstance(run.status.get("world_size"), int) else "",
            "System": str(hardware.get("system", "")),
            "Seeds": _written(run.info.get("seeds", "")),
            "Training time": "" if run.seconds is None else duration(run.seconds),
            "Cost": "" if run.seconds is None or price is None else f"{cost(run.seconds, price):.2f} EUR",
            "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "Folder": run.path.as_posix(),
        }
        for name, value in facts.items():
            rows.setdefault(name, ["–"] * len(runs))[i] = value or "–"
    return [(name, values) for name, values in rows.items() if set(values) != {"–"}]


def cost(seconds: float, price: float) -> float:
    """What so many seconds cost at a price per hour.

    >>> cost(5400.0, 2.0)
    3.0
    """
    return seconds / 3600.0 * price


def _processor(hardware: Mapping[str, Any]) -> str:
    threads = hardware.get("threads")
    counted = f", {threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return f"{hardware.get('cpu', '')}{counted}"


def _matrix(counts: Any) -> list[list[float]] | None:
    rows = counts if isinstance(counts, list) else []
    square = all(isinstance(row, list) and len(row) == len(rows) for row in rows)
    whole = square and all(isinstance(value, (int, float)) and value >= 0 for row in rows for value in row)
    return rows if rows and whole else None


def _written(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_written(one) for one in value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, (int, float)) else "–"
