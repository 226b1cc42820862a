"""sarcore.data.limits: percentiles of scenes that are never held."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from sarcore import Radiometry
from sarcore.data import Scene, percentile_limits, scene_limits, scene_radiometry, scene_unit, write_image
from sarcore.errors import DataError

RNG = np.random.default_rng(0)
SCENE = (RNG.gamma(3, 1 / 3, (3, 150, 130)) * np.array([1, 2, 5]).reshape(3, 1, 1)).astype(np.float32)
SCENE[:, :20, :7] = np.nan
TIFFS = {
    "plain": {},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "tiles": {"tile": (32, 48), "compression": "zlib"},
    "planar-tiles": {"tile": (64, 32), "planarconfig": "separate", "photometric": "rgb", "compression": "zlib"},
    "pages": {"photometric": "minisblack", "compression": "zlib", "rowsperstrip": 11},
    "big-endian": {"byteorder": ">"},
}


def expected(values: np.ndarray, percentiles: tuple[float, float]) -> np.ndarray:
    return np.percentile(values[np.isfinite(values)].astype(np.float64), percentiles)


def close(found: tuple[float, float], wanted: np.ndarray, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)].astype(np.float64)
    error = max(1e-4 * (wanted[1] - wanted[0]), (finite.max() - finite.min()) / 2**32)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=error)


@pytest.mark.parametrize("percentiles", [(1, 99), (0, 100), (0.5, 50)])
@pytest.mark.parametrize("name", TIFFS)
def test_every_tiff_layout_gives_the_percentiles_of_numpy(tmp_path: Path, name: str, percentiles) -> None:
    path, options = tmp_path / "a.tif", TIFFS[name]
    tifffile.imwrite(path, SCENE, **({"photometric": "minisblack"} | options))
    assert sum(window.height * window.width for window in Scene.open(path).blocks()) == SCENE[0].size
    close(percentile_limits(path, "intensity", None, percentiles), expected(SCENE, percentiles), SCENE)
    for channel in range(3):
        found = percentile_limits(path, "intensity", None, percentiles, channel=channel)
        close(found, expected(SCENE[channel], percentiles), SCENE[channel])
    with pytest.raises(DataError, match="channel must be 0 to 2, got 3"):
        percentile_limits(path, "intensity", channel=3)
    np.testing.assert_array_equal(Scene.open(path).read(), SCENE)


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"tile": (32, 32), "compression": "zlib"}, {}])
def test_samples_of_a_pixel_are_channels(tmp_path: Path, options) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(SCENE, 0, 2), photometric="rgb", **options)
    np.testing.assert_array_equal(Scene.open(path).read(), SCENE)
    for channel in range(3):
        found = percentile_limits(path, "intensity", channel=channel)
        close(found, expected(SCENE[channel], (1, 99)), SCENE[channel])


@pytest.mark.parametrize(
    ("unit", "scale", "convert"),
    [
        ("intensity", "db", lambda x: 10 * np.log10(x)),
        ("intensity", "amplitude", np.sqrt),
        ("amplitude", "db", lambda x: 20 * np.log10(x)),
        ("amplitude", "intensity", np.square),
        ("db", "intensity", lambda x: 10 ** (x / 10)),
        ("complex", None, lambda z: np.abs(z.astype(np.complex128)) ** 2),
        ("complex", "db", lambda z: 20 * np.log10(np.abs(z.astype(np.complex128)))),
    ],
)
def test_limits_are_on_the_scale(tmp_path: Path, unit, scale, convert) -> None:
    x = SCENE.copy()
    if unit == "complex":
        x = (x * np.exp(2j * np.pi * RNG.random(x.shape))).astype(np.complex64)
    np.save(tmp_path / "a.npy", x)
    values = convert(x.astype(np.complex128 if unit == "complex" else np.float64))
    close(percentile_limits(tmp_path / "a.npy", unit, scale), expected(values, (1, 99)), values)


def test_no_data_zeros_and_bright_targets() -> None:
    x = SCENE.copy()
    x[:, 30:60] = -9999
    x[0, 80, 80] = 1e6  # 65536 bins alone would be 15 wide
    kept = x[x != -9999]
    close(percentile_limits(x, "intensity", nodata=-9999), expected(kept, (1, 99)), kept)
    with np.errstate(divide="ignore"):
        zeros = np.where(x < 0, 0, x)
        decibels = 10 * np.log10(zeros.astype(np.float64))
    close(percentile_limits(zeros, "intensity", "db"), expected(decibels, (1, 99)), decibels)
    digital = RNG.integers(0, 65535, (1, 90, 90)).astype(np.uint16)
    np.testing.assert_allclose(percentile_limits(digital, "digital"), expected(digital, (1, 99)), rtol=1e-12)


@pytest.mark.parametrize("outlier", [1e9, 1e300, float(np.finfo(np.float32).max)])
def test_one_outlier_does_no_harm(outlier: float) -> None:
    x = np.random.default_rng(3).exponential(size=(1, 250, 400))
    x[0, 7, 7] = outlier
    low, high = np.percentile(x, (1, 99))
    np.testing.assert_allclose(percentile_limits(x, "intensity", "intensity"), (low, high), rtol=0, atol=1e-4 * high)
    flat = np.full((1, 40, 50), 0.25)
    flat[0, 0, 0] = outlier
    assert percentile_limits(flat, "intensity", "intensity") == (0.25, 0.25)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_integers_are_exact(dtype) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.integers(limits.min, limits.max, 3000), np.zeros(2000)]).astype(dtype).reshape(1, 50, 100)
    for percentiles in ((0, 100), (1, 99), (30, 70)):
        found = percentile_limits(x, "digital", None, percentiles)
        np.testing.assert_allclose(found, np.percentile(x.astype(np.float64), percentiles), rtol=1e-12)
    gray = np.zeros((1, 40, 40), np.uint8)
    gray[0, :2] = 200
    assert percentile_limits(gray, "digital") == (0.0, 200.0)


def test_channels_are_counted_in_the_passes_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", SCENE, photometric="minisblack", compression="zlib")
    passes, blocks = [], Scene.blocks
    monkeypatch.setattr(Scene, "blocks", lambda scene: passes.append(scene) or blocks(scene))
    together, each = scene_limits(tmp_path / "a.tif", "intensity", "db")
    assert len(passes) <= 4
    assert together == percentile_limits(SCENE, "intensity", "db")
    assert each == {c: percentile_limits(SCENE, "intensity", "db", channel=c) for c in range(3)}
    holed = SCENE.copy()
    holed[1] = np.nan
    assert sorted(scene_limits(holed, "intensity")[1]) == [0, 2]


def test_the_declared_no_data_is_the_default(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(-12, 3, (1, 200, 200)).astype(np.float32)
    x[:, :70] = -9999
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, x, photometric="minisblack", extratags=[(42113, 2, 0, "-9999", True)])
    assert Scene.open(path).nodata == -9999
    assert Scene.open(x).nodata is None
    assert percentile_limits(Scene.open(path), "db") == percentile_limits(path, "db")
    assert Scene.open(Scene.open(path), nodata=1).nodata == 1
    assert scene_unit(path).unit == "db"
    close(percentile_limits(path, "db"), expected(x[:, 70:], (1, 99)), x[:, 70:])
    found = scene_radiometry(path, "db")
    assert (found.nodata, (found.low, found.high)) == (-9999, percentile_limits(x, "db", nodata=-9999))
    whole = tmp_path / "b.tif"
    tifffile.imwrite(whole, np.arange(900, dtype=np.uint16).reshape(30, 30), extratags=[(42113, 2, 0, "-9999", True)])
    assert scene_radiometry(whole, "digital").nodata is None  # no pixel of that type can have it


def test_decibels_stay_within_reach() -> None:
    x = np.random.default_rng(0).normal(-12, 3, (1, 50, 50)).astype(np.float32)
    for value, message in ((-9999.0, "no-data value"), (717.0, "look like intensities or digital numbers")):
        x[0, 3, 3] = value
        for scale in ("db", "intensity"):
            with pytest.raises(DataError, match=f"declared as decibels.*{message}"):
                percentile_limits(x, "db", scale)
            percentile_limits(x, "db", scale, nodata=value)


@pytest.mark.parametrize(
    "options",
    [
        {"rowsperstrip": 1},
        {"rowsperstrip": 100},
        {"tile": (256, 128)},
        {"tile": (64, 128), "planarconfig": "separate", "photometric": "rgb"},
        {"rowsperstrip": 7, "planarconfig": "separate", "photometric": "rgb"},
        {"rowsperstrip": 7, "planarconfig": "contig", "photometric": "rgb"},
    ],
)
def test_the_unit_of_a_compressed_scene_needs_some_bands(tmp_path: Path, options, monkeypatch) -> None:
    x = np.random.default_rng(0).gamma(4, 0.25, (3, 1000, 810)).astype(np.float32)
    stored = np.moveaxis(x, 0, 2) if options.get("planarconfig") == "contig" else x
    tifffile.imwrite(tmp_path / "a.tif", stored, compression="zlib", **({"photometric": "minisblack"} | options))
    scene = Scene.open(tmp_path / "a.tif")
    assert (scene.shape, scene.dtype, scene.mapped()) == ((3, 1000, 810), np.float32, None)
    rows = [row for window in scene.sample() for row in range(window.row, window.row + window.height)]
    assert 32 <= len(rows) == len(set(rows)) < 950
    decoded = []
    monkeypatch.setattr(
        Scene, "read", lambda scene, *window: decoded.append(window) or x[:, window[0] :][:, : window[2]]
    )
    assert scene_unit(scene).unit == "intensity"
    assert sum(height for _, _, height, _ in decoded) == len(rows)


def test_the_arguments_are_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).gamma(4, 0.25, (1, 50, 50))
    for percentiles in ((1,), ("1", "99"), 5, (1, True)):
        with pytest.raises(TypeError, match="percentiles must be two numbers, got"):
            percentile_limits(x, "intensity", percentiles=percentiles)
    with pytest.raises(TypeError, match="source must be a NumPy array or a tensor, got list"):
        percentile_limits([1.0, 2.0], "intensity")
    assert percentile_limits(torch.from_numpy(x), "intensity") == percentile_limits(x, "intensity")


def test_radiometry_of_a_scene(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.npy", SCENE)
    low, high = percentile_limits(path, "intensity", "db", (2, 98), float("nan"))
    found = scene_radiometry(path, "intensity", scale="db", percentiles=(2, 98), nodata=float("nan"), out="uint8")
    assert found == Radiometry("intensity", low, high, float("nan"), "uint8", scale="db")
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    image = write_image(tmp_path / "a.png", RNG.integers(0, 255, (1, 40, 40)).astype(np.uint8))
    assert scene_radiometry(image, "digital").unit == "digital"


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    x = np.ones((1, 4, 4), dtype=np.float32)
    for function, error, message in [
        (lambda: percentile_limits(x, "intensity", percentiles=(99, 1)), ValueError, "percentiles must be 0 <="),
        (lambda: percentile_limits(x, "watt"), ValueError, "unit must be one of"),
        (lambda: percentile_limits(x * np.nan, "intensity"), DataError, "no valid pixel"),
        (lambda: percentile_limits(-x, "intensity"), DataError, "declared as intensity, but has negative .*'db'"),
        (lambda: percentile_limits(x, "complex"), DataError, "float32, which contradicts .*'complex'"),
        (lambda: percentile_limits(x.astype(np.uint8), "db"), DataError, "decibels are fractions"),
        (lambda: scene_radiometry(x, "intensity"), DataError, "percentiles are both 1"),
        (lambda: percentile_limits(tmp_path / "no.tif", "db"), DataError, r"no\.tif does not exist"),
        (lambda: percentile_limits(np.zeros((2, 2, 2, 2)), "db"), DataError, r"a scene is \(H, W\)"),
    ]:
        with pytest.raises(error, match=message):
            function()
    for name in ("bad.tif", "bad.npy"):
        (tmp_path / name).write_bytes(b"II*\0garbage")
        with pytest.raises(DataError, match=f"{name}.* is corrupt"):
            percentile_limits(tmp_path / name, "db")


def test_a_large_scene_is_never_held(tmp_path: Path) -> None:
    """6000 x 6000 float32 is 144 MB; blocks of a megapixel need a few tens of MB."""
    path = tmp_path / "large.npy"
    scene = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(6000, 6000))
    for row in range(0, 6000, 500):
        scene[row : row + 500] = RNG.exponential(1.0, (500, 6000))
    scene.flush()
    wanted = np.quantile(np.asarray(scene[::10, ::10], dtype=np.float64), (0.01, 0.99))
    del scene
    code = (
        "import sys, tracemalloc; from sarcore.data import percentile_limits; tracemalloc.start()\n"
        "limits = percentile_limits(sys.argv[1], 'intensity')\n"
        "print(*limits, tracemalloc.get_traced_memory()[1] / 1e6)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    low, high, peak = map(float, done.stdout.split())
    assert peak < 60
    np.testing.assert_allclose((low, high), wanted, rtol=0.05)
