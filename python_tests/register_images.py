"""A place as two sensors see it: fields whose grey values have nothing in common, and one with speckle."""

import cv2
import numpy as np

from sarcore.geo.similarity import similarity


def fields(size: int = 256, seed: int = 0, count: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Polygons as a SAR image of four looks (H, W), and the same as an optical one (3, H, W) uint8."""
    rng = np.random.default_rng(seed)
    sar, optical = np.full((size, size), 1.0, np.float32), np.full((size, size, 3), 90.0, np.float32)
    for _ in range(count):
        middle, radius = rng.uniform(0, size, 2), rng.uniform(size / 25, size / 8)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 4))
        corners = np.rint(middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.int32)
        cv2.fillPoly(sar, [corners], float(rng.uniform(0.2, 4)))
        cv2.fillPoly(optical, [corners], rng.uniform(20, 230, 3).tolist())
    sar = np.sqrt(sar * rng.gamma(4, 1 / 4, sar.shape)).astype(np.float32)
    noisy = optical + rng.normal(0, 3, optical.shape)
    return sar, np.moveaxis(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), -1, 0)


def warp(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image that the matrix takes to `image`, and where it is inside."""
    size = image.shape[:0:-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inside = cv2.warpAffine(np.ones(image.shape[1:], np.float32), matrix, size, flags=flags) > 0.999
    return np.stack([cv2.warpAffine(band, matrix, size, flags=flags) for band in image]), inside


def about_middle(shift: tuple[float, float], degrees: float, scale: float, size: int) -> np.ndarray:
    """A similarity about the middle of images of one size."""
    middle = np.array([size - 1, size - 1]) / 2
    return similarity(shift, degrees, scale, middle, middle)
