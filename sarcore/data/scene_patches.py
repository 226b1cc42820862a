"""Folders of scenes where patches are wanted: which they are, and their patches, cut once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sarcore.data.folder import PatchFolder
from sarcore.data.images import IMAGE_SUFFIXES
from sarcore.data.manifest import sub_folders
from sarcore.data.patch_cache import cache_folder
from sarcore.data.patch_set import write_patch_set
from sarcore.errors import DataError


def scenes_in(folder: Path) -> list[Path]:
    """The images of a folder of scenes, sorted; none of a folder of patches, which has class folders or labels.csv.

    >>> import tempfile
    >>> scenes_in(Path(tempfile.mkdtemp()))
    []
    """
    if not folder.is_dir() or (folder / "labels.csv").is_file() or sub_folders(folder):
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def scene_patches(scenes: Sequence[Path], size: int) -> PatchFolder:
    """Patches of a side of ``size`` pixels that lie whole in scenes, as a set that is cut the first time.

    The set lies beside those of `patch_cache` and may be deleted whenever no run uses it. It is found again by the
    names of the scenes, their sizes and the times at which they were changed. What `write_patch_set` finds out about
    unit and limits holds; declare them by `sarcore tile` where that is not right.

    Raises DataError as `write_patch_set`, and where no scene holds a patch.
    """
    digest = hashlib.sha256(str(size).encode())
    for scene in scenes:
        stat = scene.stat()
        digest.update(f"{scene.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    target = cache_folder() / "scenes" / f"{scenes[0].resolve().parent.name}-{size}-{digest.hexdigest()[:16]}"
    if not target.is_dir():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"the patches of the scenes cannot be kept in {target.parent} ({error.strerror or error}); give "
                "another folder with the variable SARCORE_CACHE, or cut the scenes with `sarcore tile`"
            ) from error
        write_patch_set(scenes, target, size, format="shards", min_valid=1.0)
    return PatchFolder.open(target)
