"""The peers of `extract_patches` and `merge_patches`: packages as their users call them, and the best compositions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from peers import load

from sarcore.ops import PatchGrid

SIZE, STRIDE, BATCH = 160, 80, 256
Extract = Callable[[torch.Tensor], torch.Tensor]  # scene (H, W) -> patches (P, 1, h, w)
Merge = Callable[[torch.Tensor], torch.Tensor]  # patches (P, 1, h, w) -> scene (1, H, W)


@dataclass(frozen=True)
class Finish:
    """What users do with the pixels: (log x - offset) / width in float32, or nothing."""

    offset: float
    width: float
    copies: bool = False

    def tensor(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.copies else (x.float().log() - self.offset) / self.width

    def array(self, x: np.ndarray) -> np.ndarray:
        return x if self.copies else (np.log(x.astype(np.float32)) - self.offset) / self.width

    def empty(self, count: int, dtype: np.dtype) -> np.ndarray:
        return np.empty((count, 1, SIZE, SIZE), dtype if self.copies else np.float32)


# ------ extract: packages


def kornia_extract(finish: Finish, size: int = SIZE, stride: int = STRIDE) -> Extract | None:
    """`kornia.contrib.extract_tensor_patches`, then the pixels. It drops what does not fill a patch, and says so."""
    contrib = load("kornia.contrib")
    if contrib is None:
        return None

    def call(scene: torch.Tensor) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patches = contrib.extract_tensor_patches(scene[None, None], size, stride)[0]
        return finish.tensor(patches)

    return call


def patchify_extract(finish: Finish) -> tuple[str, Extract]:
    """`patchify.patchify`, a view of all patches that fit, then NumPy; or `sliding_window_view`, which is the same."""
    patchify = load("patchify")

    def call(scene: torch.Tensor) -> torch.Tensor:
        image = scene.numpy()
        if patchify is not None:
            views = patchify.patchify(image, (SIZE, SIZE), step=STRIDE)
        else:
            views = np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE))[::STRIDE, ::STRIDE]
        return torch.from_numpy(np.ascontiguousarray(finish.array(views)).reshape(-1, 1, SIZE, SIZE))

    return ("patchify" if patchify else "patchify's formula"), call


def tiler_extract(finish: Finish) -> Extract | None:
    """`tiler.Tiler` in batches, mirrored beyond the scene."""
    tiler = load("tiler")
    if tiler is None:
        return None

    def call(scene: torch.Tensor) -> torch.Tensor:
        image = scene.numpy()
        tiles = tiler.Tiler(image.shape, (SIZE, SIZE), overlap=SIZE - STRIDE, mode="reflect")
        out = finish.empty(len(tiles), image.dtype)
        for number, batch in tiles(image, batch_size=BATCH):
            out[number * BATCH : number * BATCH + len(batch), 0] = finish.array(batch)
        return torch.from_numpy(out)

    return call


def toolbelt_extract(finish: Finish) -> tuple[str, Extract] | None:
    """pytorch-toolbelt's `ImageSlicer.split`: the scene with a mirrored border (OpenCV), then a list of views."""
    cv2, tiles_of = load("cv2"), load("pytorch_toolbelt.inference.tiles")
    if cv2 is None:
        return None

    def views(image: np.ndarray) -> list[np.ndarray]:
        grid = PatchGrid(image.shape, SIZE, STRIDE)
        below, right = (padded - side for padded, side in zip(grid.padded, grid.shape, strict=True))
        if tiles_of is not None:
            slicer = tiles_of.ImageSlicer(image.shape, SIZE, STRIDE, image_margin=(0, right, 0, below))
            return slicer.split(image, border_type=cv2.BORDER_REFLECT_101)
        wide = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        return [wide[y : y + SIZE, x : x + SIZE] for y, x in grid.positions().tolist()]

    def call(scene: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(finish.array(np.stack(views(scene.numpy())))[:, None])

    return ("pytorch-toolbelt" if tiles_of else "pytorch-toolbelt's formula"), call


# ------ extract: compositions


def unfold_extract(finish: Finish, size: int = SIZE, stride: int = STRIDE) -> Extract:
    """The expert's order: the pixels of the scene first, then one copy of two unfolds. Drops what does not fit."""

    def call(scene: torch.Tensor) -> torch.Tensor:
        windows = finish.tensor(scene).unfold(0, size, stride).unfold(1, size, stride)
        return windows.reshape(-1, 1, size, size)

    return call


def slices_extract(finish: Finish) -> Extract:
    """The same in NumPy: the pixels of the mirrored scene first, then slice after slice into one array."""

    def call(scene: torch.Tensor) -> torch.Tensor:
        grid = PatchGrid(tuple(scene.shape), SIZE, STRIDE)
        border = [(0, padded - side) for padded, side in zip(grid.padded, grid.shape, strict=True)]
        image = np.pad(finish.array(scene.numpy()), border, mode="reflect")
        out = finish.empty(len(grid), image.dtype)
        for patch, (y, x) in zip(out, grid.positions().tolist(), strict=True):
            patch[0] = image[y : y + SIZE, x : x + SIZE]
        return torch.from_numpy(out)

    return call


def crops_extract(finish: Finish, index: torch.Tensor) -> Extract:
    """Random crops as in data sets: one slice each, `torch.stack`, then the pixels."""
    corners = index.tolist()

    def call(scene: torch.Tensor) -> torch.Tensor:
        return finish.tensor(torch.stack([scene[None, y : y + SIZE, x : x + SIZE] for y, x in corners]))

    return call


def indexed_extract(finish: Finish, index: torch.Tensor) -> Extract:
    """Random crops by one advanced index into the normalised scene."""
    side = torch.arange(SIZE, device=index.device)
    rows, columns = index[:, :1] + side, index[:, 1:] + side

    def call(scene: torch.Tensor) -> torch.Tensor:
        return finish.tensor(scene)[rows[:, None, :, None], columns[:, None, None, :]]

    return call


# ------ merge


def weight_sums(window: torch.Tensor, grid: PatchGrid) -> torch.Tensor:
    """The sum of the weights at every pixel of the padded scene, as the product of two sums along the sides."""
    sums = []
    for count, side in zip(grid.counts, grid.padded, strict=True):
        total = window.new_zeros(side)
        for k in range(count):
            total[k * STRIDE : k * STRIDE + SIZE] += window
        sums.append(total)
    return sums[0][:, None] * sums[1]


def plane(window: torch.Tensor) -> torch.Tensor:
    return window[:, None] * window


def toolbelt_merge(window: torch.Tensor, grid: PatchGrid) -> tuple[str, Merge]:
    """pytorch-toolbelt's `TileMerger`: per tile two slices are added, the tile and its weights; then a division."""
    tiles_of, weight, (height, width) = load("pytorch_toolbelt.inference.tiles"), plane(window), grid.shape
    positions = grid.positions().numpy()

    def package(patches: torch.Tensor) -> torch.Tensor:
        merger = tiles_of.TileMerger(grid.padded, patches.shape[1], weight.cpu().numpy(), device=patches.device)
        crops = np.concatenate([positions[:, ::-1], np.full_like(positions, SIZE)], axis=1)
        for first in range(0, len(patches), BATCH):
            merger.integrate_batch(patches[first : first + BATCH], crops[first : first + BATCH])
        return merger.merge()[:, :height, :width]

    def formula(patches: torch.Tensor) -> torch.Tensor:
        image, total = patches.new_zeros(patches.shape[1], *grid.padded), patches.new_zeros(1, *grid.padded)
        for tile, (y, x) in zip(patches, positions.tolist(), strict=True):
            image[:, y : y + SIZE, x : x + SIZE] += tile * weight
            total[:, y : y + SIZE, x : x + SIZE] += weight
        return (image / total)[:, :height, :width]

    return ("pytorch-toolbelt", package) if tiles_of else ("pytorch-toolbelt's formula", formula)


def tiler_merge(window: torch.Tensor, grid: PatchGrid) -> Merge | None:
    """`tiler.Merger` in batches, with our window."""
    tiler = load("tiler")
    if tiler is None:
        return None

    def call(patches: torch.Tensor) -> torch.Tensor:
        tiles = tiler.Tiler(grid.shape, (SIZE, SIZE), overlap=SIZE - STRIDE, mode="reflect")
        merger = tiler.Merger(tiles, window=plane(window).numpy())
        for number, batch in enumerate(patches[:, 0].split(BATCH)):
            merger.add_batch(number, BATCH, batch.numpy())
        return torch.from_numpy(merger.merge(unpad=True))[None]

    return call


def slices_merge(window: torch.Tensor, grid: PatchGrid) -> Merge:
    """The loop of a NumPy user who knows the sum of the weights."""
    weight, total = plane(window).numpy(), weight_sums(window, grid).numpy()

    def call(patches: torch.Tensor) -> torch.Tensor:
        image = np.zeros(grid.padded, np.float32)
        for patch, (y, x) in zip(patches.numpy()[:, 0], grid.positions().tolist(), strict=True):
            image[y : y + SIZE, x : x + SIZE] += patch * weight
        image /= total
        return torch.from_numpy(image[None, : grid.shape[0], : grid.shape[1]])

    return call


def fold_merge(window: torch.Tensor, grid: PatchGrid) -> Merge:
    """`F.fold` of the weighted patches over the sum of the weights, which it need not compute."""
    weight, total, (height, width) = plane(window), weight_sums(window, grid), grid.shape

    def call(patches: torch.Tensor) -> torch.Tensor:
        columns = (patches * weight).flatten(1).t()[None]
        image = F.fold(columns, grid.padded, kernel_size=SIZE, stride=STRIDE)[0] / total
        return image[:, :height, :width]

    return call


def kornia_merge(grid: PatchGrid) -> Merge | None:
    """`kornia.contrib.combine_tensor_patches`, the plain mean."""
    contrib = load("kornia.contrib")
    if contrib is None:
        return None
    height, width = grid.shape
    return lambda p: contrib.combine_tensor_patches(p[None], grid.padded, SIZE, STRIDE)[0, :, :height, :width]


def monai_round_trip() -> Merge | None:
    """`monai.inferers.sliding_window_inference`, Gaussian, of the identity: a scene (1, H, W) to a scene."""
    inferers = load("monai.inferers")
    if inferers is None:
        return None

    def call(scene: torch.Tensor) -> torch.Tensor:
        overlap = 1 - STRIDE / SIZE
        return inferers.sliding_window_inference(
            scene[None], (SIZE, SIZE), BATCH, torch.nn.Identity(), overlap, "gaussian", sigma_scale=0.125
        )[0]

    return call
