"""Patches that are decoded once: a memory-mapped copy of a set of files, for sets too large to be held in memory."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sarcore.data.fingerprint import data_fingerprint
from sarcore.data.folder import PatchFolder
from sarcore.data.shards import ShardWriter, shard_header, shard_place
from sarcore.errors import DataError

MEMORY_LIMIT = 2 << 30  # bytes of native images up to which a set is held in memory for a training
_CHUNK = 256  # patches that are decoded side by side
_THREADS = min(8, os.cpu_count() or 1)  # the decoders work without the interpreter's lock


def patch_cache(
    folder: PatchFolder,
    limit: int = MEMORY_LIMIT,
    *,
    on_note: Callable[[str], None] | None = None,
    on_patches: Callable[[int, int], None] | None = None,
) -> PatchFolder:
    """The same folder, whose pixels come from a memory-mapped copy that is made the first time.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=2, size=32))
    >>> patch_cache(folder) is folder  # small: held in memory
    True

    The copy holds what the files hold, in their own type, as the shards of `sarcore tile --format shards`; it lies in
    ``$SARCORE_CACHE``, else in ``$XDG_CACHE_HOME/sarcore``, else in ``~/.cache/sarcore``, and may be deleted whenever
    no run uses it. It is found again by the path of the set, `data_fingerprint`, and the times at which the files were
    changed. Processes that ask for the same copy wait for the one that makes it. Items, labels, ``paths`` and
    `subset` are those of ``folder``: cache the whole set and take subsets of it.

    Args:
        folder: the set; one whose patches lie in shards is returned as it is.
        limit: bytes of native pixels up to which the set is returned as it is.
        on_note: gets one sentence where no copy can be made (a full disk, no folder to write to); the files are read.
        on_patches: called as ``on_patches(done, total)`` while the copy is made.

    Raises:
        DataError: a file of the set cannot be read.
    """
    if folder.decoded is not None or folder.nbytes <= limit or all(shard_place(path) for path in folder.paths):
        return folder
    target = cache_folder() / "patches" / _key(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f"{target.name}.lock")) as alone:
            if (found := _decoded(folder, target)) is None:
                for left in [target, *(target.parent.glob(f".{target.name}.*") if alone else ())]:
                    shutil.rmtree(left, ignore_errors=True)  # damaged, or of a process that was killed
                _write(folder, target, on_patches)
                found = _decoded(folder, target)
    except OSError as error:
        found = None
        if on_note is not None:
            on_note(
                f"The decoded patches cannot be kept in {target.parent} ({error.strerror or error}), so that every "
                "file is decoded anew each time: give another folder with the variable SARCORE_CACHE."
            )
    return folder if found is None else replace(folder, decoded=found)


def cache_folder() -> Path:
    """Where sarcore keeps what it can make again: $SARCORE_CACHE, $XDG_CACHE_HOME/sarcore or ~/.cache/sarcore.

    >>> cache_folder().is_absolute()
    True
    """
    if own := os.environ.get("SARCORE_CACHE"):
        return Path(own).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path("~/.cache").expanduser()) / "sarcore"


def _key(folder: PatchFolder) -> str:
    """Of a file that was changed in place, and kept its size, the time tells."""
    digest = hashlib.sha256(f"{folder.root.resolve()}\0{data_fingerprint(folder)}".encode())
    for path in folder.paths:
        digest.update(path.stat().st_mtime_ns.to_bytes(8, "little", signed=True))
    return f"{folder.root.resolve().name}-{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[bool]:
    """One process at a time, where the file system knows locks; without them copies are made twice, and one is kept."""
    with open(file, "wb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            alone = True
        except OSError:
            alone = False
        yield alone


def _write(folder: PatchFolder, target: Path, on_patches: Callable[[int, int], None] | None) -> None:
    needed, free = folder.nbytes, shutil.disk_usage(target.parent).free
    if needed > free:
        raise OSError(f"{needed / 2**30:.1f} GiB are needed, {free / 2**30:.1f} GiB are free")
    total = len(folder)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with ThreadPoolExecutor(_THREADS) as pool, ShardWriter(temporary, folder.shape, folder.dtype) as writer:
            for first in range(0, total, _CHUNK):
                last = min(first + _CHUNK, total)
                for image in pool.map(folder.stored, range(first, last)):
                    writer.add(image)
                if on_patches is not None:
                    on_patches(last, total)
        for shard in temporary.iterdir():  # else a rename may reach the disk before the pixels do
            with open(shard, "rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _decoded(folder: PatchFolder, target: Path) -> list[Path] | None:
    """The places of the patches in a copy; None where there is no whole one."""
    places: list[Path] = []
    for number in itertools.count():
        shard = target / f"shard_{number:05d}.npy"
        if not shard.is_file():
            break
        try:
            count, header = shard_header(shard)
        except DataError:
            return None
        if header != (folder.shape, folder.dtype):
            return None
        places += [shard.with_name(f"{shard.name}#{i}") for i in range(count)]
    return places if len(places) == len(folder) else None
