"""The GAN: what is drawn from it, and its step against plain PyTorch."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from sarcore.engine.step import TrainingStep
from sarcore.models import GAN, PlainStep
from sarcore.models.contrastive import Contrastive, ContrastiveConfig
from sarcore.ops import speckle

from .gan_models import LEARNED, SPECKLED, batch, made, small

# ---- what is drawn


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
    model = made(config=small(**SPECKLED, limits=limits), means=[0.2])
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
    model = made(means=[0.3], deviations=[0.1], class_shares=[1, 2, 3], seed=4)
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
