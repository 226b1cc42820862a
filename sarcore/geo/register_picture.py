"""What a registration found, as a picture: matched tiles, and both images in a checkerboard before and after."""

from __future__ import annotations

from typing import Any

import numpy as np

from sarcore.geo.levels import mean_of_bands
from sarcore.geo.register import Registration
from sarcore.geo.similarity import Array, at_level, compose, similarity
from sarcore.geo.structure import log_sar

_SIDE = 560  # px, of the SAR image in a panel
_SQUARES = 8
_TITLE = 28  # px
_GAP = 8
_RIGHT, _WRONG, _PAPER, _INK = (60, 180, 60), (200, 70, 60), (255, 255, 255), (30, 30, 30)


def picture_of(sar: Array, optical: Array, mask: Array, found: Registration, start: Array | None = None) -> bytes:
    """PNG of four panels: SAR image, optical image with the tiles' matches between, checkerboard before and after.

    Args:
        sar, optical: (C, H, W), of which `found` is the registration.
        mask: (H, W) of the optical image.
        found: the registration.
        start: matrix from optical to SAR pixels before; the middles on each other without it.
    """
    import cv2

    size = sar.shape[:0:-1]
    factor = max(1.0, max(size) / _SIDE)
    shown = tuple(max(1, round(n / factor)) for n in size)
    if start is None:
        middles = [(np.array(image.shape[:0:-1]) - 1) / 2 for image in (optical, sar)]
        start = similarity((0, 0), 0, 1, *middles)
    sar_rgb = _rgb(log_sar(sar[:1]), np.ones(sar.shape[1:], dtype=bool))
    optical_rgb = _rgb(optical, mask)
    small = cv2.resize(sar_rgb, shown, interpolation=cv2.INTER_AREA)
    before, after = (_drawn(optical_rgb, matrix, factor, shown) for matrix in (start, found.matrix))
    verdict = "right" if found.success else "FAILED"
    titles = (
        "SAR",
        f"optical before; {found.inliers} of {found.tiles} tiles agree",
        "checkerboard before",
        f"after: {verdict}, {found.rotation:.2f} deg, scale {found.scale:.4f}",
    )
    panels = [small, before, _checkerboard(small, before), _checkerboard(small, after)]
    picture = _sheet(panels, titles)
    _lines(picture, found, start, factor, shown)
    return bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])


def _rgb(image: Array, mask: Array) -> Array:
    """(H, W, 3) uint8 between the percentiles 1 and 99; three bands as they are, others as one grey."""
    bands = image[:3] if len(image) >= 3 else mean_of_bands(np.asarray(image, dtype=np.float32), mask)[None]
    scaled = []
    for band in np.asarray(bands, dtype=np.float32):
        inside = band[mask & np.isfinite(band)]
        low, high = np.percentile(inside, [1, 99]) if inside.size else (0.0, 1.0)
        scaled.append(np.where(mask, np.clip((np.nan_to_num(band) - low) / (high - low + 1e-12), 0, 1), 0))
    stacked = np.stack(scaled * (3 // len(scaled)), axis=-1)
    rgb: Array = np.rint(255 * stacked).astype(np.uint8)
    return rgb


def _drawn(image: Array, matrix: Array, factor: float, shown: tuple[int, ...]) -> Array:
    """The optical image on the reduced SAR image; blurred before as much as it is reduced."""
    import cv2

    smooth = cv2.GaussianBlur(image, (0, 0), 0.4 * factor) if factor > 1.2 else image
    reduce = at_level(np.eye(2, 3), factor)
    reduce[:, :2] /= factor
    drawn: Array = cv2.warpAffine(smooth, compose(reduce, matrix), shown, flags=cv2.INTER_LINEAR)
    return drawn


def _checkerboard(a: Array, b: Array) -> Array:
    height, width = a.shape[:2]
    rows, columns = np.arange(height) * _SQUARES // height, np.arange(width) * _SQUARES // width
    even = (rows[:, None] + columns) % 2 == 0
    board: Array = np.where(even[..., None], a, b)
    return board


def _sheet(panels: list[Array], titles: tuple[str, ...]) -> Array:
    """Two rows of two panels with a title above each."""
    import cv2

    height, width = panels[0].shape[:2]
    sheet = np.full((2 * (height + _TITLE) + _GAP, 2 * width + _GAP, 3), _PAPER, dtype=np.uint8)
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        y, x = i // 2 * (height + _TITLE + _GAP), i % 2 * (width + _GAP)
        scale = min(0.5, 0.5 * width / (9.0 * len(title)))
        cv2.putText(sheet, title, (x + 4, y + 19), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
        sheet[y + _TITLE : y + _TITLE + height, x : x + width] = panel
    return sheet


def _lines(sheet: Array, found: Registration, start: Array, factor: float, shown: tuple[int, ...]) -> None:
    """From every tile of the SAR image to its place in the optical one; inliers green, the others red."""
    import cv2

    def pixels(points: Array) -> list[tuple[int, int]]:
        return [(int(x), int(y)) for x, y in np.rint((points + 0.5) / factor - 0.5)]

    tiles: Any = found.matches
    placed = tiles.moving @ start[:, :2].T + start[:, 2]
    right = tiles.inliers
    order = np.argsort(right, kind="stable")  # the right ones on top
    ends = list(zip(pixels(tiles.fixed), pixels(placed), right.tolist(), strict=True))
    for i in order:
        (x, y), (u, v), inlier = ends[i]
        colour = _RIGHT if inlier else _WRONG
        there = (u + shown[0] + _GAP, v + _TITLE)
        cv2.circle(sheet, (x, y + _TITLE), 3, colour, -1, cv2.LINE_AA)
        if 0 <= u < shown[0] and 0 <= v < shown[1]:
            cv2.line(sheet, (x, y + _TITLE), there, colour, 1, cv2.LINE_AA)
            cv2.circle(sheet, there, 3, colour, -1, cv2.LINE_AA)
