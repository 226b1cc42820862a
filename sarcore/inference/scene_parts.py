"""The finished rows of a result that is not complete: kept beside it, so that a run goes on after it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.errors import DataError

_FINGERPRINT = "run.json"
_ROWS = re.compile(r"rows_(\d{6,})_([0-9a-f]{8})\.npy")
_OURS = re.compile(r"rows_\d{6,}_[0-9a-f]{8}\.npy|run\.json|\.lock|process_\d+\.(lock|done)|.*\.unfinished.*")

Array = npt.NDArray[Any]


class SceneParts:
    """A folder with a file for each finished band of rows, whose name holds the checksum of the pixels.

    A file has its name only once it is whole, so that a process can be killed at any time.

    >>> from tempfile import mkdtemp
    >>> parts = SceneParts(Path(mkdtemp()) / "a.tif.parts", {"size": 64})
    >>> parts.open()
    >>> parts.save(0, np.ones((1, 2, 3), np.float32))
    >>> parts.finished(), parts.load(0).shape
    ([0], (1, 2, 3))
    >>> SceneParts(parts.folder, {"size": 32}).open()
    Traceback (most recent call last):
    sarcore.errors.DataError: .../a.tif.parts holds the unfinished rows of another run (size was 64 and is 32); give the
    same arguments again, or begin anew with resume=False (--no-resume)
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        self.folder = folder
        # As JSON gives it back: tuples become lists, NumPy's integers plain ones.
        self._fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint, default=int))

    def open(self, *, resume: bool = True, alone: bool = True) -> None:
        """Make the folder this run's: new, or what the same run left there.

        Args:
            resume: keep finished rows.
            alone: no other process works in the folder, so that what is half-written is waste.

        Raises DataError where the rows are those of another run, or the folder is none of ours.
        """
        self.folder.mkdir(exist_ok=True)
        marks = self.folder / _FINGERPRINT
        if alone:
            self._check_ours()
            # Without fingerprint the rows are what is left of a folder that was being removed.
            self._remove(everything=not (resume and marks.is_file()))
        if not marks.is_file():
            try:
                self._write(marks, json.dumps(self._fingerprint, indent=1).encode())
            except DataError:
                if alone:
                    self.remove()  # it holds nothing but locks
                raise
            return
        differences = _differences(self._kept(marks), self._fingerprint)
        if differences:
            raise DataError(
                f"{self.folder} holds the unfinished rows of another run ({'; '.join(differences)}); give the same "
                "arguments again, or begin anew with resume=False (--no-resume)"
            )

    def finished(self) -> list[int]:
        """The numbers of the bands that are there."""
        return sorted(self._files())

    def save(self, band: int, rows: Array) -> None:
        """Keep the rows of a band, (C, r, W)."""
        rows = np.ascontiguousarray(rows)
        self._write(self.folder / f"rows_{band:06d}_{_checksum(rows):08x}.npy", _header(rows), _bytes(rows))

    def load(self, band: int) -> Array:
        """The rows of a band; DataError where the file is damaged, which is then removed."""
        file = self._files().get(band)
        rows = None if file is None else _read(file)
        if rows is None:
            if file is not None:
                file.unlink(missing_ok=True)
            raise DataError(
                f"the finished rows {file or band} in {self.folder} are damaged and were removed; give the same "
                "arguments again to compute them anew"
            )
        return rows

    def check(self, bands: Iterable[int]) -> list[int]:
        """The bands among these whose rows are there and whole; damaged files are removed."""
        files = self._files()
        there = [band for band in bands if band in files]
        damaged = {band for band in there if _read(files[band]) is None}
        for band in damaged:
            files[band].unlink(missing_ok=True)
        return [band for band in there if band not in damaged]

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        (self.folder / _FINGERPRINT).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> dict[int, Path]:
        found = ((_ROWS.fullmatch(path.name), path) for path in self.folder.iterdir())
        return {int(match[1]): path for match, path in found if match}

    def _kept(self, marks: Path) -> dict[str, Any]:
        try:
            kept = json.loads(marks.read_bytes())
        except ValueError:
            kept = None
        if not isinstance(kept, dict):
            raise DataError(f"{marks} is damaged; begin anew with resume=False (--no-resume)")
        return kept

    def _check_ours(self) -> None:
        strange = sorted(path.name for path in self.folder.iterdir() if not _OURS.fullmatch(path.name))
        if strange:
            raise DataError(
                f"{self.folder} is where unfinished rows are kept, and holds something else ({strange[0]}); move that "
                "away or give the result another name"
            )

    def _remove(self, *, everything: bool) -> None:
        for path in self.folder.iterdir():
            kept = path.name.endswith(".lock") or (_ROWS.fullmatch(path.name) or path.name == _FINGERPRINT)
            if not kept or (everything and not path.name.endswith(".lock")):
                _discard(path)

    def _write(self, path: Path, *pieces: Any) -> None:
        temporary = self.folder / f"{path.name}.unfinished.{os.getpid()}"
        try:
            with open(temporary, "wb") as file:
                for piece in pieces:
                    file.write(piece)
            os.replace(temporary, path)
        except OSError as error:
            raise DataError(
                f"cannot write {path}: {error.strerror or error}; make room and give the same arguments again, which "
                "goes on with the rows that are finished"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two fingerprints do not share, in words; what is inside a part of them by its own name."""
    found = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new)
        elif old != new:
            found.append(f"{key} was {old} and is {new}")
    return found


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _header(rows: Array) -> bytes:
    from io import BytesIO

    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(rows))
    return header.getvalue()


def _bytes(rows: Array) -> memoryview:
    # NumPy's own writer loses the number of a system error, and with it the reason.
    return rows.reshape(-1).view(np.uint8).data


def _checksum(rows: Array) -> int:
    return zlib.crc32(_bytes(rows), zlib.crc32(f"{rows.dtype.str}{rows.shape}".encode()))


def _read(file: Path) -> Array | None:
    """The pixels of a file; None where they are not those of its checksum."""
    match = _ROWS.fullmatch(file.name)
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if match and _checksum(np.ascontiguousarray(rows)) == int(match[2], 16) else None
