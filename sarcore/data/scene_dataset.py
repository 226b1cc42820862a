"""Random windows of large scenes for a DataLoader, the same for any number of workers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, get_worker_info

from sarcore.data.label_map import MOST_CLASSES, LabelSource, labels_of_scenes, numbered
from sarcore.data.patch_scenes import SceneSet, Source, open_scenes
from sarcore.data.window_cells import Floats, Integers, cell_counts, corner_cells, most_inside
from sarcore.errors import DataError
from sarcore.ops import PatchGrid, Radiometry, extract_patches
from sarcore.transforms import Compose
from sarcore.transforms._random import RandomTransform

_CELLS = 4  # cells of counted pixels along the shorter side of a window
_BAND = 1 << 22  # pixels that are counted together
_TRIES = 50  # windows that are looked at for one item


class WindowPlace(NamedTuple):
    """Where a window was drawn, and its class, -1 without labels."""

    scene: str
    row: int
    column: int
    label: int


class SceneWindows(Dataset[tuple[torch.Tensor, int]]):
    """Windows at random places of scenes; item i is (float32 (C, h, w), label), the label -1 without labels.

    >>> scenes = [np.random.default_rng(0).gamma(4, 0.25, (200, 300)), np.ones((100, 100))]
    >>> windows = SceneWindows(scenes, size=64, length=1000, radiometry=Radiometry("intensity", -20, 10, scale="db"))
    >>> windows[0][0].shape, windows.place(0) == windows.place(0)
    (torch.Size([1, 64, 64]), True)

    A scene is drawn with a probability that is proportional to its area with data, and in it every window with enough
    data is equally likely. With labels a class is drawn first, all with equal probability, and then a window in which
    it is the most frequent one (of 50 windows, where it is in none, the one that has most of it).

    Item i follows from (seed, epoch, i) alone: any number of workers, started by fork or spawn, gives the same items.
    `set_epoch` gives others, in workers that are already there too; `engine.fit` calls it.

    The scenes are read once in the beginning, to count their pixels; after that windows alone are read.

    Args:
        scenes: files as `Scene.open` takes them, scenes or arrays, of one type and number of channels.
        size: side of a window, or (h, w), in pixels; where a scene is smaller, it is mirrored.
        length: items of an epoch.
        radiometry: maps the values to [0, 1]; without it they stay, as float32 or complex64.
        seed: of all draws, 0 or more.
        labels: a label raster or polygons for all scenes, or one per scene, as for `write_patch_set`.
        min_valid: least share of pixels with data in a window, 0 to 1.
        transform: applied to each image; random transforms of sarcore draw by the item's number and the epoch.
        label_field: field of the polygons with the class.
        label_nodata: value of label pixels without a class.
        class_names: names of the values of a label raster; other values then have no class.
        nodata: value of pixels without data, instead of what the scenes declare.
        channels: channels to read, counted from 0.
        fill: value of no-data pixels in the items.

    Attributes:
        classes: names of the labels.

    Raises:
        ValueError: arguments out of their range.
        DataError: scenes or labels that cannot be read, no window with enough data.
        IndexError: an item beyond the length.
    """

    def __init__(
        self,
        scenes: Sequence[Source],
        size: int | Sequence[int],
        length: int,
        *,
        radiometry: Radiometry | None = None,
        seed: int = 0,
        labels: LabelSource | Sequence[LabelSource] | None = None,
        min_valid: float = 0.5,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        label_field: str | None = None,
        label_nodata: float | None = None,
        class_names: Mapping[int, str] | None = None,
        nodata: float | None = None,
        channels: Sequence[int] | None = None,
        fill: float = 0.0,
    ) -> None:
        if length < 0 or seed < 0 or not 0 <= min_valid <= 1:
            raise ValueError(
                f"length and seed must be 0 or more and min_valid 0 to 1, got {length}, {seed} and {min_valid}"
            )
        if radiometry is not None and radiometry.out != "float32":
            raise ValueError(f"radiometry must have out='float32', the type of the items, got {radiometry.out!r}")
        if nodata is None and radiometry is not None:
            nodata = radiometry.nodata
        self._scenes = open_scenes(scenes, nodata=nodata, channels=channels)
        self._labels = labels_of_scenes(labels, self._scenes.scenes, label_field, label_nodata, class_names)
        self._size, self._length, self._seed = PatchGrid((1, 1), size).size, length, seed
        self._min_valid, self._fill, self.transform = min_valid, fill, transform
        self.radiometry = radiometry if radiometry is None else _with_nodata(radiometry, self._scenes)
        self._shared = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that run already see it change
        self._own: int | None = None  # of a worker that was told one
        self.classes: list[str] = []
        self._find_classes()
        self._cells, self._weights = self._count()
        self._drawable = [number for number, each in enumerate(self._weights) if len(each) and each[-1] > 0]
        if not self._drawable:
            self._refuse()

    def __len__(self) -> int:
        return self._length

    def set_epoch(self, epoch: int) -> None:
        """Other windows for the same numbers: call it before each pass over the data.

        In a worker process it holds for that worker: workers read ahead, some of them in the next epoch already.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be 0 or more, got {epoch}")
        if get_worker_info() is None:
            self._shared.fill_(epoch)
        else:
            self._own = epoch

    def _epoch(self) -> int:
        return int(self._shared) if self._own is None else self._own

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        place, image = self._draw(index)
        if self.transform is None:
            return image, place.label
        if isinstance(self.transform, (RandomTransform, Compose)):
            number = (self._epoch() * self._length + index) % 2**32
            return self.transform(image, index=number), place.label
        return self.transform(image), place.label

    def place(self, index: int) -> WindowPlace:
        """Where item `index` of this epoch lies."""
        return self._draw(index)[0]

    # Drawing ---------------------------------------------------------------------------------------------------------

    def _draw(self, index: int) -> tuple[WindowPlace, torch.Tensor]:
        if not 0 <= index < self._length:
            raise IndexError(f"item {index} of {self._length}")
        rng = np.random.default_rng([self._seed, self._epoch(), index])
        wanted = self._drawable[int(rng.integers(len(self._drawable)))]
        cumulative, names = self._weights[wanted], list(self._scenes.scenes)
        best: tuple[float, WindowPlace, torch.Tensor] | None = None
        for _ in range(_TRIES):
            cell = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
            scene, row, column, height, width = self._cells[cell].tolist()
            row, column = row + int(rng.integers(height)), column + int(rng.integers(width))
            name = names[scene]
            pixels, data = self._read(name, row, column)
            if data.sum() < self._least_valid():
                continue
            label, fit = self._label(name, row, column, data, wanted)
            if self._labels and label < 0:
                continue
            if best is None or fit > best[0]:
                best = fit, WindowPlace(name, row, column, label), self._image(pixels, data)
            if label == wanted or not self._labels:
                break
        if best is None:
            self._refuse()
        return best[1], best[2]

    def _read(self, name: str, row: int, column: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        height, width = (min(a, b) for a, b in zip(self._size, self._scenes.scenes[name].shape[1:], strict=True))
        return self._scenes.read(name, row, column, height, width)

    def _label(self, name: str, row: int, column: int, data: npt.NDArray[np.bool_], wanted: int) -> tuple[int, float]:
        """The class of a window, and the share of the one that is wanted."""
        if not self._labels:
            return -1, 0.0
        counts = np.bincount(self._classes_of(name, row, column, data).ravel(), minlength=len(self.classes) + 1)[1:]
        return int(counts.argmax()) if counts.any() else -1, float(counts[wanted] / data.sum())

    def _image(self, pixels: npt.NDArray[Any], data: npt.NDArray[np.bool_]) -> torch.Tensor:
        if self.radiometry is None:
            pixels = pixels if pixels.dtype.kind == "c" else pixels.astype(np.float32)
            pixels[:, ~data] = self._fill
        image = extract_patches(pixels, self._size, index=[(0, 0)], radiometry=self.radiometry)[0]
        return image if self.radiometry is None or bool(data.all()) else torch.nan_to_num(image, nan=self._fill)

    # Counting --------------------------------------------------------------------------------------------------------

    def _classes_of(self, name: str, row: int, column: int, data: npt.NDArray[np.bool_]) -> Integers:
        """1 + the class of each pixel with data, 0 for others; a class that was not there before is added."""
        labels, grid = self._labels[name]
        values, numbers = numbered(grid.read(row, column, *data.shape))
        names = [labels.name(value) for value in values]
        self.classes += [each for each in names if each not in self.classes]
        if len(self.classes) > MOST_CLASSES:
            raise DataError(f"the labels of {labels.path} have more than {MOST_CLASSES} values; these are no classes")
        table = np.array([0, *(1 + self.classes.index(each) for each in names)])
        return np.asarray(table[numbers] * data)

    def _find_classes(self) -> None:
        """The names of the classes in alphabetical order, so that they do not depend on where they were met first."""
        for name in self._labels:
            for _ in self._bands(name):
                pass
        self.classes.sort()

    def _bands(self, name: str) -> Iterator[tuple[int, npt.NDArray[np.bool_], Integers]]:
        """First row, pixels with data, and classes (or the pixels with data) of some rows at a time."""
        _, height, width = self._scenes.scenes[name].shape
        rows = max(1, _BAND // width)
        for first in range(0, height, rows):
            _, data = self._scenes.read(name, first, 0, min(rows, height - first), width)
            codes = self._classes_of(name, first, 0, data) if self._labels else data.astype(np.int64)
            yield first, data, codes

    def _count(self) -> tuple[Integers, list[Floats]]:
        """The cells of all windows, and their cumulative weights: of any window, or of those of each class."""
        side = max(1, min(self._size) // _CELLS)
        kinds = max(1, len(self.classes))
        cells, weights = [], []
        for number, (name, scene) in enumerate(self._scenes.scenes.items()):
            shape = scene.shape[1:]
            counts = np.zeros((1 + kinds, *(-(-length // side) for length in shape)), dtype=np.int64)
            valid = np.zeros(counts.shape[1:], dtype=np.int64)
            for first, data, codes in self._bands(name):
                counts += cell_counts(codes, first, shape, side, 1 + kinds)
                valid += cell_counts(data.astype(np.int64), first, shape, side, 2)[1]
            found = corner_cells(number, shape, self._size, side)
            places = (found[:, 3] * found[:, 4]).astype(np.float64)
            places *= most_inside(valid, shape, self._size, side).ravel() >= self._least_valid()
            if self._labels:
                inside = (most_inside(each, shape, self._size, side).ravel() for each in counts[1:])
                weights.append([places * each for each in inside])
            else:
                weights.append([places * (valid.sum() / max(places.sum(), 1.0))])
            cells.append(found)
        cumulative = [np.cumsum(np.concatenate(each)) for each in zip(*weights, strict=True)]
        return np.concatenate(cells), cumulative

    def _refuse(self) -> NoReturn:
        if self._labels and not self.classes:
            raise DataError("the labels give no pixel with data a class; check the labels and their no-data value")
        raise DataError(
            f"no window was found with at least {self._min_valid:.0%} of pixels with data; lower min_valid or the size"
        )

    def _least_valid(self) -> float:
        return max(1.0, self._min_valid * math.prod(self._size))


def _with_nodata(radiometry: Radiometry, scenes: SceneSet) -> Radiometry:
    """The radiometry with the no-data value of the scenes; NaN is no-data in any case."""
    if radiometry.nodata is not None or (scenes.nodata is None and scenes.dtype.kind not in "fc"):
        return radiometry
    return dataclasses.replace(radiometry, nodata=math.nan if scenes.nodata is None else scenes.nodata)
