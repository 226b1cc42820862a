"""`PatchMerger`: patches come batch by batch, finished rows of the scene go; memory does not grow with its height."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sarcore.ops import _checks
from sarcore.ops._blend_window import Weights, Window, blend_window
from sarcore.ops.merge_patches import DTYPES, check_grid, check_mode
from sarcore.ops.patch_grid import PatchGrid, sides


class PatchMerger:
    """`merge_patches` for patches that come in batches: gives the rows of the scene as soon as they are finished.

    >>> merger = PatchMerger((6, 4), size=4, stride=2)  # two patches, one below the other
    >>> merger.add(torch.zeros(1, 1, 4, 4)).shape, merger.rows_done
    (torch.Size([1, 2, 4]), 2)
    >>> merger.add(torch.ones(1, 1, 4, 4))[0, :, 0]
    tensor([0.2764, 0.7236, 1.0000, 1.0000])
    >>> merger.finish()

    The rows of all calls together have the bits of `merge_patches`. A row is finished when every patch that covers it
    is there; no more than ceil(h / stride) rows of patches are held for that, and a copy of the batch.

    Args:
        shape: (H, W) or (C, H, W) of the scene, in pixels.
        size: side of a patch, or (h, w), in pixels.
        stride: step from patch to patch, or (y, x), in pixels; at most `size`.
        window: weights of the mean, as for `merge_patches`.
        mode: ``mean``, ``max``, ``min`` or ``median``.
        patch_rows: (a, b) to take the patch rows a to b - 1 of the grid alone, for a scene that several processes share
            or that was begun before. They finish the rows of the scene that no other patch covers, those of a stride
            y s, patches of height h and n patch rows from (a - 1) s + h (0 where a = 0) to b s (H where b = n).

    Attributes:
        grid: the `PatchGrid`.
        rows: (first, last + 1) of the rows of the scene that all calls together give.
        rows_done: how many of them were given; the next call goes on at row ``rows[0] + rows_done``.

    Raises:
        TypeError, ValueError: as `merge_patches`; patch rows that the grid does not have.
    """

    def __init__(
        self,
        shape: Sequence[int],
        size: int | Sequence[int],
        stride: int | Sequence[int],
        *,
        window: Window = "hann",
        mode: str = "mean",
        patch_rows: tuple[int, int] | None = None,
    ) -> None:
        self.grid = check_grid(shape, sides(size, "size"), stride)
        self._channels = shape[0] if len(shape) == 3 else None
        self._mode = check_mode(mode, window, torch.float32)
        self._window = window
        blend_window(window, self.grid, torch.empty(0))  # a wrong one is refused here, not with the first batch
        first, last = _part(patch_rows, self.grid)
        height, side, step = self.grid.shape[0], self.grid.size[0], self.grid.stride[0]
        down, across = self.grid.counts
        begin = (first - 1) * step + side if first else 0
        self.rows = (begin, max(begin, last * step if last < down else height))
        self.rows_done = 0
        self._next, self._end = first * across, last * across  # numbers of patches
        self._ring: torch.Tensor | None = None  # patch row k lies at k modulo the rows of it
        self._weights: Weights | None = None

    def add(self, patches: torch.Tensor) -> torch.Tensor:
        """The next patches in the order of the grid; the rows that are finished with them, (C, r, W), r may be 0.

        Args:
            patches: (n, C, h, w), any n; C, dtype and device as in the first call. Not differentiable: within
                ``torch.no_grad()``, or detached.

        Raises:
            TypeError, ValueError: patches of another size, number of channels, dtype or device, more of them than are
                missing, or patches that wait for a gradient.
        """
        patches = self._check(patches)
        with torch.no_grad():
            ring = self._room(patches)
            while len(patches):
                place = self._next % len(ring)
                part = patches[: len(ring) - place]
                ring[place : place + len(part)].copy_(part)
                patches = patches[len(part) :]
                self._next += len(part)
            return self._finished(ring)

    def finish(self) -> None:
        """Checks that all patches came.

        Raises:
            ValueError: some did not; says how many.
        """
        if self._next < self._end:
            raise ValueError(f"{self._end - self._next} patches are missing: add them before finish()")

    def _finished(self, ring: torch.Tensor) -> torch.Tensor:
        """The rows that the patch rows which are complete have finished."""
        weights = self._weights
        assert weights is not None
        (height, width), (down, across) = self.grid.shape, self.grid.counts
        complete = self._next // across
        begin = self.rows[0] + self.rows_done
        end = max(begin, min(complete * self.grid.stride[0] if complete < down else height, self.rows[1]))
        rows: torch.Tensor = torch.ops.sarcore.merge_patches(
            ring, *weights, height, width, self.grid.stride, self._mode, 0, begin, end
        )
        self.rows_done += end - begin
        return rows

    def _room(self, patches: torch.Tensor) -> torch.Tensor:
        """The ring, with room for these patches beside those that unfinished rows still need."""
        if self._weights is None:
            self._weights = blend_window(self._window, self.grid, patches)
        (side, step), across, old = (self.grid.size[0], self.grid.stride[0]), self.grid.counts[1], self._ring
        row = self.rows[0] + self.rows_done
        first = max(0, (row - side) // step + 1)  # the first patch row that covers it
        rows = max(-(-(self._next + len(patches)) // across) - first, 1)
        if old is not None and len(old) >= rows * across:
            return old
        with torch.inference_mode(False):  # a later call may be outside of it
            ring = patches.new_empty((rows * across, *patches.shape[1:]))
        if old is not None:
            for number in range(first * across, self._next, across):
                count = min(across, self._next - number)
                ring[number % len(ring) :][:count].copy_(old[number % len(old) :][:count])
        self._ring = ring
        return ring

    def _check(self, patches: torch.Tensor) -> torch.Tensor:
        patches = _checks.images(patches, "patches", DTYPES)
        check_mode(self._mode, "hann", patches.dtype)
        if patches.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                "patches must not wait for a gradient, which PatchMerger does not give: call it within "
                "torch.no_grad(), or merge all patches at once with merge_patches"
            )
        ring = self._ring
        channels = ring.shape[1] if ring is not None else self._channels or patches.shape[1]
        if tuple(patches.shape[1:]) != (channels, *self.grid.size):
            raise ValueError(
                f"patches must be (n, {channels}, {self.grid.size[0]}, {self.grid.size[1]}), got "
                f"{_checks.describe(patches)}"
            )
        if ring is not None and (patches.dtype, patches.device) != (ring.dtype, ring.device):
            raise ValueError(
                f"patches must be {str(ring.dtype).removeprefix('torch.')} on {ring.device}, as the first ones, got "
                f"{_checks.describe(patches)}"
            )
        if len(patches) > self._end - self._next:
            raise ValueError(
                f"patches must be at most the {self._end - self._next} that are missing, got "
                f"{_checks.describe(patches)}"
            )
        return patches


def _part(patch_rows: object, grid: PatchGrid) -> tuple[int, int]:
    """First patch row, and the one after the last."""
    down = grid.counts[0]
    if patch_rows is None:
        return 0, down
    if not isinstance(patch_rows, (tuple, list)) or len(patch_rows) != 2:
        raise TypeError(f"patch_rows must be a pair (first, last + 1), got {patch_rows!r}")
    first = _checks.integer(patch_rows[0], "patch_rows", 0, down - 1)
    return first, _checks.integer(patch_rows[1], "patch_rows", first + 1, down)
