"""A digest that tells when the data of a run changed."""

from __future__ import annotations

import hashlib

from sarcore.data.folder import PatchFolder
from sarcore.data.shards import stored_file


def data_fingerprint(folder: PatchFolder) -> str:
    """Digest of the file names, file sizes, classes and scenes of a patch folder: it tells when the data changed.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=2, size=32))
    >>> data_fingerprint(folder) == data_fingerprint(folder.subset(range(10)))
    False
    """
    digest = hashlib.sha256(repr((folder.shape, folder.radiometry.to_dict())).encode())
    for path, label, scene in zip(folder.paths, folder.labels.tolist(), folder.scenes, strict=True):
        name = path.relative_to(folder.root).as_posix()
        digest.update(f"{name}\0{stored_file(path).stat().st_size}\0{folder.classes[label]}\0{scene}\n".encode())
    return digest.hexdigest()[:16]
