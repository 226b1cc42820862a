"""The discriminators: the originals' graphs, receptive fields, and what is too small."""

import pytest
import torch

from sarcore import models
from sarcore.models import KerasPatchDiscriminator, PatchDiscriminator, PixelDiscriminator, load_junyanz

from . import junyanz_layers as original
from . import keras_layers as keras


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_patch_is_the_original_both_ways(norm, layers, generator):
    network = PatchDiscriminator(2, 4, layers, norm).eval()
    shapes = original.patch_shapes(2, 4, layers, norm)
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == shapes
    x = torch.randn(2, 2, 128, 144, generator=generator)
    for theirs in (None, original.random_state(shapes, generator)):
        if theirs is not None:
            load_junyanz(network, theirs)
        wanted = original.patch(dict(network.state_dict()), x, 2, 4, layers, norm)
        torch.testing.assert_close(network(x), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_pixel_is_the_original(norm, generator):
    network = PixelDiscriminator(2, 4, norm).eval()
    shapes = original.pixel_shapes(2, 4, norm)
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == shapes
    load_junyanz(network, original.random_state(shapes, generator))
    x = torch.randn(2, 2, 9, 7, generator=generator)
    wanted = original.pixel(dict(network.state_dict()), x, norm)
    torch.testing.assert_close(network(x), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("norm", "function"), [
    ("keras_legacy", keras.instance_normalization), ("batch", keras.batch_normalization),
])  # fmt: skip
@pytest.mark.parametrize("size", [(64, 48), (37, 50)])
def test_keras_patch_is_the_documents_graph(norm, function, size, generator):
    network = KerasPatchDiscriminator(2, 3, 4, norm).double().train()
    x = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)
    convs = [keras.kernel_of(layer) for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    wanted = keras.discriminator(convs, x.permute(0, 2, 3, 1).numpy(), function)
    torch.testing.assert_close(network(x), torch.from_numpy(wanted).permute(0, 3, 1, 2), atol=1e-10, rtol=0)


def test_numbers_of_parameters():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert round(count(PatchDiscriminator(3)) / 1e6, 3) == 2.765  # as that project prints
    assert round(count(PatchDiscriminator(6, norm="batch")) / 1e6, 3) == 2.769
    document = sum(16 * a * b + b for a, b in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 1))) + 3 * 2
    assert count(KerasPatchDiscriminator(3)) == document


def test_a_document_image_gives_16_x_16_verdicts():
    assert KerasPatchDiscriminator(6, 2)(torch.zeros(1, 6, 256, 256)).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("norm", ["instance", "batch", "none", "keras_legacy"])
@pytest.mark.parametrize("name", ["patch", "keras_patch", "pixel"])
def test_the_smallest_image_is_judged_and_a_smaller_one_refused(name, norm, generator):
    network = models.discriminator(name, 2, width=2, layers=3, norm=norm).eval()
    smallest = network.minimum
    verdicts = network(torch.rand(1, 2, smallest, smallest + 3, generator=generator))
    assert bool(verdicts.isfinite().all())
    if smallest > 1:
        with pytest.raises(ValueError, match=rf"{smallest + 9} x {smallest - 1} .*needs {smallest} x {smallest}"):
            network(torch.rand(1, 2, smallest + 9, smallest - 1))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="patch, keras_patch, pixel; 'global'"):
        models.discriminator("global", 1, width=4, layers=3, norm="batch")
    for name in ("patch", "keras_patch"):
        with pytest.raises(ValueError, match="layers must be 1 or more; 0"):
            models.discriminator(name, 1, width=4, layers=0, norm="batch")
    with pytest.raises(ValueError, match="1 or more; 0 and 4"):
        models.discriminator("pixel", 0, width=4, layers=3, norm="batch")
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\)"):
        models.discriminator("patch", 2, width=4, layers=3, norm="batch")(torch.zeros(1, 3, 64, 64))
