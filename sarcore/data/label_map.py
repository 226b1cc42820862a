"""Labels of the pixels of a scene, from a label raster or from polygons, on the scene's own grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.scene import Scene
from sarcore.data.scene_labels import UNLABELLED, FromPolygons, Labels, SameGrid, SceneLabels, Warped
from sarcore.data.vector_file import VECTOR_SUFFIXES, Polygons, read_polygons
from sarcore.errors import DataError

MOST_CLASSES = 1 << 14
_PLAIN = (".npy", ".npz", ".png", ".jpg", ".jpeg")  # formats that hold no georeference
_GRID = 1e-3  # pixels by which the corners of one grid may differ


class LabelMap:
    """The labels of a file: a raster whose pixel values are classes, or polygons with a field that names them.

    >>> labels = LabelMap(np.array([[1, 1, 2, 0]], dtype=np.uint8), nodata=0)
    >>> grid = labels.on(Scene.open(np.zeros((1, 4))))
    >>> grid.read(0, 0, 1, 3).tolist(), grid.read(0, 3, 1, 1).item() == UNLABELLED, labels.name(2)
    ([[1, 1, 2]], True, '2')

    Args:
        source: a raster as `Scene` opens it, with one channel of integers, or ``.geojson``, ``.gpkg``, ``.shp``.
        field: of polygons, the field with the class; needed where there is more than one.
        nodata: of a raster, the value of pixels without a class; by default the one that the file declares.
        class_names: of a raster, names of its values; values without a name then have no class.

    Raises:
        DataError: the file cannot be read, or holds no labels.
    """

    def __init__(
        self,
        source: str | Path | npt.NDArray[Any],
        *,
        field: str | None = None,
        nodata: float | None = None,
        class_names: Mapping[int, str] | None = None,
    ) -> None:
        self._names: dict[int, str] | None = None if class_names is None else dict(class_names)
        self._polygons: Polygons | None = None
        self._raster: Scene | None = None
        if not isinstance(source, np.ndarray) and _is_vector(source):
            self._polygons = read_polygons(Path(source), field)
            found = sorted({name for name in self._polygons.names if name is not None})
            self._names = dict(enumerate(found))
        else:
            self._raster = Scene.open(source, nodata=nodata)
            if self._raster.shape[0] != 1 or self._raster.dtype.kind not in "uif":
                raise DataError(
                    f"the label raster {self._raster.path} has {self._raster.shape[0]} channels of "
                    f"{self._raster.dtype}; labels are one channel of integers"
                )
        self.path = "the label array" if isinstance(source, np.ndarray) else str(source)

    def name(self, value: int) -> str:
        """The class of a value that `read` gave."""
        return str(value) if self._names is None else self._names[value]

    def on(self, scene: Scene) -> SceneLabels:
        """The labels on the grid of a scene.

        Raises DataError where one of them has no CRS (a raster of the scene's shape needs none, if neither has or its
        format holds none), and where they do not overlap.
        """
        if self._polygons is not None:
            return FromPolygons(self, scene, self._polygons)
        assert self._raster is not None
        return (SameGrid if self._same_grid(scene, self._raster) else Warped)(self, scene, self._raster)

    def _same_grid(self, scene: Scene, raster: Scene) -> bool:
        if raster.shape[1:] != scene.shape[1:]:
            return False
        plain = raster.path is None or raster.path.suffix.lower() in _PLAIN
        if not raster.georeferenced and (plain or not scene.georeferenced):
            return True
        if raster.crs != scene.crs or raster.transform is None or scene.transform is None:
            return False
        corners = np.array([[0, 0, 1], [scene.shape[2], scene.shape[1], 1]])
        here, there = (corners @ np.array(t).reshape(2, 3).T for t in (scene.transform, raster.transform))
        assert scene.gsd is not None
        return bool((np.abs(here - there) <= _GRID * min(scene.gsd)).all())

    def known(self, values: npt.NDArray[Any], nodata: Any) -> Labels:
        """Pixel values as labels: without the no-data value, NaN, and values that have no name."""
        missing = values == nodata if nodata is not None else np.zeros(values.shape, dtype=bool)
        if values.dtype.kind == "f":
            missing |= np.isnan(values)
            if (values[~missing] != np.rint(values[~missing])).any():
                raise DataError(f"the label raster {self.path} holds fractions; labels are integers")
        if self._names is not None and self._polygons is None:
            missing |= ~np.isin(values, list(self._names))
        labels = np.where(missing, 0, values).astype(np.int64)
        if labels.size and max(labels.max(), -labels.min()) >= 2**31:
            raise DataError(f"the label raster {self.path} holds values beyond 2^31; labels are smaller integers")
        labels[missing] = UNLABELLED
        return labels.astype(np.int32)


LabelSource = str | Path | npt.NDArray[Any] | LabelMap


def _is_vector(source: str | Path | LabelMap) -> bool:
    return not isinstance(source, LabelMap) and Path(source).suffix.lower() in VECTOR_SUFFIXES


def numbered(labels: Labels) -> tuple[list[int], npt.NDArray[np.int64]]:
    """The values of labels in ascending order, and for each pixel 1 + the place of its value there; 0 without a class.

    >>> numbered(np.array([[7, UNLABELLED], [5, 7]], dtype=np.int32))
    ([5, 7], array([[2, 0],
           [1, 2]]))
    """
    known = labels != UNLABELLED
    low, high = int(labels.min(initial=2**31 - 1, where=known)), int(labels.max(initial=UNLABELLED, where=known))
    if high - low > 2**20:  # sorting is slower than a table, but needs no room for values that are not there
        values, numbers = np.unique(labels, return_inverse=True)
        first = int(values[0] == UNLABELLED)
        return values[first:].tolist(), numbers.reshape(labels.shape) + 1 - first
    offsets = np.where(known, labels, low - 1).astype(np.int64) - (low - 1)
    present = np.zeros(max(high - low + 2, 1), dtype=np.int64)
    present[offsets.ravel()] = 1
    present[0] = 0
    return (low - 1 + np.flatnonzero(present)).tolist(), np.cumsum(present)[offsets] * known


def labels_of_scenes(
    labels: LabelSource | Sequence[LabelSource] | None,
    scenes: Mapping[str, Scene],
    field: str | None = None,
    nodata: float | None = None,
    class_names: Mapping[int, str] | None = None,
) -> dict[str, tuple[LabelMap, SceneLabels]]:
    """The labels on the grid of each scene, from one file for all or one per scene; empty without labels.

    Raises ValueError for another number of files and options that the labels have no use for, DataError as `LabelMap`.

    >>> labels_of_scenes(None, {"a": Scene.open(np.zeros((4, 6)))})
    {}
    """
    if labels is None:
        return {}
    given: list[Any] = list(labels) if isinstance(labels, (list, tuple)) else [labels]
    if len(given) not in (1, len(scenes)):
        raise ValueError(f"labels must be one file or one per scene, got {len(given)} for {len(scenes)} scenes")
    rasters = [each for each in given if isinstance(each, np.ndarray) or not _is_vector(each)]
    if field is not None and len(rasters) == len(given):
        raise ValueError(f"label_field is a field of polygons, and {rasters[0]} is a raster; leave it out")
    if class_names is not None and not rasters:
        raise ValueError(f"class_names name the values of a raster, and {given[0]} holds polygons; give label_field")
    options: dict[str, Any] = {"field": field, "nodata": nodata, "class_names": class_names}
    maps = [each if isinstance(each, LabelMap) else LabelMap(each, **options) for each in given]
    maps = maps * len(scenes) if len(maps) == 1 else maps
    return {name: (found, found.on(scene)) for (name, scene), found in zip(scenes.items(), maps, strict=True)}
