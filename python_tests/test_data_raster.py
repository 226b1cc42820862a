"""Rasters: pixels, tags, no-data, and what other programs read back."""

import shutil

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.transform import Affine

from sarcore.data import Raster, open_scene, read_image, read_raster, scene_header, scene_unit, write_raster
from sarcore.data.images import read_header
from sarcore.errors import DataError

GEO = {"crs": "EPSG:32631", "transform": Affine(20.0, 0.0, 620048.25, 0.0, -10.0, 4830114.5), "nodata": -99.0}


@pytest.fixture
def geotiff(tmp_path):
    """Two bands with names, metadata, a place and a no-data value, as GDAL writes them."""
    pixels = np.random.default_rng(0).gamma(1.0, 1.0, (2, 50, 70)).astype(np.float32)
    pixels[:, :3] = -99.0
    file = tmp_path / "in.tif"
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"}
    with rasterio.open(
        file, "w", driver="GTiff", height=50, width=70, count=2, dtype="float32", **layout, **GEO
    ) as out:
        out.write(pixels)
        out.set_band_description(1, "VV")
        out.update_tags(SENSOR="C-SAR")
    return file, pixels


def test_a_geotiff_goes_through_unchanged(geotiff, tmp_path):
    file, pixels = geotiff
    raster = read_raster(file)
    assert raster.georeferenced
    assert raster.nodata == -99.0
    np.testing.assert_array_equal(raster.pixels, pixels)
    np.testing.assert_array_equal(raster.valid(), pixels != -99.0)
    copy = write_raster(tmp_path / "out.tif", raster.with_pixels(2 * pixels))
    with rasterio.open(file) as before, rasterio.open(copy) as after:
        assert (after.crs, after.transform, after.nodata) == (before.crs, before.transform, before.nodata)
        # tifffile cannot leave the resolution in dots out: the numbers 1, 1 and no unit.
        kept = {key: value for key, value in after.tags().items() if not key.startswith("TIFFTAG_")}
        assert kept == before.tags()
        assert after.descriptions == before.descriptions == ("VV", None)
        assert after.profile["compress"] == before.profile["compress"] == "deflate"
        assert after.block_shapes == before.block_shapes
        np.testing.assert_array_equal(after.read(), 2 * pixels)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_big_endian_and_plain_tiffs(tmp_path):
    pixels = np.arange(24, dtype=np.uint16).reshape(1, 4, 6)
    tifffile.imwrite(tmp_path / "big.tif", pixels[0], byteorder=">")
    raster = read_raster(tmp_path / "big.tif")
    assert raster.pixels.dtype == np.uint16
    assert raster.pixels.dtype.isnative
    assert not raster.georeferenced
    assert raster.valid() is None
    again = read_raster(write_raster(tmp_path / "out.tif", raster))
    np.testing.assert_array_equal(again.pixels, pixels)


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_other_formats(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 5, 7)).astype(np.uint8)
    again = read_raster(write_raster(tmp_path / f"a{suffix}", Raster(pixels)))
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.tags == ()


def test_complex_arrays(tmp_path):
    z = (np.random.default_rng(0).normal(size=(2, 5, 7)) * (1 + 2j)).astype(np.complex128)
    np.save(tmp_path / "z.npy", z[0])
    raster = read_raster(tmp_path / "z.npy")
    assert raster.pixels.dtype == np.complex64
    np.testing.assert_array_equal(raster.pixels, z[:1].astype(np.complex64))
    np.testing.assert_array_equal(read_raster(write_raster(tmp_path / "w.npy", raster)).pixels, raster.pixels)


def test_complex_tiffs_are_read_back(tmp_path):
    z = (np.random.default_rng(0).normal(size=(2, 5, 7)) * (1 + 2j)).astype(np.complex64)
    for pixels in (z, z[:1]):
        again = read_raster(write_raster(tmp_path / "z.tif", Raster(pixels)))
        np.testing.assert_array_equal(again.pixels, pixels)
        assert again.pixels.dtype == np.complex64


@pytest.mark.parametrize(
    ("dtype", "nodata", "possible"),
    [
        ("uint16", -9999.0, False),
        ("uint8", 300.0, False),
        ("uint8", 1e20, False),
        ("uint8", -np.inf, False),
        ("int16", 0.5, False),
        ("float32", 1e40, False),
        ("int16", -9999.0, True),
        ("uint8", 255.0, True),
        ("float32", -np.inf, True),
        ("float32", -9999.9, True),
        ("complex64", -99.0, True),
    ],
)
def test_no_data_that_no_pixel_can_have_masks_nothing(tmp_path, dtype, nodata, possible):
    pixels = np.zeros((1, 4, 6), dtype)
    if possible:
        pixels[0, 0, :2] = nodata
    tag = (42113, 2, 0, str(nodata), True)
    tifffile.imwrite(tmp_path / "a.tif", pixels[0], photometric="minisblack", extratags=[tag])
    valid = read_raster(tmp_path / "a.tif").valid()
    assert (valid is None) == (not possible)
    assert valid is None or np.count_nonzero(~valid) == 2


def test_what_was_true_of_the_old_pixels_alone_is_left_out(geotiff, tmp_path):
    file, pixels = geotiff
    with rasterio.open(file, "r+") as out:
        out.update_tags(1, STATISTICS_MEAN="1.0", STATISTICS_MAXIMUM="9.0", NOTE="kept")
    raster = read_raster(file)
    copy = write_raster(tmp_path / "copy.tif", raster.with_pixels(2 * pixels))
    with rasterio.open(copy) as after:
        assert after.tags(1) == {"NOTE": "kept"}
        assert after.tags()["SENSOR"] == "C-SAR"
        assert after.descriptions == ("VV", None)
    only = (42112, 2, 0, '<GDALMetadata><Item name="STATISTICS_MEAN" sample="0">1</Item></GDALMetadata>', True)
    assert Raster(pixels, None, (only,)).with_pixels(pixels).tags == ()


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True}, {"description": "of a person"}])
def test_descriptions_of_programs_are_left_out(tmp_path, options):
    file = tmp_path / f"a{'.ome' if 'ome' in options else ''}.tif"
    tifffile.imwrite(file, np.ones((3, 40, 60), np.float32), photometric="minisblack", **options)
    raster = read_raster(file)
    copy = write_raster(tmp_path / "copy.tif", raster.with_pixels(raster.pixels[:2] * 2))
    with tifffile.TiffFile(copy) as tiff:
        assert tiff.pages.first.description == options.get("description", "")
    np.testing.assert_array_equal(read_raster(copy).pixels, np.full((2, 40, 60), 2))


@pytest.mark.parametrize("reader", [read_raster, read_image, read_header, open_scene, scene_header, scene_unit])
def test_a_compression_that_needs_a_package_is_named(tmp_path, monkeypatch, reader):
    file = tmp_path / "lzw.tif"
    with rasterio.open(
        file, "w", driver="GTiff", height=1500, width=1500, count=1, dtype="float32", compress="lzw", predictor=3, **GEO
    ) as out:
        out.write(np.ones((1, 1500, 1500), np.float32))

    def missing(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", missing)
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", missing)
    monkeypatch.setattr(tifffile.TiffPage, "decode", missing)
    if reader in (read_header, scene_header):  # which decode nothing
        assert reader(file).shape == (1, 1500, 1500)
        return
    with pytest.raises(DataError, match=r"lzw.tif is compressed \(COMPRESSION.LZW\).*pip install imagecodecs"):
        reader(file)


def test_failures_name_the_file_and_leave_nothing(geotiff, tmp_path, monkeypatch):
    file, pixels = geotiff
    with pytest.raises(DataError, match="nowhere.tif"):
        read_raster(tmp_path / "nowhere.tif")
    broken = shutil.copy(file, tmp_path / "broken.tif")
    broken.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match="broken.tif"):
        read_raster(broken)
    (tmp_path / "short.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="short.npy"):
        read_raster(tmp_path / "short.npy")
    np.save(tmp_path / "flat.npy", np.zeros(3, dtype=np.complex64))
    with pytest.raises(DataError, match=r"flat.npy.*\(3,\)"):
        read_raster(tmp_path / "flat.npy")
    raster = read_raster(file)
    with pytest.raises(ValueError, match=r"\(50, 70\)"):
        raster.with_pixels(pixels[:, :10])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(OSError, match="No space"):
        write_raster(file, raster)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    np.testing.assert_array_equal(read_raster(file).pixels, pixels)


def test_no_data_that_is_no_number(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 6), np.float32), extratags=[(42113, 2, 0, "none at all", True)])
    with pytest.raises(DataError, match="none at all"):
        read_raster(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 6), np.float32), extratags=[(42113, 2, 0, "nan", True)])
    assert np.isnan(read_raster(tmp_path / "b.tif").nodata)
    assert read_raster(tmp_path / "b.tif").valid() is None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_geotiffs_keep_their_tags(test_data, tmp_path):
    files = sorted((test_data / "misc").glob("*/*.tif"))
    if not files:
        pytest.skip("no GeoTIFFs in the real data")
    for file in files:
        raster = read_raster(file)
        copy = write_raster(tmp_path / "copy.tif", raster)
        with rasterio.open(file) as before, rasterio.open(copy) as after:
            assert (after.crs, after.transform) == (before.crs, before.transform)
            assert after.nodata == before.nodata or np.isnan(after.nodata)
            assert after.descriptions == before.descriptions
            np.testing.assert_array_equal(after.read(), before.read())
