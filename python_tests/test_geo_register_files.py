"""Registered files: the optical one on the SAR file's grid, once resampled; failures write nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform_bounds
from scipy.ndimage import binary_dilation

from sarcore.cli.app import run
from sarcore.data.images import read_image, write_image
from sarcore.errors import DataError
from sarcore.geo.raster import opened
from sarcore.geo.register_files import register_files

from .geo_files import write_geotiff
from .register_images import about_middle, fields, warp

SIZE = 192
UTM = Affine(10, 0, 500000, 0, -10, 4000000)
FAST = ["--model", "shift", "--max-shift", "16"]


@pytest.fixture(scope="module")
def place() -> tuple[np.ndarray, np.ndarray]:
    return fields(SIZE, seed=3)


def error_of(out: Path, truth: np.ndarray) -> float:
    """Mean difference in grey values to the optical image as it should lie, inside."""
    with opened(out) as written:
        image, mask = written.read().astype(float), written.dataset_mask() > 0
    mask[:3], mask[-3:], mask[:, :3], mask[:, -3:] = False, False, False, False
    assert mask.mean() > 0.7
    return float(np.abs(image - truth)[:, mask].mean())


def test_georeferenced_files(place, tmp_path, capsys) -> None:
    sar, optical = place
    write_geotiff(tmp_path / "sar.tif", sar[None], "EPSG:32654", UTM)
    # The same pixels, said to lie 7 pixels further east and 5 further north.
    wrong = Affine(10, 0, 500070, 0, -10, 4000050)
    write_geotiff(tmp_path / "optical.tif", optical.astype(np.uint16) * 100, "EPSG:32654", wrong)
    arguments = [str(tmp_path / name) for name in ("optical.tif", "sar.tif", "out.tif")]
    assert run(["prep", "register", *arguments, *FAST, "--picture", str(tmp_path / "seen.png")]) == 0
    with rasterio.open(tmp_path / "out.tif") as written:
        assert (written.crs.to_epsg(), written.transform, written.shape) == (32654, UTM, (SIZE, SIZE))
        assert written.dtypes == ("uint16",) * 3
    assert error_of(tmp_path / "out.tif", 100.0 * optical) < 350  # 3.5 of 255: what a tenth of a pixel changes
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["success"]
    np.testing.assert_allclose(np.array(figures["matrix"])[:, 2], [-7, 5], atol=0.3)
    said = " ".join(capsys.readouterr().out.split())
    assert "tiles lie within 2 px" in said
    east, south = np.array(figures["matrix"])[:, 2]  # what is said is of the files, not of the area searched around
    assert f"moved by {east:.1f} columns and {south:.1f} rows" in said
    picture = read_image(tmp_path / "seen.png")
    assert picture.shape[0] == 3
    assert picture.std() > 20


def test_another_coordinate_system(place, tmp_path) -> None:
    sar, optical = place
    write_geotiff(tmp_path / "sar.tif", sar[None], "EPSG:32654", UTM)
    west, south, east, north = transform_bounds("EPSG:32654", "EPSG:4326", 500000, 4000000 - 10 * SIZE,
                                                500000 + 10 * SIZE, 4000000)  # fmt: skip
    width, height = SIZE, SIZE + 40
    there = Affine((east - west) / width, 0, west, 0, (south - north) / height, north)
    degrees = np.zeros((3, height, width), np.uint8)
    reproject(optical, degrees, src_transform=UTM, src_crs="EPSG:32654", dst_transform=there, dst_crs="EPSG:4326",
              resampling=Resampling.bilinear)  # fmt: skip
    write_geotiff(tmp_path / "optical.tif", degrees, "EPSG:4326", there)
    found = register_files(
        tmp_path / "optical.tif", tmp_path / "sar.tif", tmp_path / "out.tif", model="shift", max_shift=16
    )
    assert found.success, found.reasons
    assert error_of(tmp_path / "out.tif", optical) < 8


def test_images_without_a_place(place, tmp_path, capsys) -> None:
    sar, optical = place
    matrix = about_middle((8, -11), 1.0, 1.03, SIZE)
    moved, _ = warp(optical, matrix)
    write_image(tmp_path / "sar.png", np.clip(60 * sar[None], 0, 255).astype(np.uint8))
    write_image(tmp_path / "optical.png", moved)
    arguments = [str(tmp_path / name) for name in ("optical.png", "sar.png", "out.tif")]
    limits = ["--max-shift", "16", "--max-rotation", "2", "--max-scale", "1.06"]
    assert run(["prep", "register", *arguments, *limits]) == 0
    assert "no georeference" in capsys.readouterr().out
    assert error_of(tmp_path / "out.tif", optical) < 9
    with opened(tmp_path / "out.tif") as written:
        assert written.dtypes == ("uint8",) * 3
        mask = written.dataset_mask() > 0
        assert not mask.all()  # the warp brought pixels from outside
        far = ~binary_dilation(mask, iterations=3)  # from where no pixel is interpolated
        assert far.any()
        assert not written.read()[:, far].any()


def test_the_place_of_the_sar_file_is_kept(place, tmp_path) -> None:
    sar, optical = place
    write_geotiff(tmp_path / "sar.tif", sar[None], "EPSG:32654", UTM)
    write_image(tmp_path / "optical.png", optical)
    register_files(tmp_path / "optical.png", tmp_path / "sar.tif", tmp_path / "out.tif", model="shift", max_shift=16)
    with rasterio.open(tmp_path / "out.tif") as written:
        assert (written.crs.to_epsg(), written.transform) == (32654, UTM)


def test_a_failure_writes_nothing_unless_forced(place, tmp_path, capsys) -> None:
    write_geotiff(tmp_path / "sar.tif", place[0][None], "EPSG:32654", UTM)
    write_geotiff(tmp_path / "optical.tif", fields(SIZE, seed=11)[1], "EPSG:32654", UTM)
    arguments = [str(tmp_path / name) for name in ("optical.tif", "sar.tif", "out.tif")]
    assert run(["prep", "register", *arguments, *FAST]) == 1
    said = capsys.readouterr().err
    assert "could not be laid on" in said
    assert "Nothing was written" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["optical.tif", "sar.tif"]
    assert run(["prep", "register", *arguments, *FAST, "--force"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["success"] is False
    assert (tmp_path / "out.tif").exists()


def test_files_that_cannot_be_used(place, tmp_path) -> None:
    write_geotiff(tmp_path / "sar.tif", place[0][None], "EPSG:32654", UTM)
    write_geotiff(tmp_path / "far.tif", place[1], "EPSG:32654", Affine(10, 0, 600000, 0, -10, 4000000))
    with pytest.raises(DataError, match="covers"):
        register_files(tmp_path / "far.tif", tmp_path / "sar.tif", tmp_path / "out.tif")
    with pytest.raises(DataError, match="does not exist"):
        register_files(tmp_path / "none.tif", tmp_path / "sar.tif", tmp_path / "out.tif")
    with pytest.raises(DataError, match="use one of the suffixes .tif"):
        register_files(tmp_path / "far.tif", tmp_path / "sar.tif", tmp_path / "out.png")
    with pytest.raises(DataError, match="use one of the suffixes .png"):
        register_files(tmp_path / "far.tif", tmp_path / "sar.tif", tmp_path / "out.tif", picture=tmp_path / "a.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far.tif", "sar.tif"]
