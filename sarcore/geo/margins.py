"""Margins of one value that files have who do not say that there is no data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SHARE = 0.01  # of the image, from which on a part of one value at its edge is a margin
_VALUES = 4  # of the edge that are looked at, the most frequent first


def margin(image: Array, valid: Array) -> Array:
    """True (H, W) where an image has one value in all of a part that touches its edge.

    >>> image = np.random.default_rng(0).random((1, 100, 100))
    >>> image[:, :, 90:] = 0
    >>> int(margin(image, np.ones((100, 100), bool)).sum())
    1000

    Args:
        image: (C, H, W).
        valid: (H, W), False for pixels that are known to be none; what lies beside them lies at the edge.
    """
    import cv2

    edge = valid & (
        cv2.erode(valid.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0) == 0
    )
    found = np.zeros(valid.shape, bool)
    values, counts = np.unique(image[:, edge], axis=1, return_counts=True)
    for value in values.T[np.argsort(-counts, kind="stable")[:_VALUES]]:
        same = valid & (image == value[:, None, None]).all(axis=0)
        count, parts, sizes, _ = cv2.connectedComponentsWithStats(same.astype(np.uint8), connectivity=4)
        large = sizes[:, cv2.CC_STAT_AREA] >= _SHARE * valid.size
        large[0] = False  # what is not of that value
        large &= np.isin(np.arange(count), parts[edge])
        found |= large[parts]
    return found
