"""What the commands that filter a scene know of it: unit, looks, and what the output holds."""

import numpy as np
import pytest
import torch

from sarcore.data import Scene, SceneWriter, scene_unit
from sarcore.errors import DataError
from sarcore.inference import check_output, estimated_looks, lost_georeference, rounding_for, scene_domain
from sarcore.ops import speckle


def written(file, pixels, **options):
    with SceneWriter(file, pixels.shape, pixels.dtype, **options) as out:
        out.write(pixels)
    return Scene.open(file)


def speckled(level, domain, shape=(1, 1, 200, 200), looks=4.0):
    return speckle(torch.full(shape, level), looks, seed=1, domain=domain)[0].numpy()


def test_what_the_pixels_are(tmp_path):
    rng = np.random.default_rng(0)
    eight = written(tmp_path / "eight.png", rng.integers(0, 255, (1, 64, 64)).astype(np.uint8))
    with pytest.raises(DataError, match=r"eight.png.*uint8.*amplitude"):
        scene_domain(eight)
    assert scene_domain(eight, "amplitude") == ("amplitude", "")
    with pytest.raises(DataError, match="eight.png.*uint8.*complex"):
        scene_domain(eight, "complex")
    domain, reason = scene_domain(Scene.open(rng.normal(-12, 3, (1, 64, 64))))
    assert domain == "db"
    assert "negative" in reason
    z = written(tmp_path / "z.npy", (rng.normal(size=(1, 64, 64)) + 2j).astype(np.complex64))
    assert scene_domain(z)[0] == "complex"
    with pytest.raises(DataError, match=r"z.npy: .*complex"):
        scene_domain(z, "intensity")


def test_a_declared_domain_is_checked(tmp_path):
    amplitude = speckled(300.0, "amplitude")
    scene = written(tmp_path / "a.tif", amplitude)
    for domain in ("db", "log"):
        with pytest.raises(DataError, match=r"a.tif: .*look like intensities or digital numbers"):
            scene_domain(scene, domain)
    assert scene_domain(scene, "amplitude")[0] == "amplitude"
    decibels = 20 * np.log10(amplitude) - 60
    decibels[:, 3, 5] = -9999
    with pytest.raises(DataError, match="no-data value"):
        scene_domain(Scene.open(decibels), "db")
    assert scene_domain(Scene.open(decibels, nodata=-9999), "db")[0] == "db"
    eight = Scene.open(np.full((1, 20, 20), 7, np.uint8))
    for domain in ("db", "log"):
        with pytest.raises(DataError, match="uint8, but decibels are fractions"):
            scene_domain(eight, domain)


def test_every_block_of_a_large_scene_is_checked():
    pixels = np.ones((1, 3000, 1000), np.float32)
    scene_domain(Scene.open(pixels), "intensity")
    pixels[0, -1, -1] = -3
    with pytest.raises(DataError, match=r"negative values \(down to -3\)"):
        scene_domain(Scene.open(pixels), "intensity")


def test_auto_says_of_integers_what_scene_unit_says(tmp_path):
    scene = written(tmp_path / "a.tif", speckled(300.0, "amplitude").astype(np.uint16))
    domain, reason = scene_domain(scene)
    assert domain == scene_unit(scene).unit == "amplitude"
    assert scene_unit(scene).reason in reason
    with pytest.raises(DataError, match=r"flat.tif: .*cannot be told"):
        scene_domain(written(tmp_path / "flat.tif", np.full((1, 64, 64), 7, np.uint16)))


@pytest.mark.parametrize("domain", ["intensity", "amplitude", "db", "log"])
def test_looks_are_those_of_the_intensity_in_every_domain(domain):
    level = {"db": -12.0, "log": -3.0}.get(domain, 0.2)
    found = estimated_looks(Scene.open(speckled(level, domain, (1, 2, 256, 256))), domain)
    assert found == pytest.approx([4.0, 4.0], rel=0.1)


def test_looks_of_complex_pixels():
    z = speckled(1.0 + 0j, "complex", (1, 1, 256, 256), 1.0)
    assert estimated_looks(Scene.open(z), "complex") == pytest.approx([1.0], rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1, 3000, 2000), (1, 1, 2, 3_000_000), (1, 1, 3_000_000, 2), (1, 1, 400, 20_000)])
def test_looks_of_a_large_scene_come_from_a_part(shape, monkeypatch):
    read, seen = Scene.read, []

    def count(self, *window, **options):
        pixels = read(self, *window, **options)
        seen.append(pixels.size)
        return pixels

    monkeypatch.setattr(Scene, "read", count)
    pixels = speckled(0.2, "intensity", shape)
    pixels[:, :, ::50] = -1
    scene = Scene.open(pixels, nodata=-1)
    if min(shape[2:]) < 16:
        with pytest.raises(DataError, match="looks of the image cannot be estimated .*whole blocks.*--looks"):
            estimated_looks(scene, "intensity")
    else:
        assert estimated_looks(scene, "intensity") == pytest.approx([4.0], rel=0.1)
    assert sum(seen) <= 1 << 22


def test_looks_that_no_speckle_has_are_refused():
    decibels = speckled(-12.0, "db", (1, 1, 256, 256), 1.0)
    with pytest.raises(DataError, match=r"looks are estimated as 0\.\d+, .*domain db.*declare the looks"):
        estimated_looks(Scene.open(3 * decibels), "db")


def test_png_says_what_it_cannot_hold(tmp_path):
    rounding = rounding_for(tmp_path / "a.PNG", Scene.open(np.full((1, 4, 5), 200, np.uint8)))
    result = np.full((1, 4, 5), 99.6, np.float32)
    np.testing.assert_array_equal(rounding(result), 100)
    assert rounding.notes() == []
    result[0, 0, :3] = 300.0, -1.0, np.nan
    found = rounding(result)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0, 0, :4], [255, 0, 0, 100])
    (note,) = rounding.notes()
    assert note.startswith("3 pixels (7.5 %)")
    assert rounding_for(tmp_path / "a.tif", Scene.open(result)) is None


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((1, 4, 5), np.float32, "float32; write a .tif"),
        ((2, 4, 5), np.uint8, "2 of uint8"),
        ((3, 4, 5), np.uint16, "3 of uint16"),
    ],
)
def test_images_that_no_png_holds(tmp_path, shape, dtype, words):
    with pytest.raises(DataError, match=words):
        rounding_for(tmp_path / "a.png", Scene.open(np.ones(shape, dtype)))


def test_a_lost_georeference_is_said(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    file = tmp_path / "a.tif"
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(10.0, 0.0, 5e5, 0.0, -10.0, 4.6e6)}
    with rasterio.open(file, "w", driver="GTiff", height=4, width=5, count=1, dtype="float32", **place) as out:
        out.write(np.ones((1, 4, 5), np.float32))
    assert lost_georeference(tmp_path / "b.tif", Scene.open(file)) == []
    (note,) = lost_georeference(tmp_path / "b.npy", Scene.open(file))
    assert "georeference" in note
    assert lost_georeference(tmp_path / "b.npy", Scene.open(np.ones((4, 5)))) == []


def test_outputs_are_refused_before_anything_is_computed(tmp_path):
    scene = written(tmp_path / "a.tif", np.ones((1, 4, 5), np.float32))
    for name, words in (("a.jpg", r"\.tif"), ("nowhere/a.tif", "nowhere.*does not exist"), ("a.tif", "that is read")):
        with pytest.raises(DataError, match=words):
            check_output(tmp_path / name, scene)
    check_output(tmp_path / "b.tif", scene)
