"""`run_scene`: what the file keeps of its scene, and what is refused."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

from sarcore.data import Scene, SceneWriter
from sarcore.errors import DataError
from sarcore.inference import run_scene

from .run_scene_helpers import run, scene_of


@pytest.fixture
def geotiff(tmp_path):
    """Two bands of uint16 with everything that must be kept."""
    file = tmp_path / "scene.tif"
    pixels = (1000 * scene_of((2, 120, 90))).astype(np.uint16)
    pixels[:, :10] = 0
    place = {"crs": "EPSG:32631", "transform": Affine(10.0, 0.0, 5e5, 0.0, -10.0, 4.6e6), "nodata": 0}
    with rasterio.open(file, "w", driver="GTiff", height=120, width=90, count=2, dtype="uint16", **place) as out:
        out.write(pixels)
        out.set_band_description(2, "VH")
        out.update_tags(SENSOR="S1")
    return file, pixels


@pytest.mark.parametrize(("window", "cog"), [("crop", False), ("hann", False), ("hann", True)])
def test_the_georeference_is_kept(geotiff, tmp_path, window, cog):
    file, pixels = geotiff
    out = run_scene(file, lambda x: x, tmp_path / "out.tif", 64, 16, window, cog=cog, compression="lzw")
    with rasterio.open(file) as before, rasterio.open(out) as after:
        assert (after.crs, after.transform, after.nodata) == (before.crs, before.transform, 0)
        assert after.descriptions == before.descriptions == (None, "VH")
        assert after.tags()["SENSOR"] == "S1"
        assert after.compression.name == "lzw"
        assert after.dtypes == ("float32", "float32")
        np.testing.assert_allclose(after.read(), pixels, rtol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "scene.tif"]


def test_convert_gets_every_row_once(tmp_path):
    pixels = scene_of((1, 100, 40))
    seen = []

    def convert(rows):
        seen.append(rows)
        return (100 * rows).astype(np.uint16)

    done = []
    found = run(
        Scene.open(pixels), lambda x: x, tmp_path, 16, 4, "flat", name="out.png", convert=convert, on_rows=done.append
    )
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), pixels)
    np.testing.assert_array_equal(found, (100 * pixels).astype(np.uint16))
    assert done == [12, 24, 36, 48, 60, 72, 84, 100]


def test_complex_results(tmp_path):
    pixels = scene_of((1, 30, 40)) * np.complex64(1 + 2j)
    found = run(Scene.open(pixels), lambda x: x.conj(), tmp_path, 16, 4, "crop", name="out.tif")
    np.testing.assert_array_equal(found, pixels.conj())


# ------ refusals


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 0}, ValueError, "size must be 1"),
        ({"size": 16.0}, TypeError, "size must be an int"),
        ({"size": (1, 2, 3)}, ValueError, "size must be an integer or a pair"),
        ({"overlap": 16}, ValueError, "overlap must be less than size"),
        ({"overlap": -1}, ValueError, "overlap must be 0"),
        ({"window": "kaiser"}, ValueError, "window must be one of 'hann'"),
        ({"batch": 0}, ValueError, "batch must be 1"),
        ({"channels": [2]}, ValueError, "channels must be 0 to 0"),
        ({"channels": []}, ValueError, "channels must be a list"),
        ({"channels": 1.5}, ValueError, "channels must be a list"),
        ({"fill": "a"}, TypeError, "fill must be a number, got 'a'"),
        ({"nodata": "a"}, TypeError, "nodata must be a number, got 'a'"),
        ({"radiometry": "db"}, TypeError, "radiometry must be a sarcore.Radiometry, got str"),
        ({"fn": None}, TypeError, "fn must be a function of patches"),
        ({"compression": "zip", "out": "a.tif"}, ValueError, "compression must be one of"),
        ({"out": "a.jpg"}, DataError, "suffixes"),
        ({"out": "nowhere/a.tif"}, DataError, "nowhere does not exist"),
        ({"out": "."}, DataError, "suffixes"),
        ({"out": "folder.tif"}, DataError, "is a folder"),
        ({"out": "scene.tif"}, DataError, "it is the image that is read"),
        ({"out": "link.tif"}, DataError, "it is the image that is read"),
        ({"out": "a.png"}, DataError, "a.png: a PNG holds"),
        ({"scene": "nothing.tif"}, DataError, "nothing.tif does not exist"),
        ({"fn": lambda x: x[..., 1:]}, ValueError, r"fn must return .* got \(\d+, 1, 16, 15\)"),
        ({"fn": lambda x: x[:1]}, ValueError, "fn must return"),
        ({"fn": lambda x: x[0]}, ValueError, "fn must return"),
        ({"fn": lambda x: x[:, :0]}, ValueError, "fn must return"),
        ({"fn": lambda x: x.numpy()}, TypeError, "fn must return a torch.Tensor"),
        ({"fn": lambda x: x.to(torch.complex128)}, TypeError, "complex128"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, options, error, words):
    with SceneWriter(tmp_path / "scene.tif", (1, 30, 40), np.float32) as file:
        file.write(scene_of((1, 30, 40)))
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "link.tif").symlink_to(tmp_path / "scene.tif")
    before = sorted(path.name for path in tmp_path.iterdir())
    arguments = {"scene": "scene.tif", "fn": lambda x: x, "out": "a.npy", "size": 16, "overlap": 4, **options}
    places = {name: tmp_path / arguments.pop(name) for name in ("scene", "out")}
    with pytest.raises(error, match=words) as refusal:
        run_scene(**places, **arguments)
    assert ".parts" not in str(refusal.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["channels", "dtype"])
def test_a_function_must_not_change_its_kind(tmp_path, kind):
    calls = []

    def fn(x):
        calls.append(x)
        if len(calls) < 3:
            return x
        return x.double() if kind == "dtype" else torch.cat([x, x], dim=1)

    with pytest.raises(ValueError, match="the same number of channels and dtype"):
        run_scene(Scene.open(scene_of((1, 30, 40))), fn, tmp_path / "a.npy", 16, 4, batch=1)


def test_a_truncated_scene_is_one_sentence(geotiff, tmp_path):
    file, _ = geotiff
    cut = tmp_path / "cut.tif"
    cut.write_bytes(file.read_bytes()[:20000])
    with pytest.raises(DataError, match=r"cut\.tif") as error:
        run_scene(cut, lambda x: x, tmp_path / "out.tif", 64, 16)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("out*"))
