"""An optical file onto the grid of a SAR file of the same place, once it is found where it belongs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sarcore.errors import DataError
from sarcore.geo.files import check_output, on_disk, scratch_folder, whole_file
from sarcore.geo.grid import Grid
from sarcore.geo.raster import Place, environment, geotiff, opened, place_of, room
from sarcore.geo.register import Registration, register
from sarcore.geo.register_picture import picture_of
from sarcore.geo.similarity import Array, Model, at_level, inverse, scale_of
from sarcore.geo.warp import warp

_LARGEST = 4096  # px, side of what is held in memory to find the place; larger files are reduced for that


class _Image(NamedTuple):
    pixels: Array  # (C, H, W)
    mask: Array  # (H, W)


def register_files(
    optical: str | Path,
    sar: str | Path,
    out: str | Path,
    *,
    model: Model = "similarity",
    max_shift: float = 64,
    max_rotation: float = 6,
    max_scale: float = 1.3,
    picture: str | Path | None = None,
    force: bool = False,
    on_note: Callable[[str], None] | None = None,
) -> Registration:
    """Write an optical file on the grid of a SAR file, moved to where it belongs, and the figures as .json beside it.

    >>> _ = register_files("optical.tif", "sar.tif", "on_sar.tif", picture="matches.png")  # doctest: +SKIP

    Georeferences say where the search begins; where one of the files has none, it begins with the middles on each other
    and equal pixels. The optical pixels are resampled once, from their own grid, and keep their type.

    Args:
        optical, sar: rasters that GDAL reads.
        out: the .tif to write; pixels that the optical file does not cover are masked, or get its no-data value.
        model, max_shift, max_rotation, max_scale: see `sarcore.geo.register`.
        picture: .png that shows the tiles' matches, and both images before and after; written of failures too.
        force: write the file although the registration failed.
        on_note: called with what a user should know.

    Returns:
        The registration, whose matrix takes pixels of the optical file (as it lies on the SAR file's grid where both
        are georeferenced) to SAR pixels. Where `success` is False nothing but the picture is written, unless forced.

    Raises:
        DataError: files that cannot be read or written, or share no area.
        ValueError: see `sarcore.geo.register`.
    """
    optical, sar, out = Path(optical), Path(sar), Path(out)
    check_output(out, [optical, sar])
    if picture is not None:
        check_output(Path(picture), [optical, sar], (".png",))
    note = on_note or (lambda _: None)
    with opened(optical) as source, opened(sar) as target:
        placed = _placed(source) and _placed(target)
        if not placed:
            without = [str(data.name) for data in (source, target) if not _placed(data)]
            have = f"{without[0]} has" if len(without) == 1 else f"{' and '.join(without)} have"
            note(f"{have} no georeference: begins with the middles on each other and pixels of equal size")
        factor = -(-max(target.width, target.height) // _LARGEST)
        fixed = _reduced(target, factor)
        margin = factor * (int(max_shift) // factor + 8) if placed else 0
        moving = _on_grid(optical, target, factor, margin, out) if placed else _reduced(source, factor)
        found = register(
            fixed.pixels, moving.pixels, model=model, max_shift=max_shift / factor, max_rotation=max_rotation,
            max_scale=max_scale, sar_mask=fixed.mask, optical_mask=moving.mask,
        )  # fmt: skip
        if picture is not None:
            start = np.array([[1, 0, -margin / factor], [0, 1, -margin / factor]]) if placed else None
            with whole_file(Path(picture)) as file:
                file.write_bytes(picture_of(fixed.pixels, moving.pixels, moving.mask, found, start))
        matrix = at_level(found.matrix, 1 / factor)
        matrix[:, 2] += matrix[:, :2] @ [margin, margin]
        if found.success or force:
            if placed:
                _write_placed(optical, target, out, matrix)
            else:
                _write_unplaced(source, target, out, matrix)
            _write_figures(out, optical, sar, found, matrix, placed)
    return dataclasses.replace(found, matrix=matrix)


def _placed(dataset: Any) -> bool:
    """Whether a file says where it lies; control points are a place too, that `place_of` refuses with advice."""
    return not dataset.transform.is_identity or bool(dataset.gcps[0])


def _reduced(dataset: Any, factor: int) -> _Image:
    """All pixels of a file, or means over `factor` of them along each side; complex ones as magnitudes."""
    from rasterio.enums import Resampling

    if factor > 1 and dataset.dtypes[0].startswith("complex"):
        raise DataError(f"{dataset.name} is complex and {dataset.width} x {dataset.height}; write its intensity first")
    height, width = dataset.height // factor, dataset.width // factor
    how = Resampling.average if factor > 1 else Resampling.nearest
    pixels = dataset.read(out_shape=(dataset.count, height, width), resampling=how)
    mask = dataset.dataset_mask(out_shape=(height, width), resampling=Resampling.nearest) > 0
    return _Image(_without_alpha(dataset, pixels), mask)


def _without_alpha(dataset: Any, pixels: Array) -> Array:
    from rasterio.enums import ColorInterp

    kept = [i for i, meaning in enumerate(dataset.colorinterp) if meaning != ColorInterp.alpha]
    return pixels[kept] if kept else pixels


def _on_grid(optical: Path, target: Any, factor: int, margin: int, out: Path) -> _Image:
    """The optical file as its georeference lays it on the SAR file's grid and `margin` pixels around."""
    place = place_of(target)
    around = _moved(place, np.array([[factor, 0, -margin], [0, factor, -margin]], dtype=float))
    width, height = ((n // factor * factor + 2 * margin) // factor for n in (target.width, target.height))
    with scratch_folder(out) as folder:
        copy = folder / "optical.tif"
        warp(optical, copy, Grid(place.crs, around.transform, width, height))
        with opened(copy) as dataset:
            return _reduced(dataset, 1)


def _moved(place: Place, corners: Array) -> Place:
    """The place of pixels whose corners the matrix takes to corners of pixels of `place`."""
    a, b, c, d, e, f = place.transform
    to = np.array([[a, b, c], [d, e, f]])
    linear, offset = to[:, :2] @ corners[:, :2], to[:, :2] @ corners[:, 2] + to[:, 2]
    return Place(place.crs, (*linear[0], offset[0], *linear[1], offset[1]))


def _write_placed(optical: Path, target: Any, out: Path, matrix: Array) -> None:
    """Resample the optical file onto the pixels that the registration says are those of the SAR file."""
    import rasterio
    from rasterio.transform import Affine

    place = place_of(target)
    # A pixel of the SAR file shows what the optical file's georeference puts elsewhere: so the optical file is warped
    # to a grid that is displaced as the georeference is wrong, and this grid is then called by its right place.
    back = inverse(matrix)
    corners = np.column_stack([back[:, :2], back[:, 2] + 0.5 - back[:, :2] @ [0.5, 0.5]])
    displaced = _moved(place, corners)
    with whole_file(out) as file:
        warp(optical, file, Grid(place.crs, displaced.transform, target.width, target.height))
        with environment(), rasterio.open(file, "r+") as written:
            written.transform = Affine(*place.transform)
        on_disk(file, 1 << 20)


def _write_unplaced(source: Any, target: Any, out: Path, matrix: Array) -> None:
    """Without both georeferences: resampled in memory, on the place of the SAR file if it has one."""
    import rasterio

    image, covered = _moved_pixels(source, matrix, (target.width, target.height))
    if source.nodata is not None:
        image[:, ~covered] = np.asarray(source.nodata).astype(image.dtype)
    if _placed(target):
        with geotiff(out, source, place_of(target), (target.width, target.height), dtype=image.dtype.name) as written:
            _fill(written, image, covered)
        return
    size = {"width": target.width, "height": target.height, "count": len(image), "dtype": image.dtype}
    with whole_file(out) as file, environment():
        with rasterio.open(file, "w", driver="GTiff", nodata=source.nodata, compress="deflate", **size) as written:
            _fill(written, image, covered)
        on_disk(file, room({"dtype": image.dtype.name, "count": len(image)}))


def _fill(written: Any, image: Array, covered: Array) -> None:
    written.write(image)
    if written.nodata is None and not covered.all():
        written.write_mask(covered)


def _moved_pixels(source: Any, matrix: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Bands after the matrix, in their own type, and where all of a pixel's neighbours had data."""
    import cv2

    pixels, mask = source.read(), source.dataset_mask() > 0
    if scale_of(matrix) < 0.5:
        raise DataError(
            f"{source.name} has pixels of less than half the size; reduce it first (gdal_translate -r average)"
        )
    kept = pixels if pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32) else pixels.astype(np.float64)
    moved = np.stack([cv2.warpAffine(band, matrix, size, flags=cv2.INTER_LINEAR) for band in kept])
    covered = cv2.warpAffine(mask.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR) > 0.999
    if pixels.dtype.kind in "ui" and moved.dtype != pixels.dtype:
        moved = np.rint(moved)
    return moved.astype(pixels.dtype), covered


def _write_figures(out: Path, optical: Path, sar: Path, found: Registration, matrix: Array, placed: bool) -> None:
    figures = found.to_dict() | {
        "matrix": matrix.tolist(),
        "from": "pixels of the SAR file's grid, where the georeference puts the optical image" if placed
        else "pixels of the optical file",
        "to": "pixels of the SAR file",
        "optical": optical.name,
        "sar": sar.name,
    }  # fmt: skip
    with whole_file(out.with_suffix(".json")) as file:
        file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
