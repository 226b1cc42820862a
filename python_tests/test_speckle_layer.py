"""The speckle layer: physics, places, gradients in x and in learned looks, precision, compilation."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from sarcore import Radiometry
from sarcore.nn import SpeckleLayer
from sarcore.ops import decode, encode, speckle, speckle_field

WIDE = {  # nothing is clipped
    "intensity": Radiometry("intensity", 0.0, 1000.0),
    "amplitude": Radiometry("amplitude", 0.0, 1000.0),
    "db": Radiometry("intensity", -500.0, 500.0, scale="db"),
}


def reflectivity(scale: str, size: tuple[int, ...] = (2, 1, 40, 40)) -> torch.Tensor:
    """0.5 in intensity or amplitude, 0 dB."""
    return torch.full(size, 0.5 if scale == "db" else 5e-4, dtype=torch.float64)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("looks", [1.0, 2.5, 16.0])
def test_moments_of_one_image_in_any_radiometry(looks, learned):
    intensities = []
    for scale, radiometry in WIDE.items():
        layer = SpeckleLayer(looks, learned=learned, radiometry=radiometry)
        y = layer(reflectivity(scale, (1, 1, 256, 256)), seed=5)
        value = decode(y, radiometry)
        intensities.append(value.square() / 0.25 if scale == "amplitude" else value / (1 if scale == "db" else 0.5))
    g = intensities[0]
    assert g.mean().item() == pytest.approx(1.0, abs=5 / (256 * looks**0.5))
    assert g.var().item() == pytest.approx(1 / looks, rel=0.06)
    for other in intensities[1:]:  # one field, three units
        torch.testing.assert_close(other, g, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", ["intensity", "amplitude", "db"])
@pytest.mark.parametrize("psf", [None, "box"])
def test_it_is_decode_speckle_encode(scale, psf, generator):
    radiometry = Radiometry(scale, *{"db": (-25.0, 3.0)}.get(scale, (0.1, 2.0)))
    x = torch.rand(2, 3, 20, 30, generator=generator)
    y = SpeckleLayer(3.0, radiometry=radiometry, psf=psf)(x, seed=9, index=[4, 7], origin=(3, 5))
    physical = speckle(decode(x, radiometry), 3.0, seed=9, domain=scale, psf=psf, index=[4, 7], origin=(3, 5))
    torch.testing.assert_close(y, encode(physical, radiometry), atol=2e-6, rtol=0)
    assert bool((y == 1).any())  # some were clipped


def test_without_a_radiometry_the_values_are_amplitudes(generator):
    x = 0.2 * torch.rand(1, 1, 30, 30, generator=generator)
    y = SpeckleLayer(4.0)(x, seed=1)
    torch.testing.assert_close(y, speckle(x, 4.0, seed=1, domain="amplitude").clamp(max=1))


@pytest.mark.parametrize("settings", [{}, {"learned": True}, {"psf": "gaussian"}])
def test_tiles_and_batches_agree_with_the_whole(settings, generator):
    layer = SpeckleLayer(2.0, **settings).eval()
    x = 0.3 * torch.rand(3, 2, 50, 60, generator=generator)
    with torch.no_grad():
        whole = layer(x, seed=8, index=[10, 20, 30])
        tile = layer(x[1:2, :, 16:40, 20:], seed=8, index=20, origin=(16, 20))
        pair = layer(x[[2, 0]], seed=8, index=torch.tensor([30, 10]))
        places = torch.tensor([[0, 0], [16, 20]])
        tiles = layer(torch.stack((x[0, :, :24, :40], x[1, :, 16:40, 20:])), seed=8, index=[10, 20], origin=places)
    assert torch.equal(tile, whole[1:2, :, 16:40, 20:])
    assert torch.equal(pair, whole[[2, 0]])
    assert torch.equal(tiles[1], tile[0])
    assert torch.equal(tiles[0], whole[0, :, :24, :40])
    assert not torch.equal(layer(x, seed=9, index=[10, 20, 30]), whole)


@pytest.mark.parametrize("scale", ["intensity", "amplitude", "db"])
@pytest.mark.parametrize("looks", [0.3, 1.0, 4.0, 37.5])
def test_learned_looks_have_the_gradient_at_a_fixed_quantile(scale, looks, generator):
    layer = SpeckleLayer(looks, learned=True, radiometry=WIDE[scale]).double()
    x = reflectivity(scale)
    weight = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    (layer(x, seed=3) * weight).sum().backward()

    g = speckle_field(x.shape, looks, seed=3, dtype=torch.float64).numpy() * looks
    below, above = stats.gamma.cdf(g, looks), stats.gamma.sf(g, looks)

    def field(shape: float) -> np.ndarray:
        quantile = np.where(below < 0.5, stats.gamma.ppf(below, shape), stats.gamma.isf(above, shape)) / shape
        return 10 * np.log10(quantile) if scale == "db" else quantile ** (0.5 if scale == "amplitude" else 1.0)

    step = 1e-4 * looks
    slope = (field(looks + step) - field(looks - step)) / (2 * step) * looks  # by the logarithm
    each = slope * (1e-3 if scale == "db" else x.numpy())
    wanted, noise = (each * weight.numpy()).sum(), np.sqrt((each**2).sum())
    # torch's Gamma sampler knows dG/dL to 5e-4, of which 1/L, nearly all of it for many looks, is taken away.
    assert layer.log_looks.grad.item() == pytest.approx(wanted, abs=(1e-3 if looks < 10 else 2e-2) * noise)
    assert noise > 1e-5


@pytest.mark.parametrize("scale", ["intensity", "amplitude", "db"])
@pytest.mark.parametrize("learned", [False, True])
def test_gradients_in_x_are_those_of_the_product(scale, learned):
    layer = SpeckleLayer(2.0, learned=learned, radiometry=WIDE[scale]).double()
    x = reflectivity(scale, (1, 1, 4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: 1e3 * layer(x, seed=2), (x,))


def test_what_is_clipped_takes_no_gradient(generator):
    layer = SpeckleLayer(1.0, learned=True)
    x = torch.full((1, 1, 32, 32), 0.9, requires_grad=True)
    y = layer(x, seed=2)
    y.sum().backward()
    assert y.max() == 1
    assert torch.equal(x.grad == 0, y.detach() == 1)


def test_no_data_stays_no_data():
    x = torch.full((1, 1, 4, 4), 0.2)
    x[..., 1, 2] = math.nan
    for learned in (False, True):
        assert torch.equal(SpeckleLayer(learned=learned)(x, seed=1).isnan(), x.isnan())


@pytest.mark.parametrize("true_looks", [1.0, 3.3])
def test_learned_looks_recover_the_true_ones(true_looks):
    """Speckle of an unknown number of looks is matched in the variance of its logarithm."""
    radiometry = Radiometry("db", -60.0, 40.0)
    x = torch.full((1, 1, 128, 128), 0.6)
    measured = SpeckleLayer(true_looks, radiometry=radiometry)(x, seed=77).var()
    layer = SpeckleLayer(8.0, learned=True, radiometry=radiometry)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for step in range(120):
        optimizer.zero_grad()
        (layer(x, seed=step).var() / measured).log().square().backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.97
    assert layer.looks == pytest.approx(true_looks, rel=0.05)


def test_learned_looks_are_in_the_state_and_fixed_ones_are_not():
    layer = SpeckleLayer(3.0, learned=True)
    other = SpeckleLayer(1.0, learned=True)
    other.load_state_dict(layer.state_dict())
    assert list(layer.state_dict()) == ["log_looks"]
    assert other.looks == pytest.approx(3.0)
    fixed = SpeckleLayer(3.0)
    assert fixed.state_dict() == {}
    assert fixed.looks == 3.0
    x = torch.full((1, 1, 9, 9), 0.2)
    copy = pickle.loads(pickle.dumps(layer))
    assert torch.equal(copy(x, seed=1), layer(x, seed=1))
    torch.testing.assert_close(layer(x, seed=1), fixed(x, seed=1))
    assert "looks=3, learned=True" in repr(layer)


@pytest.mark.parametrize("learned", [False, True])
def test_half_precision_is_computed_in_float32(learned, generator):
    layer = SpeckleLayer(4.0, learned=learned, radiometry=Radiometry("db", -40.0, 20.0))
    x = torch.rand(1, 1, 32, 32, generator=generator).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x, seed=3)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, layer(x.float(), seed=3).bfloat16())


@pytest.mark.parametrize("learned", [False, True])
def test_it_compiles_without_a_break(learned, generator):
    layer = SpeckleLayer(4.0, learned=learned)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = 0.3 * torch.rand(2, 1, 16, 16, generator=generator)
    y = compiled(x.requires_grad_(), seed=3, index=[5, 6])
    torch.testing.assert_close(y, layer(x, seed=3, index=[5, 6]))
    y.sum().backward()
    assert bool((x.grad != 0).all())
    assert not learned or layer.log_looks.grad.item() != 0


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="digital.*Radiometry\\('amplitude', 0, 255\\)"):
        SpeckleLayer(radiometry=Radiometry("digital", 0, 255))
    with pytest.raises(TypeError, match="must be a sarcore.Radiometry, got str"):
        SpeckleLayer(radiometry="db")
    with pytest.raises(ValueError, match="leave out psf or learned"):
        SpeckleLayer(learned=True, psf="box")
    for looks in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="looks must be"):
            SpeckleLayer(looks)
    with pytest.raises(ValueError, match="psf must be"):
        SpeckleLayer(psf="square")
    with pytest.raises(ValueError, match="seed must be"):
        SpeckleLayer()(torch.zeros(1, 1, 2, 2), seed=-1)
