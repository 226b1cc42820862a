"""`write_pair_crops`: crops of both rasters at one place, strips apart, grids, no-data, and the command."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import PairedFolder, PairViews, Scene, check_pairs, read_image, write_image, write_pair_crops
from sarcore.data.pair_crops import _Cutter, regions_of
from sarcore.errors import DataError

from .pair_sets import put

Array = npt.NDArray[Any]


def places(shape: tuple[int, int]) -> Array:
    """An image whose pixels are their own numbers, so that a crop tells where it was cut."""
    return np.arange(shape[0] * shape[1], dtype=np.float32).reshape(1, *shape)


def cut(folder: Path, part: str, width: int) -> list[tuple[int, int]]:
    """Rows and columns of the crops of a part, as their pixels tell; A and B must tell the same."""
    found = []
    for path in sorted((folder / f"{part}A").iterdir()):
        a, b = read_image(path), read_image(folder / f"{part}B" / path.name)
        assert (2 * a == b).all()
        number = int(a[0, 0, 0])
        assert (a[0] == number + np.arange(a.shape[1])[:, None] * width + np.arange(a.shape[2])).all()
        assert path.stem == f"array_{number // width}_{number % width}"
        found.append((number // width, number % width))
    return found


@pytest.mark.parametrize(
    ("test", "val_strip", "buffer"), [("bottom", 0, 0), *((side, 20, 7) for side in ("bottom", "top", "left", "right"))]
)
def test_no_crop_touches_a_strip_or_its_buffer(tmp_path: Path, test: str, val_strip: int, buffer: int) -> None:
    # I2-19: limit_y was computed and never used.
    shape, size, strip = ((120, 90) if test in ("bottom", "top") else (90, 120)), 16, 33
    image = places(shape)
    out = write_pair_crops(
        Scene.open(image), Scene.open(2 * image), tmp_path / "set", count=300, size=size, strip=strip,
        val_strip=val_strip, buffer=buffer, test=test, unit="digital",
    )  # fmt: skip
    parts = {part: cut(out, part, shape[1]) for part in ("train", "test", *(["val"] if val_strip else []))}
    axis = 0 if test in ("bottom", "top") else 1

    def distance(place: tuple[int, int]) -> int:
        """Pixels between a crop and the border of the test strip."""
        return place[axis] if test in ("top", "left") else shape[axis] - place[axis] - size

    assert len(set(parts["train"])) == 300
    nearest = strip + val_strip + buffer * (2 if val_strip else 1)
    lengths = [distance(place) for place in parts["train"]]
    assert min(lengths) == nearest  # up to the line and not beyond
    assert max(lengths) == shape[axis] - size
    across = [place[1 - axis] for place in parts["train"]]
    assert (min(across), max(across)) == (0, 90 - size)
    assert len(parts["test"]) == 2 * (90 // size)
    assert all(0 <= distance(place) <= strip - size for place in parts["test"])
    if val_strip:
        assert len(parts["val"]) == 90 // size
        assert all(strip + buffer <= distance(p) <= strip + buffer + val_strip - size for p in parts["val"])
    folder = PairedFolder.open(out)
    assert check_pairs(folder) == []  # one raster, and no pixel in two parts
    # A crop that does touch the strip is found.
    row, column = min(parts["test"])
    first = next((out / "trainA").iterdir()).name
    for side in "AB":
        moved = f"array_{row + 5 * (axis == 0)}_{column + 5 * (axis == 1)}.tif"
        (out / f"train{side}" / first).rename(out / f"train{side}" / moved)
    assert any("crops of test show pixels of train" in message for message in check_pairs(PairedFolder.open(out)))


def test_sets_of_several_rasters_may_be_put_together(tmp_path: Path) -> None:
    sets = []
    for name, test in (("bay", "top"), ("sea", "bottom")):
        image = np.random.default_rng(len(sets)).integers(0, 255, (1, 90, 60), dtype=np.uint8)
        raster = write_image(tmp_path / f"{name}.png", image)
        sets.append(write_pair_crops(raster, raster, tmp_path / test, count=20, size=32, test=test))
    for path in sets[1].rglob("*.png"):
        path.rename(sets[0] / path.relative_to(sets[1]))
    put(sets[0], {f"{name}/mine.png": np.zeros((1, 32, 32), dtype=np.uint8) for name in ("trainA", "trainB")})
    folder = PairedFolder.open(sets[0])
    assert len(folder) == 2 * 21 + 1
    assert check_pairs(folder) == []  # a strip of one raster lies beside the crops of its own raster alone


def test_a_thousand_crops_of_256_are_what_the_document_cuts(tmp_path: Path) -> None:
    """By default, with the strip at the bottom that its script cuts into W // 256 test tiles."""
    image = np.zeros((1, 600, 560), dtype=np.uint8)
    out = tmp_path / "set"
    write_image(tmp_path / "sar.png", image)
    write_image(tmp_path / "optical.png", np.repeat(image, 3, axis=0))
    assert main(["pairs", str(tmp_path / "sar.png"), str(tmp_path / "optical.png"), "--out", str(out)]) == 0
    folder = PairedFolder.open(out)
    assert (folder.parts.count("train"), folder.parts.count("test"), len(folder)) == (1000, 2, 1002)
    assert set(folder.sizes) == {(256, 256)}
    rows = {int(key.rsplit("_", 2)[1]) for key, part in zip(folder.keys, folder.parts, strict=True) if part == "train"}
    assert max(rows) <= 600 - 2 * 256


def test_the_same_seed_cuts_the_same_crops(tmp_path: Path) -> None:
    scene = Scene.open(places((60, 60)))
    double = Scene.open(2 * places((60, 60)))
    sets = [
        sorted(
            cut(
                write_pair_crops(scene, double, tmp_path / str(i), count=20, size=16, seed=seed, unit="digital"),
                "train",
                60,
            )
        )
        for i, seed in enumerate((0, 0, 1))
    ]
    assert sets[0] == sets[1] != sets[2]


def test_memory_does_not_grow_with_the_raster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene.open(np.broadcast_to(np.uint8(1), (6000, 6000)))
    written: list[int] = []
    monkeypatch.setattr(_Cutter, "valid", lambda *_: True)
    monkeypatch.setattr(_Cutter, "write", lambda _self, _folder, _part, found, *_: written.append(len(set(found))) or 0)
    tracemalloc.start()
    write_pair_crops(scene, scene, tmp_path / "set", count=50000, size=16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written[0] == 50000
    assert peak < 1e8  # a list of all places takes 287 MB


def test_values_types_and_radiometries_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    power = rng.gamma(1, 0.1, (1, 250, 200)).astype(np.float32)
    bands = rng.integers(300, 4000, (13, 250, 200)).astype(np.uint16)
    out = write_pair_crops(Scene.open(power), Scene.open(bands), tmp_path / "set", count=5, size=32)
    folder = PairedFolder.open(out)
    assert folder.channels == (1, 13)
    assert folder.radiometry_a.nodata is None
    assert (folder.radiometry_a.unit, folder.radiometry_a.scale) == ("intensity", "db")
    assert folder.radiometry_a.low == pytest.approx(np.percentile(10 * np.log10(power), 1), abs=0.05)
    assert folder.radiometry_b.high == pytest.approx(np.percentile(bands, 99), abs=1)
    a, b = folder.pair(0)
    row, column = (int(number) for number in folder.keys[0].rsplit("_", 2)[1:])
    assert torch.equal(a, torch.from_numpy(power[:, row : row + 32, column : column + 32]))
    assert torch.equal(b, torch.from_numpy(bands[:, row : row + 32, column : column + 32]))
    given = Radiometry("intensity", -20, 5, scale="db")
    again = write_pair_crops(Scene.open(power), Scene.open(bands), tmp_path / "b", count=1, size=32, radiometry_a=given)
    assert PairedFolder.open(again).radiometry_a == given
    card = json.loads((out / "dataset.json").read_text())
    assert card["parts"] == {"train": 5, "test": 6}


def test_windows_with_no_data_are_not_taken(tmp_path: Path) -> None:
    a, b = places((100, 100)) + 1, np.ones((3, 100, 100), dtype=np.uint8)
    a[0, :, 60:] = np.nan
    a[0, 70, 10] = -np.inf  # what decibels have where there is no power; no training would read the set
    b[:, :20] = 0
    b[0, 40, 30] = 0  # a dark red pixel is a value
    out = write_pair_crops(Scene.open(a), Scene.open(b, nodata=0), tmp_path / "set", count=200, size=16, unit="digital")
    folder = PairedFolder.open(out)
    corners = [tuple(map(int, key.rsplit("_", 2)[1:])) for key in folder.keys]
    assert min(row for row, _ in corners) == 20
    assert max(column for _, column in corners) <= 44
    assert not any(row <= 70 < row + 16 and column <= 10 < column + 16 for row, column in corners)
    assert any(row <= 40 < row + 16 and column <= 30 < column + 16 for row, column in corners)
    assert json.loads((out / "dataset.json").read_text())["left_out"] == {"test": 3}  # six tiles, of which three end
    with pytest.raises(DataError, match=r"of \d+ windows of 16 x 16 pixels 0 have no pixel without data, fewer than 5"):
        write_pair_crops(
            Scene.open(a), Scene.open(np.ones_like(b), nodata=1), tmp_path / "no", count=5, size=16, unit="digital"
        )
    a[0, 84:] = np.nan
    with pytest.raises(DataError, match="every tile of the test strip has pixels without data"):
        write_pair_crops(Scene.open(a), Scene.open(b), tmp_path / "no", count=5, size=16, unit="digital")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]  # nothing is left of what failed


def test_what_is_too_small_is_refused_with_the_numbers(tmp_path: Path) -> None:
    # I2-20: the document's own crop has 212 x 253 pixels; its script would raise, or cut from the test strip.
    scene = Scene.open(np.zeros((253, 212), dtype=np.uint8))
    message = r"show 253 x 212 pixels .*crops of 256 x 256 with a test strip of 256, .* need at least 512 x 256"
    with pytest.raises(DataError, match=message):
        write_pair_crops(scene, scene, tmp_path / "set")
    with pytest.raises(DataError, match="need at least 64 x 160"):
        regions_of((100, 100), 64, 80, 0, 16, "left")
    assert regions_of((160, 64), 64, 80, 0, 16, "top").train == (96, 0, 64, 64)
    narrow = Scene.open(np.zeros((128, 64), dtype=np.uint8))
    with pytest.raises(DataError, match="of 64 x 64 pixels has 1 places for crops of 64, fewer than 2"):
        write_pair_crops(narrow, narrow, tmp_path / "set", count=2, size=64)
    for wrong in ({"count": 0}, {"size": 0}, {"buffer": -1}, {"seed": -1}, {"test": "north"}, {"strip": 8, "size": 16}):
        with pytest.raises(ValueError, match="must"):
            write_pair_crops(scene, scene, tmp_path / "set", **wrong)  # type: ignore[arg-type]
    put(tmp_path / "used", {"a.png": np.zeros((1, 4, 4), dtype=np.uint8)})
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        write_pair_crops(scene, scene, tmp_path / "used")


def geotiff(
    path: Path, image: Array, *, x: float = 500000.0, y: float = 4e6, gsd: float = 10.0, crs: str = "EPSG:32654"
) -> Path:
    rasterio = pytest.importorskip("rasterio")
    count, height, width = image.shape
    transform = rasterio.Affine(gsd, 0, x, 0, -gsd, y)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=count,
        dtype=image.dtype,
        crs=crs,
        transform=transform,
    ) as file:
        file.write(image)
    return path


def test_georeferenced_rasters_are_cut_where_both_show_the_ground(tmp_path: Path) -> None:
    ground = np.random.default_rng(0).random((1, 120, 130), dtype=np.float32)
    a = geotiff(tmp_path / "a.tif", ground[:, :100, 10:])  # 100 x 120
    b = geotiff(tmp_path / "b.tif", ground[:, 20:, :110], x=500000 - 100, y=4e6 - 200)
    out = write_pair_crops(a, b, tmp_path / "set", count=50, size=24)
    folder = PairedFolder.open(out)
    assert len(folder) == 50 + 100 // 24
    assert all(torch.equal(*folder.pair(i)) for i in range(len(folder)))
    assert all(int(key.rsplit("_", 2)[1]) >= 20 for key in folder.keys)  # rows of A
    card = json.loads((out / "dataset.json").read_text())
    assert card["overlap"] == [80, 100]
    assert (card["a"]["first"], card["b"]["first"]) == ([20, 0], [0, 10])
    assert "UTM zone 54N" in card["a"]["crs"]
    assert card["b"]["transform"][2] == 499900


def test_rasters_on_two_grids_are_refused_with_the_command(tmp_path: Path) -> None:
    image = np.ones((1, 64, 64), dtype=np.uint8)
    a = geotiff(tmp_path / "a.tif", image)
    for changed, message in (
        ({"crs": "EPSG:32655"}, "different coordinate systems"),
        ({"gsd": 10.1}, r"differ in size or direction \(10 x 10 and 10.1 x 10.1\)"),
        ({"x": 500004.0}, "lie 0.00 rows and 0.40 columns apart, no whole pixels"),
    ):
        b = geotiff(tmp_path / "b.tif", image, **changed)  # type: ignore[arg-type]
        advice = rf"sarcore prep warp {b} OUT.tif --like {a}"
        with pytest.raises(DataError, match=rf"{message}.*{advice}"):
            write_pair_crops(a, b, tmp_path / "set", size=16)
    far = geotiff(tmp_path / "b.tif", image, x=600000.0)
    with pytest.raises(DataError, match="do not overlap: the second begins 0 rows below and 10000 columns"):
        write_pair_crops(a, far, tmp_path / "set", size=16)
    plain = write_image(tmp_path / "plain.png", image)
    with pytest.raises(DataError, match=r"a.tif knows its place on Earth and .*plain.png does not"):
        write_pair_crops(plain, a, tmp_path / "set", size=16)
    other = write_image(tmp_path / "other.png", image[:, 1:])
    with pytest.raises(DataError, match=r"64 x 64 pixels, .*other.png 63 x 64, and neither knows its place"):
        write_pair_crops(plain, other, tmp_path / "set", size=16)


def test_the_command_on_a_real_scene(test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, out = test_data / "scenes1024", tmp_path / "set"
    sar, optical = scenes / "sar" / "274.png", scenes / "opt" / "274.png"
    command = ["pairs", str(sar), str(optical), "--out", str(out), "--count", "12", "--buffer", "8", "--test", "right"]
    assert main(command) == 0
    assert f"pairs of 256×256 in {out}: train 12, test 4" in capsys.readouterr().out
    folder = PairedFolder.open(out)
    assert folder.channels == (1, 3)  # R = G = B in the file
    assert folder.notes
    whole = read_image(sar)[:1], read_image(optical)
    for i, key in enumerate(folder.keys):
        row, column = (int(number) for number in key.rsplit("_", 2)[1:])
        assert column == 768 if folder.parts[i] == "test" else column <= 768 - 8 - 256
        for image, crop in zip(whole, folder.pair(i), strict=True):
            assert (image[:, row : row + 256, column : column + 256] == crop.numpy()).all()
    assert PairViews(folder.of_part("train"), 128)[0][1].shape == (3, 128, 128)
    assert main(["split", str(out), "--check"]) == 0
    assert main(command) == 1
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_the_unit_of_the_radar_is_asked_for_where_it_cannot_be_told(tmp_path: Path) -> None:
    scene = Scene.open(places((100, 100)))
    with pytest.raises(DataError, match="the unit of the image cannot be told"):
        write_pair_crops(scene, scene, tmp_path / "set", count=2, size=16)
    out = write_pair_crops(scene, scene, tmp_path / "set", count=2, size=16, unit="amplitude")
    assert PairedFolder.open(out).radiometry_a.unit == "amplitude"
