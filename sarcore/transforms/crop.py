"""Crops at random places."""

from __future__ import annotations

import torch

from sarcore.ops import _checks
from sarcore.ops.patch_grid import sides
from sarcore.transforms._random import Draw, RandomTransform


class RandomCrop(RandomTransform):
    """Cut a window out of each sample at a place of its own.

    >>> image = torch.arange(12.0).reshape(1, 3, 4)
    >>> RandomCrop((2, 3), seed=0)(image, index=5).shape
    torch.Size([1, 2, 3])

    Every place within the sample is as likely as every other. Nothing is resized: the pixel spacing stays that of the
    sensor.

    Args:
        size: side of the window, or (h, w), in pixels; at most that of the samples.
        seed: see `RandomTransform`.

    Called with x, (C, H, W) or (N, C, H, W) of any dtype, on the CPU or CUDA, and an optional ``index`` (see
    `RandomTransform`), it returns (C, h, w) or (N, C, h, w). Differentiable. No host synchronisation.

    Raises:
        ValueError, TypeError: naming the argument; a window larger than the samples.
    """

    def __init__(self, size: int | tuple[int, int], seed: int | None = None) -> None:
        super().__init__(seed)
        self.size = sides(size, "size")

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Windows of a batch."""
        if self.size[0] > x.shape[2] or self.size[1] > x.shape[3]:
            raise ValueError(f"size must fit into the samples, x is {_checks.describe(x)}, got {self.size}")
        u = draw.uniforms(x, 2)
        for axis, length in ((2, self.size[0]), (3, self.size[1])):
            places = x.shape[axis] - length + 1
            # u is in (0, 1]: the last place ends at 1.
            first = ((1.0 - u[:, axis - 2]) * places).long().clamp(max=places - 1)
            lines = first[:, None] + torch.arange(length, device=x.device)
            shape = [len(x), 1, 1, 1]
            shape[axis] = length
            x = x.take_along_dim(lines.reshape(shape), axis)
        return x

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"size={self.size}, {self._ending()}"
