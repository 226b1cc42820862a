"""`PatchGrid`: where the patches of a scene lie. Geometry alone, no pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from sarcore.ops import _checks

PADDINGS = ("reflect", "edge", "constant")
LONGEST = 2**31 - 1  # pixels along a side


@dataclass(frozen=True)
class PatchGrid:
    """Regular patches that cover a scene to its last row and column.

    >>> grid = PatchGrid((100, 130), size=64, stride=48)
    >>> len(grid), grid.counts, grid.padded
    (6, (2, 3), (112, 160))
    >>> grid.positions().tolist()
    [[0, 0], [0, 48], [0, 96], [48, 0], [48, 48], [48, 96]]
    >>> [batch.tolist() for batch in grid.batches(4)]
    [[[0, 0], [0, 48], [0, 96], [48, 0]], [[48, 48], [48, 96]]]

    Patch (i, j) has its upper left pixel at row i stride_y, column j stride_x. Along a side of L pixels there are

        n = ceil((L - size) / stride) + 1     (1 where L <= size)

    patches, so that nothing is dropped; the last ones reach beyond the scene by up to stride - 1 pixels (more where the
    scene is smaller than a patch), which `pad` fills. Patches are numbered row by row.

    Args:
        shape: (H, W) or (C, H, W) of the scene, in pixels.
        size: side of a patch, or (h, w), in pixels.
        stride: step from patch to patch, or (y, x); `size` unless given. Beyond `size` it leaves gaps between patches.
        pad: what the pixels beyond the scene are: ``reflect`` (mirrored, the border pixel once), ``edge`` (the border
            pixel again) or ``constant`` (zero).

    Raises:
        TypeError: a size that is no integer.
        ValueError: a size or stride below 1, a scene without pixels, another `pad`.
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    stride: tuple[int, int]
    pad: str

    def __init__(
        self,
        shape: Sequence[int],
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        pad: str = "reflect",
    ) -> None:
        if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) not in (2, 3):
            raise ValueError(f"shape must be (H, W) or (C, H, W), got {shape!r}")
        # A frozen dataclass is set up through object.__setattr__.
        object.__setattr__(self, "shape", sides(tuple(shape)[-2:], "shape"))
        object.__setattr__(self, "size", sides(size, "size"))
        object.__setattr__(self, "stride", self.size if stride is None else sides(stride, "stride"))
        object.__setattr__(self, "pad", _checks.choice(pad, PADDINGS, "pad"))

    @property
    def counts(self) -> tuple[int, int]:
        """Patches along the height and the width."""
        down, across = (_count(*side) for side in zip(self.shape, self.size, self.stride, strict=True))
        return down, across

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width to which the patches reach; less than that of the scene only where `stride` leaves gaps."""
        down, across = (
            (n - 1) * step + side for n, step, side in zip(self.counts, self.stride, self.size, strict=True)
        )
        return down, across

    def __len__(self) -> int:
        down, across = self.counts
        return down * across

    def positions(self, first: int = 0, last: int | None = None) -> torch.Tensor:
        """Upper left (row, column) of patches `first` to `last` (not included), (P, 2) int64; of all without them.

        Raises:
            TypeError, ValueError: `first` is no patch's number, or `last` comes before it.
        """
        count = len(self)
        first = _checks.integer(first, "first", 0, count)
        numbers = torch.arange(
            first, count if last is None else min(_checks.integer(last, "last", first, 2**63), count)
        )
        across = self.counts[1]
        rows = torch.div(numbers, across, rounding_mode="floor")
        return torch.stack([rows * self.stride[0], (numbers - rows * across) * self.stride[1]], dim=1)

    def batches(self, count: int) -> Iterator[torch.Tensor]:
        """The positions in batches of `count`; the last one may be shorter."""
        count = _checks.integer(count, "count", 1, LONGEST)
        return (self.positions(first, first + count) for first in range(0, len(self), count))


def sides(value: object, name: str) -> tuple[int, int]:
    """One integer for both sides, or (vertical, horizontal), each 1 or more."""
    both = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name} must be an integer or a pair (vertical, horizontal), got {value!r}")
    down, across = (_checks.integer(each, name, 1, LONGEST) for each in both)
    return down, across


def _count(length: int, size: int, stride: int) -> int:
    if length <= size:
        return 1
    last = -(-(length - size) // stride)
    return min(last, (length - 1) // stride) + 1  # with gaps, the last patch still starts inside the scene
