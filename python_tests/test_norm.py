"""The normalisations by name; keras_contrib's against NumPy."""

import pytest
import torch

from sarcore.models import KerasLegacyNorm, norm_layer
from sarcore.models.norm import keras_norm_layer, needs_bias

from . import keras_layers as keras


def test_the_legacy_norm_is_that_of_keras_contrib(generator):
    layer = KerasLegacyNorm().double()
    with torch.no_grad():
        layer.weight.fill_(1.7)
        layer.bias.fill_(-0.3)
    x = 1e-3 * torch.randn(3, 4, 9, 7, generator=generator, dtype=torch.float64) + torch.arange(4.0).view(4, 1, 1)
    x[2] = 1e-3 * x[2]  # where the epsilon beside the deviation shows
    wanted = keras.instance_normalization(x.permute(0, 2, 3, 1).numpy(), 1.7, -0.3)
    torch.testing.assert_close(layer(x), torch.from_numpy(wanted).permute(0, 3, 1, 2))


def test_gradients_of_the_legacy_norm(generator):
    layer = KerasLegacyNorm().double()
    x = torch.randn(2, 3, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradgradcheck(layer, (x,))  # gradient penalties


def test_a_constant_image_has_a_finite_gradient():
    layer, x = KerasLegacyNorm(), torch.full((1, 2, 4, 4), 0.3, requires_grad=True)
    (layer(x) * torch.randn(1, 2, 4, 4)).sum().backward()
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["instance", "keras_legacy", "batch"])
def test_statistics_of_half_precision_are_float32(dtype, name, generator):
    x = (3 + 40 * torch.randn(1, 2, 64, 64, generator=generator)).to(dtype)  # squares that float16 cannot add up
    layer = norm_layer(name, 2)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer(x.float()), atol=0.02, rtol=0.01)


def test_names_give_the_layers_they_say():
    instance, batch = norm_layer("instance", 5), norm_layer("batch", 5)
    assert type(instance) is torch.nn.InstanceNorm2d
    assert (instance.eps, instance.affine, instance.track_running_stats) == (1e-5, False, False)
    assert (type(batch), batch.eps, batch.momentum) == (torch.nn.BatchNorm2d, 1e-5, 0.1)
    assert type(norm_layer("none", 5)) is torch.nn.Identity
    assert keras_norm_layer("batch", 5).momentum == 0.2
    assert type(keras_norm_layer("keras_legacy", 5)) is KerasLegacyNorm
    assert [needs_bias(name) for name in ("instance", "batch", "none", "keras_legacy")] == [True, False, False, True]
    with pytest.raises(ValueError, match="instance, batch, none, keras_legacy; 'group'"):
        norm_layer("group", 5)
