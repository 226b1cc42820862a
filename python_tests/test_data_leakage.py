"""Splits by ground: footprints, blocks with a buffer, what check_leakage finds, near duplicates."""

import dataclasses
import json

import numpy as np
import pytest
import rasterio.warp
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine
from torch.nn import functional as F

from sarcore.data import (
    PatchFolder,
    Split,
    check_leakage,
    near_duplicates,
    read_image,
    split_by_blocks,
    split_by_scene,
    write_image,
    write_patch_set,
)
from sarcore.data.card import ScenePlace
from sarcore.data.footprints import near_outlines, near_windows, outlines, overlapping_scenes, source_windows
from sarcore.data.leakage import patch_windows
from sarcore.errors import DataError
from sarcore.ops import PatchGrid, speckle

NORTH = (10.0, 0.0, 600000.0, 0.0, -10.0, 5000000.0)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (height, width), dtype=np.uint8)


def smooth(height, width, seed):
    """Structure of some pixels, as ground has it, with speckle."""
    rng = np.random.default_rng(seed)
    field = torch.from_numpy(rng.normal(size=(1, 1, height // 8 + 3, width // 8 + 3)))
    ground = F.interpolate(field, scale_factor=8, mode="bicubic")[0, 0, :height, :width].exp().numpy()
    return np.clip(60 * np.sqrt(ground * rng.gamma(4, 0.25, ground.shape)), 0, 255).astype(np.uint8)


def write_scene(path, pixels, transform=NORTH, crs="EPSG:32632"):
    height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype="uint8", crs=crs,
        transform=Affine(*transform),
    ) as out:  # fmt: skip
        out.write(pixels[None])
    return path


# ------ geometry


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 12), st.integers(1, 12))
def test_source_windows_hold_exactly_what_a_patch_was_made_of(height, width, size, stride):
    grid = PatchGrid((height, width), size, stride)
    assume(stride <= size <= min(height, width))
    place = np.arange(height * width).reshape(height, width)
    down, across = (max(0, a - b) for a, b in zip(grid.padded, (height, width), strict=True))
    mirrored = np.pad(place, ((0, down), (0, across)), mode="reflect")
    positions = grid.positions().numpy()
    for (y, x), window in zip(positions, source_windows(positions, grid.size, (height, width)), strict=True):
        rows, columns = np.unravel_index(mirrored[y : y + size, x : x + size], (height, width))
        assert window.tolist() == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(0, 40), st.integers(0, 40))
def test_near_windows_against_all_pairs(seed, distance, count, others):
    rng = np.random.default_rng(seed)
    boxes = []
    for number in (count, others):
        corner = rng.integers(0, 60, (number, 2))
        boxes.append(np.concatenate([corner, corner + rng.integers(1, 9, (number, 2))], axis=1).astype(float))
    one, two = boxes
    apart = np.maximum(two[None, :, :2] - (one[:, None, 2:] - 1), one[:, None, :2] - (two[None, :, 2:] - 1))
    near = (np.maximum(apart, 0) <= distance).all(axis=2) if others else np.zeros((count, 0), bool)
    found = near_windows(one, two, distance)
    np.testing.assert_array_equal(found >= 0, near.any(axis=1))
    assert all(near[i, j] for i, j in enumerate(found) if j >= 0)


def test_rotated_outlines_that_only_touch_are_apart():
    square = np.array([[0.0, 0, 10, 10]])
    for angle in np.linspace(0, 2 * np.pi, 17):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = np.array([[-3.0, -3], [-3, 3], [3, 3], [3, -3]]) @ turn
        reach = corners[:, 1].max()
        for gap, found in ((-1.5, True), (0.2, False)):
            moved = corners + np.array([5, 10 + reach + gap])
            assert (near_outlines(square, moved[None], 0) >= 0) == found
        assert near_outlines(square, (corners + np.array([5, 13 + reach]))[None], 4) == 0


def test_scenes_in_different_crs_overlap_where_they_do():
    degrees = rasterio.warp.transform("EPSG:32632", "EPSG:4326", [600500.0], [4999500.0])
    lon, lat = degrees[0][0], degrees[1][0]
    places = {
        "utm": ScenePlace((100, 100), rasterio.crs.CRS.from_epsg(32632).to_wkt(), NORTH),
        "geo": ScenePlace((50, 50), "EPSG:4326", (1e-4, 0, lon, 0, -1e-4, lat)),
        "far": ScenePlace((50, 50), "EPSG:4326", (1e-4, 0, lon + 1, 0, -1e-4, lat)),
        "other zone": ScenePlace((50, 50), "EPSG:32755", NORTH),
        "nowhere": ScenePlace((50, 50)),
    }
    assert overlapping_scenes(places) == [("utm", "geo")]
    corners = outlines(places["geo"], places["utm"])
    np.testing.assert_allclose(corners[0, 0], [50, 50], atol=0.01)


# ------ splits by blocks


@settings(max_examples=8)
@given(st.integers(0, 5), st.sampled_from([(20, 20), (20, 10), (16, 30)]), st.integers(0, 30), st.integers(0, 99))
def test_no_pixel_within_the_buffer(tmp_path_factory, seed, cut, buffer, block):
    size, stride = cut
    folder = PatchFolder.open(
        write_patch_set([noise(210, 190), noise(60, 90, 1)], tmp_path_factory.mktemp("set") / "s", size, stride)
    )
    try:
        split = split_by_blocks(folder, (0.6, 0.2, 0.2), seed, buffer=buffer, block=20 + block if block > 9 else None)
    except DataError:
        assume(False)
    maps = {}
    for number, part in enumerate((split.train, split.val, split.test)):
        for i in part:
            owner = maps.setdefault(folder.scenes[i], np.full((3, 210, 190), False))
            y0, x0, y1, x1 = patch_windows(folder)[i].astype(int)
            owner[number, y0:y1, x0:x1] = True
    for owner in maps.values():
        grown = F.max_pool2d(torch.from_numpy(owner).float()[None], 2 * buffer + 1, 1, buffer)[0].bool().numpy()
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert not (grown[one] & owner[other]).any()
    assert check_leakage(folder, split) == []
    everything = split.train + split.val + split.test
    assert len(set(everything)) == len(everything) <= len(folder)


def test_blocks_meet_the_fractions_and_lose_little(tmp_path):
    folder = PatchFolder.open(write_patch_set([noise(800, 900)], tmp_path / "set", 20))
    split = split_by_blocks(folder, (0.7, 0.1, 0.2), buffer=0)
    sizes = np.array([len(split.train), len(split.val), len(split.test)])
    assert sizes.sum() == len(folder)
    np.testing.assert_allclose(sizes / sizes.sum(), (0.7, 0.1, 0.2), atol=0.05)
    assert split == split_by_blocks(folder, (0.7, 0.1, 0.2), buffer=0)
    assert Split.load(split.save(tmp_path / "split.json")) == split
    wide = split_by_blocks(folder, (0.7, 0.1, 0.2), buffer=25)
    assert Split.load(wide.save(tmp_path / "wide.json")).buffer == 25
    assert len(wide.train) + len(wide.val) + len(wide.test) > 0.5 * len(folder)


def test_blocks_need_places(tmp_path):
    for k in range(4):
        write_image(tmp_path / f"a{k}.png", noise(16, 16, k))
    (tmp_path / "labels.csv").write_text("file,class\n" + "".join(f"a{k}.png,x\n" for k in range(4)))
    folder = PatchFolder.open(tmp_path)
    with pytest.raises(DataError, match="the places of the patches .* are not known"):
        split_by_blocks(folder)
    with pytest.raises(ValueError, match="buffer must be 0 or more"):
        split_by_blocks(folder, buffer=-1)


def test_scenes_that_overlap_count_as_one(tmp_path):
    paths = []
    for number, east in enumerate((0, 500, 2000, 4000)):  # the first two share 50 columns
        place = (10.0, 0.0, 600000.0 + east, 0.0, -10.0, 5000000.0)
        paths.append(write_scene(tmp_path / f"s{number}.tif", noise(100, 100, number), place))
    folder = PatchFolder.open(write_patch_set(paths, tmp_path / "set", 20))
    for seed in range(4):
        split = split_by_scene(folder, (0.5, 0.0, 0.5), seed)
        assert len({seed in split.train for seed in range(50) if folder.scenes[seed] in ("s0", "s1")}) == 1
        assert check_leakage(folder, split) == []
    by_name = [[i for i, name in enumerate(folder.scenes) if name in names] for names in (("s0", "s2"), ("s1", "s3"))]
    (message,) = check_leakage(folder, Split(by_name[0], [], by_name[1], 0))
    assert message.startswith("15 patches of test overlap with patches of train in another scene of the same ground")
    near = split_by_scene(folder, (0.7, 0.0, 0.3), buffer=60)  # 50 pixels lie between the second and the third
    assert {folder.scenes[i] for i in near.test} == {"s3"}


def test_windows_of_one_scene_that_overlap_are_found(tmp_path):
    folder = PatchFolder.open(write_patch_set([noise(100, 100)], tmp_path / "set", 20, 10))
    columns = folder.positions[:, 1]
    left, right = (torch.nonzero(one).flatten().tolist() for one in (columns < 40, columns >= 50))
    assert check_leakage(folder, Split(left, [], right, 0)) == []
    message = check_leakage(folder, Split(left, [], right, 0, buffer=1))[0]
    assert "9 patches of test come within 1 pixels of patches of train in the same scene" in message
    between = torch.nonzero(columns == 40).flatten().tolist()
    assert "overlap with patches of train in the same scene" in check_leakage(folder, Split(left, [], between, 0))[0]
    with pytest.raises(DataError, match="the split has the patch number 5000"):
        check_leakage(folder, Split([5000], [], [0], 0))


# ------ near duplicates


def patch_folder(root, patches):
    root.mkdir()
    for name, patch in patches.items():
        write_image(root / f"{name}.png", patch)
    lines = "".join(f"{name}.png,x,{name}\n" for name in patches)
    (root / "labels.csv").write_text(f"file,class,scene\n{lines}")
    return PatchFolder.open(root)


def copies(patch):
    """Of a patch with 10 pixels around it."""
    whole = torch.from_numpy(patch).float()
    x = whole[10:-10, 10:-10]
    side = x.shape[0]
    yield "shift", whole[12:-8, 8:-12]
    yield "shift far", whole[3:-17, 17:-3]
    yield "speckle 1 look", speckle(x[None, None], 1, seed=1, domain="amplitude")[0, 0]
    yield "speckle and shift", speckle(whole[None, None, 12:-8, 9:-11], 4, seed=1, domain="amplitude")[0, 0]
    yield "gain", 0.5 * x + 20
    yield "logarithm", 40 * torch.log1p(x)
    small = F.interpolate(x[None, None], size=(side // 2, side // 2), mode="area")
    yield "half resolution", F.interpolate(small, size=(side, side), mode="bicubic")[0, 0]
    inner = x[None, None, side // 40 : -side // 40, side // 40 : -side // 40]
    yield "magnified by 5 %", F.interpolate(inner, size=(side, side), mode="bicubic")[0, 0]


def test_copies_are_found_and_nothing_else(tmp_path):
    originals = {f"s{k}": smooth(180, 180, k) for k in range(12)}
    patches = {name: patch[10:-10, 10:-10] for name, patch in originals.items()}
    made = dict(copies(originals["s7"]))
    patches |= {name: x.clamp(0, 255).round().byte().numpy() for name, x in made.items()}
    folder = patch_folder(tmp_path / "set", patches)
    names = [path.stem for path in folder.paths]
    first, second = ([i for i, n in enumerate(names) if (n in originals) == own] for own in (True, False))
    found = near_duplicates(folder, [first, second])
    assert {names[pair.first] for pair in found} == {"s7"}
    assert {names[pair.second] for pair in found} == set(made)
    assert found == sorted(found, key=lambda pair: -pair.correlation)
    assert near_duplicates(folder, [first[::2], first[1::2]]) == []
    (message,) = check_leakage(folder, Split(first, [], second, 0), similar=True)
    assert message.startswith("8 patches of train and test are near duplicates, for example")
    with pytest.raises(ValueError, match="max_shift must be 0 to 20 pixels"):
        near_duplicates(folder, [first, second], max_shift=21)


@pytest.mark.parametrize("size", [8, 32, 33, 64])
def test_small_odd_and_constant_patches(tmp_path, size):
    patches = {f"s{k}": smooth(size + 20, size + 20, k)[10:-10, 10:-10] for k in range(6)}
    patches["flat"] = patches["flat 2"] = np.full((size, size), 7, np.uint8)
    if size > 30:
        patches["copy"] = smooth(size + 20, size + 20, 3)[11:-9, 9:-11]
    folder = patch_folder(tmp_path / "set", patches)
    names = [path.stem for path in folder.paths]
    found = near_duplicates(folder, [[i] for i in range(len(names))])
    expected = [{"copy", "s3"}] if size > 30 else []
    assert [{names[pair.first], names[pair.second]} for pair in found] == expected


def test_no_data_borders_are_no_likeness(tmp_path):
    scenes = []
    for k in range(6):
        pixels = smooth(160, 160, k).astype(np.float32)
        pixels[np.add.outer(np.arange(160), np.arange(160)) < 120] = np.nan
        scenes.append(pixels)
    out = write_patch_set(scenes, tmp_path / "set", 160, format="npy", nodata=np.nan)
    folder = PatchFolder.open(out)
    assert len(folder) == 6
    assert near_duplicates(folder, [range(3), range(3, 6)]) == []


def test_terrain160_and_a_copy_of_one_patch(test_data, tmp_path):
    folder = PatchFolder.open(test_data / "terrain160")
    split = split_by_scene(folder)
    parts = [split.train[::2], split.test[::2]]
    assert near_duplicates(folder, parts) == []
    path = write_image(tmp_path / "copy.png", np.roll(read_image(folder.paths[parts[0][5]]), 2, axis=2))
    both = dataclasses.replace(folder, paths=[*folder.paths, path])
    (pair,) = near_duplicates(both, [parts[0], [len(folder)]])
    assert (pair.first, pair.second) == (parts[0][5], len(folder))
    assert pair.correlation > 0.8


def test_a_card_that_is_none_is_named(tmp_path):
    out = write_patch_set([noise(40, 40)], tmp_path / "set", 20)
    card = json.loads((out / "dataset.json").read_text())
    del card["scenes"]
    (out / "dataset.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=r"dataset.json cannot be read \(KeyError"):
        PatchFolder.open(out)
