"""Image files through operators, strip by strip."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcore.data import Raster, read_raster, scene_unit, write_raster
from sarcore.errors import DataError
from sarcore.inference import (
    FilteredImage,
    check_output,
    detected,
    estimated_looks,
    filter_image,
    open_image,
    save_image,
)
from sarcore.ops import despeckle, speckle


@pytest.fixture
def image():
    """Two bands of 300 x 90 pixels with no-data above."""
    pixels = np.random.default_rng(0).gamma(4.0, 0.25, (2, 300, 90)).astype(np.float32)
    pixels[:, :20, :30] = -99.0
    pixels[1, 200, 5] = np.nan
    return FilteredImage(Raster(pixels, -99.0), "intensity", "")


@pytest.mark.parametrize("strip", [90 * 64, 90 * 150, 1 << 22])
@pytest.mark.parametrize(("method", "window"), [("lee", 7), ("frost", 5), ("refined_lee", 7), ("lee", 31)])
def test_strips_have_the_bits_of_the_whole(image, strip, method, window):
    x, mask = image.rows(0, 300)
    whole = despeckle(x, method, window, 4.0, mask=mask)[0]
    done = []
    found = filter_image(
        image,
        lambda part, valid, _: despeckle(part, method, window, 4.0, mask=valid),
        reach=window // 2, strip=strip, on_rows=done.append,
    )  # fmt: skip
    np.testing.assert_array_equal(found, whole)
    assert done[-1] == 300
    assert done == sorted(done)
    assert (len(done) > 1) == (strip < 90 * 300)
    assert (found[:, :20, :30] == -99).all()
    assert np.isnan(found[1, 200, 5])


def test_speckle_of_strips_is_speckle_of_the_whole(image):
    x, mask = image.rows(0, 300)
    whole = speckle(x, 2.7, seed=3, mask=mask, psf="gaussian")[0]
    found = filter_image(
        image,
        lambda part, valid, row: speckle(part, 2.7, seed=3, mask=valid, psf="gaussian", origin=(row, 0)),
        strip=90 * 64,
    )
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("height", [1, 7, 63, 64, 65, 96, 97, 128, 160])
def test_every_height_is_covered_once(height):
    image = FilteredImage(Raster(np.arange(height * 8, dtype=np.float32).reshape(1, height, 8)), "db", "")
    np.testing.assert_array_equal(filter_image(image, lambda x, *_: x, reach=3, strip=64 * 8), image.raster.pixels)


def test_what_the_pixels_are(tmp_path):
    rng = np.random.default_rng(0)
    eight = write_raster(tmp_path / "eight.png", Raster(rng.integers(0, 255, (1, 64, 64)).astype(np.uint8)))
    with pytest.raises(DataError, match=r"eight.png.*uint8.*amplitude"):
        open_image(eight)
    assert open_image(eight, "amplitude").rows(0, 5)[0].dtype == torch.float32
    with pytest.raises(DataError, match="eight.png.*uint8.*complex"):
        open_image(eight, "complex")
    decibels = write_raster(tmp_path / "db.tif", Raster(rng.normal(-12, 3, (1, 64, 64)).astype(np.float64)))
    image = open_image(decibels)
    assert image.domain == "db"
    assert "negative" in image.reason
    assert image.rows(0, 5)[0].dtype == torch.float64
    assert open_image(decibels, "db", -99.0).raster.nodata == -99.0
    z = write_raster(tmp_path / "z.npy", Raster((rng.normal(size=(1, 64, 64)) + 2j).astype(np.complex64)))
    with pytest.raises(DataError, match="complex"):
        open_image(z, "intensity")
    power = detected(open_image(z))
    assert power.domain == "intensity"
    np.testing.assert_allclose(power.raster.pixels, np.abs(read_raster(z).pixels) ** 2, rtol=1e-6)
    assert detected(power) is power


def test_a_declared_domain_is_checked(tmp_path):
    amplitude = speckle(torch.full((1, 1, 200, 200), 300.0), 4.0, seed=1, domain="amplitude")[0].numpy()
    file = write_raster(tmp_path / "a.tif", Raster(amplitude))
    for domain in ("db", "log"):
        with pytest.raises(DataError, match=r"a.tif: .*look like intensities or digital numbers"):
            open_image(file, domain)
    assert open_image(file, "amplitude").domain == "amplitude"
    decibels = 20 * np.log10(amplitude) - 60
    decibels[:, 3, 5] = -9999
    file = write_raster(tmp_path / "db.tif", Raster(decibels))
    with pytest.raises(DataError, match="no-data value"):
        open_image(file, "db")
    assert open_image(file, "db", -9999.0).domain == "db"
    file = write_raster(tmp_path / "eight.png", Raster(np.full((1, 20, 20), 7, np.uint8)))
    for domain in ("db", "log"):
        with pytest.raises(DataError, match="uint8, but decibels are fractions"):
            open_image(file, domain)


def test_auto_says_of_integers_what_detect_unit_says(tmp_path):
    amplitude = speckle(torch.full((1, 1, 200, 200), 300.0), 4.0, seed=1, domain="amplitude")[0].numpy()
    file = write_raster(tmp_path / "a.tif", Raster(amplitude.astype(np.uint16)))
    image = open_image(file)
    assert image.domain == scene_unit(file).unit == "amplitude"
    assert scene_unit(file).reason in image.reason
    with pytest.raises(DataError, match=r"flat.tif: .*cannot be told"):
        open_image(write_raster(tmp_path / "flat.tif", Raster(np.full((1, 64, 64), 7, np.uint16))))


def test_looks_that_no_speckle_has_are_refused():
    decibels = speckle(torch.full((1, 1, 256, 256), -12.0), 1.0, seed=1, domain="db")[0].numpy()
    wrong = FilteredImage(Raster(3 * decibels), "db", "")
    with pytest.raises(DataError, match=r"looks are estimated as 0\.\d+, .*domain db.*declare the looks"):
        estimated_looks(wrong)


def test_the_image_that_is_read_is_not_overwritten(tmp_path, monkeypatch):
    file = write_raster(tmp_path / "a.tif", Raster(np.ones((1, 4, 5), np.float32)))
    image = open_image(file, "intensity")
    (tmp_path / "link.tif").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    for name in (file, Path("a.tif"), tmp_path / "link.tif", tmp_path / ".." / tmp_path.name / "a.tif"):
        with pytest.raises(DataError, match="it is the image that is read"):
            save_image(name, image, image.raster.pixels)
    z = write_raster(tmp_path / "z.tif", Raster(np.ones((1, 4, 5), np.complex64)))
    with pytest.raises(DataError, match="it is the image that is read"):
        check_output(z, detected(open_image(z)))
    check_output(tmp_path / "b.tif", image)


def test_strips_are_written_into_one_array():
    image = FilteredImage(Raster(np.ones((1, 4096, 512), np.float32)), "intensity", "")
    tracemalloc.start()
    try:
        pixels = filter_image(image, lambda x, *_: 2 * x, strip=1 << 15)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(pixels, 2)
    assert peak < 1.2 * pixels.nbytes


@pytest.mark.parametrize("domain", ["intensity", "amplitude", "db", "log"])
def test_looks_are_those_of_the_intensity_in_every_domain(domain):
    x = speckle({"db": -12.0, "log": -3.0}.get(domain, 0.2) * torch.ones(1, 2, 256, 256), 4.0, seed=1, domain=domain)
    found = estimated_looks(FilteredImage(Raster(x[0].numpy()), domain, ""))
    assert found == pytest.approx([4.0, 4.0], rel=0.1)


def test_png_says_what_it_cannot_hold(tmp_path):
    image = FilteredImage(Raster(np.full((1, 4, 5), 200, np.uint8)), "amplitude", "")
    result = np.full((1, 4, 5), 99.6, np.float32)
    assert save_image(tmp_path / "a.png", image, result) == []
    np.testing.assert_array_equal(read_raster(tmp_path / "a.png").pixels, 100)
    result[0, 0, :3] = 300.0, -1.0, np.nan
    (note,) = save_image(tmp_path / "a.png", image, result)
    assert note.startswith("3 pixels (15 %)")
    np.testing.assert_array_equal(read_raster(tmp_path / "a.png").pixels[0, 0, :4], [255, 0, 0, 100])


def test_a_lost_georeference_is_said(tmp_path):
    tags = ((33550, 12, 3, (20.0, 20.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 4e6, 0.0), True))
    image = FilteredImage(Raster(np.ones((1, 4, 5), np.float32), None, tags), "intensity", "")
    assert save_image(tmp_path / "a.tif", image, image.raster.pixels) == []
    assert read_raster(tmp_path / "a.tif").georeferenced
    (note,) = save_image(tmp_path / "a.npy", image, image.raster.pixels)
    assert "georeference" in note


@pytest.mark.parametrize(
    ("name", "words"), [("a.jpg", r"\.tif"), ("a.png", "float32"), ("nowhere/a.tif", "nowhere.*does not exist")]
)
def test_outputs_are_refused_before_anything_is_computed(tmp_path, name, words):
    with pytest.raises(DataError, match=words):
        check_output(tmp_path / name, FilteredImage(Raster(np.ones((1, 4, 5), np.float32)), "db", ""))
