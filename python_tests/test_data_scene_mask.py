"""Masks in raster files and beside them: of windows, in limits, in tiles, in crops of pairs."""

import pickle

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from sarcore.data import PairedFolder, Scene, scene_radiometry, write_image, write_pair_crops
from sarcore.data.patch_scenes import open_scenes
from sarcore.geo.grid import Grid
from sarcore.geo.warp import warp

from .geo_files import UTM, pixels_of, write_geotiff

MASK = np.ones((90, 120), dtype=bool)
MASK[:, :37], MASK[50:54, 60:80] = False, False


@pytest.mark.parametrize("kind", ["inside", "beside", "overviews", "vrt"])
def test_the_mask_of_a_window_is_that_of_the_file(tmp_path, kind):
    image = np.random.default_rng(0).integers(0, 4000, (3, 90, 120)).astype(np.uint16)
    path = write_geotiff(tmp_path / "a.tif", image, mask=MASK if kind != "beside" else None, compress="deflate",
                         tiled=True, blockxsize=32, blockysize=32)  # fmt: skip
    if kind == "beside":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(MASK)
        assert (tmp_path / "a.tif.msk").is_file()
    if kind == "overviews":
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    if kind == "vrt":
        rasterio.shutil.copy(path, tmp_path / "a.vrt", driver="VRT")
        path = tmp_path / "a.vrt"
    scene = Scene.open(path)
    assert (scene.read() == image).all()
    for window in ((0, 0, 90, 120), (40, 30, 20, 60), (89, 119, 1, 1)):
        row, column, height, width = window
        expected = MASK[row : row + height, column : column + width]
        assert (scene.mask(*window) == expected).all()
        assert (pickle.loads(pickle.dumps(scene)).mask(*window) == expected).all()
    scene.close()
    assert (scene.mask(0, 0, 90, 120) == MASK).all()  # the file is opened again


def test_files_without_a_mask_have_none(tmp_path):
    image = np.ones((4, 20, 30), dtype=np.uint8)
    image[3, :, :9] = 0
    alpha = write_geotiff(tmp_path / "alpha.tif", image, photometric="rgb", alpha="yes")  # a channel here
    for source in (alpha, write_geotiff(tmp_path / "nodata.tif", image, nodata=1), image, write_image(
        tmp_path / "a.png", image[:3])):  # fmt: skip
        assert Scene.open(source).mask(0, 0, 20, 30) is None


def test_what_is_masked_counts_in_no_limit_and_in_no_tile(tmp_path):
    image = np.random.default_rng(0).integers(900, 4000, (1, 90, 120)).astype(np.uint16) * MASK
    path = write_geotiff(tmp_path / "a.tif", image, mask=MASK)
    found = scene_radiometry(path, "digital")
    assert (found.low, found.high) == pytest.approx(np.percentile(image[0][MASK], (1, 99)))
    pixels, data = open_scenes([path]).read("a", 10, 20, 70, 90)
    assert (pixels == image[:, 10:80, 20:110]).all()
    assert (data == MASK[10:80, 20:110]).all()


def test_no_crop_of_pairs_shows_what_prep_warp_masked(tmp_path):
    rng = np.random.default_rng(0)
    sar = write_geotiff(tmp_path / "sar.tif", rng.gamma(1, 0.1, (160, 140)).astype(np.float32))
    colours = rng.integers(0, 256, (3, 300, 220), dtype=np.uint8)
    there = (5, 0, UTM[2] + 200, 0, -5, UTM[5])  # from column 20 to 130 of the SAR grid, down to row 150
    warp(
        write_geotiff(tmp_path / "colours.tif", colours, transform=there), tmp_path / "optical.tif", Grid.from_file(sar)
    )
    out = write_pair_crops(sar, tmp_path / "optical.tif", tmp_path / "set", count=300, size=24, test="top")
    folder = PairedFolder.open(out)
    places = np.array([key.rsplit("_", 2)[1:] for key in folder.keys], dtype=int)
    shown = pixels_of(tmp_path / "optical.tif")[1]
    assert 0.4 < shown.mean() < 0.8
    assert all(shown[row : row + 24, column : column + 24].all() for row, column in places)
    edges = np.flatnonzero(shown.any(axis=0))[[0, -1]]
    assert [places[:, 1].min(), places[:, 1].max() + 23] == edges.tolist()  # up to the mask
