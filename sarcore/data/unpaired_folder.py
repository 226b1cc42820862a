"""SAR and optical images without partners as a data set: two sets of any lengths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sarcore.data.pair_domain import TwoDomains, open_domains
from sarcore.data.pair_layout import list_pairs, of_part
from sarcore.errors import DataError
from sarcore.ops import Radiometry


@dataclass(eq=False)
class UnpairedFolder(TwoDomains):
    """Images of A and images of B, any numbers of each; item i is (a, b), float32 (C, H, W) in [0, 1] each.

    >>> import tempfile; import numpy as np; from sarcore.data import write_image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name, count in (("trainA", 2), ("trainB", 5)):
    ...     (root / name).mkdir()
    ...     for i in range(count):
    ...         _ = write_image(root / name / f"{i}.png", np.full((1, 4, 4), 51 * i, dtype=np.uint8))
    >>> folder = UnpairedFolder.open(root)
    >>> len(folder), [round(5 * float(folder[i][1].max())) for i in range(5)]
    (5, [0, 1, 2, 3, 4])

    An epoch meets every image of the larger set once; the other image of an item is DRAWN from the smaller set, by
    torch's global generator, which a training seeds for each item. Also of equal sets and of folders of pairs.
    """

    keys_a: list[str]
    keys_b: list[str]
    scenes_a: list[str]
    scenes_b: list[str]

    @classmethod
    def open(
        cls,
        root: str | Path,
        *,
        part: str | None = None,
        radiometry_a: Radiometry | None = None,
        radiometry_b: Radiometry | None = None,
        manifest: str | Path | None = None,
    ) -> UnpairedFolder:
        """Open what `PairedFolder.open` opens; images may lack their partner, and sizes may differ.

        Raises DataError as that does for what else is wrong, and where A or B has no image.
        """
        root = Path(root)
        entries = list_pairs(root, None if manifest is None else Path(manifest))
        if part is not None:  # after the radiometry, which is that of the whole set
            of_part(root, [entry.part for entry in entries], part)
        a, b = open_domains(root, entries, radiometry_a, radiometry_b)
        sides = [[e for e in entries if e.a is not None], [e for e in entries if e.b is not None]]
        chosen = [[i for i, e in enumerate(side) if part in (None, e.part)] for side in sides]
        for name, side in zip("AB", chosen, strict=True):
            if not side:
                raise DataError(f"{root} has no image of {name} in the part {part}; make the split again")
        kept = [[side[i] for i in indices] for side, indices in zip(sides, chosen, strict=True)]
        scenes = [[entry.scene or entry.key for entry in side] for side in kept]
        a, b = a.subset(chosen[0]), b.subset(chosen[1])
        keys = [[os.path.relpath(place.path.with_suffix(""), root) for place in side.places] for side in (a, b)]
        return cls(root, a, b, keys_a=keys[0], keys_b=keys[1], scenes_a=scenes[0], scenes_b=scenes[1])

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole images, encoded; raises DataError with the path for a corrupt file, NaN or infinity."""
        i, j = self.drawn(index)
        return self.a.encoded(i), self.b.encoded(j)

    def drawn(self, index: int) -> tuple[int, int]:
        """The numbers of the images of an item in A and in B; draws from torch's global generator."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        other = int(torch.randint(min(len(self.a), len(self.b)), ()))
        return (index, other) if len(self.a) >= len(self.b) else (other, index)

    def pair(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The images (C, H, W) of an item in native units; do not write into them."""
        i, j = self.drawn(index)
        return self.a.native(i), self.b.native(j)

    def subset(self, indices_a: Sequence[int], indices_b: Sequence[int]) -> UnpairedFolder:
        """These images of A and these of B."""
        one, other = [int(i) for i in indices_a], [int(i) for i in indices_b]
        return replace(
            self,
            keys_a=[self.keys_a[i] for i in one],
            keys_b=[self.keys_b[i] for i in other],
            scenes_a=[self.scenes_a[i] for i in one],
            scenes_b=[self.scenes_b[i] for i in other],
            a=self.a.subset(one),
            b=self.b.subset(other),
        )

    def in_memory(self) -> UnpairedFolder:
        """The same images, decoded and kept in their native type."""
        return replace(self, a=self.a.in_memory(), b=self.b.in_memory())
