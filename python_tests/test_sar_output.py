"""Generators of SAR images that end in speckle: keys, medians, learnt looks, and that L1 finds the reflectivity."""

import numpy as np
import pytest
import torch
from scipy.stats import gamma

from sarcore import Radiometry
from sarcore.models import CycleGAN, CycleGANConfig, Pix2Pix, Pix2PixConfig, PlainStep
from sarcore.models.sar_output import SarOutput, physical_radiometry
from sarcore.models.translation_config import TranslationConfig

RADIOMETRIES = {
    "amplitude": Radiometry("amplitude", 0.0, 2.0),
    "intensity": Radiometry("intensity", 0.1, 4.0),
    "db": Radiometry("intensity", -25.0, 5.0, scale="db"),
}


@pytest.mark.parametrize("scale", RADIOMETRIES)
@pytest.mark.parametrize("looks", [1.0, 4.4])
def test_typical_is_the_median_of_the_speckled_image(scale, looks):
    output = SarOutput(TranslationConfig(speckle_looks=looks), RADIOMETRIES[scale])
    painted = torch.linspace(-0.6, 0.0, 4).repeat_interleave(64).reshape(1, 1, 1, 256).expand(1, 1, 512, 256)
    speckled = output(painted, torch.tensor([3]))
    found = speckled.reshape(512, 4, 64).permute(1, 0, 2).reshape(4, -1).median(dim=1).values
    torch.testing.assert_close(output.typical(painted)[0, 0, 0, ::64], found, rtol=0, atol=0.012)


@pytest.mark.parametrize("looks", [1.0, 2.5, 10.0])
def test_median_against_scipy(looks):
    radiometry = Radiometry("intensity", 0.0, 1.0)
    output = SarOutput(TranslationConfig(speckle_looks=looks), radiometry)
    one = torch.ones(1, 1, 1, 1)
    assert float((output.typical(one) + 1) / 2) == pytest.approx(gamma.median(looks, scale=1 / looks), rel=0.015)


def test_translations_are_keyed_by_seed_index_and_origin():
    config = CycleGANConfig.preset("sarcore", width=4, depth=1, d_width=4, speckle_looks=2.0)
    model = CycleGAN(config, radiometry_a=RADIOMETRIES["db"])
    b = torch.rand(2, 3, 24, 32)
    whole = model.translate(b, "BtoA", seed=5, index=torch.tensor([7, 8]))
    assert torch.equal(whole, model.translate(b, "BtoA", seed=5, index=torch.tensor([7, 8])))
    assert not torch.equal(whole, model.translate(b, "BtoA", seed=6, index=torch.tensor([7, 8])))
    torch.testing.assert_close(whole[1:], model.translate(b[1:], "BtoA", seed=5, index=torch.tensor([8])))
    shifted = model.translate(b, "BtoA", seed=5, index=torch.tensor([7, 8]), origin=(4, 8))
    speckle = model.speckle("BtoA")
    reflectivity = (model.network("BtoA").eval()(2 * b - 1).detach() + 1) / 2
    expected = speckle(reflectivity, seed=5, index=torch.tensor([7, 8]), origin=(4, 8))
    torch.testing.assert_close(shifted, expected)
    assert model.speckle("AtoB") is None
    assert Pix2Pix(Pix2PixConfig(width=4, depth=3, d_width=4, speckle_looks=2.0)).speckle("AtoB") is None
    with pytest.raises(ValueError, match="digital"):
        CycleGAN(config, radiometry_a=Radiometry("digital", 0, 255))


def test_l1_finds_the_reflectivity_not_less():
    """Fitted to speckled images by its median, a painted reflectivity has the mean of what they were made of."""
    output = SarOutput(TranslationConfig(speckle_looks=1.0), RADIOMETRIES["intensity"])
    rng = np.random.default_rng(0)
    real = 2 * (torch.from_numpy(rng.exponential(1.0, 20000)) - 0.1) / 3.9 - 1  # reflectivity 1
    painted = torch.zeros(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([painted], lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        (output.typical(painted).reshape(()) - real).abs().mean().backward()
        optimizer.step()
    found = 0.1 + 3.9 * (float(painted.detach()) + 1) / 2
    assert found == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("kind", ["cyclegan", "pix2pix"])
def test_looks_are_learnt_with_the_generators(kind, generator):
    tiny = {"width": 4, "depth": 3, "d_width": 4, "d_layers": 2, "speckle_looks": 3.0, "learn_looks": True}
    if kind == "cyclegan":
        model = CycleGAN(CycleGANConfig.preset("sarcore", pool=0, channels_b=1, **tiny))
    else:
        model = Pix2Pix(Pix2PixConfig.preset("sarcore", direction="BtoA", channels_b=1, **tiny))
    step = PlainStep(model.configure_optimizers())
    before = float(model.sar_output.layer.looks)
    pair = torch.rand(2, 2, 1, 32, 32, generator=generator)
    scalars = [model.training_step((pair[0], pair[1]), step)]
    after_one = float(model.sar_output.layer.looks)
    scalars.append(model.training_step((pair[0], pair[1]), step))
    assert "identity_a" not in scalars[0], "it would paint the speckle that the layer multiplies"
    assert ("identity_b" in scalars[0]) == (kind == "cyclegan")
    # Adam's first step has the length of its rate, whatever the gradient.
    assert abs(np.log(after_one / before)) == pytest.approx(10 * model.config.lr, rel=1e-2), "ten times that of weights"
    assert float(scalars[1]["looks"]) == pytest.approx(float(model.sar_output.layer.looks))
    assert "sar_output.layer.log_looks" in model.state_dict()


@pytest.mark.parametrize(
    ("says", "given", "expected"),
    [
        ({}, Radiometry("digital", 0, 255), Radiometry("amplitude", 0, 255)),
        ({}, Radiometry("digital", -23, 4), Radiometry("db", -23, 4)),
        ({"unit_a": "intensity"}, Radiometry("digital", 0, 255), Radiometry("intensity", 0, 255)),
        ({"unit_a": "db", "limits_a": (-25.0, 0.0)}, Radiometry("digital", 0, 255), Radiometry("db", -25, 0)),
        ({"unit_a": "db"}, Radiometry("digital", 3, 9), Radiometry("db", 3, 9)),
        ({}, Radiometry("intensity", -25, 0, scale="db"), Radiometry("intensity", -25, 0, scale="db")),
        ({"unit_a": "db"}, Radiometry("db", -25, 0), Radiometry("db", -25, 0)),
    ],
)
def test_grey_values_stand_for_what_is_said_of_them(says, given, expected):
    assert physical_radiometry(TranslationConfig(**says), given) == expected


@pytest.mark.parametrize(
    ("says", "given", "message"),
    [
        ({"unit_a": "db"}, Radiometry("digital", 0, 255), "give limits_a"),
        ({"unit_a": "amplitude"}, Radiometry("db", -25, 0), "declared to be db"),
        ({"unit_a": "db", "limits_a": (-20.0, 0.0)}, Radiometry("db", -25, 0), "leave out"),
        ({"unit_a": "amplitude"}, Radiometry("digital", -3, 4), "low must be 0 or more"),
    ],
)
def test_what_contradicts_the_images_is_refused(says, given, message):
    with pytest.raises(ValueError, match=message):
        physical_radiometry(TranslationConfig(**says), given)
