"""SceneWriter: wrong rows, full disks, interruptions: one sentence, and nothing is left."""

import errno
import sys

import numpy as np
import pytest
import tifffile

from sarcore.data import Scene, SceneWriter, write_image
from sarcore.errors import DataError

from .scene_files import GEO, noise, write


def test_wrong_rows_and_arguments(tmp_path):
    path = tmp_path / "a.tif"
    for arguments, message in (
        ({"shape": (0, 9, 9)}, "shape must be"),
        ({"shape": (9, 9)}, "shape must be"),
        ({"tile": 100}, "tile must be a multiple of 16, got 100"),
        ({"compression": "rar"}, "compression must be one of deflate, zstd, lzw, none, got 'rar'"),
    ):
        with pytest.raises(ValueError, match=message):
            SceneWriter(path, **({"shape": (1, 9, 9), "dtype": "uint8"} | arguments))
    out = SceneWriter(path, (2, 9, 8), "uint8")
    with pytest.raises(ValueError, match="use it in a with statement"):
        out.write(np.zeros((2, 9, 8), np.uint8))
    for rows, message in (
        (np.zeros((1, 9, 8), np.uint8), r"rows must have the shape \(2, r, 8\), got \(1, 9, 8\)"),
        (np.zeros((2, 9), np.uint8), r"rows must have the shape \(2, r, 8\), got \(2, 9\)"),
        (np.zeros((2, 9, 8), np.int8), "rows must be uint8 as the file is, got int8"),
        (np.zeros((2, 10, 8), np.uint8), "10 rows were given, but .*a.tif has 9"),
        (np.zeros((2, 8, 8), np.uint8), "a.tif was not written: 8 of its 9 rows were given"),
    ):
        with pytest.raises(ValueError, match=message), SceneWriter(path, (2, 9, 8), "uint8") as out:
            out.write(rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, suffix, error):
    path = write_image(tmp_path / f"a{suffix}", noise((1, 40, 50), "uint8"))
    before = path.read_bytes()
    with pytest.raises(error), SceneWriter(path, (1, 4000, 500), "uint8") as out:  # noqa: PT012
        for _ in range(3):
            out.write(noise((1, 900, 500), "uint8"))
        raise error
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_the_output_must_not_be_the_input(tmp_path):
    path = write(tmp_path / "a.tif", noise((1, 20, 30), "uint8"), **GEO | {"nodata": 1})
    (tmp_path / "link.tif").symlink_to(path)
    for name in ("a.tif", "link.tif"):
        with pytest.raises(DataError, match=f"{name}: it is the image that is read; give another name"):
            SceneWriter(tmp_path / name, (1, 20, 30), "uint8", like=Scene.open(path))


def write_all(out):
    """In bands of 400 rows."""
    for _ in range(out.shape[1] // 400):
        out.write(noise((1, 400, out.shape[2]), "uint8"))


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png"])
def test_a_full_disk(tmp_path, monkeypatch, suffix):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in (
        "tifffile.imwrite",
        "sarcore.data.scene_writer._NpyRows.write",
        "sarcore.data.scene_writer.write_image",
    ):
        monkeypatch.setattr(name, full)
    with (
        pytest.raises(DataError, match=f"cannot write .*a{suffix}: the disk is full; make room or write elsewhere"),
        SceneWriter(tmp_path / f"a{suffix}", (1, 4000, 300), "uint8") as out,
    ):
        write_all(out)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("tempfile.mkdtemp", full)
    with (
        pytest.raises(DataError, match="the disk is full"),
        SceneWriter(tmp_path / f"a{suffix}", (1, 4000, 300), "uint8"),
    ):
        pass


def test_a_disk_that_fills_while_tiles_are_written(tmp_path, monkeypatch):
    """Errors of the writing thread come out of write, not only of the end."""
    tiles = tifffile.TiffWriter.write

    def full(self, data, **options):
        def some():
            for k, tile in enumerate(data):
                if k == 5:
                    raise OSError(errno.ENOSPC, "No space left on device")
                yield tile

        return tiles(self, some(), **options)

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    out = SceneWriter(tmp_path / "a.tif", (1, 40000, 64), "uint8", tile=16)
    with pytest.raises(DataError, match="the disk is full"), out:
        write_all(out)
    assert out.rows_done < 40000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "options", "kind"),
    [
        ("imagecodecs", {"compression": "zstd"}, "GeoTIFF with compression 'zstd'"),
        ("rasterio", {"cog": True}, "Cloud Optimized GeoTIFF"),
        ("tifffile", {}, "GeoTIFF with compression 'deflate'"),
    ],
)
def test_without_packages(tmp_path, monkeypatch, missing, options, kind):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        DataError, match=rf"the {kind} .*a.tif needs a package.*{missing}.*pip install 'sarcore\[geo\]'"
    ):
        SceneWriter(tmp_path / "a.tif", (1, 9, 9), "uint8", **options)


def test_without_imagecodecs_deflate_is_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    pixels = noise((1, 40, 50), "float32")
    with SceneWriter(tmp_path / "a.tif", pixels.shape, "float32") as out:
        out.write(pixels)
    np.testing.assert_array_equal(Scene.open(out.path).read(), pixels)


def test_errors_of_gdal_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("rasterio.shutil.copy", lambda *_, **__: 1 / 0)
    with (
        pytest.raises(DataError, match="cannot write a.tif as a Cloud Optimized GeoTIFF: division"),
        SceneWriter(tmp_path / "a.tif", (1, 400, 50), "uint8", cog=True) as out,
    ):
        write_all(out)
    assert list(tmp_path.iterdir()) == []
