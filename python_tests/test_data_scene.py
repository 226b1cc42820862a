"""Scene: windows of TIFF files of every layout, against rasterio and NumPy."""

import pickle

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from sarcore.data import Scene
from sarcore.data.scene_tiff import SegmentSource
from sarcore.errors import DataError

from .scene_files import DTYPES, GEO, LAYOUTS, noise, write

WINDOWS = [
    (0, 0, 50, 70),
    (0, 0, 1, 1),
    (49, 69, 1, 1),
    (13, 0, 20, 70),
    (16, 32, 16, 32),
    (3, 5, 40, 33),
    (7, 9, 0, 0),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_every_layout_at_every_edge(tmp_path, layout, count):
    pixels = noise((count, 50, 70), "uint16")
    path = write(tmp_path / "a.tif", pixels, **LAYOUTS[layout])
    with Scene.open(path) as scene, rasterio.open(path) as wanted:
        assert (scene.shape, scene.dtype, scene.dtype.isnative) == ((count, 50, 70), np.uint16, True)
        assert (scene.name, scene.path, scene.crs, scene.transform, scene.gsd) == ("a", path, None, None, None)
        assert scene.tags == ()
        for row, column, height, width in WINDOWS:
            found = scene.read(row, column, height, width)
            assert found.flags.c_contiguous
            assert found.dtype.isnative
            np.testing.assert_array_equal(found, pixels[:, row : row + height, column : column + width])
            if height:
                window = rasterio.windows.Window(column, row, width, height)
                np.testing.assert_array_equal(found, wanted.read(window=window))
        np.testing.assert_array_equal(scene.read(channels=[count - 1, 0]), pixels[[count - 1, 0]])
        np.testing.assert_array_equal(scene.read(10, 20, channels=0), pixels[:1, 10:, 20:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_every_type(tmp_path, dtype):
    pixels = noise((2, 40, 60), dtype)
    predictor = 1 if "complex" in dtype else 3 if "float" in dtype else 2
    for name, options in (("plain", {}), ("coded", {"compress": "deflate", "tiled": True, "blockysize": 16,
                                                   "blockxsize": 32, "predictor": predictor})):  # fmt: skip
        scene = Scene.open(write(tmp_path / f"{name}.tif", pixels, **options))
        read_as = np.dtype("complex64") if dtype.startswith("complex") else np.dtype(dtype)
        assert scene.dtype == read_as
        np.testing.assert_array_equal(scene.read(3, 4, 30, 40), pixels[:, 3:33, 4:44].astype(read_as))


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "jpeg"},
        {"compress": "webp", "interleave": "pixel", "WEBP_LOSSLESS": "YES"},
        {"compress": "lerc"},
        {"compress": "packbits"},
        {"nbits": 1},
        {"nbits": 4},
    ],
)
def test_what_else_tiffs_hold(tmp_path, options):
    pixels = noise((3, 50, 70), "uint8") >> (8 - options.get("nbits", 8))
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 16}
    path = write(tmp_path / "a.tif", pixels, **(GEO | {"nodata": 0} | tiles | options))
    with rasterio.open(path) as wanted:
        np.testing.assert_array_equal(Scene.open(path).read(3, 5), wanted.read()[:, 3:, 5:])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_integer_complex_numbers(tmp_path):
    z = (np.arange(24) + 1j * np.arange(24)[::-1]).reshape(1, 4, 6).astype(np.complex64)
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", height=4, width=6, count=1, dtype="complex_int16") as out:
        out.write(z)
    scene = Scene.open(path)
    assert (scene.dtype, scene.shape) == (np.complex64, (1, 4, 6))
    np.testing.assert_array_equal(scene.read(1, 2), z[:, 1:, 2:])
    again = pickle.loads(pickle.dumps(scene))
    np.testing.assert_array_equal(again.read(), z)


@given(st.data())
def test_any_window(tmp_path_factory, data):
    """One file of each layout, written once; any windows in any order, as the cache would like it least."""
    folder = tmp_path_factory.getbasetemp() / "any-window"
    folder.mkdir(exist_ok=True)
    layout = data.draw(st.sampled_from(sorted(LAYOUTS)))
    pixels = noise((2, 61, 83), "int16", 7)
    path = folder / f"{layout}.tif"
    if not path.exists():
        write(path, pixels, **(LAYOUTS[layout] | GEO))
    scene = Scene.open(path)
    for _ in range(4):
        row, column = data.draw(st.integers(0, 61)), data.draw(st.integers(0, 83))
        height, width = data.draw(st.integers(0, 61 - row)), data.draw(st.integers(0, 83 - column))
        channels = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=3))
        found = scene.read(row, column, height, width, channels)
        np.testing.assert_array_equal(found, pixels[channels, row : row + height, column : column + width])


def test_what_a_geotiff_says_of_itself(tmp_path):
    pixels = noise((2, 50, 70), "float32")
    pixels[:, :3] = -99.0
    pixels[:, 3] = np.nan
    path = write(tmp_path / "in.tif", pixels, **GEO)
    with rasterio.open(path, "r+") as out:
        out.set_band_description(1, "VV")
    scene = Scene.open(path)
    with rasterio.open(path) as wanted:
        assert rasterio.CRS.from_wkt(scene.crs) == wanted.crs
        assert scene.transform == tuple(wanted.transform)[:6] == (20.0, 0.0, 620048.25, 0.0, -10.0, 4830114.5)
    assert (scene.gsd, scene.nodata, scene.band_names) == ((20.0, 10.0), -99.0, ("VV", None))
    assert scene.georeferenced
    known = scene.valid(scene.read())
    np.testing.assert_array_equal(known, np.broadcast_to(np.arange(50)[:, None] > 3, pixels.shape))
    assert scene.valid(scene.read(row=4)) is None
    assert Scene.open(path, nodata=7).valid(scene.read(row=4)) is None
    assert Scene.open(path, nodata=np.nan).valid(scene.read(row=3, height=1)) is not None


@pytest.mark.parametrize(
    ("dtype", "nodata", "possible"),
    [("uint16", -9999.0, False), ("uint8", 300.0, False), ("uint8", -np.inf, False), ("int16", 0.5, False),
     ("float32", 1e40, False), ("int16", -9999.0, True), ("uint8", 255.0, True), ("float32", -np.inf, True),
     ("float32", -9999.9, True), ("complex64", -99.0, True)],
)  # fmt: skip
def test_no_data_that_no_pixel_can_have_masks_nothing(dtype, nodata, possible):
    pixels = np.zeros((1, 4, 6), dtype)
    if possible:
        pixels[0, 0, :2] = nodata
    valid = Scene.open(pixels, nodata=nodata).valid(pixels)
    assert (valid is None) == (not possible)
    assert valid is None or np.count_nonzero(~valid) == 2


def test_no_data_that_is_no_number(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 6), np.float32), extratags=[(42113, 2, 0, "none at all", True)])
    with pytest.raises(DataError, match="none at all"):
        Scene.open(tmp_path / "a.tif")


def test_rotated_places_and_points_of_control(tmp_path):
    c, d = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turned = Affine(10 * c, 20 * d, 500000, 10 * d, -20 * c, 4000000)
    scene = Scene.open(write(tmp_path / "r.tif", noise((1, 20, 30), "uint8"), crs="EPSG:32633", transform=turned))
    np.testing.assert_allclose(scene.transform, tuple(turned)[:6], atol=1e-9)
    np.testing.assert_allclose(scene.gsd, (10, 20))
    points = [rasterio.control.GroundControlPoint(r, c, 10 + c / 9, 50 - r / 9) for r in (0, 20) for c in (0, 30)]
    path = write(tmp_path / "g.tif", noise((1, 20, 30), "uint8"), gcps=points, crs="EPSG:4326")
    scene = Scene.open(path)
    assert scene.transform is None
    assert scene.georeferenced


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}, {"tile": (16, 32)}])
def test_a_page_per_channel(tmp_path, options):
    path = tmp_path / f"a{'.ome' if 'ome' in options else ''}.tif"
    pixels = noise((3, 40, 60), "uint16")
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    scene = Scene.open(path)
    np.testing.assert_array_equal(scene.read(), pixels)
    np.testing.assert_array_equal(scene.read(5, 6, 20, 30, [2, 0]), pixels[[2, 0], 5:25, 6:36])
    assert scene.layout["description"] is None


def test_sparse_files_are_filled_as_gdal_fills_them(tmp_path):
    path = tmp_path / "a.tif"
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": "TRUE", "compress": "deflate"}
    for dtype, nodata in (("float32", np.nan), ("int16", -99), ("uint8", None)):
        profile = {"driver": "GTiff", "count": 1, "height": 40, "width": 50, "dtype": dtype} | options | GEO
        with rasterio.open(path, "w", **(profile | {"nodata": nodata})) as out:
            out.write(np.full((1, 16, 16), 7, dtype), window=rasterio.windows.Window(16, 16, 16, 16))
        with rasterio.open(path) as wanted:
            np.testing.assert_array_equal(Scene.open(path).read(), wanted.read())


def test_cloud_optimized_files_are_read_at_full_size(tmp_path):
    pixels = noise((1, 600, 700), "uint16")
    plain = write(tmp_path / "a.tif", pixels, **(GEO | {"nodata": 0}))
    rasterio.shutil.copy(plain, tmp_path / "cog.tif", driver="COG", BLOCKSIZE=128, COMPRESS="DEFLATE")
    scene = Scene.open(tmp_path / "cog.tif")
    assert isinstance(scene._source, SegmentSource)
    assert scene.shape == (1, 600, 700)
    np.testing.assert_array_equal(scene.read(), pixels)


def test_blocks_and_samples_cover_what_they_say(tmp_path):
    pixels = noise((2, 300, 500), "uint8")
    for options in ({}, LAYOUTS["tiles"], LAYOUTS["lzw-pixel"], LAYOUTS["lzw-planar"]):
        scene = Scene.open(write(tmp_path / "a.tif", pixels, **(GEO | {"nodata": 0} | options)))
        for pieces in (1, 10, 1000):
            seen = np.zeros((300, 500), int)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sarcore.data.scene.BLOCK_PIXELS", pixels.size // pieces)
                for window in scene.blocks():
                    at = np.s_[window.row : window.row + window.height, window.column : window.column + window.width]
                    seen[at] += 1
                    np.testing.assert_array_equal(scene.read(*window), pixels[(slice(None), *at)])
            assert (seen == 1).all()
        bands = list(scene.sample())
        assert all(window.width == 500 and window.row + window.height <= 300 for window in bands)
