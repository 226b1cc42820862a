"""Which patches share ground: pixel windows within a scene, outlines on Earth between scenes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from sarcore.data.card import ScenePlace, Transform
from sarcore.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_CHUNK = 256  # boxes that are compared together with all that may be near
_EDGE = 0.5  # pixels by which outlines must overlap: neighbours that touch do not


def source_windows(positions: Integers, size: tuple[int, int], shape: tuple[int, int]) -> Floats:
    """First row, first column and the row and column after the last, (N, 4), of the pixels that patches were made of.

    What a patch at the border of its scene mirrors lies inside, and may begin above the patch.

    >>> source_windows(np.array([[0, 0], [90, 0]]), (64, 64), (100, 130)).tolist()
    [[0.0, 0.0, 64.0, 64.0], [45.0, 0.0, 100.0, 64.0]]
    """
    first = positions.astype(np.float64)
    sides, limits = np.array(size, dtype=np.float64), np.array(shape, dtype=np.float64)
    beyond = np.maximum(first + sides - limits, 0)  # pixels mirrored at the last row: the border pixel itself is not
    start = np.where(beyond > 0, np.minimum(first, limits - 1 - beyond), first)
    return np.concatenate([np.maximum(start, 0), np.minimum(first + sides, limits)], axis=1)


def near_windows(windows: Floats, others: Floats, distance: int) -> Integers:
    """For each of N windows the number of one of the others with a pixel within `distance` pixels of it; -1 for none.

    At distance 0 they overlap.

    >>> near_windows(np.array([[0.0, 0, 4, 4]]), np.array([[9.0, 0, 12, 4], [4, 0, 8, 4]]), 1).tolist()
    [1]
    """
    return _first(windows, _corners(others), distance - 1 + _EDGE)


def near_outlines(windows: Floats, corners: Floats, distance: int) -> Integers:
    """`near_windows` with convex outlines, (M, 4, 2) rows and columns of their corners, in the pixels of the windows.

    >>> diamond = np.array([[[0.0, 4], [4, 8], [8, 4], [4, 0]]])
    >>> near_outlines(np.array([[0.0, 0, 1.5, 1.5], [0, 0, 4, 4]]), diamond, 0).tolist()
    [-1, 0]
    """
    return _first(windows, corners, distance - _EDGE)


def overlapping_scenes(places: dict[str, ScenePlace], distance: int = 0) -> list[tuple[str, str]]:
    """The pairs of scenes that share ground, or come within `distance` pixels; scenes without a georeference do not.

    >>> here, far = ScenePlace((9, 9), "local", (1, 0, 0, 0, -1, 0)), ScenePlace((9, 9), "local", (1, 0, 50, 0, -1, 0))
    >>> overlapping_scenes({"a": here, "b": here, "c": far})
    [('a', 'b')]
    """
    placed = {name: place for name, place in places.items() if place.crs and place.transform}
    if len(placed) < 2:
        return []
    bounds = _bounds(list(placed.values()), distance)
    found = []
    for (i, first), (j, second) in combinations(enumerate(placed), 2):
        if (bounds[i, :2] > bounds[j, 2:]).any() or (bounds[j, :2] > bounds[i, 2:]).any():
            continue
        if (near_outlines(whole(placed[first]), outlines(placed[second], placed[first]), distance) >= 0).any():
            found.append((first, second))
    return found


def whole(place: ScenePlace) -> Floats:
    """The window (1, 4) of a whole scene.

    >>> whole(ScenePlace((9, 12)))
    array([[ 0.,  0.,  9., 12.]])
    """
    return np.array([[0, 0, *place.shape]], dtype=np.float64)


def outlines(place: ScenePlace, target: ScenePlace, windows: Floats | None = None) -> Floats:
    """Corners (M, 4, 2) of windows of one scene (of all of it), as rows and columns of another, both georeferenced.

    >>> here, there = ScenePlace((9, 9), "local", (1, 0, 0, 0, 1, 0)), ScenePlace((9, 9), "local", (1, 0, 5, 0, 1, 2))
    >>> outlines(there, here)[0].tolist()
    [[2.0, 5.0], [2.0, 14.0], [11.0, 14.0], [11.0, 5.0]]
    """
    assert place.transform is not None
    assert target.transform is not None
    corners = _corners(whole(place) if windows is None else windows)
    x, y = _to_map(place.transform, corners)
    x, y = _reprojected(place.crs, target.crs, x, y)
    return np.stack(to_pixels(target.transform, x, y), axis=-1)


def to_pixels(transform: Transform, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Rows and columns of places on the map.

    >>> to_pixels((10, 0, 500, 0, -10, 900), np.array([520.0]), np.array([895.0]))
    (array([0.5]), array([2.]))
    """
    a, b, c, d, e, f = transform
    scale = a * e - b * d
    return (a * (y - f) - d * (x - c)) / scale, (e * (x - c) - b * (y - f)) / scale


def _corners(windows: Floats) -> Floats:
    y0, x0, y1, x1 = windows.T
    return np.stack([np.stack(p, axis=-1) for p in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))], axis=1)


def _to_map(transform: Transform, corners: Floats) -> tuple[Floats, Floats]:
    a, b, c, d, e, f = transform
    rows, columns = corners[..., 0], corners[..., 1]
    return a * columns + b * rows + c, d * columns + e * rows + f


def _reprojected(source: str | None, target: str | None, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    if source == target:
        return x, y
    try:
        from rasterio.warp import transform
    except ModuleNotFoundError as error:
        raise DataError(
            "the scenes have different CRS; comparing where they lie needs a package: pip install 'sarcore[geo]'"
        ) from error
    try:
        found = transform(source, target, x.ravel().tolist(), y.ravel().tolist())
    except Exception:  # noqa: BLE001  GDAL's errors have no common public class: places that a CRS does not reach
        return np.full(x.shape, np.inf), np.full(y.shape, np.inf)
    return np.array(found[0]).reshape(x.shape), np.array(found[1]).reshape(y.shape)


def _bounds(places: list[ScenePlace], distance: int) -> Floats:
    """Bounding boxes (S, 4) in one CRS, a bit too large: most pairs of scenes are told apart by them."""
    common = places[0].crs if len({place.crs for place in places}) == 1 else "EPSG:4326"
    boxes = []
    for place in places:
        assert place.transform is not None
        room = distance + 0.05 * max(place.shape)
        window = whole(place) + np.array([-room, -room, room, room])
        x, y = _reprojected(place.crs, common, *_to_map(place.transform, _corners(window)))
        boxes.append([x.min(), y.min(), x.max(), y.max()])
    return np.array(boxes)


def _first(windows: Floats, corners: Floats, room: float) -> Integers:
    """The first outline that overlaps each window, enlarged by `room`; both are sorted by row, compared in chunks."""
    found = np.full(len(windows), -1, dtype=np.int64)
    if not len(corners):
        return found
    low, high = corners.min(axis=1), corners.max(axis=1)
    order = np.argsort(low[:, 0], kind="stable")
    low, high, corners = low[order], high[order], corners[order]
    tallest = (high[:, 0] - low[:, 0]).max()
    mine = np.argsort(windows[:, 0], kind="stable")
    for first in range(0, len(mine), _CHUNK):
        chunk = mine[first : first + _CHUNK]
        boxes = windows[chunk] + np.array([-room, -room, room, room])
        start = np.searchsorted(low[:, 0], boxes[:, 0].min() - tallest)
        stop = np.searchsorted(low[:, 0], boxes[:, 2].max(), side="right")
        near = (
            (low[None, start:stop, 0] < boxes[:, None, 2]) & (high[None, start:stop, 0] > boxes[:, None, 0])
            & (low[None, start:stop, 1] < boxes[:, None, 3]) & (high[None, start:stop, 1] > boxes[:, None, 1])
        )  # fmt: skip
        i, j = np.nonzero(near)
        true = ~_separated(boxes[i], corners[start + j])
        i, j = i[true], j[true]
        found[chunk[i[::-1]]] = order[start + j[::-1]]  # the first of each window is written last
    return found


def _separated(boxes: Floats, corners: Floats) -> npt.NDArray[np.bool_]:
    """Whether an edge of the outline has the window on its other side: separating axes of two convex shapes."""
    edges = np.roll(corners, -1, axis=1) - corners
    normals = np.stack([-edges[..., 1], edges[..., 0]], axis=-1)
    mine = _corners(boxes)
    apart = np.zeros(len(boxes), dtype=bool)
    for k in range(4):
        one, two = (np.einsum("nkc,nc->nk", points, normals[:, k]) for points in (mine, corners))
        apart |= (one.min(axis=1) >= two.max(axis=1)) | (two.min(axis=1) >= one.max(axis=1))
    return apart
