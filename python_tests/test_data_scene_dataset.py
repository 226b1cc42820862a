"""SceneWindows: the same windows for any number of workers, where there are data, of all classes."""

import pickle
from collections import Counter

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from sarcore import Radiometry
from sarcore.data import Scene, SceneWindows
from sarcore.data.window_cells import cell_counts, corner_cells, most_inside
from sarcore.errors import DataError
from sarcore.ops import encode
from sarcore.transforms import Compose, RandomFlip, RandomSpeckle

DECIBELS = Radiometry("intensity", -20, 10, scale="db")


def write_scene(path, pixels, **options):
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 6e5, 0, -10, 5e6)}
    with rasterio.open(path, "w", **profile | tiles | place | {"dtype": pixels.dtype.name} | options) as out:
        out.write(pixels)
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(0)
    first = rng.gamma(4, 0.25, (1, 300, 260)).astype(np.float32)
    first[:, :, :150] = np.nan
    second = rng.gamma(4, 0.25, (1, 120, 500)).astype(np.float32)
    return [write_scene(folder / "a.tif", first, nodata=np.nan), write_scene(folder / "b.tif", second)]


def test_items_are_windows_of_the_scenes(scenes):
    windows = SceneWindows(scenes, 48, 100, radiometry=DECIBELS, seed=3)
    opened = {path.stem: Scene.open(path) for path in scenes}
    for index in range(100):
        place, (image, label) = windows.place(index), windows[index]
        pixels = torch.from_numpy(opened[place.scene].read(place.row, place.column, 48, 48))
        expected = encode(pixels, Radiometry("intensity", -20, 10, np.nan, scale="db"))
        assert torch.equal(image, expected.nan_to_num(0))
        assert torch.isfinite(pixels).float().mean() >= 0.5
        assert (label, place.label, image.dtype) == (-1, -1, torch.float32)
    with pytest.raises(IndexError):
        windows[100]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_any_number_of_workers_gives_the_same_items(scenes, context):
    augment = Compose([RandomFlip(seed=1), RandomSpeckle((4, 8), seed=2)])
    windows = SceneWindows(scenes, (32, 40), 37, radiometry=DECIBELS, seed=5, transform=augment)
    windows[0]  # files that are open before a fork
    batches = {}
    for workers in (0, 1, 3) if context == "fork" else (1,):
        options = {"multiprocessing_context": context, "persistent_workers": True} if workers else {}
        loader = DataLoader(windows, batch_size=8, num_workers=workers, **options)
        for epoch in (0, 1):
            windows.set_epoch(epoch)
            batches[workers, epoch] = torch.cat([images for images, _ in loader])
        windows.set_epoch(0)
        assert torch.equal(torch.cat([images for images, _ in loader]), batches[workers, 0])
    expected = {}
    for epoch in (0, 1):
        windows.set_epoch(epoch)
        expected[epoch] = torch.stack([windows[index][0] for index in range(37)])
    assert all(torch.equal(found, expected[epoch]) for (_, epoch), found in batches.items())
    assert not torch.equal(expected[0], expected[1])
    other = SceneWindows(scenes, (32, 40), 37, radiometry=DECIBELS, seed=6, transform=augment)
    assert not torch.equal(torch.stack([other[index][0] for index in range(37)]), expected[0])


def test_a_copy_by_pickle_is_the_same(scenes):
    windows = SceneWindows(scenes, 32, 10, seed=1)
    windows.set_epoch(4)
    copy = pickle.loads(pickle.dumps(windows))
    assert all(torch.equal(copy[index][0], windows[index][0]) for index in range(10))


def test_windows_are_uniform_where_there_are_data(scenes):
    windows = SceneWindows(scenes, 40, 6000, min_valid=1)
    places = [windows.place(index) for index in range(1500)]
    share = np.mean([place.scene == "a" for place in places])
    assert share == pytest.approx(300 * 110 / (300 * 110 + 120 * 500), abs=0.05)
    for name, limit in (("a", (260, 220)), ("b", (80, 460))):
        rows, columns = np.array([place[1:3] for place in places if place.scene == name]).T
        first = 150 if name == "a" else 0
        for values, low, high in ((rows, 0, limit[0]), (columns, first, limit[1])):
            assert low <= values.min() <= low + 0.05 * (high - low)
            assert high - 0.05 * (high - low) <= values.max() <= high
            assert values.mean() == pytest.approx((low + high) / 2, abs=0.06 * (high - low))


def test_classes_are_balanced(scenes, tmp_path):
    labels = np.zeros((1, 400, 700), np.uint8)  # the grid of the first scene, and more
    labels[:, :, 150:] = 1
    labels[:, 100:160, 180:240] = 2
    labels[:, 290:, 250:] = 3
    path = write_scene(tmp_path / "labels.tif", labels, nodata=0)
    windows = SceneWindows(scenes[:1], 32, 600, labels=path, seed=2)
    assert windows.classes == ["1", "2", "3"]
    counts = Counter(windows[index][1] for index in range(300))
    # A corner of 10 x 10 pixels is never the majority.
    assert counts[0] + counts[1] == 300
    assert counts[1] >= 80
    for index in range(40):
        place = windows.place(index)
        found = labels[0, place.row : place.row + 32, place.column : place.column + 32]
        assert place.label == np.bincount(found.ravel(), minlength=4)[1:].argmax()
    named = SceneWindows(scenes[:1], 32, 2, labels=path, class_names={1: "land", 2: "sea"}, label_nodata=2)
    assert named.classes == ["land"]


def test_small_scenes_are_mirrored_and_complex_numbers_stay():
    rng = np.random.default_rng(0)
    pixels = (rng.normal(size=(20, 50)) + 1j * rng.normal(size=(20, 50))).astype(np.complex64)
    windows = SceneWindows([pixels], 32, 5)
    image, _ = windows[0]
    column = windows.place(0).column
    assert image.dtype == torch.complex64
    mirrored = np.pad(pixels, ((0, 12), (0, 0)), mode="reflect")[None, :, column : column + 32]
    np.testing.assert_array_equal(image.numpy(), mirrored)


def test_refusals(scenes, tmp_path):
    with pytest.raises(DataError, match="no window was found with at least 100% of pixels with data"):
        SceneWindows(scenes[:1], 120, 5, min_valid=1)[0]
    with pytest.raises(DataError, match="no window was found"):
        SceneWindows([np.full((40, 40), np.nan)], 20, 5)
    with pytest.raises(ValueError, match="length and seed must be 0 or more"):
        SceneWindows(scenes, 32, -1)
    with pytest.raises(ValueError, match="out='float32'"):
        SceneWindows(scenes, 32, 5, radiometry=Radiometry("db", -20, 0, out="uint8"))
    path = write_scene(tmp_path / "labels.tif", np.zeros((1, 300, 260), np.uint8), nodata=0)
    with pytest.raises(DataError, match="the labels give no pixel with data a class"):
        SceneWindows(scenes[:1], 32, 5, labels=path)
    with pytest.raises(ValueError, match="epoch must be 0 or more"):
        SceneWindows(scenes, 32, 5).set_epoch(-1)


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.integers(1, 6), st.integers(0, 9)
)
def test_cells_hold_every_window_once_and_bound_it(height, width, high, wide, side, seed):
    codes = np.random.default_rng(seed).integers(0, 3, (height, width))
    half = height // 2
    counts = cell_counts(codes[:half], 0, (height, width), side, 3)
    counts = counts + cell_counts(codes[half:], half, (height, width), side, 3)
    assert counts.sum() == height * width
    cells = corner_cells(7, (height, width), (high, wide), side)
    bounds = most_inside(counts[2], (height, width), (high, wide), side).ravel()
    seen = Counter()
    for (scene, row, column, rows, columns), bound in zip(cells.tolist(), bounds, strict=True):
        assert scene == 7
        for y in range(row, row + rows):
            for x in range(column, column + columns):
                seen[y, x] += 1
                assert (codes[y : y + high, x : x + wide] == 2).sum() <= bound
    every = {(y, x) for y in range(max(0, height - high) + 1) for x in range(max(0, width - wide) + 1)}
    assert seen == Counter(every)
