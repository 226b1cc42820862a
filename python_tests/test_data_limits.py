"""sarcore.data.limits and scene_blocks: percentiles of scenes that are never held."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sarcore import Radiometry
from sarcore.data import open_scene, percentile_limits, scene_blocks, scene_radiometry, write_image
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
    assert sum(block.size for block in scene_blocks(path)) == SCENE.size
    close(percentile_limits(path, "intensity", None, percentiles), expected(SCENE, percentiles), SCENE)
    for channel in range(3):
        found = percentile_limits(path, "intensity", None, percentiles, channel=channel)
        close(found, expected(SCENE[channel], percentiles), SCENE[channel])
    with pytest.raises(DataError, match="channel must be 0 to 2, got 3"):
        percentile_limits(path, "intensity", channel=3)
    np.testing.assert_array_equal(open_scene(path), SCENE)


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"tile": (32, 32), "compression": "zlib"}, {}])
def test_samples_of_a_pixel_are_channels(tmp_path: Path, options) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(SCENE, 0, 2), photometric="rgb", **options)
    np.testing.assert_array_equal(open_scene(path), SCENE)
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
    np.testing.assert_allclose(percentile_limits(digital, "digital"), expected(digital, (1, 99)), atol=3.5)


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
        (lambda: percentile_limits(-x, "intensity"), DataError, "declared as intensity, but 16 of its 16.*'db'"),
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
