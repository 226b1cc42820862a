"""sarcore.data.write_patch_set: every pixel of the scenes, in every format, with its manifest."""

import csv
import errno
import fcntl
import json
import math

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from sarcore import Radiometry
from sarcore.data import PatchFolder, Scene, patch_cut, patch_files, read_image, write_patch_set
from sarcore.data.folder import read_patch
from sarcore.data.patch_scenes import open_scenes, set_radiometry
from sarcore.errors import DataError
from sarcore.ops import PatchGrid
from sarcore.ops import encode as encode_op

RNG = np.random.default_rng(0)
DECIBELS = Radiometry("intensity", -20, 10, scale="db")
PLACE = {"crs": "EPSG:32631", "transform": Affine(20, 0, 620000, 0, -10, 4830000)}


def write_tiff(path, pixels, **options):
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(path, "w", **profile | {"dtype": pixels.dtype.name} | PLACE | options) as out:
        out.write(pixels)
    return path


def moved(place, row, column):
    x, y = place.c + place.a * column + place.b * row, place.f + place.d * column + place.e * row
    return Affine(place.a, place.b, x, place.d, place.e, y)


def manifest(folder):
    with open(folder / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


def padded(scene, grid):
    high, wide = (max(0, a - b) for a, b in zip(grid.padded, scene.shape[1:], strict=True))
    return np.pad(scene, [(0, 0), (0, high), (0, wide)], mode="reflect")


@settings(max_examples=40)
@given(
    st.integers(1, 70), st.integers(1, 60), st.integers(1, 24), st.integers(1, 30), st.integers(1, 2000),
    st.sampled_from(["uint16", "float32", "complex64"]), st.sampled_from(["npy", "shards", "tiff"]),
)  # fmt: skip
def test_patches_are_the_slices_of_the_mirrored_scene(
    tmp_path_factory, height, width, size, stride, band, dtype, format
):
    scene = RNG.gamma(4, 100, (2, height, width)).astype(dtype)
    unit = "complex" if dtype == "complex64" else "intensity"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patch_cut, "_BAND", band)  # bands of one row of patches up to the whole scene
        out = write_patch_set(
            [scene], tmp_path_factory.mktemp("set") / "out", size, stride, format=format, min_valid=0,
            radiometry=Radiometry(unit, 0, 1000),
        )  # fmt: skip
    grid = PatchGrid(scene.shape, size, stride)
    whole = padded(scene, grid)
    rows = manifest(out)
    assert len(rows) == len(grid)
    for row in rows:
        y, x = int(row["row"]), int(row["column"])
        np.testing.assert_array_equal(read_patch(out / row["file"]), whole[:, y : y + size, x : x + size])
        inside = max(0, min(y + size, height) - y) * max(0, min(x + size, width) - x)
        assert float(row["valid"]) == pytest.approx(inside / size**2, abs=1e-4)
    if size > 1 or len(rows) > 0:
        assert len(PatchFolder.open(out)) == len(rows)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("nodata", [None, -99.0])
def test_png_holds_the_codes_of_the_radiometry(tmp_path, bits, nodata):
    scene = RNG.gamma(4, 0.25, (70, 50)).astype(np.float32)
    if nodata is not None:
        scene[10:30, 5:20] = nodata
    path = write_tiff(tmp_path / "scene.tif", scene, nodata=nodata)
    out = write_patch_set([path], tmp_path / "set", 32, 16, radiometry=DECIBELS, bits=bits, min_valid=0)
    declared = Radiometry("intensity", -20, 10, math.nan if nodata is None else nodata, f"uint{bits}", scale="db")
    found = Radiometry.from_dict(json.loads((out / "dataset.json").read_text())["radiometry"])
    assert repr(found) == repr(declared)  # NaN is not equal to itself
    whole = padded(scene[None], PatchGrid(scene.shape, 32, 16))
    folder = PatchFolder.open(out)
    for index, (y, x) in enumerate(folder.positions.tolist()):
        patch = torch.from_numpy(whole[:, y : y + 32, x : x + 32].copy())
        assert torch.equal(torch.from_numpy(read_image(folder.paths[index])), encode_op(patch, declared))
        exact = encode_op(patch, Radiometry("intensity", -20, 10, nodata, scale="db")).nan_to_num(0)
        assert (folder[index][0] - exact).abs().max() <= 0.51 / (2**bits - 2)
    assert folder.scenes_known
    assert folder.scenes[0] == "scene"


def test_eight_bit_scenes_stay_what_they_are(tmp_path):
    scene = RNG.integers(0, 256, (3, 40, 40), dtype=np.uint8)
    for number, nodata in enumerate((None, 0, 255)):
        out = write_patch_set([scene], tmp_path / f"{number}", 20, nodata=nodata, min_valid=0)
        for row in manifest(out):
            y, x = int(row["row"]), int(row["column"])
            expected = scene[:, y : y + 20, x : x + 20]
            if nodata == 255:  # codes keep 0 for no-data
                expected = expected + np.uint8(1)
            np.testing.assert_array_equal(read_image(out / row["file"]), expected)


def test_native_values_and_no_data_in_the_items(tmp_path):
    scene = RNG.gamma(4, 0.25, (64, 64)).astype(np.float32)
    scene[:8] = np.nan
    path = write_tiff(tmp_path / "scene.tif", scene, nodata=np.nan)
    out = write_patch_set([path], tmp_path / "set", 32, format="tiff", radiometry=DECIBELS, channels=[0])
    folder = PatchFolder.open(out)
    assert np.isnan(folder.radiometry.nodata)
    image, _ = folder[0]
    assert torch.equal(image[0, :8], torch.zeros(8, 32))
    expected = encode_op(torch.from_numpy(scene[None, 8:32, :32].copy()), DECIBELS)
    assert torch.equal(image[:, 8:], expected)
    patches, _ = folder.arrays()
    assert torch.isfinite(patches).all()
    np.testing.assert_allclose(encode_op(patches, folder.radiometry)[0].numpy(), image.numpy(), atol=1e-6)
    assert [float(row["valid"]) for row in manifest(out)] == [0.75, 0.75, 1, 1]
    undeclared = PatchFolder.open(write_patch_set([scene], tmp_path / "other", 32, format="npy", radiometry=DECIBELS))
    assert torch.equal(undeclared[0][0], image)  # NaN is no-data without being declared
    coded = PatchFolder.open(write_patch_set([scene], tmp_path / "codes", 32, radiometry=DECIBELS))
    assert (coded[0][0] - image).abs().max() <= 0.51 / 254
    assert not read_image(coded.paths[0])[0, :8].any()


def test_tiff_patches_know_their_place(tmp_path):
    pixels = RNG.gamma(4, 0.25, (2, 70, 90)).astype(np.float32)
    path = write_tiff(tmp_path / "scene.tif", pixels, nodata=-99)
    with rasterio.open(path, "r+") as out:
        out.descriptions = ("VV", "VH")
        out.update_tags(SENSOR="S1")
        out.update_tags(1, STATISTICS_MEAN="1")
    out = write_patch_set([path], tmp_path / "set", 32, 24, format="tiff", radiometry=DECIBELS, min_valid=0)
    swapped = write_patch_set(
        [path], tmp_path / "swap", 32, 24, format="tiff", radiometry=DECIBELS, min_valid=0, channels=[1, 0]
    )
    with rasterio.open(path) as scene:
        for row in manifest(out):
            y, x = int(row["row"]), int(row["column"])
            with rasterio.open(out / row["file"]) as patch:
                assert patch.crs == scene.crs
                assert patch.transform.almost_equals(moved(scene.transform, y, x))
                assert (patch.nodata, patch.descriptions) == (-99, ("VV", "VH"))
                assert patch.tags()["SENSOR"] == "S1"
                assert "STATISTICS_MEAN" not in patch.tags(1)
                np.testing.assert_array_equal(patch.read(1)[:1, :1], pixels[0, y : y + 1, x : x + 1])
            with rasterio.open(swapped / row["file"]) as patch:
                assert patch.descriptions == (None, None)
                np.testing.assert_array_equal(patch.read(2)[:1, :1], pixels[0, y : y + 1, x : x + 1])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rotated_scenes_and_tie_points(tmp_path):
    rotated = Affine(8.66, 5.0, 500.0, 5.0, -8.66, 900.0)
    path = write_tiff(tmp_path / "scene.tif", np.ones((40, 40), np.float32), transform=rotated)
    points = [rasterio.control.GroundControlPoint(r, c, 10.0 + c, 50.0 - r) for r in (0, 40) for c in (0, 40)]
    tied = tmp_path / "tied.tif"
    with rasterio.open(tied, "w", driver="GTiff", count=1, height=40, width=40, dtype="float32") as out:
        out.write(np.ones((1, 40, 40), np.float32))
        out.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    for scene, where in ((path, "transform"), (tied, "gcps")):
        out = write_patch_set([scene], tmp_path / where, 20, format="tiff", radiometry=Radiometry("amplitude", 0, 1))
        with rasterio.open(out / f"{scene.stem}_20_0.tif") as patch:
            if where == "transform":
                assert patch.transform.almost_equals(moved(rotated, 20, 0), 1e-6)
            else:
                assert {(p.row, p.col, p.x, p.y) for p in patch.gcps[0]} == {
                    (p.row - 20, p.col, p.x, p.y) for p in points
                }


def test_names_notes_and_one_no_data_value(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = write_tiff(tmp_path / "one" / "scene.tif", RNG.gamma(4, 1, (40, 40)).astype(np.float32), nodata=-99)
    pixels = RNG.gamma(4, 1, (40, 40)).astype(np.float32)
    pixels[0, 0] = -1
    second = write_tiff(
        tmp_path / "two" / "scene.tif", pixels, nodata=-1, crs="EPSG:4326", transform=Affine(1e-3, 0, 5, 0, -1e-3, 45)
    )
    out = write_patch_set([first, second], tmp_path / "set", 20, format="npy", radiometry=DECIBELS)
    card = json.loads((out / "dataset.json").read_text())
    assert list(card["scenes"]) == ["one_scene", "two_scene"]
    assert "2 coordinate systems" in card["notes"][0]
    assert "pixel spacing differs" in card["notes"][1]
    assert card["radiometry"]["nodata"] == -99
    assert np.load(out / "two_scene_0_0.npy")[0, 0, 0] == -99
    assert Scene.open(first).crs == PatchFolder.open(out).places["one_scene"].crs
    pixels[3, 3] = -99
    write_tiff(second, pixels, nodata=-1)
    with pytest.raises(DataError, match="two_scene has valid pixels of -99, the no-data value of other scenes"):
        write_patch_set([first, second], tmp_path / "other", 20, format="npy", radiometry=DECIBELS)


def test_limits_and_unit_of_all_scenes_together(tmp_path):
    scenes = [RNG.gamma(4, 0.25, (200, 200)), RNG.gamma(4, 2.5, (200, 200))]
    out = write_patch_set(scenes, tmp_path / "set", 50, format="npy")
    found = PatchFolder.open(out).radiometry
    low, high = 10 * np.log10(np.percentile(np.stack(scenes), (1, 99)))
    assert (found.unit, found.scale) == ("intensity", "db")
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    with pytest.raises(DataError, match=r"seem to differ in unit \(array in intensity, array_2 in db\)"):
        write_patch_set([scenes[0], 10 * np.log10(scenes[1]) - 20], tmp_path / "other", 50)


@pytest.mark.parametrize(
    ("scenes", "options", "error", "message"),
    [
        ([], {}, ValueError, "one or more"),
        ([np.zeros((9, 9))], {"format": "jpeg"}, ValueError, "format must be one of png, tiff, npy, shards"),
        ([np.zeros((9, 9))], {"bits": 12}, ValueError, "bits must be 8 or 16"),
        ([np.zeros((9, 9))], {"min_valid": 1.5}, ValueError, "min_valid must be a share"),
        ([np.zeros((9, 9))], {"channels": [1]}, ValueError, "channels must be 0 to 0"),
        ([np.zeros((9, 9)), np.zeros((9, 9), np.uint8)], {}, DataError, "one type and number of channels"),
        ([np.zeros((9, 9), np.int64)], {}, DataError, "holds int64"),
        ([np.zeros((2, 9, 9), np.float32)], {}, DataError, "PNG holds 1, 3 or 4 channels"),
        ([np.full((9, 9), np.nan, np.float32)], {"nodata": np.nan}, DataError, "no patch is left: .* too few valid"),
    ],
)  # fmt: skip
def test_refusals_leave_nothing(tmp_path, scenes, options, error, message):
    with pytest.raises(error, match=message):
        write_patch_set(scenes, tmp_path / "set", 4, radiometry=Radiometry("amplitude", 0, 1), **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_and_a_full_disk(tmp_path, monkeypatch):
    scene = np.ones((40, 40), np.uint8)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "a").touch()
    with pytest.raises(DataError, match="used exists and is not an empty folder"):
        write_patch_set([scene], tmp_path / "used", 20)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(patch_files, "write_image", full)
    with pytest.raises(DataError, match="full cannot be written .No space left on device.; nothing of it was kept"):
        write_patch_set([scene], tmp_path / "full", 20)
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_a_folder_is_written_by_one_process_and_what_a_killed_one_left_is_removed(tmp_path):
    scene = RNG.integers(0, 256, (40, 40), dtype=np.uint8)
    partial = tmp_path / ".set.unfinished"
    (partial / "class").mkdir(parents=True)
    (partial / "class" / "old.png").write_bytes(b"half")
    with pytest.raises(DataError, match="holds something else; move that away"):
        write_patch_set([scene], tmp_path / "set", 20)
    with open(partial / ".lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is writing .*set; wait for it or stop it"):
            write_patch_set([scene], tmp_path / "set", 20)
        assert (partial / "class" / "old.png").exists()
    out = write_patch_set([scene], tmp_path / "set", 20)
    assert not partial.exists()
    assert {path.suffix for path in out.iterdir()} == {".png", ".csv", ".json"}


def test_patches_that_no_scene_fills_are_refused_before_anything_is_computed(tmp_path):
    with pytest.raises(DataError, match=r"no patch would be left: .*40 x 30 pixels, fills 1.2e-07 of a patch"):
        write_patch_set([np.zeros((40, 30), np.uint8)], tmp_path / "set", 100_000)
    assert not list(tmp_path.iterdir())


def test_values_that_contradict_the_declared_unit_are_refused_by_the_name_of_their_scene(tmp_path):
    paths = [write_tiff(tmp_path / f"{k}.tif", RNG.gamma(4, 0.25, (40, 40)).astype(np.float32) - k) for k in range(2)]
    for options in ({}, {"format": "npy"}):
        with pytest.raises(DataError, match="the scene 1: .*declared as intensity, but has negative values"):
            write_patch_set(paths, tmp_path / "set", 20, radiometry=DECIBELS, **options)
    with pytest.raises(DataError, match="the scene 1: .*negative values"):
        write_patch_set(paths, tmp_path / "set", 20, radiometry=lambda found: set_radiometry(found, "intensity")[0])


def test_scenes_that_tell_no_unit_are_taken_as_the_others(tmp_path):
    speckled = RNG.gamma(4, 0.25, (200, 200)).astype(np.float32)
    empty = np.full((200, 200), np.nan, np.float32)
    radiometry, notes = set_radiometry(open_scenes([speckled, empty]))
    assert radiometry.unit == "intensity"
    assert "the scene array_2 is taken as the others: " in notes[0]
    with pytest.raises(DataError, match=r"the scene array: .*no valid pixel.*--unit"):
        set_radiometry(open_scenes([empty]))
