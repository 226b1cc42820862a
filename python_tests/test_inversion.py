"""Whether translations invert intensities: rank correlation against SciPy, and a guard that acts below its margin."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sarcore.models import CycleGAN, CycleGANConfig, PlainStep
from sarcore.models.inversion import StructureGuard, block_means, rank_correlation


def test_block_means_are_those_of_the_blocks(generator):
    images = torch.rand(2, 3, 40, 19, generator=generator)
    expected = images.double().numpy()[:, :, :40, :16].mean(axis=1).reshape(2, 5, 8, 2, 8).mean(axis=(2, 4))
    np.testing.assert_allclose(block_means(images), expected.reshape(2, -1), rtol=1e-5)
    assert block_means(torch.rand(1, 1, 700, 1100)).shape == (1, 15 * 15)  # blocks of 44 x 69
    assert block_means(torch.rand(1, 1, 1, 5)).shape == (1, 1)


def test_rank_correlation_is_spearmans_with_ties(generator):
    a = torch.rand(3, 1, 64, 64, generator=generator)
    b = (0.3 * a.square() + torch.rand(3, 3, 64, 64, generator=generator)).clamp(0, 1)
    a[1, :, :, :32] = 0.0  # half of its blocks are equal
    found = rank_correlation(a, b)
    expected = [spearmanr(x, y).statistic for x, y in zip(block_means(a).numpy(), block_means(b).numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rank_correlation_knows_monotone_maps_and_flat_images(generator):
    a = torch.rand(2, 1, 64, 64, generator=generator)
    blocks = torch.nn.functional.interpolate(torch.rand(2, 1, 8, 8, generator=generator), scale_factor=8)
    torch.testing.assert_close(rank_correlation(blocks, blocks**3), torch.ones(2))
    torch.testing.assert_close(rank_correlation(blocks, -(blocks**3)), -torch.ones(2))
    assert rank_correlation(a, torch.zeros(2, 3, 64, 64)).tolist() == [0, 0]
    assert rank_correlation(a[:, :, :1, :1], a[:, :, :1, :1]).tolist() == [0, 0]  # of one block


def test_guard_acts_below_its_margin_only_and_turns_a_translation_round(generator):
    source = torch.rand(4, 1, 64, 64, generator=generator)
    guard = StructureGuard(-0.5)
    translated = (1.0 - source).requires_grad_()
    loss = guard(source, translated)
    assert loss.item() == pytest.approx(1.0, abs=1e-4)
    loss.backward()
    assert float((translated.grad * source).sum()) < 0, "a step down follows the source"
    optimizer = torch.optim.SGD([translated], lr=20.0)
    for _ in range(200):
        optimizer.zero_grad()
        guard(source, translated).backward()
        optimizer.step()
    assert float(rank_correlation(source, translated).min()) > -0.6
    unrelated = torch.rand(4, 3, 64, 64, generator=generator).requires_grad_()
    loss = guard(source, unrelated)
    loss.backward()
    assert loss.item() == 0
    assert not unrelated.grad.any()


def inverted_cyclegan(draws):
    """A CycleGAN whose generators have learnt to exchange bright and dark: the cycle closes all the same."""
    settings = {"width": 4, "depth": 1, "d_width": 4, "d_layers": 2, "pool": 0, "lr": 2e-3}
    model = CycleGAN(CycleGANConfig.preset("sarcore", structure_weight=10.0, **settings))
    optimizer = torch.optim.Adam([*model.g_ab.parameters(), *model.g_ba.parameters()], 5e-3)
    for _ in range(60):
        a, b = 2 * blocks(1, draws) - 1, 2 * blocks(3, draws) - 1
        optimizer.zero_grad()
        ((model.g_ab(a) + a).abs().mean() + (model.g_ba(b) + b[:, :1]).abs().mean()).backward()
        optimizer.step()
    return model


def blocks(channels, draws):
    """Images whose grey values lie alike around 0.5: nothing in the domains tells bright from dark."""
    images = torch.nn.functional.interpolate(torch.rand(4, 1, 4, 4, generator=draws), scale_factor=8)
    return (0.1 + 0.8 * images).expand(-1, channels, -1, -1)


def test_the_guard_turns_an_inverted_cyclegan_round_and_nothing_else_does(generator):
    inverted = inverted_cyclegan(generator)
    found = {}
    for weight in (0.0, inverted.config.structure_weight):
        model = copy.deepcopy(inverted)
        model.config = dataclasses.replace(inverted.config, structure_weight=weight)
        step = PlainStep(model.configure_optimizers())
        draws = torch.Generator().manual_seed(1)
        rows = [model.training_step((blocks(1, draws), blocks(3, draws)), step) for _ in range(24)]
        found[weight] = [min(float(row[name]) for name in ("correlation_ab", "correlation_ba")) for row in rows]
    assert max(found[0.0]) < -0.9, "losses, cycle and all, are content with it"
    assert found[10.0][0] < -0.9
    assert min(found[10.0][-4:]) > -0.6, "below the margin of -0.5 the guard acts"


def test_guard_of_flat_images_has_a_finite_gradient():
    for margin in (-0.5, 0.5):
        flat = torch.zeros(1, 1, 32, 32, requires_grad=True)
        StructureGuard(margin)(torch.rand(1, 1, 32, 32), flat).backward()
        assert flat.grad.isfinite().all()


def test_gradient_of_the_guard(generator):
    source = torch.rand(2, 1, 16, 24, generator=generator, dtype=torch.float64)
    noise = torch.rand(2, 1, 16, 24, generator=generator, dtype=torch.float64)
    translated = (0.7 - source + 0.1 * noise).requires_grad_()
    assert torch.autograd.gradcheck(StructureGuard(-0.01), (source, translated))


def test_real_pairs_hardly_agree_which_is_why_the_margin_is_low(test_data):
    """The numbers of StructureGuard's docstring."""
    from PIL import Image

    files = sorted((test_data / "pairs256").glob("s1_*/*.png"))
    if not files:
        pytest.skip("pairs256 is not there")
    ranked, linear = [], []
    for file in files:
        partner = file.parent.with_name(file.parent.name.replace("s1_", "s2_")) / file.name.replace("_s1_", "_s2_")
        images = [np.asarray(Image.open(f).convert("RGB"), dtype=np.float32) for f in (file, partner)]
        a, b = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in images)
        ranked.append(float(rank_correlation(a, b)))
        linear.append(np.corrcoef(block_means(a), block_means(b))[0, 1])
    assert len(linear) == 118
    assert np.quantile(linear, (0.5, 0.05)) == pytest.approx((-0.04, -0.6), abs=0.02)
    assert np.mean(ranked) == pytest.approx(-0.07, abs=0.01), "what the detector holds its -0.3 against"
