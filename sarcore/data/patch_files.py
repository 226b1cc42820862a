"""The files of a patch set: PNG, TIFF with its place, NPY, or shards."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.images import write_image, write_whole
from sarcore.data.scene import Scene
from sarcore.data.scene_tags import Tag
from sarcore.data.scene_writer_tiff import TiffLayout, layout_for
from sarcore.data.shards import ShardWriter
from sarcore.errors import DataError

FORMATS = {"png": ".png", "tiff": ".tif", "npy": ".npy", "shards": ".npy"}
_SCALED = 34264  # 4 x 4 matrix from pixels to the map
_TIE_POINTS = 33922  # column, row, depth, x, y, z of each
_RPC = 50844  # two errors, then the offsets of line and sample


def check_png(channels: int, bits: int) -> None:
    """Raise DataError where PNG does not hold patches of that many channels and bits.

    >>> check_png(3, 8)
    """
    if channels not in (1, 3, 4) or (channels > 1 and bits > 8):
        raise DataError(
            f"PNG holds 1, 3 or 4 channels of 8 bit or 1 of 16 bit, and the patches have {channels} of {bits}; choose "
            "--channels or another --format"
        )


def folder_name(class_name: str) -> str:
    """The folder for the patches of a class: one, and not hidden.

    >>> folder_name("urban/dense")
    'urban_dense'
    """
    return re.sub(r"[^\w.-]+", "_", class_name).lstrip("._") or "class"


class PatchFiles:
    """Writes patches under a folder, and names their files; use it in a ``with`` block."""

    def __init__(
        self,
        folder: Path,
        format: str,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        nodata: float | None,
        *,
        same_bands: bool,
    ) -> None:
        """`same_bands`: the patches have the channels of the scenes, all in their order."""
        self._folder, self._format, self._nodata, self._same_bands = folder, format, nodata, same_bands
        self._shards = ShardWriter(folder, shape, dtype) if format == "shards" else None
        self._class_folders: dict[str | None, str] = {None: ""}

    def __enter__(self) -> PatchFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shards is not None:
            self._shards.close()

    def write(
        self, patch: npt.NDArray[Any], scene: Scene, name: str, position: tuple[int, int], class_name: str | None
    ) -> str:
        """Write a patch (C, h, w) of a scene of that name, into the folder of its class; its file in the manifest."""
        if self._shards is not None:
            return self._shards.add(patch)
        row, column = position
        file = f"{self._class_folder(class_name)}{name}_{row}_{column}{FORMATS[self._format]}"
        path = self._folder / file
        if self._format == "tiff":
            layout = layout_for(scene, len(patch) if self._same_bands else 0, self._nodata)
            _write_tiff(path, patch, layout, row, column)
        elif self._format == "npy":
            np.save(path, patch, allow_pickle=False)
        else:
            write_image(path, patch)
        return file

    def _class_folder(self, class_name: str | None) -> str:
        if class_name not in self._class_folders:
            assert class_name is not None
            plain = folder_name(class_name)
            (self._folder / plain).mkdir(exist_ok=True)
            self._class_folders[class_name] = f"{plain}/"
        return self._class_folders[class_name]


def _write_tiff(path: Path, patch: npt.NDArray[Any], layout: TiffLayout, row: int, column: int) -> None:
    import tifffile

    options = {"planarconfig": "separate", **layout.options} if patch.shape[0] > 1 else layout.options
    tags = tuple(_moved(tag, row, column) for tag in layout.tags)
    pixels = patch if patch.shape[0] > 1 else patch[0]
    write_whole(
        path,
        lambda name: tifffile.imwrite(
            name, np.ascontiguousarray(pixels), metadata=None, software=False, extratags=tags, **options
        ),
    )


def _moved(tag: Tag, row: int, column: int) -> Tag:
    """The tag for an image whose first pixel is the scene's one at that row and column."""
    code, kind, count, value, once = tag
    if code == _TIE_POINTS:
        points = np.array(value, dtype=np.float64).reshape(-1, 6) - [column, row, 0, 0, 0, 0]
        value = tuple(points.ravel().tolist())
    elif code == _SCALED:
        matrix = np.array(value, dtype=np.float64).reshape(4, 4)
        matrix[:, 3] += matrix[:, 0] * column + matrix[:, 1] * row
        value = tuple(matrix.ravel().tolist())
    elif code == _RPC:
        value = (*value[:2], value[2] - row, value[3] - column, *value[4:])
    return code, kind, count, value, once
