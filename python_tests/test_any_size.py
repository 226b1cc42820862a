"""Reflection to any size against NumPy, and what must not change."""

import numpy as np
import pytest
import torch

from sarcore.models import KerasUNet, ResNetGenerator
from sarcore.models.any_size import at_any_size, check_images, pad_reflect, padded_size


@pytest.mark.parametrize("size", [(5, 7), (1, 5), (1, 1), (2, 3), (16, 16)])
@pytest.mark.parametrize("padded", [(16, 16), (16, 40), (300, 17)])
def test_the_reflection_is_numpys(size, padded, generator):
    x = torch.randn(2, 3, *size, generator=generator)
    margins = [(0, 0), (0, 0), *((0, wanted - side) for wanted, side in zip(padded, size, strict=True))]
    assert np.array_equal(pad_reflect(x, *padded).numpy(), np.pad(x.numpy(), margins, mode="reflect"))


def test_a_size_that_fits_is_the_network_alone(generator):
    x = torch.randn(1, 1, 8, 12, generator=generator)
    assert at_any_size(lambda image: image, x, 4) is x
    assert at_any_size(lambda image: image, x, 4, minimum=8) is x
    assert at_any_size(lambda image: image, x, 4, minimum=12) is not x


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (13, 8)])
def test_the_network_sees_multiples_and_the_minimum(size):
    seen = []

    def network(image):
        seen.append(tuple(image.shape[-2:]))
        return image

    assert at_any_size(network, torch.zeros(1, 1, *size), 4, 8).shape[-2:] == size
    assert seen == [tuple(max(8, -(-side // 4) * 4) for side in size)]
    assert seen == [tuple(padded_size(side, 4, 8) for side in size)]


def test_images_of_the_batch_do_not_mix_and_gradients_flow(generator):
    network = ResNetGenerator(1, 1, 4, 1).eval()
    x = torch.randn(2, 1, 9, 11, generator=generator, requires_grad=True)
    y = network(x)
    torch.testing.assert_close(y[1:], network(x[1:]), atol=1e-5, rtol=0)
    y[0].sum().backward()
    assert bool((x.grad[0] != 0).any())
    assert bool((x.grad[1] == 0).all())


def test_channels_last_is_kept(generator):
    seen = []

    def network(image):
        seen.append(image)
        return image

    x = torch.randn(2, 3, 9, 11, generator=generator).to(memory_format=torch.channels_last)
    at_any_size(network, x, 4)
    at_any_size(network, x.contiguous(), 4)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert seen[1].is_contiguous()


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (3, 8, 8), (1, 1, 3, 8, 8)])
def test_other_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"images must be \(N, 3, H, W\), a tensor of"):
        check_images(torch.zeros(shape), 3)


@pytest.mark.parametrize(
    "network", [ResNetGenerator(1, 2, 4, 1), KerasUNet(1, 2, 4, 2)], ids=lambda n: type(n).__name__
)
def test_an_exported_network_takes_any_size(network, generator):
    network.eval()
    height, width = (torch.export.Dim(name, min=network.multiple + 1, max=4096) for name in ("height", "width"))
    dims = ({0: torch.export.Dim("batch", min=1, max=64), 2: height, 3: width},)
    with torch.no_grad():
        program = torch.export.export(
            network, (torch.zeros(2, 1, 21, 30),), dynamic_shapes=dims, strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()  # fmt: skip
        for size in ((2, 1, 21, 30), (3, 1, 32, 41), (1, 1, 5, 7), (2, 1, 9, 64)):
            x = torch.randn(size, generator=generator)
            torch.testing.assert_close(program(x), network(x), atol=1e-5, rtol=0)
