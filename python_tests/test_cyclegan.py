"""CycleGAN: one step against its composition by hand, parts of a batch, pool, decay, guard, translation."""

import json

import pytest
import torch

from sarcore.engine import Diverged, fit
from sarcore.engine.step import TrainingStep
from sarcore.models import CycleGAN, CycleGANConfig, PlainStep

from .engine_pair import config as fit_config
from .engine_pair import rows, same
from .translation_oracle import cyclegan_step

TINY = {"width": 4, "depth": 1, "d_width": 4, "d_layers": 2, "pool": 0, "pool_size": 32}
KERAS = {"width": 4, "depth": 2, "d_width": 4, "d_layers": 2, "pool_size": 32}


def tiny(preset="junyanz", *, seed=0, **changes):
    return CycleGAN(
        CycleGANConfig.preset(preset, **{**(KERAS if preset == "sorabatake" else TINY), **changes}), seed=seed
    )


def images(config, n=2, size=32, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(n, c, size, size, generator=draws) for c in (config.channels_a, config.channels_b))


CASES = [
    ("junyanz", {}),
    ("junyanz", {"channels_a": 2, "channels_b": 2}),
    ("junyanz", {"channels_b": 1, "loss": "bce", "norm": "none"}),
    ("junyanz", {"channels_b": 4, "loss": "hinge", "generator": "unet", "depth": 4, "norm": "batch"}),
    ("sorabatake", {}),
    ("sorabatake", {"channels_a": 1, "lambda_identity": 3.0}),
]


@pytest.mark.parametrize(("preset", "changes"), CASES)
def test_a_step_is_the_composition_of_its_losses(preset, changes):
    model = tiny(preset, **changes)
    a, b = images(model.config)
    expected, weights = cyclegan_step(model, a, b)
    scalars = model.training_step((a, b), PlainStep(model.configure_optimizers()))
    for name, value in expected.items():
        assert float(scalars[name]) == pytest.approx(value, rel=1e-5, abs=1e-6), name
    assert set(scalars) - set(expected) == {"correlation_ab", "correlation_ba", "lr"}
    for name, value in model.state_dict().items():
        if name in weights and not name.endswith("num_batches_tracked") and not name.startswith("pool"):
            torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-6 if "running" not in name else 1e-4)


def test_discriminators_step_apart_as_in_keras():
    """Real images, a step, generated ones, a step, each at full weight; eps as in the next test."""
    model = tiny(d_steps_apart=True, eps=1e-3)
    a, b = images(model.config)
    scalars = model.training_step((a, b), PlainStep(model.configure_optimizers()))
    twin = tiny()
    optimizer = torch.optim.Adam([*twin.d_a.parameters(), *twin.d_b.parameters()], 2e-4, (0.5, 0.999), eps=1e-3)
    with torch.no_grad():
        fake_b, fake_a = twin.g_ab(2 * a - 1), twin.g_ba(2 * b - 1)
    losses = []
    for seen_a, seen_b, target in ((2 * a - 1, 2 * b - 1, 1.0), (fake_a, fake_b, 0.0)):
        optimizer.zero_grad()
        losses.append([(twin.d_a(seen_a) - target).pow(2).mean(), (twin.d_b(seen_b) - target).pow(2).mean()])
        (losses[-1][0] + losses[-1][1]).backward()
        optimizer.step()
    for name, i in (("loss_d_a", 0), ("loss_d_b", 1)):
        assert float(scalars[name]) == pytest.approx(0.5 * (losses[0][i] + losses[1][i]).item(), rel=1e-5)
    for mine, theirs in ((model.d_a, twin.d_a), (model.d_b, twin.d_b)):
        for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_two_parts_make_the_step_of_one():
    """With a pool, the guard and speckle; every norm here is of single images.

    A bias in front of a norm has no gradient but rounding, by whose size Adam would divide: eps is above it.
    """
    changes = {
        "eps": 1e-2,
        "lr": 0.02,
        "pool": 3,
        "channels_b": 1,
        "structure_weight": 2.0,
        "structure_margin": 0.9,
        "speckle_looks": 3.0,
    }
    found = []
    for accumulate in (1, 2):
        model = tiny(**changes)
        step = TrainingStep(model.configure_optimizers(), torch.Generator().manual_seed(7), accumulate=accumulate)
        for i in range(3):
            scalars = model.training_step(images(model.config, n=4, seed=i), step)
        found.append((scalars, model.state_dict()))
    (one, weights), (other, others) = found
    for name in one:
        assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-4, abs=1e-6), name
    for name, value in weights.items():
        torch.testing.assert_close(
            value, others[name], rtol=0, atol=1e-3 if name.startswith("pool") else 1e-5, msg=name
        )


def test_generators_learn_from_the_guard():
    model = tiny(structure_weight=5.0, structure_margin=1.0)
    a, b = images(model.config)
    guarded = model.guard(2 * a - 1, model.g_ab(2 * a - 1)) + model.guard(2 * b - 1, model.g_ba(2 * b - 1))
    scalars = model.training_step((a, b), PlainStep(model.configure_optimizers()))
    assert 0 < float(scalars["structure"]) == pytest.approx(guarded.item(), rel=1e-4)
    parts = ("loss_g_ab", "loss_g_ba")
    total = sum(float(scalars[n]) for n in parts) + 10 * float(scalars["cycle_a"] + scalars["cycle_b"])
    assert float(scalars["loss_g"]) == pytest.approx(total + 5 * float(scalars["structure"]), rel=1e-5)


def test_discriminators_see_the_pool():
    model = tiny(pool=4)
    step = PlainStep(model.configure_optimizers())
    for i in range(3):
        model.training_step(images(model.config, seed=i), step)
    assert int(model.pool_a.count) == int(model.pool_b.count) == 4
    with pytest.raises(ValueError, match=r"pool keeps images of 32 x 32 pixels, 40 x 40 were given; set pool_size"):
        model.training_step(images(model.config, size=40), step)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)), r"SAR images \(A\): \(N, 1, H, W\) is expected"),
        ((torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)), r"optical images \(B\): \(N, 3, H, W\)"),
        ((torch.rand(2, 1, 32, 32), torch.rand(1, 3, 32, 32)), "as many SAR as optical"),
        ((torch.zeros(2, 1, 32, 32, dtype=torch.uint8), torch.rand(2, 3, 32, 32)), "encode it to floats"),
    ],
)
def test_batches_of_another_shape_are_named(batch, message):
    model = tiny()
    with pytest.raises(ValueError, match=message):
        model.training_step(batch, PlainStep(model.configure_optimizers()))


@pytest.mark.parametrize("size", [(80, 80), (30, 45), (1, 5)])
def test_translate_any_size_and_leave_everything_as_it_was(size):
    model = tiny(dropout=True)
    a = torch.rand(2, 1, *size)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.g_ab.model[0].eval()  # a part that is kept in eval mode
    modes = [module.training for module in model.modules()]
    there = model.translate(a, "AtoB")
    assert there.shape == (2, 3, *size)
    assert there.min() >= 0
    assert there.max() <= 1
    assert not there.requires_grad
    assert torch.equal(there, model.translate(a, "AtoB")), "without dropout"
    assert [module.training for module in model.modules()] == modes
    assert same(before, dict(model.state_dict()))
    model.g_ab.eval()
    torch.testing.assert_close(there, (model.network("AtoB")(2 * a - 1).detach() + 1) / 2)
    assert model.network("BtoA") is model.g_ba
    assert model.translate(there, "BtoA").shape == a.shape
    with pytest.raises(ValueError, match=r"images to translate BtoA: \(N, 3, H, W\)"):
        model.translate(a, "BtoA")
    with pytest.raises(ValueError, match="direction must be AtoB"):
        model.translate(a, "SARtoOptical")


def test_the_rate_falls_from_half_on_and_goes_on_after_a_resume(tmp_path):
    """Interrupted at step 4 of 12, the run has the bits of one that was not; its rates are those of the formula."""
    from torch.utils.data import TensorDataset

    data = TensorDataset(*images(tiny().config, n=6))
    whole = tiny(total_steps=12, pool=3)
    fit(whole, data, fit_config(12, batch_size=2), tmp_path / "whole")
    part = tiny(total_steps=12, pool=3)
    fit(part, data, fit_config(4, batch_size=2), tmp_path / "part")
    again = tiny(total_steps=12, pool=3, seed=5)
    fit(again, data, fit_config(12, batch_size=2), tmp_path / "part")
    assert same(dict(whole.state_dict()), dict(again.state_dict()))
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")
    rates = [row["lr"] for row in rows(tmp_path / "whole")]
    assert rates == pytest.approx([2e-4 * min(1, (12 - step) / 6) for step in range(12)])


def test_nan_stops_the_run(tmp_path):
    from torch.utils.data import TensorDataset

    a, b = images(tiny().config, n=4)
    b[1, 0, 3, 3] = torch.nan
    with pytest.raises(Diverged, match="loss"):
        fit(tiny(), TensorDataset(a, b), fit_config(4, batch_size=4), tmp_path)


def test_weights_follow_from_the_seed_and_presets_from_their_names():
    assert same(dict(tiny(seed=3).state_dict()), dict(tiny(seed=3).state_dict()))
    assert not torch.equal(tiny(seed=3).g_ab.model[1].weight, tiny(seed=4).g_ab.model[1].weight)
    assert not torch.equal(tiny(channels_b=1).g_ab.model[1].weight, tiny(channels_b=1).g_ba.model[1].weight)
    document = CycleGANConfig.preset("sorabatake")
    assert (document.width, document.depth, document.d_layers, document.pool) == (64, 4, 4, 0)
    assert document.identity_weight == pytest.approx(1.0)  # 0.1 * 10
    assert (document.lr, document.betas, document.eps, document.constant_share) == (2e-4, (0.5, 0.999), 1e-7, 1.0)
    paper = CycleGANConfig.preset("junyanz", channels_a=3)
    assert paper.identity_weight == 5.0
    assert CycleGANConfig.preset("junyanz").identity_weight == 0.0, "1 and 3 channels"
    for config in (document, paper, CycleGANConfig.preset("sarcore", speckle_looks=4.0, learn_looks=True)):
        assert CycleGANConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    for wrong in (
        {"lambda_cycle": -1}, {"pool": -1}, {"loss": "wgan"}, {"channels_a": 0}, {"constant_share": 1.1},
        {"speckle_looks": 0}, {"learn_looks": True}, {"structure_margin": -2}, {"lr": float("nan")},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CycleGANConfig(**wrong)
    with pytest.raises(ValueError, match="preset must be one of sorabatake, junyanz, sarcore"):
        CycleGANConfig.preset("pix2pixHD")
    with pytest.raises(ValueError, match="CycleGANConfig has no field lambda_l1"):
        CycleGANConfig.from_dict({"lambda_l1": 100})
