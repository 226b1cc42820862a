"""A run of `run_scene`: bands of rows are computed, kept and written, by one process or by several."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sarcore.data import SceneWriter
from sarcore.errors import DataError
from sarcore.inference.scene_parts import SceneParts
from sarcore.inference.scene_pixels import Array
from sarcore.inference.scene_processes import SceneProcesses, process_of_environment, share_of
from sarcore.inference.scene_rows import BlendedRows, CroppedRows

_TOLERANCE = 1e-3  # of a value in the first tile, between two computations of it by the same function

Writer = Callable[[Path, Sequence[int], np.dtype[Any]], SceneWriter]


class SceneRun:
    """Everything that is needed to go from bands of rows to the file.

    Args:
        rows: computes the bands.
        parts: keeps them.
        out: the file.
        writer: makes the writer of a file for rows of a shape and type, and refuses what cannot be written.
        convert: what is done to the rows before they are written.
        on_rows: hears how many rows are finished.
    """

    def __init__(
        self,
        rows: CroppedRows | BlendedRows,
        parts: SceneParts,
        out: Path,
        writer: Writer,
        *,
        convert: Callable[[Array], Array] | None,
        on_rows: Callable[[int], None] | None,
    ) -> None:
        self._rows, self._parts, self._out, self._writer = rows, parts, out, writer
        self._convert, self._on_rows = convert, on_rows
        # In the folder of the rows, so that nothing is left elsewhere when the process is killed.
        self._unfinished = parts.folder / f"{out.stem}.unfinished{out.suffix}"

    def complete(self, *, resume: bool) -> None:
        """Return when the file is there."""
        parts = self._parts
        rank, count = process_of_environment()
        with SceneProcesses(parts.folder, rank, count) as processes, self._errors_name_the_output():
            processes.join(lambda first: parts.open(resume=resume, alone=first))
            try:
                share = share_of(rank, count, self._rows.tiles.bands)
                there = self._kept(share)
                if count == 1:  # the file is written while the rows are computed
                    self._write(self._finished(share, there))
                    return
                for _ in self._finished([band for band in share if band not in there], []):
                    pass
                if processes.is_last():
                    self._write(map(parts.load, parts.finished()))
                else:
                    processes.wait()
            except BaseException:
                if not parts.finished() and processes.alone():
                    parts.remove()  # nothing to go on with
                raise

    def _kept(self, bands: Sequence[int]) -> list[int]:
        """The bands that are there, whole and of the same function."""
        there = self._parts.check(bands)
        if there:
            self._tell()
        if 0 in there:
            self._check_function(self._rows.corner(), self._parts.load(0))
        return there

    def _finished(self, bands: Sequence[int], there: Sequence[int]) -> Iterator[Array]:
        """The bands in order; those that are not there are computed and kept."""
        computed = self._rows.compute([band for band in bands if band not in there])
        for band in bands:
            if band in there:
                yield self._parts.load(band)
                continue
            _, result = next(computed)
            if self._convert is None:  # a file that cannot be written is known after the first band
                self._writer(self._unfinished, result.shape, result.dtype)
            self._parts.save(band, result)
            self._tell()
            yield result

    def _write(self, bands: Iterator[Array]) -> None:
        """Write the file from all bands and remove them."""
        blocks = bands if self._convert is None else map(self._convert, bands)
        first = next(blocks)
        with self._writer(self._unfinished, first.shape, first.dtype) as file:
            file.write(first)
            for block in blocks:
                file.write(block)
        os.replace(self._unfinished, self._out)
        self._parts.remove()

    def _tell(self) -> None:
        if self._on_rows is not None:
            self._on_rows(sum(end - begin for begin, end in map(self._rows.tiles.rows, self._parts.finished())))

    def _check_function(self, corner: Array, kept: Array) -> None:
        before = kept[:, : corner.shape[1], : corner.shape[2]]
        same = corner.shape == before.shape and corner.dtype == before.dtype
        if same:
            differs = corner != before  # NaN too
            old, new = before[differs], corner[differs]
            typical = float(np.nanmedian(np.abs(old))) if np.isfinite(old).any() else 0.0
            same = np.allclose(new, old, rtol=_TOLERANCE, atol=_TOLERANCE * typical, equal_nan=True)
        if not same:
            raise DataError(
                f"{self._parts.folder} holds the unfinished rows of another function: the first tile comes out "
                "different; give the same function again, or begin anew with resume=False (--no-resume)"
            )

    @contextlib.contextmanager
    def _errors_name_the_output(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            raise DataError(str(error).replace(str(self._unfinished), str(self._out))) from error
