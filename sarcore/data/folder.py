"""A folder of labelled patches as a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from sarcore.data.card import ScenePlace, read_card
from sarcore.data.images import ImageHeader, read_header, read_image
from sarcore.data.manifest import Entry, list_patches
from sarcore.data.nodata import valid_pixels
from sarcore.data.shards import read_shard, shard_header, shard_place
from sarcore.errors import DataError
from sarcore.ops import Radiometry, decode, encode

_LIMIT_SAMPLE = 256  # files read for the percentiles of a set that is not 8 bit
_LIMIT_PIXELS = 1 << 26  # of them together, of which every n-th is taken where there are more
_LIMIT_PERCENTILES = (0.5, 99.5)


@dataclass(eq=False)
class PatchFolder(Dataset[tuple[torch.Tensor, int]]):
    """Patches of one size with a class and a scene of origin each; item i is (float32 (C, H, W) in [0, 1], label).

    ``labels[i]`` indexes ``classes``. ``scenes_known`` is False when a patch has no scene of origin; that patch is then
    a scene of its own. ``positions``, (N, 2), are the rows and columns of the patches in their scenes in pixels, and
    ``places`` says where the scenes lie; None and empty unless `write_patch_set` wrote the folder. ``paths[i]`` of a
    patch in a shard is ``<shard>.npy#<number>``. ``synthetic`` is True where patches are simulated or generated.
    ``decoded[i]`` is where `patch_cache` keeps the pixels of ``paths[i]``, None without a cache.

    Pixels without data, where the radiometry declares their value, are filled with the low limit: 0 in an item.

    >>> import tempfile
    >>> from sarcore.data import write_simulated
    >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=2, size=32))
    >>> len(folder), folder.shape, folder[0][0].dtype
    (56, (1, 32, 32), torch.float32)
    """

    root: Path
    paths: list[Path]
    labels: torch.Tensor
    classes: list[str]
    scenes: list[str]
    radiometry: Radiometry
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    scenes_known: bool = True
    synthetic: bool = False
    positions: torch.Tensor | None = None
    places: dict[str, ScenePlace] = field(default_factory=dict)
    decoded: list[Path] | None = None

    @classmethod
    def open(
        cls, root: str | Path, *, radiometry: Radiometry | None = None, manifest: str | Path | None = None
    ) -> PatchFolder:
        """Open ``root/<class>/*``, ``root/train/<class>/*`` or a root with labels.csv (file, class, scene).

        ``manifest`` names another CSV; its files are relative to ``root``. Without a ``radiometry`` it is that of the
        set's card, where `write_patch_set` wrote one; else 8-bit data are digital numbers 0 to 255, and others lie
        between the 0.5 and 99.5 percentiles of (a sample of) the WHOLE set. Only file headers are read. Raises
        DataError for a missing or empty folder, no class sub-folder, a class with one image (but what was tiled from
        scenes or generated is taken as it is), patches that differ in size, channels or dtype, and unreadable files.
        """
        if radiometry is not None and radiometry.out != "float32":
            raise ValueError(
                f"radiometry must have out='float32', the type of the items, got {radiometry.out!r}; use "
                "dataclasses.replace(radiometry, out='float32')"
            )
        root = Path(root)
        entries = list_patches(root, Path(manifest) if manifest is not None else None)
        classes = sorted({entry.class_name for entry in entries})
        card = read_card(root)
        if not (card.tiled or card.generated):
            _check_class_sizes(root, entries, classes)
        radiometry = radiometry or card.radiometry
        header = _common_header(entries, allow_complex=radiometry is not None and radiometry.unit == "complex")
        paths = [entry.path for entry in entries]
        return cls(
            root=root,
            paths=paths,
            labels=torch.tensor([classes.index(entry.class_name) for entry in entries], dtype=torch.int64),
            classes=classes,
            scenes=[entry.scene or entry.path.relative_to(root).as_posix() for entry in entries],
            radiometry=radiometry or default_radiometry(root, len(paths), lambda i: read_patch(paths[i]), header.dtype),
            shape=header.shape,
            dtype=header.dtype,
            scenes_known=all(entry.scene is not None for entry in entries),
            synthetic=card.synthetic or any(entry.synthetic for entry in entries),
            positions=_positions(entries) if card.tiled else None,
            places=card.places,
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Patch and label; raises DataError with the path when the file is corrupt or holds NaN or infinity."""
        image = encode(torch.from_numpy(self._native(index)), self.radiometry)
        return image, int(self.labels[index])

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, int]]:
        """The items of a batch, as a DataLoader asks for them: encoded together."""
        images, labels = self.native(indices)
        return list(zip(encode(images, self.radiometry), labels.tolist(), strict=True))

    def subset(self, indices: Sequence[int]) -> PatchFolder:
        """The patches at ``indices``, in that order; ``classes`` and label numbers stay as they are."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            paths=[self.paths[i] for i in chosen],
            labels=self.labels[torch.tensor(chosen, dtype=torch.int64)],
            scenes=[self.scenes[i] for i in chosen],
            positions=None if self.positions is None else self.positions[torch.tensor(chosen, dtype=torch.int64)],
            decoded=None if self.decoded is None else [self.decoded[i] for i in chosen],
        )

    def of_class(self, name: str) -> PatchFolder:
        """The patches of one class; raises DataError for a class that the folder does not have."""
        if name not in self.classes:
            raise DataError(f"{self.root} has no class {name!r}; its classes are {', '.join(self.classes)}")
        return self.subset(torch.nonzero(self.labels == self.classes.index(name)).flatten().tolist())

    def class_counts(self) -> dict[str, int]:
        """Number of patches of every class, zero included."""
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}

    @property
    def nbytes(self) -> int:
        """Bytes of the images of `arrays`."""
        return len(self) * math.prod(self.shape) * memory_dtype(self.dtype).itemsize

    def native(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some patches (n, C, H, W) in NATIVE units and their labels (n,); as `arrays`, of these alone.

        >>> import tempfile
        >>> from sarcore.data import write_simulated
        >>> folder = PatchFolder.open(write_simulated(f"{tempfile.mkdtemp()}/set", scenes_per_class=2, size=32))
        >>> folder.native([3, 0])[0].dtype
        torch.uint8
        """
        out = np.empty((len(indices), *self.shape), dtype=memory_dtype(self.dtype))
        for place, index in enumerate(indices):
            out[place] = self._native(index)
        return torch.from_numpy(out), self.labels[torch.as_tensor(indices, dtype=torch.int64)]

    def arrays(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All patches in memory: (N, C, H, W) uint8, uint16, complex64 or float32 in NATIVE units, and the labels (N,).

        ``encode(patches, folder.radiometry)`` gives what the items give; one byte a pixel keeps small sets in memory.
        """
        return self.native(range(len(self)))

    def stored(self, index: int) -> npt.NDArray[Any]:
        """The pixels (C, H, W) of a patch as they lie in its file; DataError where they are not what was opened."""
        path = self.paths[index]
        image = read_patch(path if self.decoded is None else self.decoded[index])
        if image.shape != self.shape or image.dtype != self.dtype:
            raise DataError(
                f"the image {path} was {_describe(ImageHeader(self.shape, self.dtype))} when the folder was opened "
                f"and is {_describe(ImageHeader(image.shape, image.dtype))} now; open the folder again"
            )
        return image

    def _native(self, index: int) -> npt.NDArray[Any]:
        return clean_pixels(self.stored(index), self.radiometry, self.paths[index])


def read_patch(path: Path) -> npt.NDArray[Any]:
    """The pixels (C, h, w) of a patch, from its own file or from its shard; complex numbers too.

    Raises DataError as `read_image`.
    """
    place = shard_place(path)
    return read_image(path, allow_complex=True) if place is None else read_shard(place)


def clean_pixels(image: npt.NDArray[Any], radiometry: Radiometry, path: Path) -> npt.NDArray[Any]:
    """Stored pixels in the type that is kept in memory, no-data filled with the low limit; may write into `image`.

    >>> clean_pixels(np.array([[[3, 0]]], dtype=np.uint8), Radiometry("digital", 2.0, 9.0, 0.0), Path("a.png"))
    array([[[3, 2]]], dtype=uint8)

    Raises DataError with the path for NaN and infinite values that no no-data value declares.
    """
    if radiometry.nodata is not None:
        missing = ~valid_pixels(image, radiometry.nodata) & ~np.isinf(image)
        if missing.any():
            image[missing] = _lowest(radiometry, image.dtype)
    if image.dtype.kind in "fc" and not np.isfinite(image).all():
        raise DataError(f"the image {path} holds NaN or infinite values; fill or remove it")
    return image.astype(memory_dtype(image.dtype), copy=False)


def _lowest(radiometry: Radiometry, dtype: np.dtype[Any]) -> float:
    """The stored value that is encoded to 0; of integers the next one above."""
    value = float(decode(torch.zeros(1, dtype=torch.float64), replace(radiometry, nodata=None, out="float64")))
    value = value**0.5 if radiometry.unit == "complex" else value  # of |z|^2
    return float(np.ceil(value)) if dtype.kind in "ui" else value


def memory_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that pixels of a stored type have in memory: one that PyTorch calculates with.

    >>> memory_dtype(np.dtype("uint8")), memory_dtype(np.dtype("int16"))
    (dtype('uint8'), dtype('float32'))
    """
    return dtype if dtype in (np.uint8, np.uint16) else np.dtype(np.complex64 if dtype.kind == "c" else np.float32)


def _check_class_sizes(root: Path, entries: list[Entry], classes: list[str]) -> None:
    names = [entry.class_name for entry in entries]
    for name in classes:
        if names.count(name) < 2:
            only = entries[names.index(name)].path
            raise DataError(f"the class {name!r} of {root} has a single image, {only}; every class needs at least 2")


def _describe(header: ImageHeader) -> str:
    channels, height, width = header.shape
    return f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}, {header.dtype}"


def _positions(entries: list[Entry]) -> torch.Tensor | None:
    found = [entry.position for entry in entries if entry.position is not None]
    return torch.tensor(found, dtype=torch.int64) if len(found) == len(entries) else None


def _headers(entries: list[Entry], allow_complex: bool) -> Iterator[tuple[Entry, ImageHeader]]:
    """Of every file, but of every shard once: its patches have one shape."""
    seen: set[Path] = set()
    for entry in entries:
        place = shard_place(entry.path)
        if place is None:
            yield entry, read_header(entry.path, allow_complex=allow_complex)
        elif place.file not in seen:
            seen.add(place.file)
            yield entry, shard_header(place.file)[1]


def _common_header(entries: list[Entry], allow_complex: bool) -> ImageHeader:
    headers = _headers(entries, allow_complex)
    _, first = next(headers)
    for entry, header in headers:
        if header.shape[1:] != first.shape[1:]:
            side = min(*header.shape[1:], *first.shape[1:])
            advice = f"centre-crop all patches to one size, for example {side} x {side}"
        elif header != first:
            advice = "convert all patches to one number of channels and one data type"
        else:
            continue
        raise DataError(
            f"the image {entry.path} is {_describe(header)}, but {entries[0].path} is {_describe(first)}; {advice}"
        )
    return first


def default_radiometry(
    root: Path, count: int, read: Callable[[int], npt.NDArray[Any]], dtype: np.dtype[Any]
) -> Radiometry:
    """The radiometry of ``count`` images that nobody declared: 0 to 255 of 8 bit, percentiles of the whole set else.

    >>> default_radiometry(Path("set"), 2, lambda i: np.full((1, 2, 2), i), np.dtype("float32"))
    Radiometry(unit='digital', low=0.0, high=1.0, nodata=None, out='float32', scale='digital')
    """
    if dtype == np.uint8:
        return Radiometry("digital", 0.0, 255.0)
    chosen = np.unique(np.linspace(0, count - 1, min(_LIMIT_SAMPLE, count)).round().astype(int))
    found = []
    for i in chosen:
        image = read(int(i)).ravel()
        found.append(image[:: max(1, image.size * len(chosen) // _LIMIT_PIXELS)].astype(np.float32))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, _LIMIT_PERCENTILES) if values.size else (0.0, 0.0)
    if not low < high:
        raise DataError(f"the images of {root} are constant or not finite, so no limits follow; give the radiometry")
    return Radiometry("digital", float(low), float(high))
