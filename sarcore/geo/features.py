"""AKAZE points of two images, matched by their binary descriptors.

Between a SAR and an optical image hardly a match is right, so that the transform found here is one more candidate and
never an answer: what agrees is judged by the structure of the whole images. Between two images of one kind it is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sarcore.geo.similarity import Array, Model

_RATIO = 0.9  # a match must be nearer than this share of the distance to the second nearest
ERROR = 3.0  # px, of an inlier of RANSAC
FEWEST = 8  # inliers that make a candidate


class PointMatches(NamedTuple):
    """Matched points (x, y) of two images, which of them fit one transform, and the transform if enough do."""

    fixed: Array  # (N, 2)
    moving: Array  # (N, 2)
    inliers: Array  # (N,) bool
    matrix: Array | None


def match_points(
    fixed: Array,
    moving: Array,
    fixed_mask: Array | None = None,
    moving_mask: Array | None = None,
    *,
    model: Model = "similarity",
) -> PointMatches:
    """AKAZE points matched by Hamming distance and ratio test; the transform by RANSAC.

    >>> x = np.random.default_rng(0).random((40, 40), dtype=np.float32).repeat(6, 0).repeat(6, 1)
    >>> match_points(x, np.roll(x, (4, 7), (0, 1))).matrix.round(1).astype(int).tolist()
    [[1, 0, -7], [0, 1, -4]]

    Args:
        fixed, moving: (H, W), any range.
        fixed_mask, moving_mask: (H, W), nonzero where points may lie.
        model: of the transform from the moving image to the fixed one.

    Returns:
        Matches; `matrix` is None with fewer than 8 inliers.

    Source: Alcantarilla, Nuevo and Bartoli, BMVC 2013 (AKAZE); Lowe, IJCV 60(2), 2004 (the ratio test).
    """
    import cv2

    detector = cv2.AKAZE.create()
    (points, features), (others, other_features) = (
        detector.detectAndCompute(_eight_bits(image, mask), None if mask is None else (mask > 0).astype(np.uint8))
        for image, mask in ((fixed, fixed_mask), (moving, moving_mask))
    )
    nothing = PointMatches(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, dtype=bool), None)
    if features is None or other_features is None or len(features) < 2:
        return nothing
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(other_features, features, k=2)
    kept = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance]
    if not kept:
        return nothing
    to = np.array([points[match.trainIdx].pt for match in kept])
    start = np.array([others[match.queryIdx].pt for match in kept])
    matrix, inliers = _ransac(start, to, model)
    return PointMatches(to, start, inliers, matrix if inliers.sum() >= FEWEST else None)


def _ransac(start: Array, to: Array, model: Model) -> tuple[Array | None, Array]:
    import cv2

    if len(start) < 3:
        return None, np.zeros(len(start), dtype=bool)
    estimate = cv2.estimateAffine2D if model == "affine" else cv2.estimateAffinePartial2D
    matrix, inliers = estimate(start, to, method=cv2.RANSAC, ransacReprojThreshold=ERROR, maxIters=5000)
    if matrix is None:
        return None, np.zeros(len(start), dtype=bool)
    kept = inliers.ravel().astype(bool)
    if model == "shift":
        matrix = np.column_stack([np.eye(2), np.median((to - start)[kept], axis=0)])
        kept = np.hypot(*(to - start - matrix[:, 2]).T) <= ERROR
    return matrix, kept


def _eight_bits(image: Array, mask: Array | None) -> Array:
    valid = np.isfinite(image) if mask is None else np.isfinite(image) & (mask > 0)
    low, high = np.percentile(image[valid], [1, 99]) if valid.any() else (0.0, 1.0)
    scaled = (np.where(valid, image, low) - low) / (high - low + 1e-12)
    result: Array = np.clip(255 * scaled + 0.5, 0, 255).astype(np.uint8)
    return result
