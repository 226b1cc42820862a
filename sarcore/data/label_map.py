"""Labels of the pixels of a scene, from a label raster or from polygons, on the scene's own grid."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarcore.data.card import ScenePlace
from sarcore.data.footprints import near_outlines, outlines, to_pixels, whole
from sarcore.data.nodata import pixel_nodata
from sarcore.data.scene import Scene
from sarcore.data.scene_gdal import bounded_cache
from sarcore.data.scene_source import needs_geo
from sarcore.data.vector_file import VECTOR_SUFFIXES, Polygons, read_polygons
from sarcore.errors import DataError

UNLABELLED = -(2**31)
_PLAIN = (".npy", ".npz", ".png", ".jpg", ".jpeg")  # formats that hold no georeference
_GRID = 1e-3  # pixels by which the corners of one grid may differ

Labels = npt.NDArray[np.int32]


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
        if not isinstance(source, np.ndarray) and Path(source).suffix.lower() in VECTOR_SUFFIXES:
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
            return _FromPolygons(self, scene, self._polygons)
        assert self._raster is not None
        return (_SameGrid if self._same_grid(scene, self._raster) else _Warped)(self, scene, self._raster)

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


class SceneLabels:
    """Labels on the grid of one scene, read by windows."""

    def __init__(self, labels: LabelMap, scene: Scene) -> None:
        self._labels, self._scene = labels, scene

    def read(self, row: int, column: int, height: int, width: int) -> Labels:
        """The labels (h, w) of a window inside the scene, `UNLABELLED` where there is no class."""
        raise NotImplementedError

    def _need_place(self, crs: str | None) -> None:
        path, scene = self._labels.path, self._scene.path or self._scene.name
        if crs is None:
            raise DataError(
                f"the label file {path} has no CRS, so its place in {scene} is unknown; give it one, or the shape of "
                "the scene in a format without a georeference (.npy, .png)"
            )
        if self._scene.crs is None or self._scene.transform is None:
            raise DataError(
                f"the scene {scene} has no georeference, so the labels of {path} cannot be laid on it; give a label "
                "raster of the scene's shape without one"
            )

    def _apart(self) -> DataError:
        return DataError(
            f"the label file {self._labels.path} does not overlap the scene {self._scene.path}; check the CRS of both"
        )


class _SameGrid(SceneLabels):
    def __init__(self, labels: LabelMap, scene: Scene, raster: Scene) -> None:
        super().__init__(labels, scene)
        self._raster = raster
        self._nodata = pixel_nodata(raster.nodata, raster.dtype)

    def read(self, row: int, column: int, height: int, width: int) -> Labels:
        return self._labels.known(self._raster.read(row, column, height, width)[0], self._nodata)


class _Warped(SceneLabels):
    """A raster of another grid or CRS: the value of its pixel in which the centre of the scene's pixel lies."""

    def __init__(self, labels: LabelMap, scene: Scene, raster: Scene) -> None:
        super().__init__(labels, scene)
        self._raster = raster
        self._nodata = pixel_nodata(raster.nodata, raster.dtype)
        self._need_place(raster.crs if raster.transform is not None else None)
        mine, theirs = (ScenePlace(one.shape[1:], one.crs, one.transform) for one in (scene, raster))
        if (near_outlines(whole(mine), outlines(theirs, mine), 0) < 0).all():
            raise self._apart()
        self._open: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def _warped(self) -> Any:
        """The raster as GDAL lays it on the scene's grid; a process that was forked opens its own."""
        if self._open is None or self._open[0] != os.getpid():
            try:
                import rasterio
                from rasterio.enums import Resampling
                from rasterio.vrt import WarpedVRT
            except ImportError as error:
                raise needs_geo(Path(self._labels.path), "the warped labels", error) from error
            transform, (_, height, width) = self._scene.transform, self._scene.shape
            assert transform is not None
            with bounded_cache():
                warped = WarpedVRT(
                    rasterio.open(self._raster.path), crs=self._scene.crs, transform=rasterio.Affine(*transform),
                    height=height, width=width, resampling=Resampling.nearest, add_alpha=True,
                    src_nodata=self._raster.nodata,
                )  # fmt: skip
            self._open = os.getpid(), warped
        return self._open[1]

    def read(self, row: int, column: int, height: int, width: int) -> Labels:
        with bounded_cache():
            warped = self._warped()
            values, alpha = warped.read(window=((row, row + height), (column, column + width)))
        labels = self._labels.known(
            np.where(alpha > 0, values, 0 if self._nodata is None else self._nodata), self._nodata
        )
        labels[alpha == 0] = UNLABELLED
        return labels


class _FromPolygons(SceneLabels):
    """Polygons burnt into the scene's grid: a pixel belongs to the last one in which its centre lies."""

    def __init__(self, labels: LabelMap, scene: Scene, polygons: Polygons) -> None:
        super().__init__(labels, scene)
        self._need_place(polygons.crs)
        try:
            from rasterio.warp import transform_geom
        except ImportError as error:
            raise needs_geo(Path(labels.path), "the polygons", error) from error
        numbers = {name: number for number, name in enumerate(sorted({n for n in polygons.names if n is not None}))}
        shapes = transform_geom(polygons.crs, scene.crs, polygons.shapes)
        self._shapes = [
            (shape, UNLABELLED if name is None else numbers[name])
            for shape, name in zip(shapes, polygons.names, strict=True)
        ]
        self._boxes = np.array([_pixel_box(scene, shape) for shape, _ in self._shapes])
        if not self._within(0, 0, *scene.shape[1:]).any():
            raise self._apart()

    def _within(self, row: int, column: int, height: int, width: int) -> npt.NDArray[np.bool_]:
        top, left, bottom, right = self._boxes.T
        return np.asarray((top < row + height) & (bottom > row) & (left < column + width) & (right > column))

    def read(self, row: int, column: int, height: int, width: int) -> Labels:
        from rasterio import Affine
        from rasterio.features import rasterize

        assert self._scene.transform is not None
        chosen = [self._shapes[k] for k in np.flatnonzero(self._within(row, column, height, width))]
        if not chosen:
            return np.full((height, width), UNLABELLED, dtype=np.int32)
        place = Affine(*self._scene.transform) * Affine.translation(column, row)
        labels: Labels = rasterize(chosen, out_shape=(height, width), transform=place, fill=UNLABELLED, dtype="int32")
        return labels


def _pixel_box(scene: Scene, shape: dict[str, Any]) -> list[float]:
    """First row and column and last ones that a polygon may touch."""
    assert scene.transform is not None
    parts = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    x, y = np.array([point[:2] for rings in parts for ring in rings for point in ring], dtype=np.float64).T
    row, column = to_pixels(scene.transform, x, y)
    return [row.min(), column.min(), row.max(), column.max()]
