"""sarcore.data.images."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sarcore.data import read_image, write_image
from sarcore.data.images import read_header, write_bytes
from sarcore.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [
        (".png", np.uint8, 1),
        (".png", np.uint8, 3),
        (".png", np.uint16, 1),
        (".tif", np.uint8, 1),
        (".tif", np.uint16, 2),
        (".tif", np.float32, 3),
        (".npy", np.float32, 1),
        (".npy", np.int16, 4),
    ],
)
def test_write_then_read_is_lossless(tmp_path: Path, suffix: str, dtype: type, channels: int) -> None:
    image = (RNG.random((channels, 9, 13)) * 250).astype(dtype)
    path = write_image(tmp_path / f"a{suffix}", image)
    back = read_image(path)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)
    assert read_header(path) == (image.shape, image.dtype)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_big_endian_becomes_native(tmp_path: Path) -> None:
    values = RNG.random((5, 6)).astype(">f4")
    np.save(tmp_path / "a.npy", values)
    tifffile.imwrite(tmp_path / "a.tif", values.astype(">u2"), byteorder=">")
    assert read_image(tmp_path / "a.npy").dtype == np.float32
    assert read_image(tmp_path / "a.npy").dtype.isnative
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy")[0], values)
    assert read_header(tmp_path / "a.tif").dtype == np.uint16


def test_tiff_with_samples_last_is_moved(tmp_path: Path) -> None:
    rgb = RNG.integers(0, 255, (7, 8, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), rgb.transpose(2, 0, 1))
    assert read_header(tmp_path / "a.tif").shape == (3, 7, 8)


def test_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 24), 90, dtype=np.uint8)).save(tmp_path / "a.jpg")
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg"), np.full((1, 20, 24), 90), atol=1)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".jpg"])
@pytest.mark.parametrize("keep", [0, 20, 0.6])
def test_damaged_file_is_one_sentence_with_the_path(tmp_path: Path, suffix: str, keep: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    image = RNG.integers(0, 255, (64, 64), dtype=np.uint8)
    if suffix == ".jpg":
        Image.fromarray(image).save(whole)
    else:
        write_image(whole, image)
    damaged = tmp_path / f"damaged{suffix}"
    content = whole.read_bytes()
    damaged.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(DataError, match="damaged") as caught:
        read_image(damaged)
    assert "\n" not in str(caught.value)
    if suffix != ".jpg":  # the header alone tells
        with pytest.raises(DataError, match="damaged"):
            read_header(damaged)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("complex.npy", np.zeros((4, 4), dtype=np.complex64), "complex64"),
        ("text.npy", np.array([["a"]]), "real numbers"),
        ("last.npy", np.zeros((8, 8, 3)), r"\(H, W\) or \(C, H, W\)"),
        ("four.npy", np.zeros((1, 1, 8, 8)), r"\(H, W\) or \(C, H, W\)"),
        ("empty.npy", np.zeros((0, 8)), "not empty"),
    ],
)
def test_unsupported_arrays(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / name, array)
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / name)


def test_missing_file_and_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DataError, match=r"\.gif is not an image"):
        read_image(tmp_path / "a.gif")
    with pytest.raises(DataError, match="PNG holds"):
        write_image(tmp_path / "a.png", np.zeros((4, 4), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.npy", np.ones((3, 3)))

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, np.zeros((3, 3)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]
    assert read_image(path).min() == 1


def test_a_failed_write_names_the_file_and_not_the_temporary_one(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "missing" / "a.bin", b"a")
    assert caught.value.filename == str(tmp_path / "missing" / "a.bin")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="a.bin") as caught:
        write_bytes(tmp_path / "a.bin", b"a")
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reader", [read_image, read_header])
def test_a_compression_that_needs_a_package_is_named(tmp_path, monkeypatch, reader):
    path = tmp_path / "lzw.tif"
    tifffile.imwrite(path, np.ones((40, 50), np.float32), compression="lzw")

    def missing(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", missing)
    if reader is read_header:  # which decodes nothing
        assert reader(path).shape == (1, 40, 50)
        return
    with pytest.raises(DataError, match=r"lzw.tif is compressed \(COMPRESSION.LZW\).*pip install imagecodecs"):
        reader(path)
