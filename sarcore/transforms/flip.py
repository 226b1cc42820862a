"""Flips that a radar could have seen."""

from __future__ import annotations

import torch

from sarcore.transforms._random import Draw, RandomTransform


class RandomFlip(RandomTransform):
    """Flip each sample along azimuth and along range, each with probability p.

    >>> image = torch.arange(6.0).reshape(1, 2, 3)
    >>> RandomFlip(p=1.0, keep_look_direction=True, seed=0)(image)  # along azimuth alone
    tensor([[[3., 4., 5.],
             [0., 1., 2.]]])

    The geometry of a radar image is not that of a photograph. Range is measured by time: tall objects lean towards the
    radar (layover) and throw shadows away from it. Hence

    * a flip along azimuth gives the mirrored scene seen from the same side: physical, and shadows still fall to the far
      side;
    * a flip along range puts shadows and layover on the other side: the mirrored scene seen from the other side, as
      from an orbit of the other node or a radar that looks left in place of right. Physical, but of another geometry:
      where all images, in training and in use, come from one side, ``keep_look_direction=True`` leaves it out;
    * both together turn the image by 180 degrees: the same scene seen from the other side;
    * a rotation by 90 degrees, or a transposition, makes azimuth of range: shadows would fall along the flight path. No
      radar takes such images, so no transform here does.

    Args:
        p: probability of each flip, drawn for each sample and for each of the two axes.
        seed: see `RandomTransform`.
        keep_look_direction: flip along azimuth alone.
        range_axis: the axis along which the range grows or falls: -1, columns (the default, rows are azimuth), or -2.

    Called with x, (C, H, W) or (N, C, H, W) of any dtype, on the CPU or CUDA, and an optional ``index`` (see
    `RandomTransform`), it returns a tensor like x. Differentiable. No host synchronisation.

    Raises:
        ValueError, TypeError: naming the argument.

    Source: Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 2004, chapter 2 (imaging geometry).
    """

    def __init__(
        self, p: float = 0.5, seed: int | None = None, *, keep_look_direction: bool = False, range_axis: int = -1
    ) -> None:
        super().__init__(seed, p)
        if range_axis not in (-1, -2):
            raise ValueError(f"range_axis must be -1 (columns) or -2 (rows), got {range_axis!r}")
        self.keep_look_direction, self.range_axis = bool(keep_look_direction), range_axis

    def change(self, x: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Flips of a batch."""
        u = draw.uniforms(x, 2)
        x = torch.where(self.chosen(u[:, 0]), x.flip(-3 - self.range_axis), x)
        if self.keep_look_direction:
            return x
        return torch.where(self.chosen(u[:, 1]), x.flip(self.range_axis), x)

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        return f"keep_look_direction={self.keep_look_direction}, range_axis={self.range_axis}, {self._ending()}"
