"""Small folders of pairs for the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sarcore.data import write_image


def grey(value: int, size: tuple[int, int] = (8, 12), channels: int = 1) -> npt.NDArray[np.uint8]:
    return np.full((channels, *size), value, dtype=np.uint8)


def put(root: Path, images: Mapping[str, npt.NDArray[np.generic]]) -> Path:
    for name, image in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, image)
    return root


def numbered(number: int, channels: int) -> npt.NDArray[np.uint8]:
    """An image of one grey value, and of its number in the first pixel."""
    image = grey(number % 256, channels=channels)
    image[:, 0, 0] = number // 256
    return image


def sen12(root: Path, regions: Mapping[str, int], season: str = "") -> Path:
    """SEN1-2 folders of `regions[n]` pairs each; no two images are alike."""
    images = {}
    for region, count in regions.items():
        for p in range(count):
            for domain, channels in ((1, 1), (2, 3)):
                name = f"s{domain}_{region}/{season or 'x'}_s{domain}_{region}_p{p}.png"
                images[f"{season}/{name}" if season else name] = numbered(len(images), channels)
    return put(root, images)
