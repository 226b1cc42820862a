"""Two images at several sizes of pixels, the coarsest first."""

from __future__ import annotations

import dataclasses

import numpy as np

from sarcore.geo.similarity import Array
from sarcore.geo.structure import SIGMA_OPTICAL, SIGMA_SAR, Structure, blur, halve, log_sar, structure_map

COARSE = 320  # px, side of the SAR image that is searched
FINE = 2048  # px, side beyond which finer levels add nothing but time


@dataclasses.dataclass(frozen=True)
class Level:
    """Both images with pixels of `factor` times the side, and their structure maps."""

    factor: int
    images: tuple[Array, Array]  # (C, H, W) float32, the SAR image as logarithms
    sar: Structure
    optical: Structure

    def grey(self) -> tuple[Array, Array, Array, Array]:
        """Smoothed grey values (H, W) of SAR and optical image, and the masks."""
        sigmas = (1.5, 1.0)
        sar, optical = (
            blur(mean_of_bands(image, mask), sigma)
            for image, mask, sigma in zip(self.images, (self.sar.mask, self.optical.mask), sigmas, strict=True)
        )
        return sar, optical, self.sar.mask, self.optical.mask


def levels_of(sar: Array, optical: Array, sar_mask: Array, optical_mask: Array) -> list[Level]:
    """Levels from pixels so large that the SAR image has at most 320 on a side to its own (or 2048 on a side).

    Args:
        sar, optical: (C, H, W) float32; means of the SAR image are taken in its own unit, logarithms after.
        sar_mask, optical_mask: (H, W) bool.
    """
    levels: list[Level] = []
    factor, images, masks = 1, (sar, optical), (sar_mask, optical_mask)
    while True:
        coarse_enough = max(images[0].shape) <= COARSE
        if max(images[0].shape) <= FINE:
            shown = log_sar(images[0]), images[1]
            sar_map = structure_map(shown[0], masks[0], sigma=SIGMA_SAR)
            levels.insert(0, Level(factor, shown, sar_map, structure_map(shown[1], masks[1], sigma=SIGMA_OPTICAL)))
        if coarse_enough or min(min(image.shape[-2:]) for image in images) < 128:
            return levels
        factor, images, masks = 2 * factor, (halve(images[0]), halve(images[1])), (_both(masks[0]), _both(masks[1]))


def _both(mask: Array) -> Array:
    """True where all of 2 x 2 pixels are."""
    all_four: Array = halve(mask[None])[0] == 1
    return all_four


def mean_of_bands(image: Array, mask: Array) -> Array:
    """Mean of the bands, each by its own standard deviation, and the mean where pixels are invalid."""
    total = np.zeros(mask.shape, dtype=np.float32)
    for band in image:
        inside = band[mask > 0]
        spread = float(inside.std()) if inside.size else 0.0
        if spread:
            total += np.where(mask > 0, (band - inside.mean()) / spread, 0)
    return total / len(image)
