"""Pix2Pix: one step against its composition by hand, parts of a batch, directions, translation."""

import json

import pytest
import torch
from torch.utils.data import TensorDataset

from sarcore.engine import fit
from sarcore.engine.step import TrainingStep
from sarcore.models import Pix2Pix, Pix2PixConfig, PlainStep

from .engine_pair import config as fit_config
from .engine_pair import rows, same
from .translation_oracle import pix2pix_step

TINY = {"width": 4, "depth": 4, "d_width": 4, "d_layers": 2}


def tiny(preset="junyanz", *, seed=0, **changes):
    return Pix2Pix(Pix2PixConfig.preset(preset, **{**TINY, **changes}), seed=seed)


def images(config, n=2, size=32, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(n, c, size, size, generator=draws) for c in (config.channels_a, config.channels_b))


CASES = [
    ("junyanz", {}),
    ("junyanz", {"direction": "BtoA", "channels_b": 5, "depth": 5}),
    # eps: the gradient of a bias in front of this norm is rounding, by whose size Adam would divide
    ("junyanz", {"loss": "hinge", "generator": "resnet", "depth": 1, "norm": "instance", "eps": 1e-3}),
    ("sorabatake", {"depth": 3}),
    ("sorabatake", {"depth": 3, "direction": "BtoA"}),
    ("sarcore", {"lambda_l1": 3.0}),
]


@pytest.mark.parametrize(("preset", "changes"), CASES)
def test_a_step_is_the_composition_of_its_losses(preset, changes):
    model = tiny(preset, **changes)
    a, b = images(model.config)
    torch.manual_seed(4)  # of the dropout
    expected, weights = pix2pix_step(model, a, b)
    torch.manual_seed(4)
    scalars = model.training_step((a, b), PlainStep(model.configure_optimizers()))
    for name, value in expected.items():
        assert float(scalars[name]) == pytest.approx(value, rel=1e-5, abs=1e-6), name
    correlation = "correlation_ab" if model.config.direction == "AtoB" else "correlation_ba"
    assert set(scalars) - set(expected) == {correlation, "lr"}
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-5, atol=1e-6, msg=name)


def test_two_parts_make_the_step_of_one():
    """As in test_cyclegan; with the guard and speckle."""
    changes = {"eps": 1e-2, "lr": 0.02, "norm": "instance", "dropout": False, "direction": "BtoA", "depth": 3}
    changes |= {"structure_weight": 2.0, "structure_margin": 0.9, "speckle_looks": 3.0}
    found = []
    for accumulate in (1, 2):
        model = tiny(**changes)
        step = TrainingStep(model.configure_optimizers(), torch.Generator().manual_seed(7), accumulate=accumulate)
        for i in range(3):
            scalars = model.training_step(images(model.config, n=4, seed=i), step)
        found.append((scalars, model.state_dict()))
    (one, weights), (other, others) = found
    assert float(one["structure"]) > 0
    for name in one:
        assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-4, abs=1e-6), name
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=0, atol=1e-5, msg=name)


def test_the_other_direction_is_refused():
    model = tiny(direction="BtoA")
    made = model.translate(torch.rand(1, 3, 20, 33), "BtoA")
    assert made.shape == (1, 1, 20, 33)
    for call in (lambda: model.translate(torch.rand(1, 1, 20, 33), "AtoB"), lambda: model.network("AtoB")):
        with pytest.raises(ValueError, match="This Pix2Pix translates BtoA, AtoB was asked for"):
            call()
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) is expected, \(1, 1, 20, 33\) was given"):
        model.translate(torch.rand(1, 1, 20, 33), "BtoA")
    with pytest.raises(ValueError, match="direction must be AtoB"):
        Pix2PixConfig(direction="optical")  # type: ignore[arg-type]


def test_translations_are_made_without_dropout_and_leave_batch_statistics():
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    a = torch.rand(2, 1, 30, 20)
    torch.testing.assert_close(model.translate(a, "AtoB"), torch.cat([model.translate(x[None], "AtoB") for x in a]))
    assert same(before, dict(model.state_dict()))
    assert all(module.training for module in model.modules())


def test_pairs_must_match():
    model = tiny()
    step = PlainStep(model.configure_optimizers())
    for b in (torch.rand(2, 3, 32, 40), torch.rand(1, 3, 32, 32)):
        with pytest.raises(ValueError, match="Pairs have one size and are as many of each"):
            model.training_step((torch.rand(2, 1, 32, 32), b), step)


def test_it_learns_a_map_of_grey_values(tmp_path):
    """b = 1 - a in three channels: the L1 falls to a third within 150 steps of a tiny network."""
    draws = torch.Generator().manual_seed(0)
    a = torch.nn.functional.interpolate(torch.rand(16, 1, 8, 8, generator=draws), scale_factor=4, mode="bilinear")
    model = tiny("sarcore", depth=2, width=8, lr=2e-3)
    fit(model, TensorDataset(a, (1 - a).expand(-1, 3, -1, -1)), fit_config(150, batch_size=4), tmp_path)
    l1 = [row["l1"] for row in rows(tmp_path)]
    assert sum(l1[-10:]) < sum(l1[:10]) / 3
    correlation = [row["correlation_ab"] for row in rows(tmp_path)]
    assert sum(correlation[-10:]) / 10 < -0.8, "the monitor sees that this map inverts"


def test_presets():
    paper = Pix2PixConfig.preset("junyanz")
    assert (paper.generator, paper.depth, paper.norm, paper.dropout, paper.loss) == ("unet", 8, "batch", True, "bce")
    assert (paper.lambda_l1, paper.lr, paper.constant_share) == (100.0, 2e-4, 0.5)
    document = Pix2PixConfig.preset("sorabatake", direction="BtoA")
    assert (document.depth, document.loss, document.dropout, document.d_layers) == (7, "lsgan", False, 4)
    assert (document.lambda_l1, document.width, document.d_width, document.norm) == (100.0, 64, 64, "batch")
    assert (document.lr, document.betas, document.eps, document.constant_share) == (2e-4, (0.5, 0.999), 1e-7, 1.0)
    assert document.source_channels == 3
    for config in (paper, document, Pix2PixConfig.preset("sarcore")):
        assert Pix2PixConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="lambda_l1"):
        Pix2PixConfig(lambda_l1=-1.0)
