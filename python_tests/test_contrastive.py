"""Contrastive pre-training: its loss against plain arithmetic, its views, what it learns, what a classifier takes."""

import math

import pytest
import torch

from sarcore.errors import CheckpointError
from sarcore.models import Classifier, ClassifierConfig, Contrastive, ContrastiveConfig, PlainStep, load_backbone
from sarcore.models.contrastive import agreement
from sarcore.models.schedule import cosine_rate

TINY = {"depth": 18, "width": 4, "hidden": 16, "projection": 8}


def test_loss_is_that_of_plain_arithmetic(generator):
    z = torch.nn.functional.normalize(torch.randn(10, 6, generator=generator, dtype=torch.float64), dim=1)
    losses, hits = [], []
    for i in range(10):
        partner = (i + 5) % 10
        others = [j for j in range(10) if j != i]
        terms = {j: math.exp(float(z[i] @ z[j]) / 0.3) for j in others}
        losses.append(-math.log(terms[partner] / sum(terms.values())))
        hits.append(max(others, key=terms.__getitem__) == partner)
    loss, found = agreement(z, 0.3)
    assert float(loss) == pytest.approx(sum(losses) / 10, rel=1e-5)
    assert float(found) == pytest.approx(sum(hits) / 10)


def test_half_precision_networks_are_compared_in_full_precision(generator):
    z = torch.nn.functional.normalize(torch.randn(64, 128, generator=generator), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(agreement(z, 0.1)[0], agreement(z, 0.1)[0].float())
        inside = agreement(z, 0.1)[0]
    assert torch.equal(inside, agreement(z, 0.1)[0])


def test_views_are_cut_flipped_and_speckled_by_number(generator):
    model = Contrastive(ContrastiveConfig(**TINY, crop=0.5, speckle_looks=(5.0, 5.0), limits=(0.0, 255.0)))
    images = torch.rand(6, 1, 40, 40, generator=generator)
    numbers = torch.arange(12).reshape(6, 2)
    views = model.view(images, numbers[:, 0])
    assert views.shape == (6, 1, 20, 20)
    assert torch.equal(model.view(images[2:4], numbers[2:4, 0]), views[2:4])
    assert not torch.equal(model.view(images, numbers[:, 1]), views)
    flat = model.view(torch.full((40, 1, 40, 40), 0.4), torch.arange(40)).square()
    assert float(flat.mean().square() / flat.var()) == pytest.approx(5.0, rel=0.05), "amplitudes with five looks"
    assert float(flat.mean()) == pytest.approx(0.16, rel=0.02)


def test_decibels_are_speckled_by_addition():
    model = Contrastive(ContrastiveConfig(**TINY, crop=1.0, domain="db", limits=(-30.0, 0.0), speckle_looks=(4.0, 4.0)))
    out = model.view(torch.full((20, 1, 40, 40), 0.5), torch.arange(20))
    power = (10 ** ((out * 30 - 30) / 10)).double()
    assert float(power.mean().square() / power.var()) == pytest.approx(4.0, rel=0.05)


def stripes(count: int, generator: torch.Generator) -> torch.Tensor:
    """Patches of gratings, each of its own direction and period."""
    angle, period = torch.rand(2, count, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    phase = (torch.cos(3.1 * angle) * y + torch.sin(3.1 * angle) * x) * (0.4 + period)
    return (0.5 + 0.3 * torch.sin(phase))[:, None]


def test_it_learns_to_find_partners(generator):
    torch.manual_seed(0)
    config = ContrastiveConfig(**TINY, lr=5e-3, total_steps=40, warmup_steps=4, speckle_looks=(16.0, 32.0))
    model = Contrastive(config, data_mean=0.5, data_std=0.2)
    images, unseen = stripes(64, generator), stripes(24, generator)
    numbers = torch.arange(48).reshape(24, 2)
    with torch.no_grad():
        before = model.train().compare(unseen, numbers)
    step = PlainStep(model.configure_optimizers(), seed=1)
    schedules = model.configure_schedulers(step.optimizers)
    for number in range(40):
        batch = images[(torch.arange(24) + 24 * number) % 64]
        scalars = model.training_step((batch, torch.zeros(24)), step)
        assert scalars["lr"] == pytest.approx(model.learning_rate(number))
        schedules["contrastive"].step()
    with torch.no_grad():
        after = model.train().compare(unseen, numbers)
    assert float(after[0]) < float(before[0]) - 0.8
    assert float(after[1]) > float(before[1]) + 0.1
    assert float(after[1]) > 5 / 47, "five times chance"


def test_labels_play_no_part(generator):
    results = []
    for labels in (torch.zeros(4), torch.arange(4), torch.full((4,), -1)):
        torch.manual_seed(0)
        model = Contrastive(ContrastiveConfig(**TINY))
        batch = torch.rand(4, 1, 40, 40, generator=torch.Generator().manual_seed(3)), labels
        results.append(float(model.training_step(batch, PlainStep(model.configure_optimizers()))["loss"]))
    assert len(set(results)) == 1


def test_a_classifier_takes_all_but_the_projection(generator):
    torch.manual_seed(0)
    learnt = Contrastive(ContrastiveConfig(**TINY)).eval()
    model = Classifier(ClassifierConfig(depth=18, width=4)).eval()
    head = {name: value.clone() for name, value in model.backbone.fc.state_dict().items()}
    load_backbone(model.backbone, learnt.state_dict())
    images = torch.rand(2, 1, 64, 64, generator=generator)
    assert torch.equal(model.backbone.features(images), learnt.backbone.features(images))
    assert all(torch.equal(value, head[name]) for name, value in model.backbone.fc.state_dict().items())
    with pytest.raises(CheckpointError, match="same depth and width"):
        load_backbone(Classifier(ClassifierConfig(depth=18, width=8)).backbone, learnt.state_dict())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "width must be at least 1"),
        ({"projection": 1}, "projection must be at least 2"),
        ({"crop": 0.0}, "crop must be a share"),
        ({"crop": 1.1}, "crop must be a share"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"domain": "digital"}, "domain must be one of"),
        ({"limits": (1.0, 1.0)}, "limits must be low < high"),
        ({"limits": (-1.0, 1.0)}, "not negative to speckle amplitude"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveConfig(**wrong)


def test_settings_survive_json_and_unknown_ones_do_not():
    config = ContrastiveConfig(domain="db", limits=(-25.0, 0.0), depth=34)
    assert ContrastiveConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="no field speed"):
        ContrastiveConfig.from_dict({"speed": 1})
    with pytest.raises(ValueError, match="data_std"):
        Contrastive(ContrastiveConfig(**TINY), data_std=0.0)


def test_rates_rise_and_fall():
    rates = [cosine_rate(step, peak=2.0, warmup_steps=10, total_steps=100) for step in range(120)]
    assert rates[:10] == pytest.approx([2.0 * (k + 1) / 11 for k in range(10)])
    assert rates[10:100] == pytest.approx([1.0 + math.cos(math.pi * k / 90) for k in range(90)])
    assert max(rates[100:]) == pytest.approx(0.0, abs=1e-12)
    short = [cosine_rate(step, peak=1.0, warmup_steps=50, total_steps=10) for step in range(10)]
    assert short.index(max(short)) == 5
