"""A digest that tells when the data of a run changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from sarcore.data.folder import PatchFolder
from sarcore.data.pair_folder import PairedFolder
from sarcore.data.shards import stored_file
from sarcore.data.unpaired_folder import UnpairedFolder


def data_fingerprint(folder: PatchFolder | PairedFolder | UnpairedFolder) -> str:
    """Digest of the names, sizes, classes, scenes and parts of the files of a folder: it tells when the data changed.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=2, size=32))
    >>> data_fingerprint(folder) == data_fingerprint(folder.subset(range(10)))
    False
    """
    digest = hashlib.sha256()
    for line in _patch_lines(folder) if isinstance(folder, PatchFolder) else _pair_lines(folder):
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _patch_lines(folder: PatchFolder) -> Iterator[str]:
    yield repr((folder.shape, folder.radiometry.to_dict()))
    for path, label, scene in zip(folder.paths, folder.labels.tolist(), folder.scenes, strict=True):
        name = path.relative_to(folder.root).as_posix()
        yield f"{name}\0{stored_file(path).stat().st_size}\0{folder.classes[label]}\0{scene}\n"


def _pair_lines(folder: PairedFolder | UnpairedFolder) -> Iterator[str]:
    """Both domains, each with the radiometry and the places of its images; of pairs what belongs together too."""
    for domain in (folder.a, folder.b):
        yield repr((domain.channels, str(domain.dtype), domain.radiometry.to_dict()))
        for place, size in zip(domain.places, domain.sizes, strict=True):
            name = os.path.relpath(place.path, folder.root)
            yield f"{name}\0{place.half}\0{size}\0{place.path.stat().st_size}\n"
    if isinstance(folder, PairedFolder):
        yield repr((folder.scenes, folder.parts, folder.offsets))
    else:
        yield repr((folder.scenes_a, folder.scenes_b))
