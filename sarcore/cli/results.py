"""``sarcore evaluate`` and ``sarcore report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from sarcore.cli import tables
from sarcore.cli.progress import ConsoleProgress
from sarcore.errors import SarcoreError


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    /,
    *,
    part: Literal["auto", "train", "val", "test", "all"] = "auto",
    out: Path | None = None,
) -> None:
    """Score a trained classifier on a folder of patches.

    Args:
        run: Run folder of a classifier, or one of its checkpoints.
        data: Folder with sub-folders of the same classes.
        part: Part of the run's own split; auto is test on the folder of the training, all on any other.
        out: JSON file to write the scores to.
    """
    from sarcore.experiments import classification

    result = classification.evaluate_classifier(run, data, part)
    console = Console(highlight=False)
    for note in [*result["notes"], f"Weights: {result['weights']}"]:
        console.print(note, markup=False, soft_wrap=True)
    if out is not None:
        from sarcore.engine import write_json

        write_json(out, result)
    title = f"{data}, part {result['part']}: {result['patches']} patches"
    tables.classification(result, result["classes"], title, console)


def report(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    others: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RUN ...]")] = (),
    /,
    *,
    out: Path | None = None,
    price: float | None = None,
) -> None:
    """Write one HTML page about a run, or about several side by side: curves, samples, validation, settings.

    Of one generator also walks in its latent space and the training patches nearest to what it draws: they are drawn
    here where the run has a better checkpoint than when it was last done.

    The page needs no server and no network. A run that is training, was killed or lost files has a page too.

    Args:
        run: Run folder of `train` or of `experiment`.
        others: More run folders of `train`, side by side on the page.
        out: The page; report.html in the folder of the run without it. Several runs need it.
        price: EUR per hour of the machine, for the cost of the training.
    """
    from sarcore.report import write_report

    if not others:
        _portray(run)
    page = write_report((run, *others), out, price=price)
    Console(highlight=False).print(f"Page: {page.resolve()}", markup=False, soft_wrap=True)


def _portray(run: Path) -> None:
    """What only the model itself can show on the page; the page does without where it cannot."""
    console = Console(highlight=False)
    try:
        from sarcore.experiments.latent import is_generator, portray

        if is_generator(run):
            with ConsoleProgress(console=console) as progress:
                portray(run, progress)
    except (SarcoreError, OSError) as error:
        console.print(f"No latent walks and neighbours: {error}", markup=False, soft_wrap=True)
