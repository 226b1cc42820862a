"""What translations take and refuse, and how they go on after an interruption."""

import numpy as np
import pytest
import torch
from torch import nn

from sarcore import Radiometry
from sarcore.data import Scene
from sarcore.errors import DataError
from sarcore.inference import Translator, translate_images, translate_scene
from sarcore.inference.translate import check_scene
from sarcore.models import ResNetGenerator

from .translation_networks import COLOURS, DECIBELS, FLOATS, colours, copier, lively, translator_of, uneven_scene

# ------ what goes in


def test_units_that_convert(tmp_path):
    decibels = uneven_scene((1, 40, 50))
    model = Radiometry("intensity", -25, 0, scale="db")
    translator = copier(model)
    power = 10 ** (decibels.astype(np.float64) / 10)
    expected = translate_images(translator, power)
    for values, unit in (
        (decibels, "db"),
        (np.sqrt(power), "amplitude"),
        (np.sqrt(power).astype(np.complex64), "complex"),
    ):
        out = translate_scene(translator, Scene.open(values), tmp_path / "out.png", unit=unit)
        assert np.abs(Scene.open(out).read().astype(int) - expected).max() <= 1


def test_channels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 50)).astype(np.uint8)
    out = translate_scene(copier(COLOURS), Scene.open(pixels), tmp_path / "out.png", channels=[1])
    np.testing.assert_array_equal(Scene.open(out).read()[0], pixels[1])
    grey = pixels[:1].repeat(3, axis=0)
    out = translate_scene(copier(COLOURS), Scene.open(grey), tmp_path / "out.png")
    np.testing.assert_array_equal(Scene.open(out).read(), grey)
    with pytest.raises(DataError, match=r"has 3 channels, and Translator\(AtoB, 1 -> 3 channels\) takes 1.*--channels"):
        translate_scene(copier(COLOURS), Scene.open(pixels), tmp_path / "out.png")
    with pytest.raises(DataError, match="has 2 channels chosen"):
        translate_scene(copier(COLOURS), Scene.open(pixels), tmp_path / "out.png", channels=[0, 2])


@pytest.mark.parametrize(
    ("source", "pixels", "match"),
    [
        (COLOURS, uneven_scene((1, 40, 40)), "holds float32, and the model takes uint8 grey values"),
        (COLOURS, np.full((1, 40, 40), 900, np.uint16), "holds uint16, and the model takes uint8"),
        (COLOURS, np.full((1, 40, 40), 0.25, np.float32), "holds float32, and the model takes uint8"),
        (DECIBELS, np.zeros((1, 40, 40), np.uint8), "decibels are fractions"),
        (DECIBELS, np.full((1, 40, 40), 0.1, np.float32), "above the limits of the model nearly everywhere.*--unit"),
        (DECIBELS, np.full((1, 40, 40), 1 + 1j, np.complex64), "contradicts the declared unit 'db'"),
        (Radiometry("intensity", 0, 1), uneven_scene((1, 40, 40)), "negative values"),
        (Radiometry("intensity", -25, 0, scale="db"), np.full((1, 40, 40), 1e6), "above the limits"),
        (Radiometry("complex", 0, 10, scale="amplitude"), np.ones((1, 40, 40)), "contradicts the declared unit"),
        (Radiometry("complex", 0, 100), np.full((1, 40, 40), 30j, np.complex64), "above the limits"),
    ],
)
def test_values_that_contradict_the_model(source, pixels, match, tmp_path):
    with pytest.raises(DataError, match=match):
        translate_scene(copier(source), Scene.open(pixels), tmp_path / "out.tif")
    with pytest.raises(DataError, match=match):
        translate_images(copier(source), pixels)
    assert not list(tmp_path.iterdir())


def test_values_of_another_type_that_agree():
    """Whole numbers that 8 bits would hold are what the model takes, whatever holds them."""
    # Floating-point numbers may be NaN, for which integers keep 0.
    for dtype, low in ((np.uint16, 0), (np.float32, 1)):
        pixels = np.arange(256).reshape(1, 16, 16).astype(dtype)
        np.testing.assert_array_equal(translate_images(copier(COLOURS), pixels)[0], pixels[0].clip(low))
    check_scene(copier(Radiometry("complex", 0, 100)), Scene.open(np.full((1, 40, 40), 9j, np.complex64)))


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ValueError, "unit must be 'digital'", {"unit": "db"}),
        (ValueError, "norm_stats must be one of", {"norm_stats": "instance"}),
        (ValueError, "window must be one of", {"window": "box", "overlap": 4}),
        (ValueError, "size must be", {"size": 0}),
        (ValueError, "overlap must be less than size", {"size": 8, "overlap": 8, "window": "hann"}),
        (ValueError, "channels must be", {"channels": [5]}),
        (DataError, "does not exist", {"out": "missing/out.tif"}),
        (DataError, "use one of the suffixes", {"out": "out.jpg"}),
    ],
)
def test_arguments(error, match, options, tmp_path):
    pixels = np.zeros((1, 40, 40), np.uint8)
    translator = translator_of(ResNetGenerator(1, 3, width=4, blocks=0), COLOURS, COLOURS)
    with pytest.raises(error, match=match):
        translate_scene(translator, Scene.open(pixels), tmp_path / options.pop("out", "out.tif"), **options)
    assert not list(tmp_path.iterdir())


def test_a_png_holds_no_decibels(tmp_path):
    with pytest.raises(DataError, match="a PNG cannot hold the translation, 3 channels of float32"):
        translate_scene(copier(COLOURS, FLOATS), Scene.open(np.zeros((1, 9, 9), np.uint8)), tmp_path / "out.png")


class _Unknown(nn.Module):
    """Whose reach nobody can tell, between two normalisations."""

    def __init__(self):
        super().__init__()
        self.norm, self.pool = nn.InstanceNorm2d(1), nn.AvgPool2d(3, 1, 1)

    def forward(self, x):
        return torch.tanh(self.pool(self.norm(x)))


def test_networks_of_unknown_reach(tmp_path):
    translator = Translator(_Unknown(), DECIBELS, FLOATS, direction="AtoB", channels=(1, 1))
    pixels = uneven_scene((1, 70, 50))
    whole = translate_images(translator, pixels)
    with pytest.raises(ValueError, match="overlap must be given for a network whose reach is not known"):
        translate_scene(translator, Scene.open(pixels), tmp_path / "out.npy", size=32, norm_stats="global")
    translate_scene(translator, Scene.open(pixels), tmp_path / "out.npy", size=32)
    out = translate_scene(
        translator, Scene.open(pixels), tmp_path / "out.npy", size=32, overlap=4, norm_stats="global", window="crop"
    )
    np.testing.assert_allclose(Scene.open(out).read(), whole, atol=1e-5)


# ------ interrupted


class _Stop(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("when", ["statistics", "rows"])
def test_a_run_goes_on(tmp_path, when):
    translator, pixels = colours(), uneven_scene((1, 100, 70))
    scene = tmp_path / "scene.npy"
    np.save(scene, pixels)
    options = {"norm_stats": "global", "size": 32}
    expected = translate_scene(translator, scene, tmp_path / "whole.tif", **options).read_bytes()
    heard = []

    def layer(known, _):
        heard.append(("layer", known))
        if when == "statistics" and known == 3 and heard.count(("layer", 3)) == 1:
            raise _Stop

    def rows(finished):
        heard.append(("rows", finished))
        if when == "rows" and finished == 64 and heard.count(("rows", 64)) == 1:
            raise _Stop

    out = tmp_path / "out.tif"
    with pytest.raises(_Stop):
        translate_scene(translator, scene, out, on_layer=layer, on_rows=rows, **options)
    assert not out.exists()
    assert (tmp_path / "out.tif.statistics").is_file()
    first = len(heard)
    translate_scene(translator, scene, out, on_layer=layer, on_rows=rows, **options)
    assert out.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "scene.npy", "whole.tif"]
    again = heard[first:]
    layers = [known for kind, known in again if kind == "layer"]
    assert layers == ([4, 5, 6, 7] if when == "statistics" else [])
    assert next(done for kind, done in again if kind == "rows") == (32 if when == "statistics" else 64)


def test_statistics_of_other_weights_are_not_taken(tmp_path):
    scene = tmp_path / "scene.npy"
    np.save(scene, uneven_scene((1, 100, 70)))

    def stop(known, _):
        if known == 3:
            raise _Stop

    options = {"norm_stats": "global", "size": 32}
    with pytest.raises(_Stop):
        translate_scene(colours(), scene, tmp_path / "out.tif", on_layer=stop, **options)
    other = Translator(lively(ResNetGenerator(1, 3, width=4, blocks=1), seed=9), DECIBELS, COLOURS, direction="AtoB")
    heard = []
    translate_scene(other, scene, tmp_path / "out.tif", on_layer=lambda known, _: heard.append(known), **options)
    assert heard == list(range(1, 8))


def test_rows_of_other_statistics_are_refused(tmp_path):
    scene = tmp_path / "scene.npy"
    np.save(scene, uneven_scene((1, 100, 70)))

    def stop(finished):
        if finished >= 48:
            raise _Stop

    with pytest.raises(_Stop):
        translate_scene(colours(), scene, tmp_path / "out.tif", on_rows=stop, size=32)
    with pytest.raises(DataError, match="unfinished rows of another run"):
        translate_scene(colours(), scene, tmp_path / "out.tif", size=32, norm_stats="global")
    translate_scene(colours(), scene, tmp_path / "out.tif", size=32, norm_stats="global", resume=False)
