"""Files of this package: they appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sarcore.errors import DataError

TIFF = (".tif", ".tiff")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, renamed to it at the end; after an error nothing is left.

    >>> out = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole_file(out) as file:
    ...     _ = file.write_text("all of it")
    >>> out.read_text()
    'all of it'

    Raises DataError where the system refuses to write.
    """
    name: str | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(descriptor)
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp gives 0600, which would hide the file from other users
        os.replace(name, path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason(error)}; nothing was left there") from error
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder for copies, beside the file that is to be written; gone at the end.

    Raises DataError where none can be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(dir=beside.parent, prefix=f".{beside.stem}.")
    except OSError as error:
        raise DataError(f"cannot write {beside}: {reason(error)}; nothing was left there") from error
    with folder as name:
        yield Path(name)


def reason(error: BaseException) -> str:
    """What GDAL said, where rasterio says only that it said something.

    >>> reason(OSError("Write failed. See previous exception for details."))
    'Write failed.'
    """
    while error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "strerror", None) or getattr(error, "errmsg", error)
    return str(said).removesuffix(" See previous exception for details.")


def on_disk(path: Path, largest: int) -> None:
    """Make sure that all writes to a closed file arrived, although GDAL tells nothing of those made while closing.

    A write that failed for want of room needed at most `largest` bytes: so there is no room for these, then.

    Raises OSError where there is none.
    """
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        try:
            file.write(bytes(largest))
            file.flush()
            os.fsync(file.fileno())
        finally:
            file.truncate(size)


def check_output(path: Path, inputs: Sequence[Path], suffixes: Sequence[str] = TIFF) -> None:
    """Refuse a file that cannot be written before anything is read.

    >>> check_output(Path("a.jpg"), [])
    Traceback (most recent call last):
    sarcore.errors.DataError: cannot write a.jpg: use one of the suffixes .tif, .tiff
    """
    if path.suffix.lower() not in suffixes:
        raise DataError(f"cannot write {path}: use one of the suffixes {', '.join(suffixes)}")
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise DataError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if any(path.exists() and given.exists() and path.samefile(given) for given in inputs):
        raise DataError(f"cannot write {path}: it is the image that is read; give another name")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
