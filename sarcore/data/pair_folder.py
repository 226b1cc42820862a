"""A folder of image pairs as a data set: A is SAR, B is optical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sarcore.data.pair_domain import TwoDomains, open_domains
from sarcore.data.pair_layout import PairEntry, list_pairs, of_part
from sarcore.errors import DataError
from sarcore.ops import Radiometry, encode

Offset = tuple[int, int]


@dataclass(eq=False)
class PairedFolder(TwoDomains):
    """Pairs of images of one place and one size; item i is (a, b), float32 (C, H, W) in [0, 1] each.

    >>> import tempfile; import numpy as np; from sarcore.data import write_image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name, bands in (("trainA", 1), ("trainB", 3)):
    ...     (root / name).mkdir()
    ...     _ = write_image(root / name / "bay_0_0.png", np.zeros((bands, 40, 60), dtype=np.uint8))
    >>> folder = PairedFolder.open(root)
    >>> len(folder), folder.channels, folder.sizes, folder.scenes, folder.parts
    (1, (1, 3), [(40, 60)], ['bay'], ['train'])

    ``keys[i]`` names the pair, ``scenes[i]`` the scene or region that it comes from (of an unknown one the key itself:
    ``scenes_known`` is False then), ``parts[i]`` train, val, test or None. ``notes`` says what was decided when the
    folder was opened. Images are never stretched or resized: sizes may differ from pair to pair, not within one.
    """

    keys: list[str]
    scenes: list[str]
    parts: list[str | None]
    scenes_known: bool = True
    offsets: list[Offset] | None = None
    """How far B lies off A, (x, y) in pixels, see `shifted`."""

    @classmethod
    def open(
        cls,
        root: str | Path,
        *,
        part: str | None = None,
        radiometry_a: Radiometry | None = None,
        radiometry_b: Radiometry | None = None,
        manifest: str | Path | None = None,
    ) -> PairedFolder:
        """Open SEN1-2 folders, trainA and trainB, train with A|B images, or what a manifest names (see `list_pairs`).

        ``part`` takes the pairs of one part alone. Without radiometries those of the set's card count, else 8-bit data
        are digital numbers 0 to 255, and others lie between the 0.5 and 99.5 percentiles of the whole set. Three equal
        channels of a SAR image are read as one. Only file headers are read, and pixels where that must be decided.
        Raises DataError for a missing or empty folder, an image without its partner, partners of different sizes,
        images of a domain that differ in channels or type, and unreadable files.
        """
        root = Path(root)
        entries = list_pairs(root, None if manifest is None else Path(manifest))
        _check_partners(root, entries)
        a, b = open_domains(root, entries, radiometry_a, radiometry_b)
        for entry, one, other in zip(entries, a.sizes, b.sizes, strict=True):
            if one != other:
                raise DataError(
                    f"the images of the pair {entry.key} of {root} differ in size: A is {_size(one)}, "
                    f"B {_size(other)}; bring them to one grid first (`sarcore prep warp`)"
                )
        folder = cls(
            root=root,
            keys=[entry.key for entry in entries],
            scenes=[entry.scene or entry.key for entry in entries],
            parts=[entry.part for entry in entries],
            a=a,
            b=b,
            scenes_known=all(entry.scene is not None for entry in entries),
        )
        return folder if part is None else folder.of_part(part)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole images, encoded; raises DataError with the path for a corrupt file, NaN or infinity."""
        a, b = self.pair(index)
        return encode(a, self.radiometry_a), encode(b, self.radiometry_b)

    def pair(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The images (C, H, W) in native units; do not write into them."""
        a, b = self.a.native(index), self.b.native(index)
        if self.offsets is None:
            return a, b
        (height, width), (dx, dy) = self.sizes[index], self.offsets[index]
        row, column = max(0, -dy), max(0, -dx)
        a = a[:, row : row + height, column : column + width]
        return a, b[:, row + dy : row + dy + height, column + dx : column + dx + width]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Rows and columns of each pair."""
        if self.offsets is None:
            return self.a.sizes
        return [(h - abs(dy), w - abs(dx)) for (h, w), (dx, dy) in zip(self.a.sizes, self.offsets, strict=True)]

    def subset(self, indices: Sequence[int]) -> PairedFolder:
        """The pairs at ``indices``, in that order."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            keys=[self.keys[i] for i in chosen],
            scenes=[self.scenes[i] for i in chosen],
            parts=[self.parts[i] for i in chosen],
            a=self.a.subset(chosen),
            b=self.b.subset(chosen),
            offsets=None if self.offsets is None else [self.offsets[i] for i in chosen],
        )

    def of_part(self, part: str) -> PairedFolder:
        """The pairs of one part; DataError where there is none."""
        return self.subset(of_part(self.root, self.parts, part))

    def in_memory(self) -> PairedFolder:
        """The same pairs, decoded and kept in their native type: processes that are forked later share them."""
        return replace(self, a=self.a.in_memory(), b=self.b.in_memory())

    def shifted(self, offsets: Mapping[str, Offset]) -> PairedFolder:
        """The same pairs, B taken (x, y) pixels further right and down than A, by scene; cropped to what both show.

        Offsets at which B was found correct the registration, other ones disturb it; they add up. Raises ValueError for
        a scene without an offset, DataError for an image that is not larger than its offset.
        """
        missing = sorted(set(self.scenes) - offsets.keys())
        if missing:
            raise ValueError(f"offsets lack the scene {missing[0]!r} and {len(missing) - 1} others; give all scenes")
        before = self.offsets or [(0, 0)] * len(self)
        sums = [(x + offsets[s][0], y + offsets[s][1]) for (x, y), s in zip(before, self.scenes, strict=True)]
        for key, (height, width), (dx, dy) in zip(self.keys, self.a.sizes, sums, strict=True):
            if abs(dy) >= height or abs(dx) >= width:
                raise DataError(f"the pair {key} of {height} x {width} pixels has nothing left at the offset {dx, dy}")
        return replace(self, offsets=sums)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _check_partners(root: Path, entries: Sequence[PairEntry]) -> None:
    alone = [entry for entry in entries if entry.a is None or entry.b is None]
    if alone:
        place, missing = (alone[0].a, "B") if alone[0].b is None else (alone[0].b, "A")
        assert place is not None
        raise DataError(
            f"the image {place.path} has no partner of its name in {missing} ({len(alone)} such images in {root}); add "
            "the partners, remove these images, or train without pairs (cyclegan)"
        )
