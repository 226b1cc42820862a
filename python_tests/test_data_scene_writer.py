"""SceneWriter: what GDAL reads back, what is kept of another scene, and that nothing is left after a failure."""

import os

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from sarcore.data import Scene, SceneWriter
from sarcore.errors import DataError

from .scene_files import GEO, noise, write

KEPT = ("crs", "transform", "descriptions", "colorinterp", "units", "scales", "offsets", "gcps", "rpcs")


def copy(scene, path, dtype=None, **options):
    """The scene in bands of 37 rows."""
    with SceneWriter(path, scene.shape, dtype or scene.dtype, like=scene, **options) as out:
        for row in range(0, scene.shape[1], 37):
            out.write(scene.read(row, height=min(37, scene.shape[1] - row)).astype(dtype or scene.dtype))
    assert out.rows_done == scene.shape[1]
    return path


def check_same_place(before, after, nodata=True):
    with rasterio.open(before) as a, rasterio.open(after) as b:
        for name in KEPT:
            assert str(getattr(a, name)) == str(getattr(b, name)), name
        assert a.tags() == b.tags()
        assert [a.tags(band) for band in a.indexes] == [b.tags(band) for band in b.indexes]
        assert a.tags(ns="RPC") == b.tags(ns="RPC")
        if nodata:
            assert str(a.nodata) == str(b.nodata)


def left_over(folder):
    return [file.name for file in folder.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", "complex64"])
@pytest.mark.parametrize("compression", ["deflate", "zstd", "lzw", "none"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_reads_what_was_written(tmp_path, dtype, compression):
    pixels = noise((2, 75, 130), dtype)
    path = tmp_path / "a.tif"
    with SceneWriter(path, pixels.shape, dtype, tile=32, compression=compression, nodata=7) as out:
        for row in range(0, 75, 20):
            out.write(pixels[:, row : row + 20])
        assert not path.exists()
    with rasterio.open(path) as gdal:
        np.testing.assert_array_equal(gdal.read(), pixels)
        assert gdal.block_shapes == [(32, 32)] * 2
        assert (gdal.nodata, gdal.interleaving.name) == (7, "pixel")
        assert gdal.compression == (None if compression == "none" else rasterio.enums.Compression[compression])
        assert gdal.tags() == {}
    assert left_over(tmp_path) == []
    assert path.stat().st_mode & 0o777 == 0o666 & ~(os.umask(0o22) or 0o22)


@given(st.data())
def test_rows_of_any_number(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("rows", numbered=True)
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70)))
    dtype = data.draw(st.sampled_from(["uint8", "float32", "complex64", "float16"]))
    suffix = data.draw(st.sampled_from([".tif", ".npy", ".tiff"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[1]), max_size=4)))
    pixels = noise(shape, dtype)
    with SceneWriter(folder / f"a{suffix}", shape, dtype, tile=data.draw(st.sampled_from([16, 32]))) as out:
        for row, end in zip([0, *cuts], [*cuts, shape[1]], strict=True):
            out.write(pixels[:, row:end])
    np.testing.assert_array_equal(Scene.open(out.path).read(), pixels)


def test_a_geotiff_goes_through_unchanged(tmp_path):
    pixels = noise((3, 90, 70), "float32")
    path = write(tmp_path / "in.tif", pixels, photometric="rgb", **GEO)
    with rasterio.open(path, "r+") as out:
        out.descriptions = ("VV", None, "Höhe")
        out.units = ("m", None, "µ")
        out.scales, out.offsets = (0.5, 1, 2), (0, 3, 0)
        out.update_tags(
            SENSOR="C-SAR", NOTE="a < b & 'ü'", TIFFTAG_DATETIME="2017:10:21 05:06:07", TIFFTAG_ARTIST="ESA"
        )
        out.update_tags(1, STATISTICS_MEAN="1.0", STATISTICS_MAXIMUM="9.0", NOTE="kept")
    after = copy(Scene.open(path), tmp_path / "out.tif")
    with rasterio.open(path, "r+") as out:
        out.update_tags(1, STATISTICS_MEAN="", STATISTICS_MAXIMUM="")
    with rasterio.open(after) as gdal:
        assert gdal.tags(1) == {"NOTE": "kept"}
        assert gdal.tags()["NOTE"] == "a < b & 'ü'"
        assert gdal.descriptions == ("VV", None, "Höhe")
        np.testing.assert_array_equal(gdal.read(), pixels)
    check_again = copy(Scene.open(after), tmp_path / "again.tif", compression="zstd", tile=128)
    check_same_place(after, check_again)
    assert Scene.open(after).tags == Scene.open(check_again).tags


def test_places_of_every_kind(tmp_path):
    pixels = noise((1, 20, 30), "uint8")
    points = [rasterio.control.GroundControlPoint(r, c, 10 + c / 9, 50 - r / 9) for r in (0, 20) for c in (0, 30)]
    rpcs = rasterio.rpc.RPC(
        height_off=1, height_scale=2, lat_off=3, lat_scale=4, line_den_coeff=[1.0] * 20, line_num_coeff=[2.0] * 20,
        line_off=5, line_scale=6, long_off=7, long_scale=8, samp_den_coeff=[3.0] * 20, samp_num_coeff=[4.0] * 20,
        samp_off=9, samp_scale=10, err_bias=0, err_rand=0,
    )  # fmt: skip
    for name, place in (
        ("turned", {"crs": "EPSG:32633", "transform": rasterio.Affine(8, 5, 500000, 5, -8, 4000000)}),
        ("degrees", {"crs": "EPSG:4326", "transform": rasterio.Affine(1e-4, 0, 20, 0, -1e-4, 40)}),
        ("points", {"crs": "EPSG:4326", "gcps": points}),
        ("polynomials", {"rpcs": rpcs}),
        ("no-crs", {"transform": rasterio.Affine(3, 0, 20, 0, -3, 40)}),
    ):
        before = write(tmp_path / f"{name}.tif", pixels, **place)
        with rasterio.open(before, "r+") as out:
            out.update_tags(AREA_OR_POINT="Point" if name == "degrees" else "Area")
        check_same_place(before, copy(Scene.open(before), tmp_path / "out.tif"))


def test_no_data_of_the_output(tmp_path):
    before = Scene.open(write(tmp_path / "in.tif", noise((1, 20, 30), "float32"), **GEO))
    cases = [({}, -99.0)] + [({"nodata": value}, value) for value in (None, 2**-20, -32768, np.nan, -np.inf)]
    for given_, wanted in cases:
        with rasterio.open(copy(before, tmp_path / "out.tif", **given_)) as after:
            assert str(after.nodata) == str(None if wanted is None else float(wanted))
            assert after.transform == GEO["transform"]
    replaced = Scene.open(tmp_path / "in.tif", nodata=-1)
    with rasterio.open(copy(replaced, tmp_path / "out.tif")) as after:
        assert after.nodata == -1
    with pytest.raises(ValueError, match="nodata must be a value that uint8 holds, got -99"):
        SceneWriter(tmp_path / "a.tif", (1, 20, 30), "uint8", like=before)
    with pytest.raises(ValueError, match="nodata must be a value that uint16 holds, got nan"):
        SceneWriter(tmp_path / "a.tif", (1, 20, 30), "uint16", nodata=float("nan"))
    odd = tmp_path / "odd.tif"  # declares what no pixel can have
    tifffile.imwrite(odd, noise((20, 30), "uint16"), extratags=[(42113, 2, 0, "-9999", True)])
    assert Scene.open(copy(Scene.open(odd), tmp_path / "out.tif")).nodata == -9999


def test_other_numbers_of_bands_lose_the_names_of_the_old(tmp_path):
    before = write(tmp_path / "in.tif", noise((2, 20, 30), "float32"), **GEO)
    with rasterio.open(before, "r+") as out:
        out.descriptions = ("VV", "VH")
        out.update_tags(SENSOR="C-SAR")
    with SceneWriter(tmp_path / "out.tif", (1, 20, 30), "float32", like=Scene.open(before)) as out:
        out.write(np.zeros((1, 20, 30), np.float32))
    with rasterio.open(tmp_path / "out.tif") as after:
        assert after.descriptions == (None,)
        assert after.tags()["SENSOR"] == "C-SAR"
        assert after.transform == GEO["transform"]


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True}, {"description": "of a person"},
                                     {"resolution": (72, 36), "resolutionunit": "CENTIMETER"}])  # fmt: skip
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_descriptions_and_resolutions(tmp_path, options):
    file = tmp_path / f"a{'.ome' if 'ome' in options else ''}.tif"
    tifffile.imwrite(file, np.ones((3, 40, 60), np.float32), photometric="minisblack", **options)
    with tifffile.TiffFile(copy(Scene.open(file), tmp_path / "copy.tif")) as tiff:
        page = tiff.pages.first
        assert page.description == options.get("description", "")
        assert page.tags.valueof(282, default=None) == ((72, 1) if "resolution" in options else (1, 1))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "complex64"])
def test_cloud_optimized(tmp_path, dtype):
    before = write(tmp_path / "in.tif", noise((2, 700, 600), dtype), **GEO | {"nodata": 3})
    with rasterio.open(before, "r+") as out:
        out.descriptions = ("VV", "VH")
    after = copy(Scene.open(before), tmp_path / "out.tif", cog=True)
    check_same_place(before, after)
    with rasterio.open(after) as gdal:
        assert gdal.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert gdal.overviews(1) == [2, 4]
        assert gdal.block_shapes[0] == (256, 256)
    np.testing.assert_array_equal(Scene.open(after).read(), Scene.open(before).read())
    assert left_over(tmp_path) == []


def test_bigtiff_where_it_may_be_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("sarcore.data.scene_writer_tiff._CLASSIC", 1000)
    before = write(tmp_path / "in.tif", noise((1, 90, 70), "uint16"), **GEO | {"nodata": 3})
    after = copy(Scene.open(before), tmp_path / "out.tif")
    with tifffile.TiffFile(after) as tiff:
        assert tiff.is_bigtiff
    check_same_place(before, after)
    np.testing.assert_array_equal(Scene.open(after).read(), Scene.open(before).read())


def test_other_formats(tmp_path):
    for dtype, count in (("uint8", 1), ("uint8", 3), ("uint16", 1)):
        scene = Scene.open(noise((count, 90, 70), dtype))
        np.testing.assert_array_equal(Scene.open(copy(scene, tmp_path / "a.png")).read(), scene.read())
    scene = Scene.open(noise((2, 90, 70), "complex64"))
    np.testing.assert_array_equal(np.load(copy(scene, tmp_path / "a.npy")), scene.read())
    for name, shape, dtype, message in (
        ("a.png", (1, 9, 9), "float32", "a PNG holds 8 or 16 bit"),
        ("a.png", (2, 9, 9), "uint8", "a PNG holds"),
        ("a.jpg", (1, 9, 9), "uint8", "use one of the suffixes .tif"),
        ("no/a.tif", (1, 9, 9), "uint8", "the folder .*no does not exist"),
        (".tif", (1, 9, 9), "uint8", "use one of the suffixes"),
        ("a.tif", (1, 9, 9), "U3", "a scene holds numbers"),
    ):
        with pytest.raises(DataError, match=message):
            SceneWriter(tmp_path / name, shape, dtype)
    with pytest.raises(DataError, match="Cloud Optimized GeoTIFF has the suffix .tif"):
        SceneWriter(tmp_path / "a.npy", (1, 9, 9), "uint8", cog=True)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_scenes_keep_their_place(test_data, tmp_path):
    files = sorted((test_data / "misc").glob("*/*.tif"))
    if not files:
        pytest.skip("no GeoTIFFs in the real data")
    for file in files:
        for cog in (False, True):
            after = copy(Scene.open(file), tmp_path / "out.tif", cog=cog)
            check_same_place(file, after)
            np.testing.assert_array_equal(Scene.open(after).read(), Scene.open(file).read())
    for file in sorted((test_data / "s1grd").glob("*/*.img"))[:2]:
        rasterio.shutil.copy(file, tmp_path / "gdal.tif", driver="GTiff")
        after = copy(Scene.open(file), tmp_path / "out.tif")
        with rasterio.open(tmp_path / "gdal.tif") as a, rasterio.open(after) as b:
            assert (a.crs, a.transform, a.descriptions, a.tags()) == (b.crs, b.transform, b.descriptions, b.tags())
            np.testing.assert_array_equal(a.read(), b.read())
    for file in (*(test_data / "misc").glob("*/*.npy"), *sorted((test_data / "sar1024").glob("*.png"))[:1]):
        scene = Scene.open(file)
        for suffix in (file.suffix, ".tif"):
            np.testing.assert_array_equal(Scene.open(copy(scene, tmp_path / f"o{suffix}")).read(), scene.read())
