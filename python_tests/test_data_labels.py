"""sarcore.data.label_map, scene_labels and vector_file: labels of any kind on the grid of a scene."""

import csv
import pickle
from collections import Counter

import numpy as np
import pytest
import rasterio.warp
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from sarcore import Radiometry
from sarcore.data import PatchFolder, Scene, write_patch_set
from sarcore.data.label_map import UNLABELLED, LabelMap, labels_of_scenes, numbered
from sarcore.data.vector_file import read_polygons
from sarcore.errors import DataError

from .vector_files import ring, wkb, write_geojson, write_geopackage, write_shapefile

HERE = Affine(10, 0, 600000, 0, -10, 5000000)
UTM = {"crs": "EPSG:32632", "transform": HERE}
# Columns 2 to 10 of rows 5 to 15, with a hole, and columns 20 to 25 of rows 0 to 40; 30 x 40 pixels.
SEA = [ring(600020, 4999850, 600100, 4999950), ring(600040, 4999880, 600060, 4999900)]
LAND = [ring(600200, 4999600, 600250, 5000000)]
FEATURES = [(SEA, {"kind": "sea"}), (LAND, {"kind": "land"})]


def write_raster(path, pixels, **options):
    pixels = np.asarray(pixels)
    profile = {"driver": "GTiff", "count": 1, "height": pixels.shape[0], "width": pixels.shape[1]}
    with rasterio.open(path, "w", **profile | {"dtype": pixels.dtype.name} | UTM | options) as out:
        out.write(pixels[None])
    return path


@pytest.fixture
def scene(tmp_path):
    rng = np.random.default_rng(0)
    return Scene.open(write_raster(tmp_path / "scene.tif", rng.gamma(4, 0.25, (40, 30)).astype(np.float32)))


def expected_squares():
    names = np.full((40, 30), "", dtype=object)
    names[5:15, 2:10] = "sea"
    names[10:12, 4:6] = ""
    names[0:40, 20:25] = "land"
    return names


def names_of(labels, grid, window=(0, 0, 40, 30)):
    values = grid.read(*window)
    return np.array([["" if v == UNLABELLED else labels.name(int(v)) for v in row] for row in values], dtype=object)


def wkt(epsg):
    return rasterio.crs.CRS.from_epsg(epsg).to_wkt()


@pytest.mark.parametrize("kind", ["geojson", "gpkg", "gpkg-big-endian-z", "shp"])
def test_polygons_of_every_format(tmp_path, scene, kind):
    path = tmp_path / f"labels.{kind.split('-')[0]}"
    if kind == "geojson":
        write_geojson(path, FEATURES, 32632)
    elif kind == "shp":
        write_shapefile(path, FEATURES, wkt(32632))
    elif kind == "gpkg":
        write_geopackage(path, FEATURES, 32632)
    else:
        write_geopackage(path, FEATURES, 32632, geometry=lambda rings: wkb(rings, ">", z=True), envelope=False)
    labels = LabelMap(path)
    grid = labels.on(scene)
    np.testing.assert_array_equal(names_of(labels, grid), expected_squares())
    np.testing.assert_array_equal(names_of(labels, grid, (3, 4, 20, 17)), expected_squares()[3:23, 4:21])
    assert (grid.read(30, 0, 5, 5) == UNLABELLED).all()


def test_polygons_in_degrees(tmp_path, scene):
    corners = rasterio.warp.transform_geom("EPSG:32632", "EPSG:4326", {"type": "Polygon", "coordinates": LAND})
    path = write_geojson(tmp_path / "labels.json", [(corners["coordinates"], {"kind": "land", "id": 4})])
    labels = LabelMap(path, field="kind")
    found = names_of(labels, labels.on(scene))
    assert ((found == "land") == (expected_squares() == "land")).mean() > 0.99  # straight lines there are none here


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        (lambda p: write_geojson(p / "a.json", [(SEA, {"kind": 1, "b": 2})], 32632), {}, "Give --label-field, one of"),
        (lambda p: write_geojson(p / "a.json", FEATURES, 32632), {"field": "no"}, "no field 'no'; its fields are kind"),
        (lambda p: write_geojson(p / "a.json", FEATURES), {}, "cannot be laid on the scene"),
        (lambda p: write_geojson(p / "a.json", [([ring(2, 3, 4, 5)], {})]), {}, "does not overlap the scene"),
        (lambda p: write_geojson(p / "a.json", []), {}, "holds no polygon"),
        (lambda p: write_geopackage(p / "a.gpkg", FEATURES, None), {}, "says no CRS"),
        (lambda p: write_shapefile(p / "a.shp", FEATURES, None), {}, "says no CRS"),
        (lambda p: p / "none.gpkg", {}, "none.gpkg does not exist"),
        (lambda p: write_raster(p / "a.tif", np.zeros((40, 30), np.float32) + 0.5), {}, "holds fractions"),
        (lambda p: write_raster(p / "a.tif", np.zeros((40, 30), np.uint8), crs=None), {}, "has no CRS"),
        (lambda p: write_raster(p / "a.tif", np.zeros((4, 3), np.uint8), crs="EPSG:32655"), {}, "not overlap"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_used_is_one_sentence(tmp_path, scene, write, options, message):
    with pytest.raises(DataError, match=message) as caught:
        LabelMap(write(tmp_path), **options).on(scene).read(0, 0, 40, 30)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".json", ".gpkg", ".shp"])
def test_damaged_vector_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\x00\x00'\x0a" + bytes(150))
    path.with_suffix(".prj").write_text("x")
    with pytest.raises(DataError, match=r"a\.\w+ is corrupt"):
        read_polygons(path)


def test_numbers_and_missing_values_of_fields(tmp_path):
    path = write_geojson(tmp_path / "a.json", [(SEA, {"kind": 3.0}), (LAND, {"kind": None}), (LAND, {"kind": " b "})])
    assert read_polygons(path).names == ["3", None, "b"]


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio's own
@pytest.mark.parametrize("crs", ["same", "EPSG:32632", "EPSG:4326", "EPSG:3035"])
def test_rasters_of_any_grid(tmp_path, scene, crs):
    """Against rasterio.warp.reproject, nearest, from a raster that covers a part of the scene."""
    rng = np.random.default_rng(1)
    if crs == "same":
        pixels = rng.integers(0, 4, (40, 30), dtype=np.int16)
        path = write_raster(tmp_path / "labels.tif", pixels, nodata=0)
        expected = np.where(pixels == 0, UNLABELLED, pixels.astype(np.int32))
    else:
        place, width, height = rasterio.warp.calculate_default_transform(
            "EPSG:32632", crs, 30, 40, left=600050, right=600350, bottom=4999500, top=4999900, resolution=None
        )
        pixels = rng.integers(0, 4, (height, width), dtype=np.int16)
        path = write_raster(tmp_path / "labels.tif", pixels, nodata=0, crs=crs, transform=place)
        expected = np.zeros((40, 30), np.int16)
        rasterio.warp.reproject(
            pixels, expected, src_crs=crs, src_transform=place, dst_crs="EPSG:32632", dst_transform=HERE,
            src_nodata=0, dst_nodata=0, resampling=rasterio.enums.Resampling.nearest,
        )  # fmt: skip
        expected = np.where(expected == 0, UNLABELLED, expected.astype(np.int32))
        assert 0.1 < (expected == UNLABELLED).mean() < 0.9
    grid = LabelMap(path).on(scene)
    np.testing.assert_array_equal(grid.read(0, 0, 40, 30), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(grid)).read(7, 3, 20, 11), expected[7:27, 3:14])


def test_zero_is_a_class_but_not_beyond_the_raster(tmp_path, scene):
    place = Affine(10, 0, 600100, 0, -10, 5000000)
    path = write_raster(tmp_path / "labels.tif", np.zeros((40, 30), np.uint8), transform=place)
    found = LabelMap(path).on(scene).read(0, 0, 40, 30)
    assert (found[:, :10] == UNLABELLED).all()
    assert (found[:, 10:] == 0).all()


def test_names_choose_the_values(tmp_path, scene):
    pixels = np.tile(np.array([-1, 0, 1], np.int16), (40, 10))
    np.save(tmp_path / "labels.npy", pixels)  # no georeference, but the shape of the scene
    labels = LabelMap(tmp_path / "labels.npy", class_names={0: "land", 1: "water"})
    assert Counter(names_of(labels, labels.on(scene)).ravel()) == {"": 400, "land": 400, "water": 400}
    np.save(tmp_path / "labels.npy", pixels[:-1])
    with pytest.raises(DataError, match="has no CRS, so its place in .*scene.tif is unknown"):
        LabelMap(tmp_path / "labels.npy").on(scene)


@given(st.lists(st.sampled_from([UNLABELLED, -7, 0, 1, 5, 2**31 - 1]), max_size=40))
def test_numbered(values):
    labels = np.array(values, np.int32).reshape(1, -1)
    present, numbers = numbered(labels)
    assert present == sorted(set(values) - {UNLABELLED})
    assert [[UNLABELLED, *present][n] for n in numbers.ravel()] == values
    small = np.where(labels == 2**31 - 1, 9, labels).astype(np.int32)
    present, numbers = numbered(small)
    assert [[UNLABELLED, *present][n] for n in numbers.ravel()] == small.ravel().tolist()


def test_the_class_is_the_majority_of_the_pixels_with_data(tmp_path):
    rng = np.random.default_rng(3)
    pixels = rng.gamma(4, 0.25, (50, 60)).astype(np.float32)
    pixels[rng.random((50, 60)) < 0.3] = np.nan
    labels = rng.integers(0, 3, (5, 6)).repeat(10, axis=0).repeat(10, axis=1).astype(np.uint8)
    out = write_patch_set(
        [pixels], tmp_path / "set", 16, 8, labels=labels, label_nodata=0, nodata=np.nan, min_valid=0.4, majority=0.6,
        format="npy", radiometry=Radiometry("intensity", -20, 10, scale="db"),
    )  # fmt: skip
    with open(out / "labels.csv", newline="") as file:
        rows = {(int(row["row"]), int(row["column"])): row for row in csv.DictReader(file)}
    for y in range(0, 50 - 8, 8):
        for x in range(0, 60 - 8, 8):
            window = (slice(y, y + 16), slice(x, x + 16))
            known = np.isfinite(pixels[window])
            counts = Counter(labels[window][known].tolist())
            best = max(counts.get(1, 0), counts.get(2, 0))
            keep = known.sum() >= 0.4 * 256 and best >= 0.6 * known.sum()
            assert ((y, x) in rows) == keep
            if keep:
                assert counts[int(rows[y, x]["class"])] == best
                assert float(rows[y, x]["share"]) == pytest.approx(best / known.sum(), abs=1e-4)
                assert rows[y, x]["file"].startswith(f"{rows[y, x]['class']}/")
    folder = PatchFolder.open(out)
    assert set(folder.classes) == {"1", "2"}
    assert len(folder) == len(rows)


def test_class_names_become_folder_names(tmp_path, scene):
    features = [(SEA, {"kind": "open sea/deep"}), (LAND, {"kind": "../land"})]
    path = write_geojson(tmp_path / "labels.json", features, 32632)
    declared = Radiometry("intensity", -20, 10, scale="db")
    out = write_patch_set([scene], tmp_path / "set", 10, 5, labels=path, radiometry=declared, majority=0.3)
    assert sorted(each.name for each in out.iterdir() if each.is_dir()) == ["land", "open_sea_deep"]
    assert PatchFolder.open(out).classes == ["../land", "open sea/deep"]


def test_options_that_the_labels_have_no_use_for_are_refused(scene):
    raster = np.zeros((60, 90), np.uint8)
    with pytest.raises(ValueError, match="label_field is a field of polygons, and .* is a raster"):
        labels_of_scenes("labels.tif", {"a": scene}, field="class")
    with pytest.raises(ValueError, match="class_names name the values of a raster, and a.gpkg holds polygons"):
        labels_of_scenes("a.gpkg", {"a": scene}, class_names={1: "water"})
    with pytest.raises(ValueError, match="label_field is a field of polygons"):
        labels_of_scenes(raster, {"a": scene}, field="class")
