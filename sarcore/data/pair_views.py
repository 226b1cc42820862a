"""What a training sees of pairs: random crops of one size, and flips."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from sarcore.data.pair_folder import Offset, PairedFolder
from sarcore.data.patch_cache import MEMORY_LIMIT
from sarcore.data.unpaired_folder import UnpairedFolder
from sarcore.errors import DataError
from sarcore.ops import encode


class PairViews(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Random crops (C, size, size) of A and B with random flips left to right, encoded; item i is of pair i.

    >>> import tempfile; from pathlib import Path; from sarcore.data import write_image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("trainA", "trainB"):
    ...     (root / name).mkdir()
    ...     _ = write_image(root / name / "0.png", np.arange(2400, dtype=np.uint8).reshape(1, 40, 60))
    >>> a, b = PairViews(PairedFolder.open(root), 32)[0]
    >>> a.shape, torch.equal(a, b)
    (torch.Size([1, 32, 32]), True)

    Pairs are cropped and flipped together, images without partners each by itself. Everything is drawn from torch's
    global generator, which the engine seeds for each item. Images are decoded once and kept in memory, in their native
    type, where all of them together take at most ``memory_limit`` bytes.

    Args:
        folder: the pairs, or the two sets.
        size: side of the crops in pixels.
        flip: flip half of the items left to right. Up and down would turn the look direction of the radar around.
        shift: disturb the registration by so many pixels, in a direction drawn for each scene (`scene_shifts`).
        rotation: turn B by so many degrees about its centre, clockwise or counter-clockwise as drawn for each scene.
        seed: of the directions of shift and rotation.
        memory_limit: bytes.

    Raises:
        DataError: an image is smaller than a crop and what shift and rotation need around it.
        ValueError: size below 1, or a shift or rotation of images without partners.
    """

    def __init__(
        self,
        folder: PairedFolder | UnpairedFolder,
        size: int,
        *,
        flip: bool = True,
        shift: int = 0,
        rotation: float = 0.0,
        seed: int = 0,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {size}")
        if not 0 <= rotation < 90 or shift < 0:
            raise ValueError(f"shift must be >= 0 and rotation 0 up to 90 degrees, got {shift} and {rotation}")
        if shift or rotation:
            if isinstance(folder, UnpairedFolder):
                raise ValueError("shift and rotation disturb the registration of pairs; these images have no partners")
            if shift:
                folder = folder.shifted(scene_shifts(folder.scenes, shift, seed))
        self.size, self.flip, self.rotation, self.seed = size, flip, rotation, seed
        self.folder = folder.in_memory() if folder.nbytes <= memory_limit else folder
        self._check_sizes()

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        folder = self.folder
        a, b = folder.pair(index)
        if isinstance(folder, UnpairedFolder):
            a, b = self._cropped([a])[0], self._cropped([b])[0]
            return encode(a, folder.radiometry_a), encode(b, folder.radiometry_b)
        if self.rotation:
            turned = self.rotation * _sign(folder.scenes[index], self.seed)
            b = rotated(encode(b, folder.radiometry_b), turned)
            a, b = self._cropped([a, b], self._margin((int(a.shape[1]), int(a.shape[2]))))
            return encode(a, folder.radiometry_a), b
        a, b = self._cropped([a, b])
        return encode(a, folder.radiometry_a), encode(b, folder.radiometry_b)

    def _cropped(self, images: list[torch.Tensor], margin: int = 0) -> list[torch.Tensor]:
        """The same window of all images, at least `margin` pixels from the border, flipped or not."""
        row, column = (int(torch.randint(margin, side - self.size - margin + 1, ())) for side in images[0].shape[1:])
        flipped = self.flip and bool(torch.rand(()) < 0.5)
        windows = [image[:, row : row + self.size, column : column + self.size] for image in images]
        return [(_mirrored(w) if flipped else w).contiguous() for w in windows]

    def _margin(self, size: tuple[int, int]) -> int:
        """Pixels along the border that a turned image has no data for, or that lie on the way there."""
        if not self.rotation:
            return 0
        return math.ceil(2 * math.sin(math.radians(self.rotation) / 2) * math.hypot(*size) / 2)

    def _check_sizes(self) -> None:
        folder = self.folder
        named = (
            [*zip(folder.keys_a, folder.a.sizes, strict=True), *zip(folder.keys_b, folder.b.sizes, strict=True)]
            if isinstance(folder, UnpairedFolder)
            else [*zip(folder.keys, folder.sizes, strict=True)]
        )
        for key, (height, width) in named:
            margin = self._margin((height, width))
            if min(height, width) < self.size + 2 * margin:
                around = f" and {margin} around it for the rotation" if margin else ""
                raise DataError(
                    f"the image {key} of {folder.root} has {height} x {width} pixels to crop from, and a crop needs "
                    f"{self.size}{around}; take smaller crops or leave the image out"
                )


def scene_shifts(scenes: Iterable[str], pixels: float, seed: int = 0) -> dict[str, Offset]:
    """An offset (x, y) of a length of about `pixels` per scene, in a direction that the seed and its name draw.

    >>> scene_shifts(["003", "274"], 4)
    {'003': (-3, -2), '274': (-2, -3)}
    """
    offsets = {}
    for scene in sorted(set(scenes)):
        angle = _generator(scene, seed).uniform(0, 2 * math.pi)
        offsets[scene] = (round(pixels * math.cos(angle)), round(pixels * math.sin(angle)))
    return offsets


def rotated(image: torch.Tensor, degrees: float) -> torch.Tensor:
    """The image (C, H, W) turned counter-clockwise about its centre, bilinear; what comes from outside is mirrored.

    >>> rotated(torch.arange(4.0).reshape(1, 2, 2), 90).round()
    tensor([[[1., 3.],
             [0., 2.]]])
    """
    angle = math.radians(degrees)
    _, height, width = image.shape
    ratio = height / width  # grid_sample counts both axes from -1 to 1
    matrix = torch.tensor(
        [[math.cos(angle), -math.sin(angle) * ratio, 0], [math.sin(angle) / ratio, math.cos(angle), 0]],
        dtype=image.dtype,
    )
    grid = F.affine_grid(matrix[None], [1, *image.shape], align_corners=False)
    turned: torch.Tensor = F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]
    return turned


def _generator(scene: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{scene}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _sign(scene: str, seed: int) -> int:
    return 1 if _generator(f"{scene}\0rotation", seed).random() < 0.5 else -1


def _mirrored(image: torch.Tensor) -> torch.Tensor:
    if image.dtype == torch.uint16:  # which PyTorch does not flip; int16 has the same bits
        return image.view(torch.int16).flip(2).view(torch.uint16)
    return image.flip(2)
