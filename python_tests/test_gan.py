"""The GAN: its networks against compositions written out by hand, its step, what is drawn from it."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sarcore.engine.step import TrainingStep
from sarcore.errors import CheckpointError
from sarcore.models import GAN, GANConfig, PlainStep
from sarcore.models.contrastive import Contrastive, ContrastiveConfig
from sarcore.models.gan_discriminator import minibatch_deviation
from sarcore.ops import speckle

CLASSES = 3
SPECKLED = {"speckle": "fixed", "looks": 4.0, "oversampling": 2.5}


def small(**changes: Any) -> GANConfig:
    return GANConfig(**{"size": 20, "width": 2, "latent": 8, "classes": CLASSES, "features_width": 2, **changes})


def batch(n: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 1, 20, 20, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % CLASSES


def made(config_seed: int = 0, config: GANConfig | None = None, **more: Any) -> GAN:
    torch.manual_seed(config_seed)
    return GAN(config or small(), **more)


# ---- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 37}, "the nearest that are"),
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
    model = made(config=small(**SPECKLED))
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
def test_images_begin_at_the_means_of_their_classes(domain, limits):
    model = made(config=small(domain=domain, limits=limits), class_means=[0.2, 0.5, 0.8])
    for name in ("to_log", "gain"):
        torch.nn.init.zeros_(getattr(model.generator, name).weight)
    model.generator.gain.bias.data.fill_(0.0)
    images = model.generate(model.latent(3), torch.arange(3))
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), torch.tensor([0.2, 0.5, 0.8]), rtol=1e-5, atol=1e-5)
    for wrong in ([0.5], [0.1] * 4):
        with pytest.raises(ValueError, match="class_means must be 3 numbers"):
            GAN(small(), class_means=wrong)


# ---- what is drawn


LEARNED = {"speckle": "learned", "looks": 3.0}


@pytest.mark.parametrize("look", [{}, SPECKLED, LEARNED], ids=["plain", "fixed", "learned"])
def test_an_image_is_the_same_in_any_batch(look):
    model = made(config=small(**look))
    z, labels, index = model.latent(4), torch.tensor([2, 0, 1, 1]), torch.tensor([9, 4, 2**32 - 1, 0])
    whole = model.generate(z, labels, seed=3, index=index)
    for i in range(4):
        one = model.generate(z[i : i + 1], labels[i : i + 1], seed=3, index=index[i : i + 1])
        torch.testing.assert_close(one, whole[i : i + 1], rtol=1e-4, atol=1e-5)
    for changed in ({"seed": 4, "index": index}, {"seed": 3, "index": index + (index == 0).long()}):
        assert float((model.generate(z, labels, **changed) - whole)[3].abs().max()) > 1e-3
    torch.testing.assert_close(model.generate(z, labels), model.generate(z, labels, index=torch.arange(4)))


def test_images_are_their_reflectivity_speckled():
    limits = (0.0, 255.0)
    model = made(config=small(**SPECKLED, limits=limits), data_mean=0.2)
    z, labels, index = model.latent(3), torch.tensor([0, 1, 2]), torch.tensor([5, 6, 7])
    r = model.reflectivity(z, labels, seed=2, index=index)
    expected = speckle(r * 255, 4.0, seed=2, domain="amplitude", psf=("gaussian", 2.5), index=index) / 255
    torch.testing.assert_close(model.generate(z, labels, seed=2, index=index), expected.clamp(0, 1))
    assert float(r.max()) < 1  # nothing was clipped


def test_labels_are_asked_for_where_there_are_classes():
    model, free = made(), made(config=small(classes=0))
    z = model.latent(2)
    for labels in (None, torch.tensor([0, 3]), torch.tensor([0]), torch.tensor([-1, 0])):
        with pytest.raises(ValueError, match="labels of the classes|by their class"):
            model.generate(z, labels)
    with pytest.raises(ValueError, match="without classes"):
        free.generate(z, torch.tensor([0, 1]))
    assert free.generate(z).shape == (2, 1, 20, 20)


def test_the_sample_grid_is_fixed_and_has_a_class_per_row():
    model = made(seed=0)
    grid = model.sample_grid(9)
    assert torch.equal(grid, model.sample_grid(9))
    torch.testing.assert_close(grid, model.generate(model.fixed_latent[:9], torch.arange(9) // 3))
    for n in (0, 65):
        with pytest.raises(ValueError, match="1 to 64"):
            model.sample_grid(n)


# ---- the step


def by_hand(model: GAN, steps: int, images: Tensor, labels: Tensor, wanted: Tensor) -> None:
    """Plain PyTorch, in one part, nothing augmented: what `training_step` should come to."""
    config, g, d = model.config, model.generator, model.discriminator
    more = {"betas": config.betas, "eps": config.eps}
    optimizer_g = torch.optim.Adam(g.parameters(), lr=config.lr, **more)
    optimizer_d = torch.optim.Adam(d.heads.parameters(), lr=config.lr_d, **more)
    draws, n = torch.Generator().manual_seed(11), len(images)
    for _ in range(steps):
        for _ in range(3):
            torch.rand(n, 10, generator=draws)
            torch.randn(n, 1, generator=draws)
        z = torch.randn(n, config.latent, generator=draws, dtype=torch.float64)
        keys = torch.randint(2**32, (n,), generator=draws)
        torch.rand(n, generator=draws)
        fake = g(z, wanted, keys)
        if config.speckle == "fixed":
            fake = speckle(fake, config.looks, seed=0, domain="amplitude", psf=config.psf, index=keys)
        fake = fake.clamp(0, 1)
        d.advance()
        loss = torch.zeros(())
        for real, generated in zip(d(images, labels), d(fake.detach(), labels), strict=True):
            if config.loss == "hinge":
                loss = loss + (1 - real).clamp(min=0).mean() + (1 + generated).clamp(min=0).mean()
            else:
                loss = loss - real.sigmoid().log().mean() - (1 - generated.sigmoid()).log().mean()
        optimizer_d.zero_grad()
        loss.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        sum(-(s.mean() if config.loss == "hinge" else s.sigmoid().log().mean()) for s in d(fake, labels)).backward()
        optimizer_g.step()


@pytest.mark.parametrize("loss", ["hinge", "bce"])
@pytest.mark.parametrize("look", [{}, SPECKLED], ids=["plain", "speckled"])
def test_steps_are_those_of_the_formulas(loss, look):
    model = made(config=small(loss=loss, ada_target=0.99, **look)).double()
    images, labels = batch()
    expected = copy.deepcopy(model)
    by_hand(expected, 3, images.double(), labels, labels)
    step = PlainStep(model.configure_optimizers(), seed=11)
    for _ in range(3):
        logs = model.training_step((images.double(), labels), step)
    assert float(model.augment.p) == 0.0
    assert {"loss_g", "loss_d", "d_real", "d_fake", "ada_p", "ada_sign"} == set(logs)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, dict(expected.named_parameters())[name], rtol=1e-7, atol=1e-9)


def test_parts_give_the_gradients_of_the_whole():
    """They hold the groups of the minibatch deviation where 4 divides them."""
    found = []
    for accumulate in (1, 2):
        model = made(config=small(ada_steps=2, ada_target=0.01, **SPECKLED)).double()
        model.augment.p.fill_(0.5)
        step = TrainingStep(
            model.configure_optimizers(), torch.Generator().manual_seed(3), accumulate=accumulate, mixed=False
        )
        images, labels = batch()
        logs = [model.training_step((images.double(), labels), step) for _ in range(2)]
        found.append((logs, model.state_dict()))
    for name, value in found[0][1].items():
        torch.testing.assert_close(value, found[1][1][name], rtol=1e-6, atol=1e-8)
    for one, other in zip(found[0][0], found[1][0], strict=True):
        for name, value in one.items():
            torch.testing.assert_close(torch.as_tensor(value), torch.as_tensor(other[name]), rtol=1e-6, atol=1e-8)


def test_images_are_generated_once_per_step():
    model, calls = made(), []
    model.generator.register_forward_hook(lambda *_: calls.append(1))
    model.training_step(batch(), PlainStep(model.configure_optimizers()))
    assert len(calls) == 1


def test_real_and_generated_images_are_augmented_by_draws_of_their_own():
    model, seen = made(), []
    model.augment.register_forward_hook(lambda _, arguments, __: seen.append(arguments[1]))
    for _ in range(2):
        model.training_step(batch(), PlainStep(model.configure_optimizers(), seed=len(seen)))
    assert len(seen) == 6
    assert all(not torch.equal(one, other) for i, one in enumerate(seen) for other in seen[:i])


def test_the_frozen_network_stays_as_it_is():
    model = made()
    frozen = {**model.discriminator.backbone.state_dict(), **model.discriminator.mixtures.state_dict()}
    frozen = {name: value.clone() for name, value in frozen.items()}
    model.train()
    model.training_step(batch(), PlainStep(model.configure_optimizers()))
    after = {**model.discriminator.backbone.state_dict(), **model.discriminator.mixtures.state_dict()}
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    assert all(p.requires_grad for p in model.discriminator.heads.parameters())
    assert not any(p.requires_grad for p in model.discriminator.backbone.parameters())


@torch.no_grad()
def test_speckled_images_lose_the_grid_of_the_pixel_shuffle():
    """Of the logarithm, what alternates from pixel to pixel: [1 2 1] / 4 has no response there."""
    alternating, grids = (-1.0) ** torch.arange(32), []
    for look in ({}, {"speckle": "fixed", "looks": 4.0}):
        model = made(config=small(size=40, classes=0, **look))
        log = model.generator(model.fixed_latent[:4], None, torch.arange(4)).log()[..., 4:-4]
        grids.append(float((log * alternating).mean(dim=-1).abs().mean()))
    assert grids[1] < 0.1 * grids[0]


def test_classes_of_unknown_labels_are_drawn_by_their_shares():
    model = made(class_shares=[0.0, 1.0, 3.0])
    labels = torch.full((4000,), -1)
    labels[:10] = 0
    filled = model._fill(labels, torch.rand(4000, generator=torch.Generator().manual_seed(0)))
    assert filled[:10].tolist() == [0] * 10
    shares = torch.bincount(filled[10:], minlength=3) / 3990
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.25, 0.75]), atol=0.03, rtol=0.0)
    for wrong in ([1.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 1.0]):
        with pytest.raises(ValueError, match="class_shares must be 3 numbers"):
            GAN(small(), class_shares=wrong)


def test_a_batch_without_labels_trains_all_but_the_class_term():
    model = made()
    embedding = model.discriminator.heads[1].classes.weight
    before = embedding.detach().clone()
    images = batch()[0]
    model.training_step((images, torch.full((8,), -1)), PlainStep(model.configure_optimizers()))
    assert torch.equal(embedding, before)
    model.training_step((images, batch()[1]), PlainStep(model.configure_optimizers()))
    assert not torch.equal(embedding, before)


def test_learned_looks_are_logged_and_learn_ten_times_faster():
    model = made(config=small(**LEARNED))
    optimizers = model.configure_optimizers()
    assert [group["lr"] for group in optimizers["generator"].param_groups] == pytest.approx([7e-4, 7e-3])
    logs = model.training_step(batch(), PlainStep(optimizers))
    assert float(logs["looks"]) != 3.0


def test_patches_of_another_size_are_refused():
    model = made()
    with pytest.raises(ValueError, match="built for patches of"):
        model.training_step((torch.rand(2, 1, 24, 24), torch.zeros(2)), PlainStep(model.configure_optimizers()))


def test_the_state_holds_all_that_a_model_of_other_data_needs():
    """Features, shares of classes, probability of augmentation, count of steps: from the state alone."""
    model = made(data_mean=0.3, class_shares=[1, 2, 3], seed=4)
    model.discriminator.take_features(
        Contrastive(ContrastiveConfig(depth=18, width=2), data_mean=0.3, data_std=0.1).state_dict(), batch()[0]
    )
    model.training_step(batch(), PlainStep(model.configure_optimizers()))
    other = GAN(dataclasses.replace(model.config))
    other.load_state_dict(model.state_dict())
    images, labels = batch()
    for one, two in zip(other.discriminator(images, labels), model.discriminator(images, labels), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(other.sample_grid(4), model.sample_grid(4))
    assert other.steps.current == 1
