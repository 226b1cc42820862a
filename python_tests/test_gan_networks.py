"""The networks and settings of the GAN, against compositions written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sarcore.errors import CheckpointError
from sarcore.models import GAN
from sarcore.models.contrastive import Contrastive, ContrastiveConfig
from sarcore.models.gan_discriminator import minibatch_deviation

from .gan_models import SPECKLED, batch, made, small

# ---- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 37}, "the nearest that are"),
        ({"latent": 1}, "latent must be at least 2"),
        ({"loss": "lsgan"}, "hinge, bce"),
        ({"features_depth": 20}, "18, 34, 50"),
        ({"features_width": 0}, "features_width must be at least 1"),
        ({"ada_steps": 0}, "ada_steps"),
        ({"ada_max": 1.0}, "ada_max must lie in"),
        ({"ada_target": 1.0}, "ada_target must lie in"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"lr_d": -1.0}, "lr_d must be positive"),
        ({"classes": 1}, "classes must be 2 or more"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("size", [5, 7, 10, 20, 22, 44, 48])
@pytest.mark.parametrize("look", [{}, SPECKLED], ids=["plain", "speckled"])
def test_any_size_that_halves_down(size, look):
    model = made(config=small(size=size, channels=2, **look))
    labels = torch.tensor([0, 2, 1])
    images = model.generate(model.latent(3), labels)
    assert images.shape == (3, 2, size, size)
    assert [len(scores) for scores in model.discriminator(images, labels)] == [3] * 5


def test_reflectivity_is_coarse_where_the_sensor_is():
    """Its logarithm is a bilinear interpolation by two: of an image that can be solved for."""
    model = made(config=small(**SPECKLED), means=[0.2])  # dark: what is clipped is no interpolation
    log = model.reflectivity(model.latent(2), torch.tensor([0, 1])).log()
    torch.testing.assert_close(
        F.interpolate(_coarse(log), scale_factor=2.0, mode="bilinear", align_corners=False), log, rtol=1e-4, atol=1e-4
    )
    assert float(log.std()) > 0
    assert not small(speckle="fixed", looks=4.0).coarse
    assert not small(speckle="learned", looks=4.0).coarse


def _coarse(fine: Tensor) -> Tensor:
    """The images (H, W) whose bilinear interpolation by two is this: solved for, axis by axis."""
    eye = torch.eye(fine.shape[-1] // 2)[None, None]
    along = F.interpolate(eye, size=(fine.shape[-1], eye.shape[-1]), mode="bilinear", align_corners=False)[0, 0]
    back = torch.linalg.pinv(along)
    return back @ fine @ back.T


# ---- networks


def test_scores_are_those_of_frozen_features_mixed_and_projected():
    """Written out: the stages of the ResNet, the mixture, the spectrally normalised layers, psi and the class term."""
    model = made(config=small(size=40)).double()
    images, labels = torch.rand(8, 1, 40, 40, dtype=torch.float64), batch()[1]
    d, net = model.discriminator, model.discriminator.backbone
    assert not net.training
    h = F.relu(net.bn1(net.conv1((images - d.mean) / d.std)))
    scores, unknown = d(images, labels), d(images, torch.full_like(labels, -1))
    pooled = lambda x: net.layer1(F.max_pool2d(x, 3, 2, 1))  # noqa: E731
    for number, stage in enumerate((lambda x: x, pooled, net.layer2, net.layer3, net.layer4)):
        h = stage(h)
        head, f = d.heads[number], d.mixtures[number](h)
        if number == 4:
            f = torch.cat((f, minibatch_deviation(f)), dim=1)
        for layer in head.layers:
            f = F.conv2d(f, layer.weight, layer.bias, layer.stride, 1) if hasattr(layer, "stride") else layer(f)
        plain = (f * head.score.weight).sum(dim=1) + head.score.bias
        told = torch.stack([(f[i] * head.classes.weight[y][:, None, None]).sum(dim=0) for i, y in enumerate(labels)])
        torch.testing.assert_close(unknown[number], plain.flatten(1))
        torch.testing.assert_close(scores[number], (plain + told).flatten(1))
    mixed = torch.where(torch.arange(8) < 4, labels, -1)
    for found, one, other in zip(d(images, mixed), scores, unknown, strict=True):
        torch.testing.assert_close(found, torch.where((mixed >= 0)[:, None], one, other))


def test_maps_are_halved_to_a_few_pixels():
    model = made(config=small(size=160))
    scores = model.discriminator(torch.rand(1, 1, 160, 160), torch.tensor([0]))
    assert [len(one[0]) for one in scores] == [20**2, 5**2, 5**2, 5**2, 5**2]


def test_features_are_taken_over_and_mixed_to_one_deviation():
    torch.manual_seed(1)
    pretrained = Contrastive(ContrastiveConfig(depth=18, width=4), data_mean=0.3, data_std=0.2)
    model = made(config=small(size=40, width=8, features_width=4))
    images = torch.rand(64, 1, 40, 40)
    d = model.discriminator
    d.take_features(pretrained.state_dict(), images)
    assert (float(d.mean), float(d.std)) == pytest.approx((0.3, 0.2))
    assert torch.equal(d.backbone.layer3[0].conv1.weight, pretrained.backbone.layer3[0].conv1.weight)
    for layer, feature in zip(d.mixtures, d.features(images), strict=True):
        made_of = layer(feature)
        assert float(made_of.mean(dim=(0, 2, 3)).abs().max()) < 1e-3
        count, filters = feature.shape[1], made_of.shape[1]
        # Orthogonal mixtures keep the energy of normalised channels: as many as there are, spread over the filters.
        correlated = made_of.var(dim=(0, 2, 3)).sum() / count
        assert filters == 32
        assert float(correlated) == pytest.approx(1.0 if count <= filters else count / filters, rel=0.1)
    with pytest.raises(CheckpointError, match="another network"):
        d.take_features({"backbone.x": torch.zeros(1)}, images)


def test_spectral_norms_move_by_one_power_iteration_and_only_when_asked():
    model = made()
    d, layer = model.discriminator.train(), model.discriminator.heads[0].layers[0]
    before = layer.weight.detach().clone()
    d(*batch())
    assert torch.equal(layer.weight, before)
    layer.parametrizations.weight.original.data.mul_(5.0).add_(0.3)
    for _ in range(30):
        d.advance()
    assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(("n", "size"), [(8, 4), (12, 4), (6, 3), (2, 2), (5, 1), (7, 1)])
def test_deviation_of_groups_by_hand(n, size):
    h = torch.rand(n, 3, 4, 5, dtype=torch.float64)
    found = minibatch_deviation(h)
    groups = n // size
    for i in range(n):
        members = h[i % groups :: groups]
        assert len(members) == size
        expected = ((members - members.mean(0)).square().mean(0) + 1e-6).sqrt().mean()
        torch.testing.assert_close(found[i], expected.expand(1, 4, 5))


def test_noise_is_standard_normal_and_that_of_its_image():
    generator = made().generator
    like = torch.zeros(1)
    whole = generator._noise(torch.arange(400), 5, like)
    assert [tuple(part.shape[1:]) for part in whole] == [(32, 10, 10), (1, 10, 10), (1, 10, 10)]
    flat = torch.cat([part.flatten(1) for part in whole], dim=1)
    assert abs(float(flat.mean())) < 0.02
    assert float(flat.var()) == pytest.approx(1.0, abs=0.02)
    assert float((flat**4).mean()) == pytest.approx(3.0, abs=0.15)
    for shift in (1, 100):
        assert abs(float((flat[:, shift:] * flat[:, :-shift]).mean())) < 0.02
    part = generator._noise(torch.tensor([7, 3]), 5, like)
    assert torch.equal(part[1], whole[1][[7, 3]])
    assert not torch.equal(generator._noise(torch.tensor([7]), 6, like)[0], whole[0][7:8])


@pytest.mark.parametrize(
    ("domain", "limits"), [("amplitude", (0.0, 255.0)), ("intensity", (0.1, 2.0)), ("db", (-25.0, 0.0))]
)
def test_patches_are_as_bright_as_their_class_and_vary_as_much(domain, limits):
    """z = 0 is a patch of the mean of the class; the first number of z is brightness in standard deviations."""
    means, deviations = [0.2, 0.5, 0.6], [0.0, 0.1, 0.2]
    model = made(config=small(domain=domain, limits=limits), means=means, deviations=deviations)
    torch.nn.init.zeros_(model.generator.to_log.weight)
    latent = torch.zeros(2, 3, model.config.latent)
    latent[0, :, 1] = 1.0  # on the sphere its first number is 0
    latent[1, :, :2] = torch.tensor([1.0, (model.config.latent - 1.0) ** 0.5])  # 1
    for z, expected in zip(latent, (means, [m + d for m, d in zip(means, deviations, strict=True)]), strict=True):
        found = model.generate(z, torch.arange(3)).mean(dim=(1, 2, 3))
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)
    dark = model.generate(-latent[1], torch.arange(3)).mean(dim=(1, 2, 3))
    assert float(dark[0]) == pytest.approx(0.2, rel=1e-4)
    assert (dark[1:] < torch.tensor(means[1:])).all()


def test_the_network_does_not_know_the_level_and_cannot_take_it_back():
    """Latent vectors that differ in their first number alone are one picture at two levels."""
    model = made(config=small(), means=[0.2], deviations=[0.01])
    radius = model.config.latent**0.5
    latent = F.normalize(model.latent(1), dim=1).repeat(2, 1) * radius  # on the sphere, and mirrored in its equator
    latent[1, 0] = -latent[0, 0]
    picture = model.generator(latent, torch.tensor([1, 1]), torch.tensor([3, 3])).log()
    level = model.generator.deviation[0] * (latent[0, 0] - latent[1, 0])
    assert abs(float(level)) > 1e-3
    torch.testing.assert_close(picture[0] - picture[1], level.expand_as(picture[0]), rtol=1e-4, atol=1e-5)


def test_one_mean_and_deviation_may_hold_for_all_classes():
    model = made(config=small(), means=[0.4], deviations=[0.1])
    assert model.generator.deviation.flatten().tolist() == pytest.approx([math.log(0.5 / 0.4)] * 3)
    assert model.generator.brightness.flatten().tolist() == pytest.approx([math.log(0.4)] * 3)


@pytest.mark.parametrize("name", ["means", "deviations"])
@pytest.mark.parametrize("wrong", [[0.5, 0.5], [0.1] * 4, [-0.1], [0.2, 0.3, 1.1], []])
def test_brightness_that_is_no_such_is_refused(name, wrong):
    with pytest.raises(ValueError, match=f"{name} must be 1 or 3 numbers in"):
        GAN(small(), **{name: wrong})
    with pytest.raises(ValueError, match=f"{name} must be 1 number in"):
        GAN(small(classes=0), **{name: wrong if len(wrong) != 1 else [1.5]})
