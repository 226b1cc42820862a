"""sarcore tile and sarcore split: what they print and write, on real scenes too."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch

from sarcore import Radiometry
from sarcore.cli import main
from sarcore.data import PatchFolder, Scene, SceneWriter, Split, read_image, write_image
from sarcore.ops import decode, encode


def rows_of(folder):
    with open(folder / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


def gamma(seed, shape=(200, 200)):
    return np.random.default_rng(seed).gamma(4, 0.25, shape).astype(np.float32)


def test_tile_says_what_it_found_and_left_out(tmp_path, capsys):
    paths = [str(write_image(tmp_path / f"{name}.tif", gamma(k))) for k, name in enumerate("ab")]
    out = tmp_path / "set"
    assert main(["tile", *paths, "--size", "64", "--out", str(out), "--min-valid", "0.2"]) == 0
    text = capsys.readouterr().out
    assert "unit intensity, as it seems" in text
    assert re.search(r"limits -\S+ and \S+ db, of all scenes; declare them with --low and --high", text)
    assert f"18 patches of 64×64 from 2 scenes in {out}: unlabelled 18" in text
    assert "left out: 14 with too few valid pixels" in text
    folder = PatchFolder.open(out)
    assert (folder.dtype, folder.shape, len(folder)) == (np.uint8, (1, 64, 64), 18)
    assert main(["tile", *paths, "--size", "64", "--out", str(out)]) == 1
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_tile_with_labels_and_declarations(tmp_path, capsys):
    path = str(write_image(tmp_path / "a.tif", 10 * np.log10(gamma(0))))
    labels = np.zeros((200, 200), np.uint8)
    labels[:, 100:] = 1
    labels[150:, :100] = 7
    write_image(tmp_path / "labels.png", labels)
    out = tmp_path / "set"
    options = ["--unit", "db", "--low", "-10", "--high", "5", "--bits", "16", "--size", "40", "--nodata", "-99"]
    options += ["--labels", str(tmp_path / "labels.png"), "--class-names", "0=land", "1=water", "--majority", "0.9"]
    assert main(["tile", path, "--out", str(out), *options]) == 0
    text = capsys.readouterr().out
    assert "as it seems" not in text
    assert "22 patches of 40×40 from 1 scene" in text or "patches of 40×40" in text
    assert "with no clear class" in text
    folder = PatchFolder.open(out)
    assert folder.classes == ["land", "water"]
    card = json.loads((out / "dataset.json").read_text())
    declared = Radiometry.from_dict(card["radiometry"])
    assert declared == Radiometry("db", -10, 5, -99, "uint16")
    codes = torch.from_numpy(read_image(folder.paths[0]))
    y, x = folder.positions[0].tolist()
    values = torch.from_numpy(read_image(path)[:, y : y + 40, x : x + 40].copy()).clamp(-10, 5)
    assert (decode(codes, declared) - values).abs().max() <= 0.51 * 15 / 65534
    assert main(["tile", path, "--out", str(tmp_path / "x"), "--class-names", "water", *options[:6]]) == 1
    assert "class names are given as VALUE=NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.tif"], "does not exist"),
        (["a.tif", "--labels", "none.gpkg"], "none.gpkg does not exist"),
        (["a.tif", "--size", "0"], "size must be 1 to"),
        (["a.tif", "--unit", "watt"], "unit must be one of"),
        (["cut.tif"], "cut.tif"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.tif", gamma(0, (120, 120)))
    whole = write_image(tmp_path / "cut.tif", gamma(0, (300, 300))).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    before = sorted(tmp_path.iterdir())
    assert main(["tile", *arguments, "--out", "set"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_split_by_scene_and_by_blocks(tmp_path, capsys):
    paths = [str(write_image(tmp_path / f"{k}.tif", gamma(k))) for k in range(5)]
    many, few = tmp_path / "many", tmp_path / "few"
    declared = ["--unit", "intensity", "--low", "-10", "--high", "5", "--size", "32"]
    assert main(["tile", *paths, "--out", str(many), *declared]) == 0
    assert main(["tile", paths[0], "--out", str(few), *declared, "--stride", "16"]) == 0
    capsys.readouterr()
    assert main(["split", str(many)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"train: \d+ patches of 3 scenes: unlabelled \d+\n", text)
    assert "left out" not in text
    split, folder = Split.load(many / "split.json"), PatchFolder.open(many)
    assert {folder.scenes[i] for i in split.train}.isdisjoint(folder.scenes[i] for i in split.test)
    assert main(["split", str(many)]) == 1
    assert "split.json exists; remove it, give another --out" in capsys.readouterr().err
    assert main(["split", str(few), "--buffer", "4", "--fractions", "0.6", "0.2", "0.2", "--check"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"left out: \d+ patches within 4 pixels of another part", text)
    assert "nothing is shared between the parts" in text
    assert main(["split", str(few), "--fractions", "0.5", "0.2", "0.2", "--out", str(tmp_path / "x")]) == 1
    assert "fractions are (train, val, test)" in capsys.readouterr().err


def test_check_finds_what_is_shared_in_an_existing_split(tmp_path, capsys):
    path = str(write_image(tmp_path / "a.tif", gamma(0)))
    out = tmp_path / "set"
    declared = ["--unit", "intensity", "--low", "-10", "--high", "5", "--size", "40", "--stride", "20"]
    assert main(["tile", path, "--out", str(out), *declared]) == 0
    count = len(PatchFolder.open(out))
    split = Split(list(range(0, count, 2)), [], list(range(1, count, 2)), 0).save(tmp_path / "mine.json")
    before = split.read_bytes()
    capsys.readouterr()
    assert main(["split", str(out), "--out", str(split), "--check"]) == 1
    text = capsys.readouterr().out
    assert "found: 40 patches of test overlap with patches of train in the same scene" in text
    assert split.read_bytes() == before


def test_check_finds_copies_between_scenes_without_places(tmp_path, capsys):
    root = tmp_path / "set"
    for k in range(8):
        (root / "class").mkdir(parents=True, exist_ok=True)
        ground = np.kron(gamma(k, (10, 10)), np.ones((8, 8))) * gamma(100 + k, (80, 80))
        write_image(root / "class" / f"s{k}_0_0.png", np.clip(80 * np.sqrt(ground), 0, 255).astype(np.uint8))
    shifted = np.roll(read_image(root / "class" / "s3_0_0.png"), 2, axis=2)
    write_image(root / "class" / "s9_0_0.png", shifted)
    names = [path.stem for path in PatchFolder.open(root).paths]
    test = [names.index("s9_0_0"), 0]
    Split([i for i in range(9) if i not in test], [], test, 0).save(root / "split.json")
    assert main(["split", str(root), "--check"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"found: 1 patches of train and test are near duplicates, for example \S+s3_0_0.png", text)


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_scene(tmp_path):
    """A uint16 GeoTIFF of 2k, 8k and 20k pixels along a side, tiled by a process of its own."""
    peaks = {}
    for side in (2048, 8192, 20480):
        path = tmp_path / f"{side}.tif"
        rng = np.random.default_rng(0)
        block = rng.gamma(4, 100, (1, 1024, side)).astype(np.uint16)
        with SceneWriter(path, (1, side, side), "uint16") as out:
            for _ in range(0, side, 1024):
                out.write(block)
        code = (
            "import sys, resource; from sarcore.cli import main; done = main(sys.argv[1:]); "
            "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(done)"
        )
        options = ["--format", "shards", "--unit", "intensity", "--out", str(tmp_path / "set")]
        done = subprocess.run(
            [sys.executable, "-c", code, "tile", str(path), *options], capture_output=True, text=True, check=True
        )
        assert len(np.load(tmp_path / "set" / "shard_00000.npy", mmap_mode="r")) > 100
        peaks[side] = int(re.search(r"peak (\d+)", done.stdout)[1]) / 1024
        shutil.rmtree(tmp_path / "set")
        path.unlink()
    text = ", ".join(f"{side}: {peak:.0f} MiB" for side, peak in peaks.items())
    assert max(peaks.values()) < 2048, text
    assert peaks[20480] < peaks[8192] + 300, text
    print(text)  # noqa: T201


# ------ real scenes


def real(test_data, *parts):
    found = sorted(test_data.joinpath(*parts[:-1]).glob(parts[-1]))
    if not found:
        pytest.skip(f"{'/'.join(parts)} is not there")
    return found


def tiled(paths, out, *options):
    assert main(["tile", *map(str, paths), "--out", str(out), *options]) == 0
    return PatchFolder.open(out)


def test_linear_intensity_and_decibels(test_data, tmp_path, capsys):
    folder = tiled(real(test_data, "misc", "whu_s1_vh", "*.tif"), tmp_path / "whu", "--stride", "80")
    assert "unit intensity" in capsys.readouterr().out
    assert len(set(folder.scenes)) == 2
    assert len(folder) == 70  # 36 of each scene, without the corners
    stored = json.loads((tmp_path / "whu" / "dataset.json").read_text())["radiometry"]
    assert (stored["unit"], stored["scale"], stored["out"]) == ("intensity", "db", "uint8")
    paths = real(test_data, "misc", "pyrosar_s1", "*.tif")
    folder = tiled(paths, tmp_path / "db", "--size", "64", "--format", "tiff")
    assert "unit db" in capsys.readouterr().out
    assert (folder.radiometry.unit, folder.radiometry.nodata) == ("db", -99)
    with rasterio.open(paths[0]) as scene:
        for path, (row, column) in zip(folder.paths, folder.positions.tolist(), strict=True):
            with rasterio.open(path) as patch:
                assert (patch.crs, patch.nodata) == (scene.crs, -99)
                x, y = scene.transform.c + 20 * column, scene.transform.f - 20 * row
                assert (patch.transform.c, patch.transform.f) == pytest.approx((x, y))


def test_flood_labels(test_data, tmp_path, capsys):
    (scene,) = real(test_data, "misc", "sen1floods11_spain", "*S1Hand.tif")
    (labels,) = real(test_data, "misc", "sen1floods11_spain", "*LabelHand.tif")
    names = ["--class-names", "0=land", "1=water"]
    folder = tiled([scene], tmp_path / "set", "--size", "64", "--format", "npy", "--labels", str(labels), *names)
    assert folder.classes == ["land", "water"]
    assert folder.shape == (2, 64, 64)
    truth = Scene.open(labels).read()[0]
    for row in rows_of(tmp_path / "set"):
        y, x = int(row["row"]), int(row["column"])
        counts = [(truth[y : y + 64, x : x + 64] == value).sum() for value in (0, 1)]
        assert row["class"] == ("land" if counts[0] >= counts[1] else "water")
        assert max(counts) >= 0.5 * 64 * 64
    assert len(rows_of(tmp_path / "set")) + _left_out(capsys) == 64


def _left_out(capsys):
    found = re.search(r"left out: (\d+) with no clear class", capsys.readouterr().out)
    return int(found[1]) if found else 0


def test_big_endian_envi_into_shards(test_data, tmp_path):
    paths = real(test_data, "s1grd", "*/Amplitude_VV.hdr")[:3]
    folder = tiled(paths, tmp_path / "set", "--format", "shards", "--unit", "amplitude")
    assert sorted(set(folder.scenes)) == sorted(f"{path.parent.name}_Amplitude_VV" for path in paths)
    assert {path.name.split("#")[0] for path in folder.paths} == {"shard_00000.npy"}
    index = len(folder) // 2
    name, (row, column) = folder.scenes[index], folder.positions[index].tolist()
    (path,) = [path for path in paths if name == f"{path.parent.name}_Amplitude_VV"]
    size = int(path.parent.name.rsplit("_", 1)[1])
    whole = np.fromfile(path.with_suffix(".img"), ">f4").reshape(size, size)
    patch = np.pad(whole, ((0, 160), (0, 160)), mode="reflect")[row : row + 160, column : column + 160]
    assert torch.equal(folder[index][0][0], encode(torch.from_numpy(patch.astype(np.float32)), folder.radiometry))


def test_complex_single_look(test_data, tmp_path):
    (path,) = real(test_data, "misc", "isce3_uavsar_slc", "winnipeg*.npy")
    folder = tiled([path], tmp_path / "set", "--size", "50", "--format", "npy")
    assert folder.dtype == np.complex64
    assert folder.radiometry.unit == "complex"
    pixels = torch.from_numpy(np.load(path)[None])
    assert len(folder) == 25
    for index, (row, column) in enumerate(folder.positions.tolist()):
        expected = encode(pixels[:, row : row + 50, column : column + 50].contiguous(), folder.radiometry)
        assert torch.equal(folder[index][0], expected)
    assert folder.arrays()[0].dtype == torch.complex64
    coded = tiled([path], tmp_path / "codes", "--size", "50")
    assert (coded[7][0] - folder[7][0]).abs().max() <= 0.51 / 255


def test_eight_bit_png_scenes(test_data, tmp_path):
    paths = real(test_data, "sar1024", "00*.png")
    folder = tiled(paths, tmp_path / "set", "--size", "256")
    assert len(folder) == 16 * len(paths)
    assert folder.radiometry == Radiometry("digital", 0, 255)
    row, column = folder.positions[5].tolist()
    whole = read_image(next(path for path in paths if path.stem == folder.scenes[5]))
    np.testing.assert_array_equal(read_image(folder.paths[5]), whole[:, row : row + 256, column : column + 256])
