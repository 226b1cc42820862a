"""Files from a server: streamed, resumed where they broke off, verified, and whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sarcore.errors import DataError
from sarcore.geo.http import ATTEMPTS, Connection, check_url, shown
from sarcore.geo.providers import RemoteFile

_PIECE = 1 << 16  # bytes; of a piece that broke off nothing is kept
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(
    connection: Connection,
    file: RemoteFile,
    folder: Path,
    *,
    wait: float = 1.0,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Fetch a file into a folder; what is there already, with the right size and checksum, is left alone.

    >>> download(Connection(), RemoteFile("ftp://a.org/b.tif", "b.tif"), Path("data"))
    Traceback (most recent call last):
    sarcore.errors.DataError: 'ftp://a.org/b.tif' is no address of a web server; give one that begins with https://

    It grows as ``name.part``. A download that broke off goes on there by a Range request, by itself and when it is
    called again, as long as the server says by ETag or date that it is the same file; else it begins anew. Size and
    checksum are compared before it gets its name.

    Args:
        connection: how to ask, see `Connection`.
        file: address, name, and size and checksum where they are known.
        folder: where to write; made if it is not there.
        wait: seconds before a broken download is resumed.
        on_bytes: called with the bytes that are there, and all of them where that is known.

    Raises:
        HTTPError: the server refuses.
        DataError: a name that is a path, a download that broke off again and again, a wrong size or checksum.
    """
    check_url(file.url)
    _digest(file)
    target = folder / safe_name(file.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.is_file() and not _wrong(target, file):
            return target
        part = _Part(target)
        _fetch(connection, file, part, wait, on_bytes)
        wrong = _wrong(part.path, file)
        if wrong:
            part.remove()
            raise DataError(f"{shown(file.url)} was not kept: {wrong}; try again, or ask the provider")
        os.replace(part.path, target)
        part.remove()
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}; the download goes on from there") from error
    return target


def safe_name(name: str) -> str:
    """A name that stays in its folder.

    >>> safe_name("../../etc/passwd")
    Traceback (most recent call last):
    sarcore.errors.DataError: the server calls a file '../../etc/passwd', which is no plain name; it is not written
    """
    if name in ("", ".", "..") or any(c in name for c in "/\\") or not name.isprintable() or name.startswith("~"):
        raise DataError(f"the server calls a file {name!r}, which is no plain name; it is not written")
    return name


class _Part:
    """The bytes that are there, and by what the server knows their file again."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._about = target.with_name(target.name + ".part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self) -> str | None:
        try:
            found = json.loads(self._about.read_text(encoding="utf-8"))["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def note(self, validator: str | None) -> None:
        self._about.write_text(json.dumps({"validator": validator}), encoding="utf-8")

    def begin_anew(self, why: str) -> bool:
        """Forget the bytes, which the server gives no rest of; DataError where there are none."""
        if not self.size():
            raise DataError(f"{self.path.name.removesuffix('.part')} {why}; try again, or ask the provider")
        self.remove()
        return False

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)


def _fetch(
    connection: Connection,
    file: RemoteFile,
    part: _Part,
    wait: float,
    on_bytes: Callable[[int, int | None], None] | None,
) -> None:
    """Until all bytes are there; attempts that bring nothing are counted."""
    fruitless = most = 0
    while True:
        most = max(most, part.size())
        try:
            if _attempt(connection, file, part, on_bytes):
                return
        except _BrokenOffError as error:
            fruitless = 0 if part.size() > most else fruitless + 1
            if fruitless >= ATTEMPTS:
                raise DataError(
                    f"{shown(file.url)} broke off after {part.size()} bytes ({error}); "
                    "the same command goes on from there"
                ) from error
            time.sleep(wait * 2**fruitless)


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def _attempt(
    connection: Connection, file: RemoteFile, part: _Part, on_bytes: Callable[[int, int | None], None] | None
) -> bool:
    """One request; False where it has to begin anew."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    size, validator = part.size(), part.validator()
    if size and validator:
        headers |= {"Range": f"bytes={size}-", "If-Range": validator}
    else:
        size = 0
    answer = connection.request("GET", file.url, headers=headers, allowed=(416,), stream=True)
    with answer:
        if answer.status_code == 416:  # the file is shorter than what is there, or exactly as long
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(size):
                return True
            part.remove()
            return False
        _check_kind(answer, file)
        begins, total = _extent(answer)
        if begins not in (0, size):
            return part.begin_anew("came as another part than was asked for")
        encoded = answer.headers.get("Content-Encoding", "identity").lower() != "identity"
        if begins and (encoded or _validator(answer) not in (None, validator)):
            return part.begin_anew("came as a part of another file")  # although If-Range was asked
        if encoded:  # sizes and ranges are those of packed bytes, and here they are unpacked
            total = None
        if begins == 0:
            part.note(None if encoded else _validator(answer))
        there = begins
        with open(part.path, "ab" if begins else "wb") as out:
            try:
                for piece in answer.iter_content(_PIECE):
                    out.write(piece)
                    there += len(piece)
                    if on_bytes is not None:
                        on_bytes(there, total if total is not None else file.size)
            except requests.RequestException as error:
                raise _BrokenOffError("the connection failed") from error
    if total is not None and there < total:
        raise _BrokenOffError(f"of {total}")
    return True


def _check_kind(answer: Any, file: RemoteFile) -> None:
    """Refuse an answer that is no file, as the pages are on which one should log in."""
    if answer.status_code not in (200, 206, 203):
        raise DataError(f"{shown(file.url)} answered {answer.status_code} and no file; check the address")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not file.name.lower().endswith((".html", ".htm")):
        raise DataError(f"{shown(file.url)} answered with a web page instead of {file.name}; does it want a login?")


def _extent(answer: Any) -> tuple[int, int | None]:
    """Where the bytes begin in the file, and how many the file has."""
    length = answer.headers.get("Content-Length", "")
    if answer.status_code != 206:
        return 0, int(length) if length.isdecimal() else None
    found = _RANGE.match(answer.headers.get("Content-Range", ""))
    if found is None:
        return -1, None
    first = int(found[1])
    if found[2] != "*":
        return first, int(found[2])
    return first, first + int(length) if length.isdecimal() else None


def _validator(answer: Any) -> str | None:
    tag = answer.headers.get("ETag", "")
    # A weak one does not promise the same bytes.
    found = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
    return None if found is None else str(found)


def _digest(file: RemoteFile) -> Any:
    """The hash function of a file's checksum; DataError for one that is not known, or has no length of its own."""
    if file.checksum is None:
        return None
    try:
        digest = hashlib.new(file.checksum.algorithm, usedforsecurity=False)
    except ValueError:
        digest = None
    if digest is None or not digest.digest_size:
        raise DataError(f"{file.name} has a checksum of an unknown kind, {file.checksum.algorithm}; nothing is fetched")
    return digest


def _wrong(path: Path, file: RemoteFile) -> str | None:
    """What does not fit the size and the checksum; None where all does."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size} bytes instead of {file.size}"
    if file.checksum is None:
        return None
    digest = _digest(file)
    with open(path, "rb") as data:
        while piece := data.read(_PIECE):
            digest.update(piece)
    found = digest.hexdigest()
    return None if found == file.checksum.value.lower() else f"its {file.checksum.algorithm} is {found}"
