"""A run folder on the terminal: how a training is at this moment, from its files alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sarcore.report.formats import duration, number, words
from sarcore.report.run_folder import RunFolder, best_score, read_run, seconds_left, state_of, trainings

ROWS = 60  # of every scalar, as wide as its sparkline
_BARS = "▁▂▃▄▅▆▇█"
_COLOURS = {"finished": "green", "running": "cyan", "interrupted": "yellow", "stopped early": "green"}


def view(run: RunFolder, width: int = 100) -> RenderableType:
    """Everything about a run that fits a terminal of so many columns."""
    parts: list[RenderableType] = [_headline(run), *_progress(run, width)]
    if run.rows:
        parts.append(_scalars(run, width))
    best = best_score(run)
    if best is not None:
        name, step, value, mode = best
        lowest = "lowest" if mode == "min" else "highest"
        parts.append(
            Text(f"Best {words(name, first=False)}: {number(value)} ({lowest}), checkpoint of step {number(step)}")
        )
    for step, text in run.notes[-4:]:
        parts.append(Text(f"step {number(step)}: {text}", style="yellow"))
    parts += [Text(problem, style="yellow") for problem in run.problems]
    return Group(*parts)


def watched(path: Path, width: int = 100) -> RenderableType:
    """`view` of a run folder; of a study one line per training, and all of the one that was heard of last."""
    run = read_run(path)
    parts = trainings(run)
    if parts == [run]:
        return view(run, width)
    lines = [Text(run.name, "bold")]
    for part in parts:
        state = state_of(part)[0]
        lines.append(
            Text.assemble(f"{part.name}  ", (state, _COLOURS.get(state, "red")), f"  step {number(part.step)}")
        )
    last = max(parts, key=lambda part: float(part.status.get("updated") or 0))
    return Group(*lines, Text(""), view(last, width))


def sparkline(values: Sequence[float | None]) -> str:
    """The last values as bars between their own extremes; a gap where one was NaN.

    >>> sparkline([0.0, 1.0, None, 2.0])
    '▁▅ █'
    """
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    top = len(_BARS) - 1
    width = high - low
    places = (0.5 if width == 0 or not math.isfinite(width) else (v - low) / width for v in known)
    bars = iter([_BARS[math.floor(place * top + 0.5)] for place in places])
    return "".join(" " if value is None else next(bars) for value in values)


def _headline(run: RunFolder) -> Text:
    state, sentence = state_of(run)
    line = Text.assemble((run.name, "bold"), "  ", (state, f"bold {_COLOURS.get(state, 'red')}"))
    return line.append(f"\n{sentence}") if sentence else line


def _progress(run: RunFolder, width: int) -> list[RenderableType]:
    steps, left = run.steps, seconds_left(run)
    facts = [f"step {number(run.step)}" + (f" of {number(steps)}" if steps else "")]
    if run.seconds is not None:
        facts.append(f"{duration(run.seconds)} of training")
    if left is not None and state_of(run)[0] == "running":
        facts.append(f"about {duration(left)} left")
    rate = run.status.get("images_per_second")
    if isinstance(rate, (int, float)):
        facts.append(f"{number(rate, 3)} images/s")
    text = Text(" · ".join(facts))
    if not steps:
        return [text]
    length = min(width, ROWS)
    done = length * min(run.step, steps) // steps
    return [Text.assemble(("━" * done, "cyan"), ("━" * (length - done), "bright_black")), text]


def _scalars(run: RunFolder, width: int) -> Table:
    """Name, last value and the last rows of every scalar; those of the validations below the others."""
    names = sorted(run.names(), key=lambda name: name.startswith("val/"))
    points = {name: run.scalar(name) for name in names}
    last = {name: number(values[-1][1]) for name, values in points.items()}
    steps = {name: f" at {number(points[name][-1][0])}" for name in names if name.startswith("val/")}
    room = width - max(map(len, names)) - max(len(last[name] + steps.get(name, "")) for name in names) - 9
    shown = max(min(room, ROWS), 8)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("scalar", no_wrap=True)
    table.add_column("last", justify="right", no_wrap=True)
    table.add_column(f"last {shown} rows", no_wrap=True)
    for i, name in enumerate(names):
        if i and name in steps and names[i - 1] not in steps:
            table.add_section()
        line = sparkline([value for _, value in points[name][-shown:]])
        table.add_row(name, last[name] + steps.get(name, ""), line)
    return table
