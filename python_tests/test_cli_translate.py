"""``sarcore translate`` with the checkpoint of a short training."""

import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from sarcore.cli import main
from sarcore.data import Scene, read_image, write_image
from sarcore.experiments.translation import load_translator
from sarcore.inference import translate_images

from .translation_runs import KINDS, SMALL, images


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    data = images(root / "pairs")
    for kind in KINDS:
        words = ["train", kind, str(data), "--out", str(root / kind), "--steps", "2", "--checkpoint-every", "2"]
        assert main([*words, *SMALL, *KINDS[kind]]) == 0
    return root


@pytest.fixture
def scene(tmp_path):
    file = tmp_path / "scene.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (1, 130, 90)).astype(np.uint8)
    layout = {"driver": "GTiff", "height": 130, "width": 90, "count": 1, "dtype": "uint8", "crs": "EPSG:32631"}
    with rasterio.open(file, "w", **layout, transform=Affine(10, 0, 5e5, 0, -10, 4e6)) as out:
        out.write(pixels)
    return file


def said(capsys):
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("stats", ["global", "frozen"])
def test_a_scene(runs, scene, tmp_path, capsys, stats):
    out = tmp_path / "out.tif"
    words = ["translate", str(runs / "cyclegan"), str(scene), str(out), "--direction", "AtoB", "--size", "64"]
    assert main([*words, "--norm-stats", stats, "--device", "cpu", "--batch", "2"]) == 0
    text = said(capsys)
    assert "Translator(cyclegan AtoB" in text
    assert ("statistics, layers" in text) == (stats == "global")
    assert "3 x 130 x 90" in text
    with rasterio.open(out) as file:
        assert (file.crs.to_epsg(), file.transform.c, file.count, file.nodata) == (32631, 5e5, 3, None)
        found = file.read()
    whole = translate_images(load_translator(runs / "cyclegan", "AtoB"), Scene.open(scene).read())
    if stats == "global":
        assert np.abs(found.astype(int) - whole).max() <= 1


def test_one_direction_needs_its_images_alone(runs, tmp_path, capsys):
    """A folder of SAR images from which no optical image is near."""
    folder = tmp_path / "sar"
    shutil.copytree(runs / "pairs" / "s1_000", folder)
    assert main(["translate", str(runs / "pix2pix"), str(folder), str(tmp_path / "out"), "--device", "cpu"]) == 0
    files = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert files == sorted(path.name for path in folder.iterdir())
    translator = load_translator(runs / "pix2pix")
    image = read_image(folder / files[0])
    np.testing.assert_array_equal(read_image(tmp_path / "out" / files[0]), translate_images(translator, image))
    assert "images: 2/2" in said(capsys)


def test_the_way_back(runs, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 50)).astype(np.uint8)
    colour = write_image(tmp_path / "colour.png", pixels)
    words = ["translate", str(runs / "cyclegan"), str(colour), str(tmp_path / "sar.png"), "--direction", "BtoA"]
    assert main(words) == 0
    assert read_image(tmp_path / "sar.png").shape == (1, 40, 50)
    text = said(capsys)
    assert "georeference" not in text
    assert "warning" not in text


def test_a_radar_image_in_three_equal_channels_is_noticed(runs, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 40, 50)).astype(np.uint8)
    grey = write_image(tmp_path / "in" / "grey.png", pixels.repeat(3, axis=0))
    words = [
        "translate",
        str(runs / "cyclegan"),
        str(grey),
        str(tmp_path / "out.png"),
        "--device",
        "cpu",
        "--direction",
    ]
    warning = f"warning: the three channels of {grey} are equal, and BtoA takes optical images in colour"
    assert main([*words, "BtoA"]) == 0
    assert warning in said(capsys).replace("\n", " ")
    words[2:4] = [str(tmp_path / "in"), str(tmp_path / "out")]
    assert main([*words, "BtoA"]) == 0
    assert warning in said(capsys).replace("\n", " ")
    words[3] = str(tmp_path / "other")
    assert main([*words, "AtoB"]) == 0
    assert "warning" not in said(capsys)


def test_a_mask_that_is_not_read_is_said(runs, scene, tmp_path, capsys):
    words = ["translate", str(runs / "pix2pix"), str(scene), str(tmp_path / "out.tif")]
    assert main(words) == 0
    assert "has a mask" not in said(capsys)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(scene, "r+") as file:
        file.write_mask(np.arange(130 * 90).reshape(130, 90) > 500)
    assert main(words) == 0
    assert "as in --nodata 0" in " ".join(said(capsys).split())
    assert main([*words, "--nodata", "0"]) == 0
    assert "has a mask" not in said(capsys)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["cyclegan", "scene.tif", "out.tif"], "give the direction AtoB or BtoA"),
        (["pix2pix", "scene.tif", "out.tif", "--direction", "BtoA"], "is a Pix2Pix AtoB"),
        (["cyclegan", "scene.tif", "out.tif", "--direction", "BtoA"], "has 1 channels"),
        (["cyclegan", "scene.tif", "out.tif", "--direction", "BtoA"], "; SAR images AtoB"),
        (["cyclegan", "colour.npy", "out.tif", "--direction", "AtoB"], "; optical images are translated BtoA"),
        (["cyclegan", "missing.tif", "out.tif", "--direction", "AtoB"], "missing.tif"),
        (["cyclegan", "scene.tif", "out.jpg", "--direction", "AtoB"], "use one of the suffixes"),
        (["cyclegan", "scene.tif", "out.tif", "--direction", "AtoB", "--unit", "db"], "unit must be 'digital'"),
        (["cyclegan", "float.npy", "out.tif", "--direction", "AtoB"], "the model takes uint8 grey values"),
        (["pairs", "scene.tif", "out.tif"], "pairs"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(runs, scene, tmp_path, capsys, words, match):
    np.save(tmp_path / "colour.npy", np.arange(2700, dtype=np.uint8).reshape(3, 30, 30))
    np.save(tmp_path / "float.npy", np.linspace(-20, -1, 900).reshape(1, 30, 30))
    run, file, out, *options = words
    assert main(["translate", str(runs / run), str(tmp_path / file), str(tmp_path / out), *options]) == 1
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert not (tmp_path / out).exists()
