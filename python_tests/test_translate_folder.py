"""Folders of images translated: names, what is left alone, and what is refused."""

import importlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from sarcore import Radiometry
from sarcore.data import read_image, write_image
from sarcore.errors import DataError
from sarcore.inference import Translator, translate_folder, translate_images
from sarcore.models import ResNetGenerator
from sarcore.nn import SpeckleLayer

from .translation_networks import COLOURS, FLOATS, lively, translator_of

# The package has the function under the module's name.
translate_folder_module = importlib.import_module("sarcore.inference.translate_folder")


def network(outputs=3):
    return ResNetGenerator(1, outputs, width=4, blocks=0, norm="batch")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (1, 30, 20 + number)).astype(np.uint8)
        write_image(folder / f"{number}.png", pixels)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_every_image_and_nothing_else(images, tmp_path):
    translator = translator_of(network(), COLOURS, COLOURS)
    heard = []
    files = translate_folder(translator, images, tmp_path / "out", on_image=heard.append)
    assert [file.name for file in files] == ["0.png", "1.png", "2.png"]
    assert heard == [1, 2, 3]
    for file in files:
        np.testing.assert_array_equal(read_image(file), translate_images(translator, read_image(images / file.name)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png", "translation.json"]


def test_types_of_files(images, tmp_path):
    plain = translate_folder(translator_of(network(1), COLOURS, FLOATS), images, tmp_path / "floats")
    assert {file.suffix for file in plain} == {".tif"}
    layout = {"driver": "GTiff", "height": 9, "width": 9, "count": 1, "dtype": "uint8", "crs": "EPSG:32631"}
    with rasterio.open(images / "place.tif", "w", **layout, transform=Affine(10, 0, 5e5, 0, -10, 4e6)) as out:
        out.write(np.zeros((1, 9, 9), np.uint8))
    files = translate_folder(translator_of(network(), COLOURS, COLOURS), images, tmp_path / "out")
    assert [file.name for file in files] == ["0.png", "1.png", "2.png", "place.tif"]
    with rasterio.open(files[-1]) as file:
        assert file.crs.to_epsg() == 32631


def test_a_run_goes_on_and_newer_images_are_done_again(images, tmp_path):
    translator, out = translator_of(network(), COLOURS, COLOURS), tmp_path / "out"

    def stop(done):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_folder(translator, images, out, on_image=stop)
    assert not (out / "2.png").exists()
    before = {name: (out / name).stat().st_mtime_ns for name in ("0.png", "1.png")}
    newer = write_image(images / "1.png", np.full((1, 12, 12), 7, np.uint8))
    os.utime(newer, ns=(before["1.png"] + 10**9,) * 2)
    translate_folder(translator, images, out)
    assert (out / "0.png").stat().st_mtime_ns == before["0.png"]
    assert read_image(out / "1.png").shape == (3, 12, 12)
    assert (out / "2.png").is_file()


def test_another_translation_needs_another_folder(images, tmp_path):
    out = tmp_path / "out"
    translate_folder(translator_of(network(), COLOURS, COLOURS), images, out)
    other = Translator(lively(network(), seed=3), COLOURS, COLOURS, direction="AtoB")
    with pytest.raises(DataError, match="another translation"):
        translate_folder(other, images, out)
    with pytest.raises(DataError, match="other options"):
        translate_folder(translator_of(network(), COLOURS, COLOURS), images, out, norm_stats="patch")
    files = translate_folder(other, images, out, resume=False)
    np.testing.assert_array_equal(read_image(files[0]), translate_images(other, read_image(images / "0.png")))
    assert json.loads((out / "translation.json").read_text())["weights"] == other.checksum()


def test_several_processes_begin_a_folder_together(images, tmp_path, monkeypatch):
    """While one writes what the folder is, another one finds a file that is not the card."""
    translator, out, honest = (
        translator_of(network(), COLOURS, COLOURS),
        tmp_path / "out",
        translate_folder_module.write_bytes,
    )
    others = []

    def slowly(file, content):
        if not others:
            unfinished = file.with_name(".translation.half-written")
            unfinished.touch()
            others.append(pool.submit(translate_folder, translator, images, out))
            with pytest.raises(TimeoutError):
                others[0].result(timeout=0.3)
            unfinished.unlink()
        return honest(file, content)

    monkeypatch.setattr(translate_folder_module, "write_bytes", slowly)
    with ThreadPoolExecutor(1) as pool:
        translate_folder_module._begin(out, translate_folder_module._card(translator, {}), resume=True)
    assert [file.name for file in others[0].result()] == ["0.png", "1.png", "2.png"]


def test_a_process_killed_at_once_leaves_a_folder_to_go_on_with(images, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".translation.0a1b2c3d.json").write_text("{")
    assert len(translate_folder(translator_of(network(), COLOURS, COLOURS), images, tmp_path / "out")) == 3


def test_speckle_follows_from_the_name(images, tmp_path):
    sar = Radiometry("intensity", -40, 20, scale="db")

    def translations(out):
        layer = SpeckleLayer(1.0, radiometry=sar)
        translator = Translator(lively(network(1)), COLOURS, sar, direction="BtoA", speckle=layer)
        return {file.name: read_image(file) for file in translate_folder(translator, images, tmp_path / out)}

    for name in ("0.png", "1.png"):
        write_image(images / name, np.full((1, 40, 40), 128, np.uint8))
    first = translations("a")
    assert np.abs(np.log(first["0.tif"] / first["1.tif"])).mean() > 0.3
    (images / "0.png").unlink()
    np.testing.assert_array_equal(translations("b")["1.tif"], first["1.tif"])


def test_what_is_refused(images, tmp_path):
    translator = translator_of(network(), COLOURS, COLOURS)
    with pytest.raises(DataError, match="is no folder"):
        translate_folder(translator, images / "0.png", tmp_path / "out")
    with pytest.raises(DataError, match="holds no images.*one of the folders in it"):
        translate_folder(translator, tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="is not empty and holds no translations"):
        translate_folder(translator, images, images)
    with pytest.raises(DataError, match="cannot make the folder"):
        translate_folder(translator, images, tmp_path / "missing" / "out")
    write_image(images / "0.tif", np.zeros((1, 9, 9), np.uint8))
    with pytest.raises(DataError, match="several images that would become 0.png"):
        translate_folder(translator, images, tmp_path / "out")
    (images / "0.tif").unlink()
    for file in images.glob("*.png"):
        write_image(file, np.random.default_rng(0).integers(0, 256, (3, 9, 9)).astype(np.uint8))
    with pytest.raises(DataError, match="has 3 channels"):
        translate_folder(translator, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()
