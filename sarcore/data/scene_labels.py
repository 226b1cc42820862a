"""The labels of a file on the grid of a scene: of the same grid, warped, or burnt from polygons."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sarcore.data.card import ScenePlace
from sarcore.data.footprints import near_outlines, outlines, to_pixels, whole
from sarcore.data.nodata import pixel_nodata
from sarcore.data.scene import Scene
from sarcore.data.scene_gdal import bounded_cache
from sarcore.data.scene_source import needs_geo
from sarcore.data.vector_file import Polygons
from sarcore.errors import DataError

if TYPE_CHECKING:
    from sarcore.data.label_map import LabelMap

UNLABELLED = -(2**31)

Labels = npt.NDArray[np.int32]


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


class SameGrid(SceneLabels):
    def __init__(self, labels: LabelMap, scene: Scene, raster: Scene) -> None:
        super().__init__(labels, scene)
        self._raster = raster
        self._nodata = pixel_nodata(raster.nodata, raster.dtype)

    def read(self, row: int, column: int, height: int, width: int) -> Labels:
        return self._labels.known(self._raster.read(row, column, height, width)[0], self._nodata)


class Warped(SceneLabels):
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
                raise needs_geo(f"the label file {self._labels.path}", error) from error
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


class FromPolygons(SceneLabels):
    """Polygons burnt into the scene's grid: a pixel belongs to the last one in which its centre lies."""

    def __init__(self, labels: LabelMap, scene: Scene, polygons: Polygons) -> None:
        super().__init__(labels, scene)
        self._need_place(polygons.crs)
        try:
            from rasterio.warp import transform_geom
        except ImportError as error:
            raise needs_geo(f"the label file {labels.path}", error) from error
        numbers = {name: number for number, name in enumerate(sorted({n for n in polygons.names if n is not None}))}
        try:
            shapes = transform_geom(polygons.crs, scene.crs, polygons.shapes)
        except Exception as error:  # GDAL's errors have no common public class
            raise DataError(
                f"the polygons of {labels.path} cannot be laid on the scene {scene.path} ({error}); check their CRS, "
                f"{polygons.crs.splitlines()[0][:60]}"
            ) from error
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
        a, b, c, d, e, f = self._scene.transform
        place = Affine(a, b, c + a * column + b * row, d, e, f + d * column + e * row)
        labels: Labels = rasterize(chosen, out_shape=(height, width), transform=place, fill=UNLABELLED, dtype="int32")
        return labels


def _pixel_box(scene: Scene, shape: dict[str, Any]) -> list[float]:
    """First row and column and last ones that a polygon may touch."""
    assert scene.transform is not None
    parts = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    x, y = np.array([point[:2] for rings in parts for ring in rings for point in ring], dtype=np.float64).T
    row, column = to_pixels(scene.transform, x, y)
    return [row.min(), column.min(), row.max(), column.max()]
