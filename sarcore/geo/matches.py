"""Where the parts of two images lie that a transform has laid on each other: the residuals by which it is judged."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sarcore.geo.similarity import Array, apply, inverse, rotation_degrees
from sarcore.geo.structure import Structure

REACH = 8  # px, by which a tile may have been displaced
INLIER = 2.0  # px
_MOST = 400  # tiles


class TileMatches(NamedTuple):
    """Tiles of the fixed image whose place in the moving image was looked for on its own, without the other tiles."""

    fixed: Array  # (N, 2) middles (x, y)
    moving: Array  # (N, 2) the points of the moving image that were found there
    residual: Array  # (N, 2) px by which they missed
    chance: float  # share of tiles that would be inliers without any likeness

    unit: float = 1.0  # px of the image, of those in which a tile is an inlier

    def enlarged(self, factor: int) -> TileMatches:
        """The same on pixels `factor` times smaller."""
        half = (factor - 1) / 2
        points = (self.fixed * factor + half, self.moving * factor + half, self.residual * factor)
        return TileMatches(*points, self.chance, self.unit * factor)

    @property
    def inliers(self) -> Array:
        """(N,) bool."""
        inside: Array = np.hypot(*self.residual.T) <= INLIER * self.unit
        return inside

    @property
    def rmse(self) -> float:
        """Root mean square residual of the inliers, in pixels; NaN without any."""
        residual = self.residual[self.inliers]
        return float(np.sqrt((residual**2).sum(axis=1).mean())) if len(residual) else math.nan

    @property
    def significance(self) -> float:
        """Standard deviations by which the inliers exceed chance; half of the tiles, which overlap, count."""
        count = len(self.fixed)
        if not count:
            return 0.0
        expected, spread = self.chance, math.sqrt(self.chance * (1 - self.chance) / (count / 2))
        return (float(self.inliers.mean()) - expected) / spread


def match_tiles(fixed: Structure, moving: Structure, matrix: Array) -> TileMatches:
    """For every tile of the overlap, the shift within 8 px at which its structure agrees best.

    Args:
        fixed, moving: structure maps.
        matrix: from the moving to the fixed image.
    """
    import cv2
    import torch

    height, width = fixed.mask.shape
    field, mask = (cv2.warpAffine(x, matrix, (width, height), flags=cv2.INTER_LINEAR) for x in moving)
    t = math.radians(2 * rotation_degrees(matrix))
    drawn = (field[..., 0] + 1j * field[..., 1]) * complex(math.cos(t), math.sin(t))
    still = (fixed.field[..., 0] + 1j * fixed.field[..., 1]).astype(np.complex64)
    side, places = _places(np.minimum(mask, fixed.mask))
    outer = side + 2 * REACH
    residuals = []
    for y, x in places:
        around = torch.from_numpy(still[y - REACH : y + side + REACH, x - REACH : x + side + REACH])
        tile = torch.from_numpy(drawn[y : y + side, x : x + side].astype(np.complex64))
        product = torch.fft.ifft2(torch.fft.fft2(around) * torch.fft.fft2(tile, s=(outer, outer)).conj()).real
        energy = torch.nn.functional.avg_pool2d((around.abs() ** 2)[None], side, 1)[0]
        score = product[: 2 * REACH + 1, : 2 * REACH + 1] / (energy + 1e-6).sqrt()
        residuals.append(_peak(score.numpy()))
    middles = np.array([(x, y) for y, x in places], dtype=float).reshape(-1, 2) + (side - 1) / 2
    residual = np.array(residuals, dtype=float).reshape(-1, 2)
    chance = math.pi * INLIER**2 / (2 * REACH + 1) ** 2
    return TileMatches(middles + residual, apply(inverse(matrix), middles), residual, chance)


def _places(mask: Array) -> tuple[int, list[tuple[int, int]]]:
    """Side of the tiles, and (top, left) of those that lie inside with all they may be shifted by."""
    height, width = mask.shape
    side = int(np.clip(min(height, width) // 5, 32, 96))
    stride = max(side // 2, math.ceil(math.sqrt(height * width / _MOST)))
    sums = np.pad(mask >= 0.99, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    places = []
    for y in range(REACH, height - side - REACH + 1, stride):
        for x in range(REACH, width - side - REACH + 1, stride):
            top, left, bottom, right = y - REACH, x - REACH, y + side + REACH, x + side + REACH
            inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            if inside == (side + 2 * REACH) ** 2:
                places.append((y, x))
    return side, places


def _peak(score: Array) -> tuple[float, float]:
    """Place of the largest value relative to the middle, to a fraction of a pixel by parabolas."""
    y, x = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
    row = _parabola(score[y, x - 1 : x + 2]) if 0 < x < score.shape[1] - 1 else 0.0
    column = _parabola(score[y - 1 : y + 2, x]) if 0 < y < score.shape[0] - 1 else 0.0
    return x - REACH + row, y - REACH + column


def _parabola(three: Array) -> float:
    left, middle, right = (float(v) for v in three)
    curvature = left - 2 * middle + right
    return 0.5 * (left - right) / curvature if curvature < 0 else 0.0
