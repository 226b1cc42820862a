"""`run_scene`: tiled equals whole, blends, no-data, and what it refuses."""

import numpy as np
import pytest
import torch

from sarcore import Radiometry, ops
from sarcore.data import Scene
from sarcore.errors import DataError
from sarcore.inference import run_scene
from sarcore.ops import despeckle, encode, speckle
from sarcore.ops.despeckle import METHODS

from .run_scene_helpers import run, scene_of


@pytest.fixture
def pixels():
    """Two bands of 150 x 90 pixels with no-data above and one NaN."""
    pixels = scene_of((2, 150, 90))
    pixels[:, :20, :30] = -99.0
    pixels[1, 100, 5] = np.nan
    return pixels


# ------ cropped: tiled equals whole


@pytest.mark.parametrize("domain", ["intensity", "amplitude", "db", "log"])
@pytest.mark.parametrize("method", METHODS)
def test_tiled_despeckling_has_the_bits_of_the_whole(pixels, tmp_path, method, domain):
    if domain in ("db", "log"):
        pixels = np.where(pixels == -99, -99, np.log(np.where(pixels == -99, 1, pixels)) - 1).astype(np.float32)
    x = torch.from_numpy(pixels)[None]
    whole = despeckle(x, method, 7, 4.0, domain=domain, mask=x != -99)[0]
    found = run(
        Scene.open(pixels, nodata=-99), lambda x: despeckle(x, method, 7, 4.0, domain=domain), tmp_path,
        (40, 31), 6, "crop", fill=float("nan"), batch=2,
    )  # fmt: skip
    np.testing.assert_array_equal(found, whole)
    assert (found[:, :20, :30] == -99).all()
    assert np.isnan(found[1, 100, 5])


@pytest.mark.parametrize("size", [1, 7, 64, 149, 1000, (13, 2000)])
def test_any_size_of_tiles(pixels, tmp_path, size):
    if size == 1:
        pixels = pixels[:, :12, :14]
    x = torch.from_numpy(pixels)[None]
    whole = despeckle(x, "frost", 9, 4.0, mask=x != -99)[0]
    found = run(
        Scene.open(pixels, nodata=-99), lambda x: despeckle(x, "frost", 9, 4.0), tmp_path, size, 8, "crop",
        fill=float("nan"),
    )  # fmt: skip
    np.testing.assert_array_equal(found, whole)


def test_positions_make_speckle_that_of_the_whole(pixels, tmp_path):
    def speckled(x, positions):
        index = torch.zeros(len(x), dtype=torch.int64)
        return speckle(x, 2.7, seed=3, psf="gaussian", index=index, origin=positions)

    x = torch.from_numpy(pixels)[None]
    whole = speckle(x, 2.7, seed=3, mask=x != -99, psf="gaussian")[0]
    scene = Scene.open(pixels, nodata=-99)
    found = run(scene, speckled, tmp_path, 32, 0, "crop", positions=True, fill=float("nan"))
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("window", ["crop", "hann", "flat"])
def test_positions_are_those_of_the_patches(tmp_path, window):
    pixels = np.arange(70 * 50, dtype=np.float64).reshape(1, 70, 50)

    def check(x, positions):
        assert positions.dtype == torch.int64
        for patch, (row, column) in zip(x, positions.tolist(), strict=True):
            assert patch[0, 0, 0] == pixels[0, row, column]
        return x

    np.testing.assert_allclose(
        run(Scene.open(pixels), check, tmp_path, 24, 8, window, positions=True), pixels, rtol=1e-6
    )


# ------ blended


@pytest.mark.parametrize("window", ["hann", "gaussian", "triangular", "flat"])
@pytest.mark.parametrize(("size", "overlap"), [(32, 16), (32, 0), ((20, 48), (13, 7)), (16, 15)])
def test_the_identity_gives_the_scene(pixels, tmp_path, window, size, overlap):
    found = run(Scene.open(pixels, nodata=-99), lambda x: x, tmp_path, size, overlap, window, batch=7)
    (np.testing.assert_array_equal if window == "flat" else np.testing.assert_allclose)(found, pixels)
    np.testing.assert_array_equal(found == -99, pixels == -99)


@pytest.mark.parametrize("shape", [(1, 5, 7), (1, 1, 1), (2, 40, 3), (1, 3, 40)])
@pytest.mark.parametrize("window", ["hann", "flat", "crop"])
def test_scenes_smaller_than_a_patch(tmp_path, shape, window):
    pixels = scene_of(shape)
    found = run(Scene.open(pixels), lambda x: x, tmp_path, 32, 8, window)
    np.testing.assert_allclose(found, pixels, rtol=1e-6)


def test_a_blend_is_that_of_merge_patches(tmp_path):
    pixels = scene_of((1, 100, 130))
    network = torch.nn.Conv2d(1, 3, 5, padding=2)
    found = run(Scene.open(pixels), network, tmp_path, 40, 12, "hann", batch=5)
    with torch.no_grad():
        y = network(ops.extract_patches(torch.from_numpy(pixels), 40, 28))
    expected = ops.merge_patches(y, (100, 130), 28, window="hann")
    assert found.shape == (3, 100, 130)
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ------ what the function gets


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [(np.uint8, torch.float32), (np.uint16, torch.float32), (np.int16, torch.float32), (np.int32, torch.float32),
     (np.float32, torch.float32), (np.float64, torch.float64), (np.complex64, torch.complex64)],
)  # fmt: skip
@pytest.mark.parametrize("window", ["crop", "flat"])
def test_types(tmp_path, dtype, wanted, window):
    pixels = (100 * scene_of((1, 30, 40), dtype=np.float64)).astype(dtype)
    seen = []

    def fn(x):
        seen.append(x.dtype)
        return x

    found = run(Scene.open(pixels), fn, tmp_path, 16, 4, window)
    assert set(seen) == {wanted}
    assert torch.from_numpy(found).dtype == wanted
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
@pytest.mark.parametrize("window", ["crop", "flat"])
def test_radiometry(tmp_path, dtype, window):
    pixels = (200 * scene_of((1, 60, 50), dtype=np.float64)).astype(dtype)
    pixels[:, :9, :8] = 0
    radiometry = Radiometry("intensity", 5, 30, nodata=0, out="uint8", scale="db")

    def fn(x):
        assert x.dtype == torch.float32
        assert (x[0, 0, :5, :5] == 0.5).all() or x[0, 0, 0, 0] != 0.5
        return x

    found = run(Scene.open(pixels), fn, tmp_path, 24, 8, window, radiometry=radiometry, fill=0.5)
    expected = encode(torch.from_numpy(pixels), Radiometry("intensity", 5, 30, nodata=0, scale="db")).numpy()
    np.testing.assert_array_equal(found, np.where(pixels == 0, 0, expected))


def test_no_data_is_said_once(tmp_path):
    radiometry = Radiometry("intensity", 0, 1, nodata=0)
    scene = Scene.open(scene_of((1, 20, 20)), nodata=-1)
    with pytest.raises(ValueError, match=r"the scene declares -1 and the radiometry 0"):
        run_scene(scene, lambda x: x, tmp_path / "a.npy", 8, 0, radiometry=radiometry)
    run(scene, lambda x: x, tmp_path, 8, 0, radiometry=radiometry, nodata=-1)


def test_channels(tmp_path):
    pixels = scene_of((3, 20, 30))
    pixels[0, 3, 4] = -1
    found = run(Scene.open(pixels, nodata=-1), lambda x: x, tmp_path, 16, 4, "crop", channels=[2, 0])
    np.testing.assert_array_equal(found, pixels[[2, 0]])
    found = run(Scene.open(pixels, nodata=-1), lambda x: x.sum(1, keepdim=True), tmp_path, 16, 4, "crop")
    assert found[0, 3, 4] == -1
    assert (found == -1).sum() == 1
    np.testing.assert_allclose(found[0, 5:], pixels[:, 5:].sum(0), rtol=1e-6)


def test_no_data_in_integers(tmp_path):
    pixels = scene_of((1, 20, 30))
    pixels[0, 2, 3] = np.nan
    pixels[0, 4, 5] = -99

    def classes(x):
        return (x > 1).to(torch.uint8)

    expected = np.where(np.isfinite(pixels) & (pixels != -99), pixels > 1, 255)
    found = run(Scene.open(np.where(pixels == -99, np.nan, pixels)), classes, tmp_path, 16, 4, "crop", nodata=255)
    np.testing.assert_array_equal(found, expected)
    for scene, words in ((Scene.open(pixels, nodata=-99), "-99"), (Scene.open(pixels), "None")):
        with pytest.raises(DataError, match=rf"the result's uint8 needs a value: the no-data value is {words}"):
            run_scene(scene, classes, tmp_path / "b.npy", 16, 4, "crop")
        assert not list(tmp_path.glob("b*"))
    # A value that no pixel of the scene can have is no obstacle.
    whole = (10 * pixels[:, 6:]).astype(np.uint8)
    run(Scene.open(whole, nodata=-99), classes, tmp_path, 16, 4, "crop", name="c.tif")


@pytest.mark.parametrize("window", ["crop", "flat"])
def test_nan_that_the_function_makes_is_kept(tmp_path, window):
    found = run(Scene.open(scene_of((1, 20, 30))), lambda x: torch.where(x > 1, x, torch.nan), tmp_path, 16, 4, window)
    np.testing.assert_array_equal(np.isnan(found), scene_of((1, 20, 30)) <= 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.bool])
def test_types_that_no_file_holds_are_widened(tmp_path, dtype):
    found = run(Scene.open(scene_of((1, 20, 30))), lambda x: x.to(dtype), tmp_path, 16, 4, "crop")
    assert found.dtype == (np.uint8 if dtype == torch.bool else np.float32)
    np.testing.assert_array_equal(found, torch.from_numpy(scene_of((1, 20, 30))).to(dtype).float())


# ------ networks that halve, results of another kind


@pytest.mark.parametrize(("window", "overlap"), [("crop", 16), ("hann", 8)])
def test_aligned_tiles_begin_at_multiples(tmp_path, window, overlap):
    seen = []

    def fn(x, positions):
        seen.extend(positions.flatten().tolist())
        return x

    pixels = scene_of((1, 90, 75))
    found = run(Scene.open(pixels), fn, tmp_path, 16, overlap, window, align=8, positions=True)
    np.testing.assert_allclose(found, pixels, rtol=1e-6)
    assert len(set(seen)) > 4
    assert not any(place % 8 for place in seen)


@pytest.mark.parametrize(("size", "overlap", "window"), [(20, 16, "crop"), (16, 8, "crop"), (16, 4, "hann")])
def test_what_does_not_align_is_refused(tmp_path, size, overlap, window):
    with pytest.raises(ValueError, match="must be multiples of align = 8"):
        run_scene(Scene.open(scene_of((1, 40, 40))), lambda x: x, tmp_path / "a.npy", size, overlap, window, align=8)


@pytest.mark.parametrize("window", ["crop", "flat"])
def test_a_no_data_value_of_the_result(pixels, tmp_path, window):
    scene = Scene.open(pixels, nodata=-99)
    lacking = (pixels == -99) | np.isnan(pixels)
    for value in (7.0, float("nan")):
        out = run_scene(scene, lambda x: x * 0 + 1, tmp_path / "out.tif", 32, 8, window, out_nodata=value)
        found = Scene.open(out)
        np.testing.assert_equal(found.nodata, value)
        np.testing.assert_array_equal(found.read(), np.where(lacking, value, 1))
    out = run_scene(scene, lambda x: x * 0 + 1, tmp_path / "out.tif", 32, 8, window, out_nodata=None)
    assert Scene.open(out).nodata is None
    assert (Scene.open(out).read() == 1).all()
    with pytest.raises(DataError, match="uint8 cannot hold the no-data value -1"):
        run_scene(scene, lambda x: x.byte(), tmp_path / "other.tif", 32, 8, window, out_nodata=-1)
