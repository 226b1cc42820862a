"""Scenes and arrays translated: georeference, types, no-data, sizes and speckle of what is written."""

import math

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from sarcore import Radiometry
from sarcore.data import Scene
from sarcore.inference import Translator, translate_images, translate_scene
from sarcore.models import KerasUNet, ResNetGenerator, UNetGenerator
from sarcore.nn import SpeckleLayer

from .translation_networks import COLOURS, DECIBELS, colours, copier, lively, translator_of, uneven_scene

PLACE = {"crs": "EPSG:32631", "transform": Affine(10.0, 0.0, 5e5, 0.0, -10.0, 4.6e6)}
SMALL = {"size": 32}


@pytest.fixture
def scene(tmp_path):
    """A GeoTIFF in decibels with a band of no-data."""
    pixels = uneven_scene((1, 100, 70))
    pixels[:, :20, :30] = -99
    file = tmp_path / "scene.tif"
    layout = {"driver": "GTiff", "height": 100, "width": 70, "count": 1, "dtype": "float32", "nodata": -99.0}
    with rasterio.open(file, "w", **layout, **PLACE) as out:
        out.write(pixels)
        out.update_tags(ACQUIRED="2020-01-02")
    return file, pixels


# ------ what is written


@pytest.mark.parametrize("stats", ["frozen", "global", "patch"])
def test_a_scene_keeps_its_place_and_its_gaps(scene, tmp_path, stats):
    file, pixels = scene
    out = translate_scene(colours(), file, tmp_path / "out.tif", norm_stats=stats, **SMALL)
    with rasterio.open(file) as before, rasterio.open(out) as after:
        assert (after.crs, after.transform, after.shape) == (before.crs, before.transform, before.shape)
        assert after.tags()["ACQUIRED"] == "2020-01-02"
        assert (after.count, after.dtypes, after.nodata) == (3, ("uint8",) * 3, 0)
        found = after.read()
    np.testing.assert_array_equal((found == 0).all(axis=0), pixels[0] == -99)
    assert (found > 0).any(axis=0).sum() == (found > 0).all(axis=0).sum()  # no valid pixel takes the no-data value
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "scene.tif"]


def test_8_bit_models_give_the_grey_values_back(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    translator = copier(COLOURS)
    found = translate_images(translator, pixels)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels.repeat(3, axis=0))
    out = translate_scene(translator, Scene.open(pixels), tmp_path / "out.png", size=8, overlap=2, window="hann")
    np.testing.assert_array_equal(Scene.open(out).read(), found)
    np.testing.assert_array_equal(translate_images(translator, np.stack([pixels] * 2)), np.stack([found] * 2))


def test_16_bit_and_physical_targets(tmp_path):
    wide = Radiometry("digital", 0, 65535)
    pixels = np.random.default_rng(0).integers(0, 65536, (1, 40, 30)).astype(np.uint16)
    found = translate_images(copier(wide, wide), pixels)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[2], pixels[0])
    power = translate_images(copier(DECIBELS, Radiometry("intensity", -25, 0, scale="db")), uneven_scene((1, 30, 40)))
    assert power.dtype == np.float32
    expected = 10 ** (np.clip(uneven_scene((1, 30, 40))[0], -25, 0) / 10)
    np.testing.assert_allclose(power[1], expected, rtol=1e-4)


@pytest.mark.parametrize("nodata", [0.0, 255.0, 7.0])
def test_no_data_of_8_bit_scenes(nodata, tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    out = translate_scene(copier(COLOURS), Scene.open(pixels, nodata=nodata), tmp_path / "out.tif", size=8)
    found = Scene.open(out)
    ends = {0.0: (1, 255), 255.0: (0, 254), 7.0: (1, 255)}[nodata]
    expected = np.where(pixels == nodata, found.nodata, np.clip(pixels, *ends)).repeat(3, axis=0)
    assert found.nodata == (255 if nodata == 255 else 0)
    np.testing.assert_array_equal(found.read(), expected)


@pytest.mark.parametrize("nodata", [-9999.0, 0.5, math.nan])
def test_no_data_that_no_pixel_can_have(nodata, tmp_path):
    """A common slip in the files of 8 bit; black must not become 1 for it."""
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for target in (COLOURS, Radiometry("db", -25, 0)):
        scene = Scene.open(pixels, nodata=nodata)
        found = Scene.open(translate_scene(copier(COLOURS, target), scene, tmp_path / "out.tif", size=8))
        assert found.nodata is None
        np.testing.assert_array_equal(found.read(), translate_images(copier(COLOURS, target), pixels))


def test_no_data_of_floating_results(tmp_path):
    pixels = uneven_scene((1, 40, 30))
    pixels[:, :5], pixels[:, 10, 3] = -99, np.nan
    for value, wanted in ((None, -99), (-77.0, -77)):
        target = Radiometry("db", -25, 0, nodata=value)
        out = translate_scene(copier(DECIBELS, target), Scene.open(pixels, nodata=-99), tmp_path / "out.tif", **SMALL)
        found = Scene.open(out)
        assert found.nodata == wanted
        np.testing.assert_array_equal(found.read()[1] == wanted, (pixels[0] == -99) | np.isnan(pixels[0]))
    # A no-data value that a result may have too is none of the result's.
    zero = np.where(pixels == -99, -3, pixels)
    out = translate_scene(copier(DECIBELS, DECIBELS), Scene.open(zero, nodata=-3), tmp_path / "out.tif", **SMALL)
    found = Scene.open(out)
    assert math.isnan(found.nodata)
    np.testing.assert_array_equal(np.isnan(found.read()[0]), (zero[0] == -3) | np.isnan(zero[0]))
    # And a scene that declares none gets none.
    out = translate_scene(copier(DECIBELS, DECIBELS), Scene.open(uneven_scene((1, 9, 9))), tmp_path / "out.tif")
    assert Scene.open(out).nodata is None


def test_the_same_no_data_in_arrays(tmp_path):
    pixels = uneven_scene((1, 40, 30))
    pixels[:, :5], pixels[:, 10, 3] = -99, np.nan
    source = Radiometry("db", -25, 0, nodata=-99)
    found = translate_images(copier(source), pixels)
    out = translate_scene(copier(source), Scene.open(pixels), tmp_path / "out.npy")
    np.testing.assert_array_equal(found, Scene.open(out).read())
    np.testing.assert_array_equal(found[0] == 0, (pixels[0] == -99) | np.isnan(pixels[0]))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (80, 80), (7, 5), (100, 33)])
@pytest.mark.parametrize(
    "network", [lambda: UNetGenerator(1, 3, width=4, levels=4), lambda: KerasUNet(1, 3, width=4, levels=2)]
)
def test_any_size(size, network, tmp_path):
    pixels = uneven_scene((1, *size))
    translator = colours(network())
    out = translate_scene(translator, Scene.open(pixels), tmp_path / "out.png", size=48)
    found = Scene.open(out).read()
    assert found.shape == (3, *size)
    if max(size) <= 48:
        np.testing.assert_array_equal(found, translate_images(translator, pixels))


def test_a_network_of_long_reach_is_blended_by_default(tmp_path):
    """Four halvings reach 45 pixels: more than half a tile, so that cropping would cost much more than the tile."""
    translator, pixels = translator_of(UNetGenerator(1, 1, width=4, levels=4)), uneven_scene((1, 150, 100))
    blended = Scene.open(translate_scene(translator, Scene.open(pixels), tmp_path / "a.npy", size=48)).read()
    hann = translate_scene(translator, Scene.open(pixels), tmp_path / "b.npy", size=48, overlap=16, window="hann")
    exact = translate_scene(translator, Scene.open(pixels), tmp_path / "c.npy", size=48, window="crop")
    whole = translate_images(translator, pixels)
    np.testing.assert_allclose(blended[0], np.squeeze(Scene.open(hann).read()), atol=1e-5)
    np.testing.assert_allclose(Scene.open(exact).read(), whole, atol=1e-5)
    assert np.abs(blended - whole).max() > 1e-3


def test_speckle_does_not_depend_on_the_tiles(tmp_path):
    sar = Radiometry("intensity", -40, 20, scale="db")
    network = lively(ResNetGenerator(3, 1, width=4, blocks=0, norm="batch"))
    translator = Translator(network, COLOURS, sar, direction="BtoA", speckle=SpeckleLayer(1.0, radiometry=sar), seed=3)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 100, 75)).astype(np.uint8)
    whole = translate_images(translator, pixels)
    for size, batch in ((32, 1), (48, 3)):
        out = translate_scene(translator, Scene.open(pixels), tmp_path / "out.npy", size=size, batch=batch)
        np.testing.assert_allclose(Scene.open(out).read(), whole, rtol=1e-4)
    other = translate_scene(translator, Scene.open(pixels), tmp_path / "out.npy", size=48, index=1)
    assert np.abs(np.log(Scene.open(other).read() / whole)).mean() > 0.3


# ------ real data


def test_a_real_scene(test_data, tmp_path):
    file = test_data / "scenes1024" / "sar" / "003.png"
    if not file.is_file():
        pytest.skip(f"no {file}")
    pixels = Scene.open(file).read(300, 200, 250, 310, channels=[0])
    translator = translator_of(ResNetGenerator(1, 3, width=4, blocks=1), COLOURS, COLOURS)
    whole = translate_images(translator, pixels)
    out = translate_scene(translator, Scene.open(pixels), tmp_path / "out.png", size=96, norm_stats="global")
    assert np.abs(Scene.open(out).read().astype(int) - whole).max() <= 1
    assert whole.std() > 5
