"""``sarcore bench-loader``: is reading the data or computing on it the slower part of a training?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from tyro.conf import Positional

from sarcore.cli.progress import ConsoleProgress


def bench_loader(
    data: Positional[Path],
    /,
    *,
    batch_size: int = 32,
    num_workers: int = 0,
    seconds: float = 5.0,
    model: Literal["classifier", "began"] = "classifier",
    depth: int = 50,
    width: int = 64,
) -> None:
    """Time reading a patch folder beside the training step of a model on this machine.

    Args:
        data: Folder with one sub-folder of patches per class.
        batch_size: Patches per step.
        num_workers: Processes that read; 0 reads in a thread. Sets of up to 2 GiB are held in memory, without any.
        seconds: How long each way of reading, and the step, is timed.
        model: Whose step is timed.
        depth: Layers of the classifier: 18, 34 or 50.
        width: Filters of the first stage of the BEGAN, which makes patches of half the side.
    """
    from sarcore.experiments.loader_speed import measure_loader

    with ConsoleProgress() as progress:
        found = measure_loader(
            data,
            progress,
            model=model,
            depth=depth,
            width=width,
            batch_size=batch_size,
            num_workers=num_workers,
            seconds=seconds,
        )
    title = f"{data}, batches of {batch_size}, {num_workers} worker{'' if num_workers == 1 else 's'}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("images/s", justify="right")
    for way, rate in found.rates.items():
        table.add_row(way, f"{rate:,.0f}")
    table.add_section()
    table.add_row(f"training step, {found.model} ({found.device})", f"{found.step:,.1f}")
    progress.console.print(table)
    progress.console.print(found.verdict, markup=False, soft_wrap=True)
