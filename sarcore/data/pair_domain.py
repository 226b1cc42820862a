"""The images of one sensor, of any sizes, and what two such sets have together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from sarcore.data.card import read_card
from sarcore.data.folder import clean_pixels, default_radiometry, memory_dtype
from sarcore.data.images import read_header, read_image
from sarcore.data.pair_layout import ImagePlace, PairEntry
from sarcore.errors import DataError
from sarcore.ops import Radiometry, encode

_GREY_SAMPLE = 16  # images that are looked into when the folder is opened; the others when they are read

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Domain:
    """Images of one number of channels and one type, with the radiometry that encodes them.

    >>> import tempfile
    >>> from sarcore.data import write_image
    >>> file = write_image(f"{tempfile.mkdtemp()}/a.png", np.full((1, 4, 6), 51, dtype=np.uint8))
    >>> domain = Domain.open("A", file.parent, [ImagePlace(file)])
    >>> domain.sizes, domain.encoded(0).unique()
    ([(4, 6)], tensor([0.2000]))

    ``grey`` says that the files hold three equal channels, of which one is read; a file that does not is refused.
    """

    root: Path
    places: list[ImagePlace]
    sizes: list[tuple[int, int]]
    channels: int
    dtype: np.dtype[Any]
    radiometry: Radiometry
    grey: bool = False
    notes: list[str] = field(default_factory=list)
    held: list[Array] | None = None
    """The pixels, where they are kept in memory."""

    @classmethod
    def open(
        cls,
        name: str,
        root: Path,
        places: Sequence[ImagePlace],
        radiometry: Radiometry | None = None,
        *,
        grey: bool = False,
    ) -> Domain:
        """Look into the header of every file. With ``grey``, three channels that are equal are read as one.

        Without a ``radiometry`` 8-bit data are digital numbers 0 to 255, and others lie between the 0.5 and 99.5
        percentiles of (a sample of) the whole set. Raises DataError for files that cannot be read or that differ in
        channels or type, and for side-by-side images of odd width; ValueError for a radiometry of codes.
        """
        if radiometry is not None and radiometry.out != "float32":
            raise ValueError(f"the radiometry of {name} must have out='float32', as the items, got {radiometry.out!r}")
        allow_complex = radiometry is not None and radiometry.unit == "complex"
        sizes: list[tuple[int, int]] = []
        first: tuple[int, np.dtype[Any]] | None = None
        for place in places:
            (channels, height, width), dtype = read_header(place.path, allow_complex=allow_complex)
            first = first or (channels, dtype)
            if (channels, dtype) != first:
                raise DataError(
                    f"the image {place.path} has {channels} channels of {dtype}, but {places[0].path} has {first[0]} "
                    f"of {first[1]}; the images of domain {name} must have one number of channels and one type"
                )
            if place.half is not None and width % 2:
                raise DataError(f"{place.path} is {width} pixels wide; A and B side by side need an even width")
            sizes.append((height, width if place.half is None else width // 2))
        assert first is not None, "a folder without images was refused before"
        channels, dtype = first
        placeholder = radiometry or Radiometry("digital", 0.0, 255.0)
        domain = cls(root, list(places), sizes, channels, dtype, placeholder)
        if (
            grey
            and channels == 3
            and all(_equal_channels(domain.stored(i)) for i in _spread(len(places), _GREY_SAMPLE))
        ):
            domain = replace(domain, channels=1, grey=True, notes=[_grey_note(name, len(places))])
        if radiometry is None:
            domain.radiometry = default_radiometry(root, len(domain), domain.stored, dtype)
        return domain

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of every image; DataError where they differ in size."""
        if len(set(self.sizes)) != 1:
            raise DataError(f"the images of {self.root} have {len(set(self.sizes))} sizes; cut them to one")
        return (self.channels, *self.sizes[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all images in memory."""
        return sum(map(math.prod, self.sizes)) * self.channels * memory_dtype(self.dtype).itemsize

    def stored(self, index: int) -> Array:
        """The pixels (C, H, W) as they lie in the file; DataError where it is not what was opened."""
        path, half = self.places[index]
        image = read_image(path, allow_complex=self.dtype.kind == "c")
        if half is not None:
            middle = image.shape[2] // 2
            image = image[:, :, :middle] if half == "left" else image[:, :, middle:]
        if self.grey:
            if not _equal_channels(image):
                raise DataError(
                    f"the SAR image {path} is coloured, but others of {self.root} have three equal channels; save all "
                    "of them as one channel, or remove this one"
                )
            image = image[:1].copy()  # a view would keep all three channels in memory
        if image.shape != (self.channels, *self.sizes[index]) or image.dtype != self.dtype:
            raise DataError(
                f"the image {path} was {(self.channels, *self.sizes[index])} {self.dtype} when the folder was opened "
                f"and is {image.shape} {image.dtype} now; open the folder again"
            )
        return image

    def native(self, index: int) -> torch.Tensor:
        """The image (C, H, W) in native units, no-data filled with the low limit; do not write into it."""
        return torch.from_numpy(self._array(index) if self.held is None else self.held[index])

    def encoded(self, index: int) -> torch.Tensor:
        """The image (C, H, W), float32 in [0, 1]."""
        return encode(self.native(index), self.radiometry)

    def subset(self, indices: Iterable[int]) -> Domain:
        """The images at ``indices``, in that order."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            places=[self.places[i] for i in chosen],
            sizes=[self.sizes[i] for i in chosen],
            held=None if self.held is None else [self.held[i] for i in chosen],
        )

    def in_memory(self) -> Domain:
        """The same images, decoded and kept in their native type."""
        return self if self.held is not None else replace(self, held=[self._array(i) for i in range(len(self))])

    def _array(self, index: int) -> Array:
        return clean_pixels(np.ascontiguousarray(self.stored(index)), self.radiometry, self.places[index].path)


@dataclass(eq=False)
class TwoDomains(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What all sets of SAR and optical images have: A and B with their channels and radiometries."""

    root: Path
    a: Domain
    b: Domain

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of A and of B."""
        return self.a.channels, self.b.channels

    @property
    def radiometry_a(self) -> Radiometry:
        """What encodes A."""
        return self.a.radiometry

    @property
    def radiometry_b(self) -> Radiometry:
        """What encodes B."""
        return self.b.radiometry

    @property
    def notes(self) -> list[str]:
        """What was decided when the folder was opened, for the user."""
        return self.a.notes + self.b.notes

    @property
    def nbytes(self) -> int:
        """Bytes of all images in memory."""
        return self.a.nbytes + self.b.nbytes


def _spread(count: int, most: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def _equal_channels(image: Array) -> bool:
    return image.shape[0] == 3 and bool((image[0] == image[1]).all() and (image[0] == image[2]).all())


def _grey_note(name: str, count: int) -> str:
    return f"domain {name}: the {count} images hold three equal channels (R = G = B), of which one is read"


def open_domains(
    root: Path, entries: Sequence[PairEntry], radiometry_a: Radiometry | None, radiometry_b: Radiometry | None
) -> tuple[Domain, Domain]:
    """Both domains of the pairs that a folder lists; DataError where one has no image."""
    a, b = ([e.a for e in entries if e.a is not None], [e.b for e in entries if e.b is not None])
    for name, places in (("A (SAR)", a), ("B (optical)", b)):
        if not places:
            raise DataError(f"{root} has no image of {name}; add some")
    card = read_card(root)
    return (
        Domain.open("A", root, a, radiometry_a or card.radiometry_a, grey=True),
        Domain.open("B", root, b, radiometry_b or card.radiometry_b),
    )
