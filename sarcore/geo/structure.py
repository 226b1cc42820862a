"""What SAR and optical images of one place have in common: not grey values, but where edges are and how they run.

A field, a road or a shore is bright in one sensor and dark in the other, so that the sign of a gradient says nothing;
the angle of the edge, taken modulo 180 degrees, is the same in both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SIGMA_SAR = 2.0  # px; speckle asks for a wider derivative than the optical image needs
SIGMA_OPTICAL = 1.0
_SPREAD = 1.0  # px, over which the orientation is averaged
_NEIGHBOURHOOD = 24.0  # px, over which the contrast is evened out
_FLOOR = 0.3  # share of the neighbourhood's contrast below which an edge counts for less
_EDGE = 6  # px beside invalid pixels whose derivatives are not believed


class Structure(NamedTuple):
    """Orientation of edges: `field` (H, W, 2) float32, cosine and sine of twice the angle, and `mask` (H, W) 0 or 1."""

    field: Array
    mask: Array


def structure_map(image: Array, mask: Array | None = None, *, sigma: float = SIGMA_OPTICAL) -> Structure:
    """Edges of an image by orientation, whatever their sign and contrast.

    >>> x = np.zeros((1, 64, 64)); x[..., 32:] = 1
    >>> shape = structure_map(x).field.shape
    >>> bool(np.allclose(structure_map(x).field, structure_map(7 - 5 * x).field, atol=1e-5)), shape
    (True, (64, 64, 2))

    With the gradient (gx, gy) of the image smoothed by a Gaussian of `sigma`, its length m and G the average around,

        field = G_1[sum over bands of m (cos 2t, sin 2t)] / (G_1[sum m] + 0.3 G_24[sum m]),    t = atan2(gy, gx)

    Args:
        image: (C, H, W); every band counts by its own standard deviation.
        mask: (H, W), True where a pixel is valid; NaN is invalid as well.
        sigma: of the derivative, in pixels.

    Returns:
        The field, of lengths from 0 to 1, and the mask without the pixels beside invalid ones.

    Source: the double angle of Granlund and Knutsson, Signal Processing for Computer Vision, 1995; channels of gradient
    orientations for optical and SAR in Ye et al., IEEE Trans. Geoscience and Remote Sensing 57(11), 2019.
    """
    import cv2

    bands = np.asarray(image, dtype=np.float32)
    valid = np.isfinite(bands).all(axis=0)
    if mask is not None:
        valid &= mask.astype(bool)
    total = np.zeros((*valid.shape, 3), dtype=np.float32)
    for band in bands:
        inside = band[valid]
        spread = float(inside.std()) if inside.size else 0.0
        if not spread:
            continue
        smooth = blur(np.where(valid, (band - inside.mean()) / spread, 0).astype(np.float32), sigma)
        gx, gy = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32, borderType=_border()) for dx in (1, 0))
        length = np.sqrt(gx * gx + gy * gy) + 1e-9
        total += np.stack([(gx * gx - gy * gy) / length, 2 * gx * gy / length, length], axis=-1)
    inner: Array = np.asarray(valid, dtype=np.float32)
    if not valid.all():
        square = np.ones((2 * _EDGE + 1,) * 2)
        inner = np.asarray(cv2.erode(inner, square, borderType=cv2.BORDER_CONSTANT, borderValue=1.0))
        total *= inner[..., None]  # the step to an invalid part is an edge of no thing
    total = blur(total, _SPREAD)
    contrast = total[..., 2] + _FLOOR * blur(total[..., 2], _NEIGHBOURHOOD)
    field = total[..., :2] / (contrast[..., None] + 1e-9) * inner[..., None]
    return Structure(np.ascontiguousarray(field), inner)


def log_sar(image: Array) -> Array:
    """Amplitude or intensity (C, H, W) as its logarithm, in which speckle is equally strong everywhere.

    >>> [round(float(v), 2) for v in log_sar(np.array([[[0.0, 1.0, 10.0]]])).ravel()]
    [-0.6, 0.44, 2.36]

    A tenth of the median is added, so that zeros stay finite; an image with negative values is in dB and kept.
    """
    x = np.asarray(image, dtype=np.float32)
    finite = x[np.isfinite(x)]
    if not finite.size or finite.min() < 0:
        return x
    positive = finite[finite > 0]
    offset = 0.1 * float(np.median(positive)) if positive.size else 1.0
    result: Array = np.log(x + np.float32(offset))
    return result


def halve(image: Array) -> Array:
    """Means of 2 x 2 pixels of (C, H, W); an odd last row or column is left out."""
    height, width = (n // 2 * 2 for n in image.shape[-2:])
    x = np.asarray(image[..., :height, :width], dtype=np.float32)
    mean: Array = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    return mean


def _border() -> int:
    import cv2

    return int(cv2.BORDER_REFLECT)


def blur(x: Array, sigma: float) -> Array:
    """Gaussian smoothing, borders mirrored."""
    import cv2

    result: Array = cv2.GaussianBlur(x, (0, 0), sigma, borderType=_border())
    return result
