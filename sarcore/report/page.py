"""Render run folders as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from sarcore.engine import write_bytes
from sarcore.errors import SarcoreError
from sarcore.report import augmentation, formats, generation_study, label_study, training, translation_study
from sarcore.report.run_folder import RunFolder, read_run, trainings

PAGE = "report.html"
STUDIES = {
    "curve": ("label_study.html.j2", label_study.context),
    "init": ("label_study.html.j2", label_study.context),
    "augmentation": ("augmentation.html.j2", augmentation.context),
    "generation": ("generation_study.html.j2", generation_study.context),
    "translation": ("translation_study.html.j2", translation_study.context),
}


def write_report(runs: Path | Sequence[Path], out: Path | None = None, *, price: float | None = None) -> Path:
    """Write the page of one run folder, or of several side by side, and return its path.

    Training runs may be unfinished: the page shows what is there and says what is missing or damaged. Without ``out``
    the page of one run is ``report.html`` in its folder. ``price`` (EUR per hour) adds what the training cost.

    Raises ``SarcoreError`` for a folder that holds no run, for studies beside other runs, and for several runs
    without ``out``; ``ValueError`` for a price that is none.

    >>> import json, tempfile
    >>> run = Path(tempfile.mkdtemp())
    >>> (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 0.5})) > 0
    True
    >>> write_report(run).name
    'report.html'
    """
    folders = [Path(runs)] if isinstance(runs, (str, Path)) else [Path(run) for run in runs]
    if not folders:
        raise ValueError("no run folder is given; give at least one.")
    if price is not None and not 0.0 <= price < float("inf"):
        raise ValueError(f"price is {price}; give EUR per hour, e.g. 0.6.")
    if out is None and len(folders) > 1:
        raise SarcoreError("a page of several runs lies in none of them: say where with --out page.html")
    target = folders[0] / PAGE if out is None else Path(out)
    read = [read_run(folder) for folder in folders]
    studies = [run for run in read if run.results.get("kind") in STUDIES]
    if studies and len(read) > 1:
        raise SarcoreError(f"{studies[0].path}: is a study, which has a page of its own; give it alone")
    html = _study(studies[0]) if studies else _training([part for run in read for part in trainings(run)], price)
    return write_bytes(target, html.encode())


def _training(runs: list[RunFolder], price: float | None) -> str:
    return _render("training.html.j2", training.context(runs, price))


def _study(run: RunFolder) -> str:
    template, context = STUDIES[run.results["kind"]]
    try:
        return _render(template, context(run.path, run.results, run.info))
    except (KeyError, UndefinedError) as error:
        raise SarcoreError(
            f"{run.path}: the results are incomplete ({error}); give the command of the run again"
        ) from error


def _render(template: str, values: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("sarcore.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("percent", "change", "span", "duration", "number", "size", "directions"):
        environment.filters[name] = getattr(formats, name)
    return environment.get_template(template).render(values)
