"""What commands of ``sarcore experiment`` share: the options of classifiers, and how they show a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console

from sarcore.cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from sarcore.experiments.arms import ArmTraining
    from sarcore.experiments.progress import Progress

Results: TypeAlias = dict[str, Any]


def run_and_show(
    study: Callable[[Progress], Results], run_dir: Path, table: Callable[[Results, Path, Console], None]
) -> None:
    """Run a study with progress, then write its page and show its table; processes but the main one say nothing."""
    from sarcore.engine.distributed import is_main_process
    from sarcore.experiments.progress import Silent
    from sarcore.report import write_report

    if not is_main_process():
        study(Silent())
        return
    with ConsoleProgress(run_dir) as progress:
        results = study(progress)
        progress.note("Writing the page")
        page = write_report(run_dir)
    table(results, page, progress.console)


def taken_classifier(settings: dict[str, Any]) -> ArmTraining:
    """What all classifiers of a study have in common, which is taken out of the options of its command."""
    from sarcore.experiments.arms import ArmTraining

    own = {name: settings.pop(f"classifier_{name}") for name in ("steps", "batch_size", "lr")}
    names = [field.name for field in dataclasses.fields(ArmTraining) if field.name in settings]
    return ArmTraining(**own, **{name: settings.pop(name) for name in names})
