"""A GAN for few patches of several classes: physical speckle, frozen features, adaptive augmentation.

With the score maps D_s(x, y) of the discriminator at its scales s, each a mean over places, the generator G(z, y) and
augmentations T that are drawn anew each time,

    hinge  L_D = sum_s E max(0, 1 - D_s(T x, y)) + E max(0, 1 + D_s(T G(z, y), y))
           L_G = -sum_s E D_s(T G(z, y), y)
    bce    L_D = sum_s E softplus(-D_s(T x, y)) + E softplus(D_s(T G(z, y), y))
           L_G = sum_s E softplus(-D_s(T G(z, y), y))

Source: Sauer et al., arXiv 2111.01007 (projected discriminator); Lim and Ye, arXiv 1705.02894 (hinge); Karras et al.,
arXiv 2006.06676 (augmentation); Miyato and Koyama, arXiv 1802.05637 (class projection).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from sarcore.models.adversarial import generator_loss, score_loss
from sarcore.models.fused_adam import adam
from sarcore.models.gan_augment import AdaptiveAugment
from sarcore.models.gan_config import GANConfig
from sarcore.models.gan_discriminator import ProjectedDiscriminator
from sarcore.models.gan_networks import Generator
from sarcore.models.reflectivity import SpeckleOutput, check_labels, grid_labels
from sarcore.models.step import Step
from sarcore.models.step_counter import StepCounter

_GRID_LATENTS = 64


class GAN(nn.Module):
    """Generator, discriminator, their augmentation and training step; the training state is part of ``state_dict``.

    >>> model = GAN(GANConfig(size=20, width=4, classes=3))
    >>> model.generate(model.latent(2), torch.tensor([0, 2])).shape
    torch.Size([2, 1, 20, 20])

    Args:
        config: all settings.
        means: of the training patches in [0, 1], one for each class or one for all: where the training begins.
        deviations: standard deviations of the means of single patches, as ``means``: how much their brightness varies.
        class_shares: how often each class is met among the labels of the training; what is drawn beside patches whose
            label is -1, of which nobody knows the class, is of these shares. None: all alike.
        seed: of the fixed latent vectors of ``sample_grid``.
    """

    class_shares: Tensor
    fixed_latent: Tensor

    def __init__(
        self,
        config: GANConfig,
        *,
        means: Sequence[float] = (0.5,),
        deviations: Sequence[float] = (0.0,),
        class_shares: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        for name, given in (("means", means), ("deviations", deviations)):
            if len(given) not in {1, max(1, config.classes)} or any(not 0.0 <= value <= 1.0 for value in given):
                needed = f"1 or {config.classes} numbers" if config.classes else "1 number"
                raise ValueError(f"{name} must be {needed} in [0, 1], {list(given)} was given.")
        self.generator = Generator(config, means, deviations)
        self.discriminator = ProjectedDiscriminator(config)
        self.speckle = SpeckleOutput.of(config)
        self.augment = AdaptiveAugment(config)
        self.steps = StepCounter()
        self.register_buffer("class_shares", _shares(config, class_shares))
        drawn = torch.randn(_GRID_LATENTS, config.latent, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("fixed_latent", drawn)

    def latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latent vectors, standard normal, shape (n, latent), on the model's device."""
        device = self.fixed_latent.device if generator is None else generator.device
        drawn = torch.randn(n, self.config.latent, generator=generator, device=device, dtype=self.fixed_latent.dtype)
        return drawn.to(self.fixed_latent.device)

    @torch.no_grad()
    def generate(
        self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0, index: Tensor | None = None
    ) -> Tensor:
        """Return the patches (N, channels, size, size) in [0, 1] of latent vectors (N, latent) and classes (N,).

        The noise within the network and the speckle of a patch follow from ``seed`` and from its number ``index`` (N,),
        by default 0 to N - 1, so that it is the same one in any batch.

        Raises ValueError for labels that are missing, of another shape or unknown, or given to a model without.
        """
        labels = check_labels(self.config, labels, len(z))
        return self._paint(z, labels, _numbers(z, index), seed)

    def _paint(self, z: Tensor, labels: Tensor | None, index: Tensor, seed: int = 0) -> Tensor:
        return cast(Tensor, self.speckle(self.generator(z, labels, index, seed=seed), index, seed=seed)).clamp(0.0, 1.0)

    @torch.no_grad()
    def reflectivity(
        self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0, index: Tensor | None = None
    ) -> Tensor:
        """Return what ``generate`` multiplies with speckle, clipped to [0, 1]; arguments and errors as there."""
        labels = check_labels(self.config, labels, len(z))
        return cast(Tensor, self.generator(z, labels, _numbers(z, index), seed=seed)).clamp(0.0, 1.0)

    def sample_grid(self, n: int) -> Tensor:
        """Return n patches in [0, 1], the same latent vectors in every call; ValueError beyond 64.

        Of a model with classes every row of the square that the engine makes of them is of one class.
        """
        if not 0 < n <= _GRID_LATENTS:
            raise ValueError(f"a sample grid holds 1 to {_GRID_LATENTS} patches, {n} were asked for; use generate().")
        return self.generate(self.fixed_latent[:n], grid_labels(self.config, n, self.fixed_latent.device))

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the Adam optimizers of "generator" and "discriminator"; looks learn ten times faster than weights."""
        return {
            "generator": adam(self.config, (self.generator,), list(self.speckle.parameters())),
            "discriminator": adam(dataclasses.replace(self.config, lr=self.config.lr_d), (self.discriminator.heads,)),
        }

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """Do one step on images (N, channels, size, size) in [0, 1] and labels (N,) of ``batch``, -1 where unknown.

        The discriminator steps first; the generator then on its verdict on the same generated images, which are made
        once. What is drawn is of the classes of the real patches. A batch in parts gives the same gradients as a whole
        where the parts are of a multiple of 4 patches: then the groups of `minibatch_deviation` are the same. Several
        processes have groups of their own.

        Returns detached scalars: loss_d, loss_g, d_real and d_fake (mean scores), ada_p, ada_sign, and looks where they
        are learnt. Labels do not matter to a model without classes.

        Raises ValueError where the images do not have the size and channels of the model.
        """
        images, labels = batch
        expected = (self.config.channels, self.config.size, self.config.size)
        if tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"The GAN was built for patches of {expected}, a batch of {tuple(images.shape[1:])} was given."
            )
        count = len(images)
        draws = [step.draw(self.augment.draw, count) for _ in range(3)]
        z, keys = step.draw(self._draw_latents, count), step.draw(_draw_keys, count)
        classes = self._fill(labels, step.draw(_draw_uniform, count))
        fakes, seen = self._step_discriminator(step, images, labels, draws[0], z, classes, keys, draws[1])
        seen["loss_g"] = self._step_generator(step, fakes, labels, draws[2])
        logs: dict[str, Tensor | float] = {name: step.average(values) for name, values in seen.items()}
        self.augment.adapt(cast(Tensor, logs["ada_sign"]))
        self.steps.advance()
        logs |= {"ada_p": self.augment.p.clone(), "ada_sign": self.augment.sign.clone()}
        return logs | self.speckle.scalars()

    def _draw_latents(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.config.latent, generator=generator, dtype=self.fixed_latent.dtype)

    def _fill(self, labels: Tensor, uniform: Tensor) -> Tensor:
        """The classes to draw: those of the real patches, and one by its share in place of -1."""
        if not self.config.classes:
            return labels
        drawn = torch.bucketize(uniform, self.class_shares.cumsum(0)[:-1], right=True)
        return torch.where(labels >= 0, labels, drawn)

    def _step_discriminator(self, step: Step, *tensors: Tensor) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Step on real and generated images; the generated ones with their graphs, and the scalars, by part."""
        loss_of, fakes = self.config.loss, []
        seen: dict[str, list[Tensor]] = {name: [] for name in ("loss_d", "d_real", "d_fake", "ada_sign")}
        step.zero_grad("discriminator")
        self.discriminator.advance()
        for real, labels, draws, z, classes, keys, draws_fake in step.parts(*tensors):
            fakes.append(self._paint(z, classes, keys))
            d_real = self.discriminator(self.augment(real, draws), labels)
            d_fake = self.discriminator(self.augment(fakes[-1].detach(), draws_fake), labels)
            losses = [score_loss(scores, loss_of, real=True) for scores in d_real]
            loss = torch.stack([*losses, *(score_loss(scores, loss_of, real=False) for scores in d_fake)]).sum()
            step.backward(loss)
            d_real, d_fake = (torch.cat(scores, dim=1).detach() for scores in (d_real, d_fake))
            for name, value in zip(seen, (loss.detach(), d_real, d_fake, d_real.sign()), strict=True):
                seen[name].append(value.mean())
        step.update("discriminator")
        return fakes, seen

    def _step_generator(self, step: Step, fakes: list[Tensor], *tensors: Tensor) -> list[Tensor]:
        """Step on what the discriminator now says of the generated images; the losses by part."""
        losses = []
        step.zero_grad("generator")
        self.discriminator.heads.requires_grad_(False)
        try:
            for fake, (labels, draws) in zip(fakes, step.parts(*tensors), strict=True):
                scales = self.discriminator(self.augment(fake, draws), labels)
                losses.append(torch.stack([generator_loss(scores, self.config.loss) for scores in scales]).sum())
                step.backward(losses[-1])
        finally:
            self.discriminator.heads.requires_grad_(True)
        step.update("generator")
        return [loss.detach() for loss in losses]


def _shares(config: GANConfig, shares: Sequence[float] | None) -> Tensor:
    given = torch.ones(config.classes) if shares is None else torch.tensor(list(shares), dtype=torch.float32)
    if given.shape != (config.classes,) or (config.classes and not (given.min() >= 0.0 and given.sum() > 0.0)):
        raise ValueError(
            f"class_shares must be {config.classes} numbers of 0 or more, one per class; {shares} was given."
        )
    return given / given.sum() if config.classes else given


def _numbers(z: Tensor, index: Tensor | None) -> Tensor:
    return torch.arange(len(z), device=z.device) if index is None else index


def _draw_keys(n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**32, (n,), generator=generator)


def _draw_uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator)
