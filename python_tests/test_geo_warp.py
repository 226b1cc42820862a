"""sarcore prep warp: values against SciPy and block means, no-data, and nothing that depends on the windows."""

import sys
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from scipy.ndimage import map_coordinates

from sarcore.cli import main
from sarcore.errors import DataError
from sarcore.geo import warp as warp_module
from sarcore.geo.grid import Bounds, Grid
from sarcore.geo.warp import common_grid, warp

from .geo_files import UTM, pixels_of, write_geotiff


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def smooth(height, width):
    rows, columns = np.mgrid[:height, :width]
    return (np.sin(rows / 7) + np.cos(columns / 5) + rows / 50).astype(np.float32)


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32653", "EPSG:4326"])
def test_bilinear_values_are_those_of_scipy(tmp_path, crs):
    pixels = smooth(90, 110)
    source = write_geotiff(tmp_path / "a.tif", pixels)
    grid = common_grid([source], gsd=1e-4 if crs == "EPSG:4326" else 9.0, crs=crs)
    warp(source, tmp_path / "b.tif", grid, method="bilinear")
    found, valid = pixels_of(tmp_path / "b.tif")
    a, _, c, _, e, f = grid.transform
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = pyproj.Transformer.from_crs(crs, "EPSG:32654", always_xy=True).transform(c + a * columns, f + e * rows)
    places = (UTM[5] - y) / 10 - 0.5, (x - UTM[2]) / 10 - 0.5
    expected = map_coordinates(pixels, places, order=1, mode="nearest")
    # Pixels become valid where their centre lies in the source.
    inside = (places[0] > -0.5) & (places[0] < 89.5) & (places[1] > -0.5) & (places[1] < 109.5)
    assert (valid != inside).mean() < 0.002
    away = (places[0] > 1) & (places[0] < 88) & (places[1] > 1) & (places[1] < 108)
    # GDAL widens the filter by the ratio of the pixels, so that it is a little smoother.
    assert np.abs(found[0] - expected)[away].max() < 0.02
    assert np.abs(found[0] - np.roll(expected, 1, axis=1))[away].max() > 0.1  # a shift of a pixel would be seen


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_coarser_grid_averages(tmp_path, rng, factor):
    pixels = rng.exponential(1.0, (60, 90)).astype(np.float32)
    source = write_geotiff(tmp_path / "a.tif", pixels, transform=(10, 0, 300000, 0, -10, 3900000))
    done = warp(source, tmp_path / "b.tif", common_grid([source], gsd=10 * factor))
    assert (done.method, done.valid) == ("average", 1.0)
    expected = pixels.reshape(60 // factor, factor, 90 // factor, factor).mean(axis=(1, 3))
    assert np.allclose(pixels_of(tmp_path / "b.tif")[0][0], expected, rtol=1e-6)


def test_decibels_and_amplitudes_are_averaged_as_intensities(tmp_path, rng):
    intensity = rng.exponential(1.0, (400, 400))
    expected = intensity.reshape(100, 4, 100, 4).mean(axis=(1, 3))
    for unit, pixels in (("db", 10 * np.log10(intensity)), ("amplitude", np.sqrt(intensity))):
        source = write_geotiff(tmp_path / f"{unit}.tif", pixels.astype(np.float32))
        out = tmp_path / f"{unit}_out.tif"
        warp(source, out, common_grid([source], gsd=40), unit=unit)
        found = pixels_of(out)[0][0].astype(np.float64)
        power = 10 ** (found / 10) if unit == "db" else found**2
        assert np.allclose(power, expected, rtol=1e-5)
        assert sorted(path.name for path in tmp_path.glob(".warp*")) == []
    warp(source, out, common_grid([source], gsd=40))
    # As they stand, amplitudes lose the share 1 - pi/4 of their power that is variance, less 1/16 of it.
    assert np.mean(pixels_of(out)[0] ** 2) == pytest.approx(np.pi / 4 + (1 - np.pi / 4) / 16, rel=0.02)
    integers = write_geotiff(tmp_path / "i.tif", (50 * np.sqrt(intensity)).astype(np.uint8))
    warp(integers, out, common_grid([integers], gsd=40), unit="amplitude")
    squares = pixels_of(integers)[0][0].astype(float) ** 2
    assert np.array_equal(pixels_of(out)[0][0], np.rint(np.sqrt(squares.reshape(100, 4, 100, 4).mean(axis=(1, 3)))))


def test_no_data_takes_part_in_nothing(tmp_path, rng):
    pixels = rng.uniform(1, 2, (60, 60)).astype(np.float32)
    hole = np.zeros((60, 60), bool)
    hole[20:35, 10:31] = True
    expected = np.where(hole, np.nan, pixels).reshape(30, 2, 30, 2)
    with np.errstate(invalid="ignore"):
        counts = np.isfinite(expected).sum(axis=(1, 3))
        mean = np.nansum(expected, axis=(1, 3)) / np.maximum(counts, 1)
    decibels = np.where(hole, -99, 10 * np.log10(pixels)).astype(np.float32)
    cases = {
        "value": (np.where(hole, -99, pixels), {"nodata": -99.0}, None),
        "nan": (np.where(hole, np.nan, pixels), {"nodata": np.nan}, None),
        "mask": (np.where(hole, 1e6, pixels), {"mask": np.where(hole, 0, 255).astype(np.uint8)}, None),
        "db": (decibels, {"nodata": -99.0}, "db"),
    }
    for name, (values, options, unit) in cases.items():
        source = write_geotiff(tmp_path / f"{name}.tif", values.astype(np.float32), **options)
        warp(source, tmp_path / "out.tif", common_grid([source], gsd=20), unit=unit)
        found, valid = pixels_of(tmp_path / "out.tif")
        found = 10 ** (found / 10) if unit else found
        assert np.array_equal(valid, counts > 0), name
        assert np.allclose(found[0][valid], mean[valid], rtol=1e-5), name
        with rasterio.open(tmp_path / "out.tif") as out:
            assert repr(out.nodata) == repr(options.get("nodata")), name  # nan is nan


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_what_lies_outside_is_not_data(tmp_path, rng, dtype):
    source = write_geotiff(tmp_path / "a.tif", rng.integers(1, 200, (3, 40, 40)).astype(dtype))
    grid = Grid("EPSG:32654", (10, 0, 500000 - 100, 0, -10, 3900000), 50, 40)
    done = warp(source, tmp_path / "b.tif", grid)
    found, valid = pixels_of(tmp_path / "b.tif")
    assert valid[:, 10:].all()
    assert not valid[:, :10].any()
    assert done.valid == 0.8
    assert np.array_equal(found[:, :, 10:], pixels_of(source)[0])
    with rasterio.open(tmp_path / "b.tif") as out:
        assert (out.dtypes[0], out.count) == (dtype, 3)
        assert repr(out.nodata) == ("nan" if dtype == "float32" else "None")
    if dtype == "uint8":
        warp(source, tmp_path / "c.tif", grid, nodata=0)
        found, valid = pixels_of(tmp_path / "c.tif")
        assert not valid[:, :10].any()
        assert (found[:, :, :10] == 0).all()
        with pytest.raises(ValueError, match="nodata must be a value that uint8 holds, got -99"):
            warp(source, tmp_path / "d.tif", grid, nodata=-99)


def test_an_alpha_band_stays_one(tmp_path, rng):
    pixels = rng.integers(1, 200, (4, 40, 40)).astype(np.uint8)
    pixels[3] = 255
    pixels[3, :20] = 0
    source = write_geotiff(tmp_path / "a.tif", pixels, photometric="rgb", alpha="yes")
    warp(source, tmp_path / "b.tif", common_grid([source], gsd=20))
    found, valid = pixels_of(tmp_path / "b.tif")
    assert found.shape == (4, 20, 20)
    assert np.array_equal(valid, found[3] > 0)
    assert not valid[:10].any()
    assert valid[10:].all()


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average"])
def test_the_windows_leave_no_trace(tmp_path, rng, monkeypatch, method):
    source = write_geotiff(tmp_path / "a.tif", rng.uniform(0, 1, (300, 300)).astype(np.float32))
    grid = common_grid([source], gsd=13.7, crs="EPSG:3857")
    warp(source, tmp_path / "one.tif", grid, method=method)
    monkeypatch.setattr(warp_module.windows, "__defaults__", (50,))
    warp(source, tmp_path / "many.tif", grid, method=method)
    one, many = (pixels_of(tmp_path / f"{name}.tif")[0] for name in ("one", "many"))
    assert np.array_equal(np.isnan(one), np.isnan(many))
    assert np.nanmax(np.abs(one - many)) < (0.2 if method == "nearest" else 0.02)
    assert np.nanmean(np.abs(one - many) > 1e-3) < 0.02


def test_a_second_time_changes_nothing(tmp_path, rng):
    source = write_geotiff(tmp_path / "a.tif", rng.uniform(0, 1, (100, 100)).astype(np.float32))
    grid = common_grid([source], gsd=15, crs="EPSG:32653")
    warp(source, tmp_path / "b.tif", grid)
    first = (tmp_path / "b.tif").read_bytes()
    warp(source, tmp_path / "b.tif", grid)
    assert (tmp_path / "b.tif").read_bytes() == first
    warp(tmp_path / "b.tif", tmp_path / "c.tif", common_grid([tmp_path / "b.tif"], gsd=15, crs="EPSG:32653"))
    once, twice = (pixels_of(tmp_path / name)[0] for name in ("b.tif", "c.tif"))
    assert np.array_equal(once, twice, equal_nan=True)


def test_the_common_grid_is_what_files_share(tmp_path):
    write_geotiff(tmp_path / "a.tif", np.zeros((100, 100), np.uint8))
    write_geotiff(tmp_path / "b.tif", np.zeros((100, 100), np.uint8), transform=(5, 0, 500700, 0, -5, 3899800))
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    assert common_grid(files, gsd=10).bounds == (500700, 3899300, 501000, 3899800)
    write_geotiff(tmp_path / "c.tif", np.zeros((9, 9), np.uint8), transform=(5, 0, 600700, 0, -5, 3899800))
    with pytest.raises(DataError, match=r"share no area: a.tif: longitude 141 to .*; c.tif: longitude 142"):
        common_grid([files[0], tmp_path / "c.tif"], gsd=10)
    assert common_grid(files, like=files[1]) == Grid("EPSG:32654", (5, 0, 500700, 0, -5, 3899800), 100, 100)
    with pytest.raises(ValueError, match="like decides"):
        common_grid(files, like=files[1], gsd=10)
    with pytest.raises(ValueError, match="how large a pixel"):
        common_grid(files)
    with pytest.raises(DataError, match=r"no data on the grid: it covers longitude 141 .*the grid covers longitude 9 "):
        warp(files[0], tmp_path / "o.tif", common_grid([], bounds=Bounds.of(9, 50, 9.01, 50.01), gsd=10))
    assert not (tmp_path / "o.tif").exists()


def test_a_file_that_names_no_system(tmp_path):
    pixels = smooth(50, 50)
    bare = write_geotiff(tmp_path / "a.tif", pixels, crs=None)
    with pytest.raises(DataError, match="names no coordinate system"):
        common_grid([bare], gsd=20)
    grid = common_grid([bare], gsd=20, source_crs="EPSG:32654")
    for unit in (None, "db"):
        warp(bare, tmp_path / "b.tif", grid, source_crs="EPSG:32654", unit=unit)
        warp(write_geotiff(tmp_path / "c.tif", pixels), tmp_path / "d.tif", grid, unit=unit)
        assert np.array_equal(pixels_of(tmp_path / "b.tif")[0], pixels_of(tmp_path / "d.tif")[0])


def test_what_cannot_be_resampled_is_refused(tmp_path, rng):
    pixels = (rng.normal(size=(40, 40)) + 1j).astype(np.complex64)
    source = write_geotiff(tmp_path / "c.tif", pixels)
    grid = common_grid([source], gsd=10)
    with pytest.raises(DataError, match="means of complex pixels lose their power"):
        warp(source, tmp_path / "o.tif", grid, method="average")
    assert warp(source, tmp_path / "o.tif", grid).method == "nearest"
    assert np.array_equal(pixels_of(tmp_path / "o.tif")[0][0], pixels)
    integers = write_geotiff(tmp_path / "i.tif", np.ones((40, 40), np.int16))
    with pytest.raises(ValueError, match="unit db is for fractions, but .* holds int16"):
        warp(integers, tmp_path / "o.tif", grid, unit="db")
    with pytest.raises(ValueError, match="cubic makes negative intensities"):
        warp(integers, tmp_path / "o.tif", grid, unit="amplitude", method="cubic")


def test_the_command(tmp_path, rng, capsys):
    decibels = (10 * np.log10(rng.exponential(1, (200, 200)))).astype(np.float32)
    a = write_geotiff(tmp_path / "sar.tif", decibels)
    b = write_geotiff(tmp_path / "rgb.tif", rng.integers(1, 200, (3, 300, 300)).astype(np.uint8), "EPSG:3857",
                      (10, 0, 15696000, 0, -10, 4198000))  # fmt: skip
    words = ["prep", "warp", str(a), str(b), str(tmp_path / "out"), "--gsd", "10"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "pixels of 10 metre in EPSG:32654" in text
    assert "looks like decibels; with --unit db" in text
    grids = {Grid.from_file(tmp_path / "out" / name) for name in ("sar.tif", "rgb.tif")}
    assert len(grids) == 1
    one = tmp_path / "one.tif"
    assert main(["prep", "warp", str(b), str(one), "--like", str(a)]) == 0
    assert Grid.from_file(one) == Grid.from_file(a)
    assert (
        main(["prep", "warp", str(a), str(one), "--gsd", "10", "--bounds", "141.001", "35.24", "141.01", "35.23"]) == 0
    )
    capsys.readouterr()
    for wrong, says in (
        ([str(a)], "give a file to read and one to write"),
        ([str(a), str(b), str(one), "--gsd", "9"], "2 inputs need a folder as OUT"),
        ([str(a), str(a), str(tmp_path / "x"), "--gsd", "9"], "several inputs are called sar"),
        ([str(a), str(a), "--gsd", "9"], "it is the image that is read"),
    ):
        assert main(["prep", "warp", *wrong]) == 1
        assert says in capsys.readouterr().err
    assert np.array_equal(pixels_of(a)[0][0], decibels)


def test_a_real_scene(test_data, tmp_path):
    """Sentinel-1 in degrees on a grid in metres: the values stay those of the scene."""
    path = test_data / "misc" / "sen1floods11_spain" / "Spain_7370579_S1Hand.tif"
    if not path.is_file():
        pytest.skip(f"no {path}")
    done = warp(path, tmp_path / "o.tif", common_grid([path], gsd=40), unit="db")
    found, valid = pixels_of(tmp_path / "o.tif")
    before = pixels_of(path)[0]
    power, means = (10 ** (x.astype(np.float64) / 10) for x in (before, found))
    assert done.method == "average"
    assert np.nanmean(means[:, valid], axis=1) == pytest.approx(np.nanmean(power, axis=(1, 2)), rel=0.01)


def test_a_damaged_file_is_named_and_leaves_nothing(tmp_path, rng):
    write_geotiff(tmp_path / "a.tif", rng.integers(0, 255, (600, 600), dtype=np.uint8), compress="deflate")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:200_000] + bytes(len(whole) - 250_000) + whole[-50_000:])
    with pytest.raises(DataError, match=r"a\.tif cannot be read: (?!.*previous exception).*; is the file whole"):
        warp(tmp_path / "a.tif", tmp_path / "b.tif", Grid.from_file(tmp_path / "a.tif"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_a_disk_without_room_for_intensities(tmp_path, rng):
    import resource

    write_geotiff(tmp_path / "a.tif", rng.gamma(1, 1, (300, 300)).astype(np.float32))
    grid = Grid.from_file(tmp_path / "a.tif")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(DataError, match="cannot write a temporary copy as intensities, of 360000 bytes, in .*room"):
            warp(tmp_path / "a.tif", tmp_path / "b.tif", grid, unit="amplitude")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that not even root can write to")
def test_a_folder_that_cannot_be_written_is_told_by_the_output(tmp_path, rng):
    write_geotiff(tmp_path / "a.tif", rng.gamma(1, 1, (30, 30)).astype(np.float32))
    grid = Grid.from_file(tmp_path / "a.tif")
    for unit in (None, "amplitude"):
        with pytest.raises(DataError, match=r"cannot write /proc/self/b\.tif: .*nothing was left"):
            warp(tmp_path / "a.tif", "/proc/self/b.tif", grid, unit=unit)
