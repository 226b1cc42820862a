"""Pix2Pix: a generator learnt from pairs, judged beside its input.

With the generator G, the discriminator D of input x and image y together, and an adversarial loss l (cross entropy),

    L_G = l(D(x, G(x))) + lambda_l1 |G(x) - y|
    L_D = 0.5 (l(D(x, y)) + l'(D(x, G(x))))

Source: Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks",
arXiv 1611.07004; the numbers of the presets from junyanz/pytorch-CycleGAN-and-pix2pix and eriklindernoren/Keras-GAN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sarcore.models.adversarial import generator_loss, mean_difference
from sarcore.models.discriminator_step import train_discriminators
from sarcore.models.fused_adam import adam
from sarcore.models.inversion import StructureGuard, rank_correlation
from sarcore.models.pix2pix_config import Pix2PixConfig
from sarcore.models.sample_sheet import SampleSheet
from sarcore.models.sar_output import SarOutput
from sarcore.models.step import Step
from sarcore.models.translation import (
    Direction,
    FixedSamples,
    check_direction,
    check_images,
    evaluating,
    from_network,
    make_discriminator,
    make_generator,
    means,
    schedulers,
    to_network,
)
from sarcore.nn import SpeckleLayer
from sarcore.ops import Radiometry


class Pix2Pix(nn.Module):
    """A generator of one direction and the discriminator of its pairs.

    >>> model = Pix2Pix(Pix2PixConfig(width=4, depth=3, d_width=4, direction="BtoA"))
    >>> model.translate(torch.rand(2, 3, 30, 45), "BtoA").shape
    torch.Size([2, 1, 30, 45])

    Args:
        config: the settings; A is SAR, B is optical.
        radiometry_a: of the SAR images, for `speckle_looks`; None is amplitude with the limits 0 and 1.
        seed: of the initial weights.
    """

    def __init__(self, config: Pix2PixConfig, *, radiometry_a: Radiometry | None = None, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        draws = torch.Generator().manual_seed(seed)
        self.g = make_generator(config, config.direction, draws)
        self.d = make_discriminator(config, config.channels_a + config.channels_b, draws)
        self.sar_output = SarOutput(config if config.direction == "BtoA" else None, radiometry_a)
        self.guard = StructureGuard(config.structure_margin)
        self.samples = FixedSamples()

    def network(self, direction: Direction) -> nn.Module:
        """The generator, from [-1, 1] to [-1, 1]; where SAR is speckled, that of the reflectivity.

        Raises:
            ValueError: not the direction that this model has.
        """
        if check_direction(direction) != self.config.direction:
            raise ValueError(
                f"This Pix2Pix translates {self.config.direction}, {direction} was asked for; train another one with "
                f"direction {direction}."
            )
        return self.g

    def speckle(self, direction: Direction) -> SpeckleLayer | None:
        """The speckle layer at the end of a direction, None where there is none."""
        return self.sar_output.layer if check_direction(direction) == self.config.direction else None

    def translate(
        self,
        images: Tensor,
        direction: Direction,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """Translate images (N, C, H, W) in [0, 1] of any size; (N, C', H, W) in [0, 1], without dropout and gradient.

        `seed`, `index` (N,) and `origin` (row, column of the upper left pixel) key the speckle, where SAR is speckled.

        Raises:
            ValueError: not the direction that this model has, images of other channels.
        """
        network = self.network(direction)
        check_images(images, self.config.source_channels, f"images to translate {direction}")
        with evaluating(network):
            return from_network(self.sar_output(network(to_network(images)), index, seed=seed, origin=origin))

    def fix_samples(self, a: Tensor, b: Tensor) -> None:
        """Keep some images (n, C, H, W) in [0, 1] that the engine shows through time; no part of the state dict.

        Raises ValueError for images of other channels, or not as many of each.
        """
        check_images(a, self.config.channels_a, "SAR samples (A)")
        check_images(b, self.config.channels_b, "optical samples (B)")
        self.samples.fix(a, b)

    def sample_targets(self) -> dict[str, Tensor]:
        """The real images of the fixed samples that the generated ones are like; {} without samples."""
        direction = self.config.direction
        return {direction: self.samples.of(direction)[1]} if len(self.samples) else {}

    def sample_sheet(self) -> SampleSheet:
        """The fixed samples as Condition, Generated, Original."""
        direction = self.config.direction
        source, target = self.samples.of(direction)
        made = self.translate(source, direction, index=torch.arange(len(source)))
        rows = [(direction, list(images)) for images in zip(source, made, target, strict=True)]
        return SampleSheet(("Condition", "Generated", "Original"), rows, {direction: made})

    def configure_optimizers(self) -> dict[str, Optimizer]:
        """Adam of the "generators" (with the looks of the speckle, if these are learnt) and of the "discriminators"."""
        return {
            "generators": adam(self.config, (self.g,), list(self.sar_output.parameters())),
            "discriminators": adam(self.config, (self.d,)),
        }

    def configure_schedulers(self, optimizers: Mapping[str, Optimizer]) -> dict[str, LRScheduler]:
        """The linear decay to 0 at `total_steps`; none where that is 0."""
        return schedulers(self.config, optimizers)

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """One step on pairs of SAR and optical images (N, C, H, W) in [0, 1].

        The discriminator first, then the generator against what it has learnt. Returns loss_g, loss_d; loss_g_gan, the
        adversarial part; l1, the mean difference to the partners, of images in [-1, 1]; d_real, d_fake (mean scores);
        correlation_ab or correlation_ba (see `rank_correlation`); structure (the guard), looks, lr where there are
        such.

        Raises ValueError for images of another shape.
        """
        source, target = self._checked(batch)
        keys = step.draw(self.sar_output.draw, source.shape[0])
        found: dict[str, list[Tensor]] = defaultdict(list)
        # The graphs of the generator are kept until the discriminator has learnt: one pass serves both.
        painted = [self.g(x) for (x,) in step.parts(source)]
        fakes = [self.sar_output(p, k) for p, (k,) in zip(painted, step.parts(keys), strict=True)]
        fake = step.join([f.detach() for f in fakes])
        shown = {"pair": (self.d, torch.cat((source, target), dim=1), torch.cat((source, fake.to(source)), dim=1))}
        judged = train_discriminators(step, shown, self.config.loss, apart=self.config.d_steps_apart)
        del judged["loss_d_pair"]  # the only one: loss_d
        self.d.requires_grad_(False)
        step.zero_grad("generators")
        for (x, y), p, f in zip(step.parts(source, target), painted, fakes, strict=True):
            step.backward(self._generator(x, y, p, f, found))
        step.update("generators")
        self.d.requires_grad_(True)
        lr = float(step.optimizers["generators"].param_groups[0]["lr"])
        return {**means(found), **judged, **self.sar_output.scalars(), "lr": lr}

    def _generator(self, x: Tensor, y: Tensor, painted: Tensor, fake: Tensor, found: dict[str, list[Tensor]]) -> Tensor:
        """Loss of the generator on a part of the batch; its parts go to `found`."""
        config = self.config
        found["loss_g_gan"].append(generator_loss(self.d(torch.cat((x, fake.to(x)), dim=1)), config.loss))
        found["l1"].append(mean_difference(self.sar_output.typical(painted), y))
        loss = found["loss_g_gan"][-1] + config.lambda_l1 * found["l1"][-1]
        if config.structure_weight:
            found["structure"].append(self.guard(x, painted))
            loss = loss + config.structure_weight * found["structure"][-1]
        found["loss_g"].append(loss)
        name = "correlation_ab" if config.direction == "AtoB" else "correlation_ba"
        found[name].append(rank_correlation(x, painted).mean())
        return loss

    def _checked(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        a, b = batch
        check_images(a, self.config.channels_a, "SAR images (A)")
        check_images(b, self.config.channels_b, "optical images (B)")
        if len(a) != len(b) or a.shape[-2:] != b.shape[-2:]:
            raise ValueError(
                f"Pairs have one size and are as many of each; {tuple(a.shape)} and {tuple(b.shape)} were given."
            )
        a, b = to_network(a), to_network(b)
        return (a, b) if self.config.direction == "AtoB" else (b, a)
