"""Scene: wrong arguments, damaged files, missing packages, other processes, memory."""

import multiprocessing
import pickle
import shutil
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from sarcore.data import Scene
from sarcore.data.scene_cache import SEGMENTS
from sarcore.data.scene_gdal import GdalSource
from sarcore.errors import DataError

from .scene_files import GEO, LAYOUTS, noise, write


def test_windows_outside_and_wrong_arguments(tmp_path):
    scene = Scene.open(np.zeros((2, 5, 7)))
    for arguments in ((-1,), (0, -1), (0, 0, 6), (0, 0, 5, 8), (6,), (0, 0, -1)):
        with pytest.raises(ValueError, match="not inside the scene, which has"):
            scene.read(*arguments)
    for channels in (2, [-1], [0, 5]):
        with pytest.raises(ValueError, match="channels must be 0 to 1, got"):
            scene.read(channels=channels)
    with pytest.raises(TypeError, match="a path, a NumPy array or a Scene, got list"):
        Scene.open([1, 2])
    with pytest.raises(DataError, match=r"the array is \(2, 2, 2, 2\) float64; a scene is"):
        Scene.open(np.zeros((2, 2, 2, 2)))
    with pytest.raises(TypeError):
        scene.read(0.5)
    assert repr(scene) == "Scene('array', 2 x 5 x 7 float64)"


def test_damaged_files_are_named(tmp_path):
    pixels = noise((1, 400, 500), "uint16")
    path = write(tmp_path / "a.tif", pixels, **(LAYOUTS["deflate-tiles"] | GEO | {"nodata": 0}))
    with pytest.raises(DataError, match=r"the scene .*nowhere.tif does not exist"):
        Scene.open(tmp_path / "nowhere.tif")
    with pytest.raises(DataError, match="is a folder"):
        Scene.open(tmp_path)
    whole = path.read_bytes()
    for name, content in (("short", whole[: len(whole) // 2]), ("words", b"II*\0garbage"), ("empty", b"")):
        (tmp_path / f"{name}.tif").write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}.tif is (truncated|corrupt)"):
            Scene.open(tmp_path / f"{name}.tif")
    plain = write(tmp_path / "plain.tif", pixels, **(GEO | {"nodata": 0}))
    plain.write_bytes(plain.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"plain.tif is truncated \(\d+ of \d+ bytes\)"):
        Scene.open(plain)
    scene = Scene.open(path)  # the file is cut later
    first = scene.read(0, 0, 16, 16)
    with open(path, "r+b") as file:
        file.truncate(len(whole) // 2)
    scene.close()
    np.testing.assert_array_equal(scene.read(0, 0, 16, 16), first)
    with pytest.raises(DataError, match=r"a.tif is corrupt or cannot be read \(truncated"):
        scene.read(380, 400, 20, 100)
    (tmp_path / "text.dat").write_text("no raster at all")
    with pytest.raises(DataError, match="text.dat"):
        Scene.open(tmp_path / "text.dat")
    tifffile.imwrite(tmp_path / "four.tif", np.zeros((2, 30, 40, 3), np.uint8), photometric="rgb")
    with pytest.raises(DataError, match=r"four.tif.*\(2, 30, 40, 3\).*a scene is \(H, W\)"):
        Scene.open(tmp_path / "four.tif")


def test_a_compression_that_needs_a_package_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "lzw.tif", noise((1, 90, 90), "float32"), compress="lzw", predictor=3, **GEO)

    def missing(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "decode", missing)
    scene = Scene.open(path)  # which decodes nothing
    with pytest.raises(DataError, match=r"lzw.tif is compressed \(COMPRESSION.LZW\).*pip install imagecodecs"):
        scene.read()


def test_without_rasterio_pixels_are_read_and_the_rest_is_explained(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", noise((1, 20, 30), "uint8"), **(GEO | {"nodata": 0}))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    scene = Scene.open(path)
    assert scene.read().shape == (1, 20, 30)
    assert scene.georeferenced
    with pytest.raises(DataError, match=r"georeference of .*a.tif needs a package.*pip install 'sarcore\[geo\]'"):
        _ = scene.crs
    shutil.copy(path, tmp_path / "a.jp2")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(DataError, match=r"a.tif needs a package.*tifffile.*pip install 'sarcore\[geo\]'"):
        Scene.open(path)
    with pytest.raises(DataError, match=r"a.jp2 needs a package.*pip install 'sarcore\[geo\]'"):
        Scene.open(tmp_path / "a.jp2")


class Windows(torch.utils.data.Dataset):
    def __init__(self, scene):
        self.scene = scene

    def __len__(self):
        return 24

    def __getitem__(self, k):
        return torch.from_numpy(self.scene.read(2 * k, k, 9, 9).astype(np.int32))


@pytest.mark.parametrize("layout", ["strips", "deflate-tiles", "gdal"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_pickled_forked_and_in_threads(tmp_path, layout):
    pixels = noise((1, 60, 70), "int16")
    path = write(tmp_path / "a.tif", pixels, **(LAYOUTS["strips" if layout == "gdal" else layout] | GEO))
    scene = Scene.open(path, nodata=3)
    if layout == "gdal":
        scene._source = GdalSource(path)
    scene.read()
    again = pickle.loads(pickle.dumps(scene))
    assert (again.nodata, again.shape, again.crs) == (3, scene.shape, scene.crs)
    wanted = [pixels[:, 2 * k : 2 * k + 9, k : k + 9] for k in range(24)]
    context = multiprocessing.get_context("fork")
    loader = torch.utils.data.DataLoader(Windows(scene), batch_size=4, num_workers=2, multiprocessing_context=context)
    np.testing.assert_array_equal(torch.cat(list(loader)).numpy(), np.stack(wanted))
    np.testing.assert_array_equal(scene.read(), pixels)
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(lambda k: scene.read(2 * k, k, 9, 9), range(24))):
            np.testing.assert_array_equal(found, wanted[k])
    memory = Scene.open(pixels, nodata=1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(memory)).read(), pixels)


def test_what_is_kept_is_bounded_and_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(SEGMENTS, "limit", 5000)
    paths = [
        write(tmp_path / f"{k}.tif", noise((1, 60, 70), "int16", k), **(LAYOUTS["deflate-tiles"] | GEO))
        for k in range(3)
    ]
    scenes = [Scene.open(path) for path in paths]
    for _ in range(2):
        for k, scene in enumerate(scenes):
            np.testing.assert_array_equal(scene.read(), noise((1, 60, 70), "int16", k))
            assert 0 < SEGMENTS.size <= 5000
    monkeypatch.setattr(SEGMENTS, "limit", 100)  # less than a tile
    np.testing.assert_array_equal(scenes[0].read(), noise((1, 60, 70), "int16"))
    assert SEGMENTS.size == 32 * 16 * 2
    scenes[0].close()
    assert SEGMENTS.size == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_that_are_done_with_are_let_go(tmp_path, channels):
    pixels = noise((channels, 60, 70), "int16")
    scene = Scene.open(write(tmp_path / "a.tif", pixels, **(LAYOUTS["deflate-tiles"] | GEO)))
    scene.read()
    whole = SEGMENTS.size
    scene.release(31)  # a row of the first tiles is still needed
    assert SEGMENTS.size == whole
    scene.release(32)
    assert SEGMENTS.size == whole // 2
    np.testing.assert_array_equal(scene.read(), pixels)
    assert SEGMENTS.size == whole
    scene.close()


def test_many_scenes_hold_no_files(tmp_path):
    path = write(tmp_path / "a.tif", noise((1, 60, 70), "int16"), **(LAYOUTS["deflate-tiles"] | GEO))
    np.save(tmp_path / "a.npy", noise((1, 60, 70), "int16"))

    def files():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = files()
    scenes = [Scene.open(name) for name in (path, tmp_path / "a.npy") for _ in range(20)]
    assert files() == before
    for scene in scenes:
        scene.read()
    assert files() == before + 40
    for scene in scenes:
        scene.close()
    assert files() == before
    np.testing.assert_array_equal(scenes[0].read(), scenes[-1].read())


_PEAK = """
import resource, sys
from sarcore.data import Scene
scene = Scene.open(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = 0
for row in range(0, scene.shape[1], 512):
    for column in range(0, scene.shape[2], 512):
        total += int(scene.read(row, column, 512, 512)[0, 0, 0])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["zlib", None])
def test_memory_stays_flat(tmp_path, compression):
    """512 MiB of pixels, mapped or compressed: reading all of it by windows adds less than 400 MiB."""
    tile = noise((256, 256), "uint16")
    stored = zlib.compress(tile.tobytes(), 1) if compression else tile
    tifffile.imwrite(
        tmp_path / "a.tif", (stored for _ in range(64**2)) if compression else np.tile(tile, (64, 64)),
        shape=(16384, 16384), dtype="uint16", tile=(256, 256) if compression else None, compression=compression,
    )  # fmt: skip
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "a.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 400, f"{done.stdout} MiB"
