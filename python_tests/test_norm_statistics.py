"""Statistics of whole scenes: tiled equals whole, no seams, no-data left out."""

import numpy as np
import pytest
import torch
from torch import nn

from sarcore.data import Scene
from sarcore.inference import translate_images, translate_scene
from sarcore.inference.norm_statistics import View, needs_statistics, with_exact_statistics, with_sample_statistics
from sarcore.inference.scene_pixels import ScenePixels
from sarcore.inference.scene_statistics import exact_network, frozen_network
from sarcore.inference.scene_tiles import CroppedTiles
from sarcore.models import KerasLegacyNorm, ResNetGenerator, UNetGenerator

from .translation_networks import DECIBELS, NETWORKS, lively, translator_of, uneven_scene

CPU = torch.device("cpu")


def translated(translator, pixels, folder, **options):
    file = translate_scene(translator, Scene.open(pixels), folder / "out.npy", **options)
    return Scene.open(file).read()


def inputs_of_norms(network, x):
    """What each normalisation by image sees when the whole image passes through the network, in order."""
    seen = []
    handles = [
        layer.register_forward_hook(lambda layer, given, _: seen.append((layer, given[0].clone())))
        for layer in network.modules()
        if isinstance(layer, (nn.InstanceNorm2d, KerasLegacyNorm))
    ]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return seen


def statistics_of(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


# ------ global


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("shape", "batch"), [((1, 96, 128), 1), ((1, 101, 147), 3), ((1, 150, 38), 1)])
def test_tiled_equals_whole(name, shape, batch, tmp_path):
    translator, pixels = translator_of(NETWORKS[name]()), uneven_scene(shape)
    whole = translate_images(translator, pixels)
    assert whole.std() > 0.05  # it is an image, and not saturated
    tiled = translated(translator, pixels, tmp_path, size=32, norm_stats="global", batch=batch)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet", "keras_unet"])
def test_statistics_are_those_of_the_whole_image(name):
    network, pixels = lively(NETWORKS[name]()), uneven_scene((1, 101, 75))
    x = torch.from_numpy((pixels + 25) / 25).clamp(0, 1)[None]
    seen = inputs_of_norms(network, 2 * x - 1)
    scene = ScenePixels(Scene.open(pixels), None, DECIBELS, 0.0, None)
    fixed = exact_network(network, scene, CroppedTiles((101, 75), (32, 32), (64, 64), align=network.multiple), 2, CPU)
    found = statistics_of(fixed)
    assert len(found) == len(seen) > 4
    # In the order of the layers of the network, which is that of the passes for these two.
    for layer, (norm, values) in zip(found, seen, strict=True):
        if isinstance(norm, KerasLegacyNorm):
            mean, spread = values.mean(), values.std(correction=0) + norm.eps
        else:
            mean, spread = values.mean(dim=(0, 2, 3)), (values.var(dim=(0, 2, 3), correction=0) + norm.eps).sqrt()
        torch.testing.assert_close(layer.running_mean, mean.expand_as(layer.running_mean), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            (layer.running_var + layer.eps).sqrt(), spread.expand_as(layer.running_var), atol=1e-5, rtol=1e-5
        )


def test_every_layer_is_heard_of_once_and_the_network_stays_as_it_was(tmp_path):
    translator = translator_of(ResNetGenerator(1, 1, width=4, blocks=1))
    before = {name: value.clone() for name, value in translator.network.state_dict().items()}
    heard = []
    translated(
        translator, uneven_scene((1, 70, 90)), tmp_path, size=32, norm_stats="global",
        on_layer=lambda known, of: heard.append((known, of)),
    )  # fmt: skip
    assert heard == [(known, 7) for known in range(1, 8)]
    assert needs_statistics(translator.network)
    after = translator.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_learned_statistics_need_no_pass(tmp_path):
    network = lively(UNetGenerator(1, 1, width=4, levels=2, norm="batch"))
    translator = translator_of(network)
    heard = []
    pixels = uneven_scene((1, 70, 90))
    tiled = translated(
        translator, pixels, tmp_path, size=32, norm_stats="global", on_layer=lambda *known: heard.append(known)
    )
    assert not heard
    np.testing.assert_allclose(tiled, translate_images(translator, pixels), atol=1e-5)


def test_large_numbers_lose_no_digits():
    values = torch.randn(1, 2, 16, 48, generator=torch.Generator().manual_seed(0)) + 3000
    tiles = [(part, View((16, 16), [(0, None, 0, None)])) for part in values.split(16, dim=3)]
    fixed = with_exact_statistics(nn.InstanceNorm2d(2), lambda: tiles)
    expected = values.double()
    np.testing.assert_allclose(fixed.running_var, expected.var(dim=(0, 2, 3), correction=0), rtol=1e-6)


def test_layers_of_other_sizes_are_refused():
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.InstanceNorm2d(1))
    with pytest.raises(ValueError, match="normalises images of 14 x 14 where its tiles have 16 x 16"):
        with_sample_statistics(network, torch.zeros(1, 1, 16, 16), View((16, 16), [(0, None, 0, None)]))


# ------ no-data


def test_pixels_without_data_do_not_count():
    pixels = uneven_scene((1, 96, 96))
    pixels[:, :40], pixels[:, 70:, 50:] = -99, np.nan
    network = lively(ResNetGenerator(1, 1, width=4, blocks=1))
    scene = ScenePixels(Scene.open(pixels, nodata=-99), None, DECIBELS, 0.0, -99)
    fixed = exact_network(network, scene, CroppedTiles((96, 96), (32, 32), (32, 32), align=4), 2, CPU)
    data = torch.from_numpy((pixels != -99) & ~np.isnan(pixels))
    x = torch.from_numpy(np.nan_to_num(pixels, nan=-99) + 25).div(25).clamp(0, 1)
    _, values = inputs_of_norms(network, 2 * x[None] - 1)[0]
    expected = values[0][:, data[0]].double()
    first = statistics_of(fixed)[0]
    torch.testing.assert_close(first.running_mean.double(), expected.mean(dim=1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(first.running_var.double(), expected.var(dim=1, correction=0), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_gaps_do_not_count_in_one_piece_either(name, tmp_path):
    """The picture must not depend on whether the scene fits into a tile."""
    translator, pixels = translator_of(NETWORKS[name]()), uneven_scene((1, 83, 70))
    pixels[:, :30, :40] = np.nan
    whole = translate_images(translator, pixels)
    for size, stats in ((32, "global"), (128, "global"), (128, "frozen")):
        tiled = translated(translator, pixels, tmp_path, size=size, norm_stats=stats)
        np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert np.nanmax(np.abs(translated(translator, pixels, tmp_path, size=128, norm_stats="patch") - whole)) > 0.05


def test_a_scene_without_any_data_is_translated(tmp_path):
    translator = translator_of(ResNetGenerator(1, 1, width=4, blocks=1))
    for stats in ("frozen", "global"):
        found = translated(translator, np.full((1, 70, 70), np.nan, np.float32), tmp_path, size=32, norm_stats=stats)
        assert np.isnan(found).all()


# ------ frozen, and what it is for


def seam(image, side):
    """Mean step across the borders of tiles over the mean step beside them, both ways.

    Beside them at multiples of what the network halves: its checkerboard is not what is looked for.
    """
    across = []
    for axis in (1, 2):
        steps = np.abs(np.diff(image.astype(np.float64), axis=axis)).mean(axis=tuple({0, 1, 2} - {axis}))
        places = np.arange(side - 1, len(steps) - 1, side)
        across.append((steps[places].sum(), sum(steps[places + shift] for shift in (-12, -8, -4, 4, 8, 12)).sum() / 6))
    return sum(border for border, _ in across) / sum(beside for _, beside in across)


@pytest.fixture(scope="module")
def large():
    return translator_of(ResNetGenerator(1, 2, width=4, blocks=1)), uneven_scene((1, 512, 512))


@pytest.mark.parametrize("stats", ["frozen", "global"])
@pytest.mark.parametrize("window", ["crop", "hann"])
def test_no_seam_is_seen(large, stats, window, tmp_path):
    translator, pixels = large
    one_piece = translator
    if stats == "frozen":
        scene = ScenePixels(Scene.open(pixels), None, DECIBELS, 0.0, None)
        one_piece = translator.changed(frozen_network(translator.network, scene, CPU))
    whole = translate_images(one_piece, pixels)
    # Blended tiles overlap by more than twice the network's reach, so that where one counts little another is exact.
    overlap = {"crop": None, "hann": 64}[window]
    tiled = translated(translator, pixels, tmp_path, size=128, norm_stats=stats, window=window, overlap=overlap)
    # Of a picture of noise the steps vary by some percent; those of the same picture in one piece vary likewise.
    assert 0.98 < seam(tiled, 64) / seam(whole, 64) < 1.02
    if window == "crop":
        np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_statistics_of_each_tile_make_seams(large, tmp_path):
    translator, pixels = large
    tiled = translated(translator, pixels, tmp_path, size=64, overlap=0, window="flat", norm_stats="patch")
    assert seam(tiled, 64) > 3


def test_frozen_statistics_are_close_to_those_of_the_scene(large):
    translator, pixels = large
    scene = ScenePixels(Scene.open(pixels), None, DECIBELS, 0.0, None)
    frozen = frozen_network(translator.network, scene, CPU)
    again = frozen_network(translator.network, scene, CPU)
    exact = exact_network(translator.network, scene, CroppedTiles((512, 512), (128, 128), (32, 32), align=4), 1, CPU)
    for one, same, other in zip(*map(statistics_of, (frozen, again, exact)), strict=True):
        assert torch.equal(one.running_mean, same.running_mean)
        assert torch.equal(one.running_var, same.running_var)
        spread = other.running_var.sqrt()
        assert bool(((one.running_mean - other.running_mean).abs() < 0.1 * spread).all())
        torch.testing.assert_close(one.running_var.sqrt(), spread, rtol=0.1, atol=1e-6)


def test_frozen_statistics_are_those_of_places_with_data():
    pixels = uneven_scene((1, 600, 600))
    pixels[:, :, :400] = np.nan
    network = lively(ResNetGenerator(1, 1, width=4, blocks=1))
    scene = ScenePixels(Scene.open(pixels), None, DECIBELS, 0.0, None)
    with_data = ScenePixels(Scene.open(pixels[:, :, 400:].copy()), None, DECIBELS, 0.0, None)
    for one, other in zip(
        *(statistics_of(frozen_network(network, part, CPU)) for part in (scene, with_data)), strict=True
    ):
        spread = other.running_var.sqrt()
        assert bool(((one.running_mean - other.running_mean).abs() < 0.25 * spread).all())
