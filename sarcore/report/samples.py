"""Pictures of a run for its page: which steps, how much of every grid, and the statistics that belong to them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from sarcore.report.charts import Line, chart
from sarcore.report.run_folder import RunFolder

PAGE_BYTES = 3_300_000  # of all pictures of a page; as text in the page they take a third more
_MOST_STEPS = 40
_FEWEST_STEPS = 12
_CELLS = 5  # rows and columns of a grid that are shown at most
_LARGEST_SIDE = 1000

Pixels = npt.NDArray[np.uint8]


@dataclass
class Gallery:
    """The pictures of one run by step, how they were cut for the page, and the drawings beside them."""

    run: RunFolder
    pictures: dict[int, str] = field(default_factory=dict)
    real: str | None = None
    cut: str = ""
    size: tuple[int, int] = (0, 0)
    statistics: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """Rows by direction of translation ("" where nothing is translated) and step."""
    reference: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Those of the real images, by direction."""
    columns: list[str] = field(default_factory=list)
    """Titles of the columns of labelled pictures."""
    rows: list[str] = field(default_factory=list)
    """Directions of their rows, as far as these are shown."""

    @property
    def omitted(self) -> int:
        """Steps with a picture that the page leaves out to stay small."""
        return len(self.run.samples) - len(self.pictures)


def gallery(run: RunFolder, budget: int) -> Gallery:
    """Choose and cut the pictures of a run so that they take at most about ``budget`` bytes.

    Pictures are cut to fewer images rather than made smaller: speckle that is scaled down is no speckle. Of the steps
    the first and the last are always there, and the others at even distances. What cannot be read is said in
    ``run.problems``.
    """
    made = Gallery(run)
    for row in run.statistics:
        of = str(row.get("of", ""))
        if row["step"] is None:
            made.reference.setdefault(of, row)
        else:
            made.statistics.setdefault(of, {})[row["step"]] = row
    opened: dict[int, Pixels | None] = {}
    for step, file in sorted(run.samples.items(), reverse=True):
        opened[step] = _pixels(run, file)
        if opened[step] is not None:
            break
    last = next((pixels for pixels in opened.values() if pixels is not None), None)
    if last is None:
        return made
    cell = _labelled_cell(run)
    cells, shrink, count = _layout(last, len(run.samples), budget, cell)
    cut, made.cut = _cut(last, cells, shrink, cell)
    made.size = (cut.shape[1], cut.shape[0])
    if cell is not None:
        shown = [
            (side * shrink - cell[2]) // (inner + cell[2]) for side, inner in zip(cut.shape[:2], cell[:2], strict=True)
        ]
        made.rows, made.columns = run.sheet["rows"][: shown[0]], run.sheet["columns"][: shown[1]]
    for step in chosen_steps(list(run.samples), count):
        pixels = opened[step] if step in opened else _pixels(run, run.samples[step])
        if pixels is not None:
            made.pictures[step] = png_uri(_cut(pixels, cells, shrink, cell)[0])
    if run.real is not None and (pixels := _pixels(run, run.real)) is not None:
        made.real = png_uri(_cut(pixels, cells, shrink, cell)[0])
    return made


def chosen_steps(steps: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of the steps, evenly, with the first and the last.

    >>> chosen_steps([100, 200, 300, 400, 500], 3)
    [100, 300, 500]
    """
    if len(steps) <= count:
        return list(steps)
    return [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, max(count, 2)).round().astype(int))]


def cell_of(pixels: Pixels) -> tuple[int, int, int] | None:
    """(height, width, padding) of the images of a grid, found by the black lines between them; None without such lines.

    >>> grid = np.zeros((32, 22), dtype=np.uint8)
    >>> for y in (2, 12, 22):
    ...     grid[y : y + 8, 2:10] = grid[y : y + 8, 12:20] = 90
    >>> cell_of(grid)
    (8, 8, 2)
    """
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    down, across = _period(grey.max(axis=1) == 0), _period(grey.max(axis=0) == 0)
    if down is None or across is None or down[1] != across[1]:
        return None
    return down[0], across[0], down[1]


def drawings(made: Gallery) -> tuple[list[Markup], dict[int, dict[str, list[float | None]]]]:
    """Histogram and spectrum of the last step beside those of the real images, and the values of all steps."""
    charts: list[Markup] = []
    frames: dict[int, dict[str, list[float | None]]] = {}
    for of, rows in made.statistics.items():
        shown = [step for step in made.pictures if step in rows] or sorted(rows)
        for name, title, x, note in (
            ("histogram", "Histogram", "value, 0 to 1", "density"),
            ("spectrum", "Radial spectrum", "frequency, 1 = Nyquist", "log10 of the power"),
        ):
            curves = {step: values for step in shown if (values := _values(rows[step].get(name)))}
            real = _values(made.reference.get(of, {}).get(name))
            key = f"{name}-{of}" if of else name
            drawn = _drawing(name, f"{title}, {of}" if of else title, curves, real, x=x, note=note, key=key)
            if drawn is None:
                continue
            charts.append(drawn)
            for step, values in curves.items():
                frames.setdefault(step, {})[key] = [
                    None if value is None else float(f"{value:.4g}") for value in values
                ]
    return charts, frames


def _drawing(
    name: str, title: str, curves: dict[int, list[float | None]], real: list[float | None], **words: Any
) -> Markup | None:
    """The curve of the last step beside that of the real images, on an axis for all steps; None where all are empty."""
    everything = [value for values in [*curves.values(), real] for value in values if value is not None]
    if not curves or not everything:
        return None
    lines = [Line("real", _places(name, real), 0, "area" if name == "histogram" else "line")] if real else []
    lines.append(Line("generated", _places(name, curves[max(curves)]), 1, key=words.pop("key")))
    # One axis for all steps, or nothing could be compared while the slider moves. A step at which all pixels have
    # one value must not flatten the others.
    most = [float(np.quantile(everything, 0.99)) * 1.15, *(1.05 * value for value in real if value is not None)]
    high = max(most) if name == "histogram" else None
    bounds = (None, None) if high is None else (0.0, high)
    extent = everything if high is None else []
    return chart(title, lines, x_bounds=(0, 1), y_bounds=bounds, log=False, extent=extent, **words)


def png_uri(pixels: Pixels) -> str:
    """8-bit pixels (H, W) or (H, W, 3) as a PNG in a data URI."""
    return "data:image/png;base64," + base64.b64encode(_png(pixels)).decode()


def file_uri(file: Path) -> str:
    """A PNG file as a data URI, byte for byte."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def _layout(pixels: Pixels, steps: int, budget: int, cell: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """(cells along a side, factor of reduction, steps): as many steps as are there or a dozen, then as many cells."""
    wanted = min(steps, _FEWEST_STEPS)
    whole, _ = _cut(pixels, _CELLS, 1, cell)
    bytes_per_value = len(_png(whole)) / whole.size
    count = 2
    for cells, shrink in [*((n, 1) for n in range(_CELLS, 0, -1)), (1, 2), (1, 4), (1, 8)]:
        cut, _ = _cut(pixels, cells, shrink, cell)
        count = min(_MOST_STEPS, int(budget / (bytes_per_value * cut.size)) - 1)  # one for the real images
        if count >= wanted:
            break
    return cells, shrink, max(count, 2)


def _cut(pixels: Pixels, cells: int, shrink: int, cell: tuple[int, int, int] | None) -> tuple[Pixels, str]:
    """The top left of a grid, so many cells a side at most, and what was done in words."""
    found, said = cell or cell_of(pixels), ""
    if found is not None:
        height, width, padding = found
        rows, columns = (
            (side - padding) // (cell + padding) for side, cell in zip(pixels.shape, (height, width), strict=False)
        )
        kept = min(rows, cells), min(columns, cells)
        pixels = pixels[: padding + kept[0] * (height + padding), : padding + kept[1] * (width + padding)]
        if kept != (rows, columns):
            said = f"{kept[0] * kept[1]} of {rows * columns} images"
    else:
        side = _LARGEST_SIDE * cells // _CELLS
        if max(pixels.shape[:2]) > side:
            pixels, said = pixels[:side, :side], "the upper left of every picture"
    if shrink > 1:
        size = max(pixels.shape[1] // shrink, 1), max(pixels.shape[0] // shrink, 1)
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
        said = f"{said or 'pictures'}, reduced to 1/{shrink}"
    return pixels, said


def _labelled_cell(run: RunFolder) -> tuple[int, int, int] | None:
    """(height, width, padding) of labelled images, as their run says; None without labels."""
    cell = run.sheet.get("cell")
    lists = all(isinstance(run.sheet.get(name), list) for name in ("columns", "rows"))
    whole = isinstance(cell, list) and len(cell) == 3 and all(isinstance(n, int) and n > 0 for n in cell)
    return (cell[0], cell[1], cell[2]) if lists and whole and cell is not None else None


def _period(black: npt.NDArray[np.bool_]) -> tuple[int, int] | None:
    """(cell, padding) where black lines stand at equal distances, beginning and ending with one."""
    if not black[0] or black.all():
        return None
    padding = int(np.argmin(black))
    lit = np.flatnonzero(~black)
    # A cell may itself begin or end dark, so the distance is that of the first black run of the padding's width.
    for cell in range(1, len(black) - 2 * padding + 1):
        period = cell + padding
        if (len(black) - padding) % period == 0 and not (lit % period < padding).any():
            return cell, padding
    return None


def _pixels(run: RunFolder, file: Path) -> Pixels | None:
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("L" if picture.mode in ("L", "1", "I;16", "I") else "RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # Pillow calls a broken PNG by all three
        run.problems.append(f"samples/{file.name}: cannot be shown ({error}).")
        return None
    header = run.sheet.get("header")  # titles, which the page writes itself
    return pixels[header:] if isinstance(header, int) and 0 < header < len(pixels) else pixels


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _values(given: Any) -> list[float | None]:
    """The numbers of a row of statistics, None where one was NaN; none of them where the row holds something else."""
    whole = isinstance(given, list) and all(value is None or isinstance(value, (int, float)) for value in given)
    finite = whole and all(value is None or np.isfinite(value) for value in given)
    return [None if value is None else float(value) for value in given] if finite else []


def _places(name: str, values: Sequence[float | None]) -> list[tuple[float, float | None]]:
    """Bins of a histogram have their centres between 0 and 1, those of a spectrum lie on 0 to 1."""
    count = len(values)
    if name == "histogram":
        return [((i + 0.5) / count, value) for i, value in enumerate(values)]
    return [(i / max(count - 1, 1), value) for i, value in enumerate(values)]
