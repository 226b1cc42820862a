"""``sarcore speckle`` and ``sarcore despeckle``: what they write, say and refuse."""

import errno
from typing import get_args

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

from sarcore import ops
from sarcore.cli import filters, main
from sarcore.data import Scene, SceneWriter
from sarcore.ops._radar import DOMAINS
from sarcore.ops.despeckle import METHODS
from sarcore.ops.point_spread import KINDS

PLACE = {"crs": "EPSG:32631", "transform": Affine(10.0, 0.0, 5e5, 0.0, -10.0, 4.6e6)}


def pixels_of(file):
    return Scene.open(file).read()


@pytest.fixture
def scene(tmp_path):
    """A GeoTIFF of two bands in decibels, four looks, with no-data."""
    decibels = ops.speckle(torch.full((1, 2, 200, 150), -12.0), 4.0, seed=5, domain="db")[0].numpy()
    decibels[:, :10] = -99.0
    file = tmp_path / "scene.tif"
    layout = {"driver": "GTiff", "height": 200, "width": 150, "count": 2, "dtype": "float32", "nodata": -99.0}
    with rasterio.open(file, "w", **layout, **PLACE) as out:
        out.write(decibels)
        out.set_band_description(2, "VH")
    return file, decibels


def test_speckle_of_a_geotiff(scene, tmp_path, capsys):
    file, decibels = scene
    out = tmp_path / "out.tif"
    assert main(["speckle", str(file), str(out), "--looks", "2.5", "--seed", "3", "--psf", "gaussian"]) == 0
    said = capsys.readouterr().out
    assert "scene.tif holds db" in said
    assert "--domain" in said
    with rasterio.open(file) as before, rasterio.open(out) as after:
        assert (after.crs, after.transform, after.nodata) == (before.crs, before.transform, -99.0)
        assert after.descriptions == (None, "VH")
        found = after.read()
    x = torch.from_numpy(decibels)[None]
    expected = ops.speckle(x, 2.5, seed=3, domain="db", psf="gaussian", mask=x != -99)[0]
    np.testing.assert_array_equal(found, expected)
    assert (found[:, :10] == -99).all()


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--method", "refined_lee", "--looks", "4"], {"method": "refined_lee", "looks": 4.0}),
        (["--method", "frost", "--window", "5", "--damping", "2", "--looks", "4"],
         {"method": "frost", "window": 5, "damping": 2.0, "looks": 4.0}),
        (["--looks", "4", "--domain", "log"], {"looks": 4.0, "domain": "log"}),
    ],
)  # fmt: skip
def test_despeckle_of_a_geotiff(scene, tmp_path, options, arguments):
    file, decibels = scene
    if "log" in options:  # as numbers, decibels are too far from one for logarithms
        decibels = np.where(decibels == -99, -99, decibels * np.float32(0.23))
        with rasterio.open(file, "r+") as opened:
            opened.write(decibels)
    out = tmp_path / "out.tif"
    assert main(["despeckle", str(file), str(out), *options]) == 0
    x = torch.from_numpy(decibels)[None]
    expected = ops.despeckle(x, mask=x != -99, **{"domain": "db", **arguments})[0]
    np.testing.assert_array_equal(pixels_of(out), expected)
    kept, given = ([(code, value) for code, _, _, value, _ in Scene.open(f).tags] for f in (out, file))
    assert kept == given


def test_looks_are_estimated_and_said(scene, tmp_path, capsys):
    file, _ = scene
    assert main(["despeckle", str(file), str(tmp_path / "out.tif")]) == 0
    said = capsys.readouterr().out
    estimates = said.split("looks ")[1].split(", estimated")[0].split(", ")
    assert [float(e) for e in estimates] == pytest.approx([4.0, 4.0], rel=0.15)
    assert "--looks" in said


def test_eight_bit_images_need_a_declaration(tmp_path, capsys):
    file = tmp_path / "patch.png"
    with SceneWriter(file, (1, 64, 64), np.uint8) as writer:
        writer.write(np.full((1, 64, 64), 180, np.uint8))
    out = tmp_path / "out.png"
    assert main(["speckle", str(file), str(out), "--looks", "1"]) == 1
    assert "amplitude" in capsys.readouterr().err
    assert not out.exists()
    assert main(["speckle", str(file), str(out), "--looks", "1", "--domain", "amplitude"]) == 0
    assert "beyond 0 to 255" in capsys.readouterr().out
    assert pixels_of(out).dtype == np.uint8


def test_complex_images(tmp_path, capsys):
    z = ops.speckle_field((1, 1, 160, 160), seed=1, domain="complex")[0].numpy()
    file = tmp_path / "z.npy"
    np.save(file, z)
    assert main(["speckle", str(file), str(tmp_path / "w.npy"), "--looks", "1", "--seed", "9"]) == 0
    expected = ops.speckle(torch.from_numpy(z)[None], 1, seed=9, domain="complex")[0]
    np.testing.assert_array_equal(pixels_of(tmp_path / "w.npy"), expected)
    assert main(["speckle", str(file), str(tmp_path / "w.npy"), "--looks", "4"]) == 1
    assert "looks must be 1" in capsys.readouterr().err
    assert main(["despeckle", str(file), str(tmp_path / "i.npy"), "--looks", "1"]) == 0
    power = torch.from_numpy(z.real**2 + z.imag**2)[None]
    np.testing.assert_array_equal(pixels_of(tmp_path / "i.npy"), ops.despeckle(power, looks=1.0)[0])


def test_a_complex_tiff_goes_on(tmp_path):
    z = ops.speckle_field((1, 1, 160, 160), seed=1, domain="complex")[0].numpy()
    np.save(tmp_path / "z.npy", z)
    assert main(["speckle", str(tmp_path / "z.npy"), str(tmp_path / "z.tif"), "--looks", "1"]) == 0
    assert main(["despeckle", str(tmp_path / "z.tif"), str(tmp_path / "i.tif"), "--looks", "1"]) == 0
    assert pixels_of(tmp_path / "i.tif").dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["speckle", "nowhere.tif", "out.tif", "--looks", "1"], "nowhere.tif does not exist"),
        (["speckle", "scene.tif", "out.tif", "--looks", "0"], "looks must be"),
        (["speckle", "scene.tif", "out.jpg", "--looks", "1"], "out.jpg"),
        (["speckle", "scene.tif", "out.tif", "--looks", "1", "--domain", "intensity"], "has negative values"),
        (["speckle", "scene.tif", "out.tif", "--looks", "1", "--domain", "complex"], "contradicts"),
        (
            ["speckle", "scene.tif", "out.tif", "--looks", "1", "--psf", "hamming", "--oversampling", "9"],
            "oversampling",
        ),
        (["despeckle", "scene.tif", "out.png"], "write a .tif"),
        (["despeckle", "scene.tif", "scene.tif"], "it is the image that is read"),
        (["despeckle", "scene.tif", "out.tif", "--looks", "4", "--window", "8"], "window must be odd"),
        (["despeckle", "scene.tif", "out.tif", "--looks", "4", "--method", "refined_lee", "--window", "5"], "7"),
        (["despeckle", "scene.tif", "no/where/out.tif"], "does not exist"),
        (["despeckle", "scene.tif", "out.tif", "--looks", "4", "--tile", "0"], "tile must be"),
        (["despeckle", "scene.tif", "out.tif", "--looks", "4", "--window", "151"], "window must"),
    ],
)
def test_one_line_says_what_is_wrong(scene, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("command", ["speckle", "despeckle"])
def test_the_result_does_not_depend_on_the_tiles(scene, tmp_path, command, suffix):
    file, _ = scene
    arguments = ["--looks", "4", *(["--psf", "hamming"] if command == "speckle" else ["--window", "11"])]
    whole, tiled = tmp_path / f"whole{suffix}", tmp_path / f"tiled{suffix}"
    assert main([command, str(file), str(whole), *arguments]) == 0
    assert main([command, str(file), str(tiled), *arguments, "--tile", "37"]) == 0
    assert tiled.read_bytes() == whole.read_bytes()


def test_a_png_of_tiles_counts_every_pixel_once(tmp_path, capsys):
    file, out = tmp_path / "patch.png", tmp_path / "out.png"
    with SceneWriter(file, (1, 64, 64), np.uint8) as writer:
        writer.write(np.full((1, 64, 64), 180, np.uint8))
    said = []
    for tile in ("2048", "20"):
        options = ["--looks", "1", "--domain", "amplitude", "--tile", tile]
        assert main(["speckle", str(file), str(out), *options]) == 0
        said.append(next(line[8:] for line in capsys.readouterr().out.splitlines() if "pixels" in line))  # no clock
    assert "beyond 0 to 255" in said[0]
    assert said[0] == said[1]


def test_an_interrupted_command_goes_on(scene, tmp_path, capsys, monkeypatch):
    file, _ = scene
    whole, out = tmp_path / "whole.tif", tmp_path / "out.tif"
    command = ["despeckle", str(file), str(out), "--looks", "4", "--tile", "40"]
    assert main(["despeckle", str(file), str(whole), "--looks", "4"]) == 0
    capsys.readouterr()
    step = filters.ConsoleProgress.step

    def stop(self, rows, logs):
        step(self, rows, logs)
        if rows == 120:
            raise KeyboardInterrupt

    monkeypatch.setattr(filters.ConsoleProgress, "step", stop)
    assert main(command) == 130
    assert "give the same command again to continue" in capsys.readouterr().err
    assert not out.exists()
    assert (tmp_path / "out.tif.parts").is_dir()
    monkeypatch.undo()
    for other, words in ((["--window", "9"], "overlap was 6 and is 8"), (["--damping", "2"], "damping 1 and is lee")):
        assert main([*command, *other]) == 1
        error = capsys.readouterr().err
        assert words in error
        assert "--no-resume" in error
        assert error.count("\n") == 1
    assert main(command) == 0
    assert "120 of 200 rows were finished before" in capsys.readouterr().out
    assert out.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "out.tif.parts").exists()


def test_begin_anew(scene, tmp_path, capsys, monkeypatch):
    file, _ = scene
    command = ["despeckle", str(file), str(tmp_path / "out.tif"), "--looks", "4", "--tile", "40"]
    monkeypatch.setattr(filters.ConsoleProgress, "step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(command) == 130
    monkeypatch.undo()
    assert main([*command, "--window", "5", "--no-resume"]) == 0
    assert "finished before" not in capsys.readouterr().out


def test_one_of_several_processes_speaks(scene, tmp_path, capsys, monkeypatch):
    file, _ = scene
    monkeypatch.setenv("RANK", "1")
    with filters._progress() as progress:
        progress.note("nothing to hear")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert main(["despeckle", str(file), str(tmp_path / "out.tif"), "--looks", "4"]) == 1
    assert "RANK and WORLD_SIZE" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_the_words_are_those_of_the_operators():
    """Written again in the command line, whose help must not import torch."""
    assert get_args(filters.Method) == METHODS
    assert get_args(filters.RealDomain) == ("auto", *DOMAINS)
    assert get_args(filters.Domain) == ("auto", *DOMAINS, "complex")
    assert get_args(filters.Spread) == ("none", *KINDS)


def test_what_cannot_be_filtered_is_named_before_anything_is_found_out(tmp_path, capsys):
    out = str(tmp_path / "out.tif")
    np.save(tmp_path / "small.npy", np.ones((5, 40), np.float32))
    assert main(["despeckle", str(tmp_path / "small.npy"), out, "--window", "9"]) == 1
    assert "small.npy of 5 x 40 pixels; got 9" in capsys.readouterr().err
    np.save(tmp_path / "empty.npy", np.full((40, 40), np.nan, np.float32))
    assert main(["despeckle", str(tmp_path / "empty.npy"), out, "--domain", "intensity"]) == 1
    assert "empty.npy cannot be estimated (" in capsys.readouterr().err
    np.save(tmp_path / "complex.npy", np.random.default_rng(0).normal(size=(64, 64, 2)).view(complex)[..., 0])
    assert main(["despeckle", str(tmp_path / "complex.npy"), out, "--looks", "1"]) == 0
    assert "--domain" not in capsys.readouterr().out  # it is certain, and complex is no choice there


def test_a_disk_that_is_full_from_the_start_keeps_no_folder(scene, tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sarcore.inference.scene_parts.os.replace", full)
    assert main(["despeckle", str(scene[0]), str(tmp_path / "out.tif"), "--looks", "4"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]
