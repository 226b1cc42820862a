"""sarcore prep crop: the pixels that touch the bounds, as they are."""

import sys

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.transform import rowcol

from sarcore.cli import main
from sarcore.errors import DataError
from sarcore.geo import crop as crop_module
from sarcore.geo.crop import crop
from sarcore.geo.grid import Bounds, Grid
from sarcore.geo.raster import new_geotiff

from .geo_files import UTM, pixels_of, write_geotiff


def touched(path, bounds):
    """Rows and columns of the pixels under a dense set of points of the bounds."""
    with rasterio.open(path) as dataset:
        t = np.linspace(0, 1, 801)
        lon, lat = np.meshgrid(
            bounds.west + t * (bounds.east - bounds.west), bounds.south + t * (bounds.north - bounds.south)
        )
        x, y = pyproj.Transformer.from_crs("EPSG:4326", dataset.crs, always_xy=True).transform(lon, lat)
        rows, columns = (np.asarray(v) for v in rowcol(dataset.transform, x.ravel(), y.ravel()))
    return rows.min(), rows.max(), columns.min(), columns.max()


def around(path, share=0.2537):
    """Bounds of the middle of a file."""
    with rasterio.open(path) as dataset:
        left, bottom, right, top = dataset.bounds
        back = pyproj.Transformer.from_crs(dataset.crs, "EPSG:4326", always_xy=True)
        inner = [left + share * (right - left), bottom + share * (top - bottom)]
        inner += [right - share * (right - left), top - share * (top - bottom)]
        lon, lat = back.transform([inner[0], inner[2]], [inner[1], inner[3]])
    return Bounds.of(lon[0], lat[0], lon[1], lat[1])


@pytest.mark.parametrize("crs", ["EPSG:32654", "EPSG:3857", "EPSG:4326"])
def test_the_window_holds_what_the_bounds_touch(tmp_path, crs):
    transform = (1e-4, 0, 140.0, 0, -1e-4, 36.0) if crs == "EPSG:4326" else (10, 0, 500000, 0, -10, 3900000)
    pixels = np.arange(120 * 150, dtype=np.uint16).reshape(120, 150)
    path = write_geotiff(tmp_path / "a.tif", pixels, crs, transform)
    bounds = around(path)
    part = crop(path, tmp_path / "b.tif", bounds)
    first_row, last_row, first_column, last_column = touched(path, bounds)
    assert (part.row, part.row + part.height - 1) == (first_row, last_row)
    assert (part.column, part.column + part.width - 1) == (first_column, last_column)
    found, _ = pixels_of(tmp_path / "b.tif")
    assert np.array_equal(found[0], pixels[first_row : last_row + 1, first_column : last_column + 1])
    with rasterio.open(path) as before, rasterio.open(tmp_path / "b.tif") as after:
        assert after.crs == before.crs
        assert after.xy(0, 0) == pytest.approx(before.xy(part.row, part.column))


def test_a_rotated_file(tmp_path):
    sine, cosine = np.sin(np.radians(20)), np.cos(np.radians(20))
    transform = (10 * cosine, 10 * sine, 500000, 10 * sine, -10 * cosine, 3900000)
    path = write_geotiff(tmp_path / "a.tif", np.zeros((200, 200), np.uint8), transform=transform)
    bounds = Bounds.of(141.003, 35.2395, 141.006, 35.2420)
    part = crop(path, tmp_path / "b.tif", bounds)
    first_row, last_row, first_column, last_column = touched(path, bounds)
    assert (part.row, part.row + part.height - 1) == (first_row, last_row)
    assert (part.column, part.column + part.width - 1) == (first_column, last_column)


def test_everything_that_a_file_says_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_module.windows, "__defaults__", (16,))  # several windows
    pixels = np.random.default_rng(0).normal(size=(2, 100, 100)).astype(np.float32)
    path = write_geotiff(tmp_path / "a.tif", pixels, nodata=-99.0)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("VV", "VH")
        dataset.units = ("dB", "dB")
        dataset.scales, dataset.offsets = (2.0, 3.0), (1.0, 0.5)
        dataset.update_tags(SENSOR="ALOS-2", STATISTICS_MEAN="5")
        dataset.update_tags(2, LOOKS="4", STATISTICS_MEAN="5")
    part = crop(path, tmp_path / "b.tif", around(path))
    found, _ = pixels_of(tmp_path / "b.tif")
    rows, columns = slice(part.row, part.row + part.height), slice(part.column, part.column + part.width)
    assert np.array_equal(found, pixels[:, rows, columns])
    with rasterio.open(tmp_path / "b.tif") as after:
        assert (after.nodata, after.descriptions, after.units) == (-99.0, ("VV", "VH"), ("dB", "dB"))
        assert (after.scales, after.offsets) == ((2.0, 3.0), (1.0, 0.5))
        assert after.tags()["SENSOR"] == "ALOS-2"
        assert after.tags(2) == {"LOOKS": "4"}
        assert "STATISTICS_MEAN" not in after.tags()


def test_a_mask_and_colours_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    mask = (rng.random((60, 60)) > 0.5).astype(np.uint8) * 255
    path = write_geotiff(tmp_path / "a.tif", rng.integers(0, 255, (3, 60, 60), np.uint8), mask=mask, photometric="rgb")
    part = crop(path, tmp_path / "b.tif", around(path))
    with rasterio.open(tmp_path / "b.tif") as after:
        rows, columns = slice(part.row, part.row + part.height), slice(part.column, part.column + part.width)
        assert np.array_equal(after.read_masks(1), mask[rows, columns])
        assert [colour.name for colour in after.colorinterp] == ["red", "green", "blue"]
    assert not list(tmp_path.glob("*.msk"))
    palette = write_geotiff(tmp_path / "p.tif", rng.integers(0, 3, (60, 60), np.uint8))
    with rasterio.open(palette, "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 255, 255), 1: (0, 255, 0, 255), 2: (255, 0, 0, 255)})
    crop(palette, tmp_path / "c.tif", around(palette))
    with rasterio.open(tmp_path / "c.tif") as after:
        assert after.colormap(1)[2] == (255, 0, 0, 255)


def test_complex_pixels(tmp_path):
    rng = np.random.default_rng(0)
    pixels = (rng.normal(size=(60, 60)) + 1j * rng.normal(size=(60, 60))).astype(np.complex64)
    path = write_geotiff(tmp_path / "a.tif", pixels)
    part = crop(path, tmp_path / "b.tif", around(path))
    found, _ = pixels_of(tmp_path / "b.tif")
    assert np.array_equal(found[0], pixels[part.row : part.row + part.height, part.column : part.column + part.width])


def test_bounds_beyond_the_file_are_cut_and_no_overlap_is_refused(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", np.zeros((50, 50), np.uint8))
    part = crop(path, tmp_path / "b.tif", Bounds.of(140.9, 35.0, 141.002, 35.3))
    assert (part.column, part.row, part.height, part.whole) == (0, 0, 50, False)
    with pytest.raises(DataError, match=r"longitude 141 to 141.0.*asked for is longitude 10 to 11, latitude 50 to 51"):
        crop(path, tmp_path / "c.tif", Bounds.of(10, 50, 11, 51))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_files_without_a_system(tmp_path, capsys):
    path = write_geotiff(tmp_path / "a.tif", np.ones((50, 50), np.uint8), crs=None)
    words = ["prep", "crop", str(path), str(tmp_path / "b.tif"), "--bounds", "141.004", "35.2", "141.001", "35.3"]
    assert main(words) == 1
    assert "names no coordinate system; declare it, for example --crs EPSG:32654" in capsys.readouterr().err
    assert main([*words, "--crs", "EPSG:9001"]) == 1
    assert "code of a unit (metre)" in capsys.readouterr().err
    assert main([*words, "--crs", "EPSG:32654"]) == 0
    assert "pixels of 10 metre in EPSG:32654" in capsys.readouterr().out
    with rasterio.open(tmp_path / "b.tif") as after:
        assert after.crs.to_epsg() == 32654
    again = [*words[:3], str(tmp_path / "c.tif"), *words[4:], "--crs", "EPSG:32653"]
    again[2] = str(tmp_path / "b.tif")
    assert main(again) == 1
    assert "is in EPSG:32654, which contradicts EPSG:32653" in capsys.readouterr().err


def test_files_that_lie_nowhere(tmp_path):
    bounds = Bounds.of(141, 35, 142, 36)
    with rasterio.open(
        tmp_path / "g.tif", "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8",
        gcps=[rasterio.control.GroundControlPoint(r, c, 141 + c / 9, 36 - r / 9) for r in (0, 9) for c in (0, 9)],
        crs="EPSG:4326",
    ) as out:  # fmt: skip
        out.write(np.ones((1, 9, 9), np.uint8))
    with pytest.raises(DataError, match="ground control points, as images in the geometry of the radar"):
        crop(tmp_path / "g.tif", tmp_path / "b.tif", bounds)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_geotiff(tmp_path / "a.tif", np.zeros((9, 9), np.uint8), crs=None, transform=(1, 0, 0, 0, 1, 0))
    with pytest.raises(DataError, match="lie nowhere on Earth"):
        crop(tmp_path / "a.tif", tmp_path / "b.tif", bounds)
    with pytest.raises(DataError, match="does not exist"):
        crop(tmp_path / "none.tif", tmp_path / "b.tif", bounds)
    with pytest.raises(DataError, match="it is the image that is read"):
        crop(tmp_path / "a.tif", tmp_path / "a.tif", bounds)
    (tmp_path / "text.tif").write_text("no image")
    with pytest.raises(DataError, match="text.tif cannot be read"):
        crop(tmp_path / "text.tif", tmp_path / "b.tif", bounds)


def test_a_damaged_file_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    path = write_geotiff(tmp_path / "a.tif", rng.integers(0, 255, (300, 300), np.uint8), compress="deflate")
    path.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(DataError, match=r"a.tif cannot be read"):
        crop(path, tmp_path / "b.tif", around(path, 0.01))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_real_scene(test_data, tmp_path):
    path = test_data / "misc" / "sen1floods11_spain" / "Spain_7370579_S2Hand.tif"
    if not path.is_file():
        pytest.skip(f"no {path}")
    part = crop(path, tmp_path / "b.tif", Bounds.of(-0.75, 38.12, -0.77, 38.1))
    with rasterio.open(path) as before:
        expected = before.read(
            window=rasterio.windows.from_bounds(-0.77, 38.1, -0.75, 38.12, before.transform)
            .round_lengths()
            .round_offsets()
        )
    found, _ = pixels_of(tmp_path / "b.tif")
    assert part.whole
    assert abs(found.shape[1] - expected.shape[1]) <= 1
    assert np.array_equal(
        found[:, : expected.shape[1], : expected.shape[2]], expected[:, : found.shape[1], : found.shape[2]]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
@pytest.mark.parametrize("size", [(40, 40), (900, 700)])
def test_a_full_disk_at_any_moment(tmp_path, size):
    """GDAL says nothing of writes that fail while it closes a file."""
    import resource

    pixels = np.random.default_rng(0).integers(0, 255, (1, *size), dtype=np.uint8)
    grid = Grid("EPSG:32654", UTM, size[1], size[0])

    def write(path):
        with new_geotiff(path, grid, count=1, dtype="uint8") as out:
            out.write(pixels)
            out.write_mask(pixels[0] > 9)

    write(tmp_path / "whole.tif")
    whole = (tmp_path / "whole.tif").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, whole // 3, whole - whole // 9, whole - 600, whole - 200, whole - 2, whole - 1):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            with pytest.raises(DataError, match=r"cannot write .*a\.tif: (?!.*previous exception)"):
                write(tmp_path / "a.tif")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [path.name for path in tmp_path.iterdir()] == ["whole.tif"], limit
    write(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
