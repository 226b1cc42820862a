"""CycleGAN: two generators that undo each other, learnt from images that have no partners.

With the generators G: A -> B and F: B -> A, the discriminators D_A and D_B, and an adversarial loss l (least squares),

    L_G = l(D_B(G(a))) + l(D_A(F(b))) + cycle (|F(G(a)) - a| + |G(F(b)) - b|) + identity (|G(b) - b| + |F(a) - a|)
    L_D = 0.5 (l(D_A(a)) + l'(D_A(F(b)))) + 0.5 (l(D_B(b)) + l'(D_B(G(a))))

where the generated images in L_D come out of a pool of earlier ones.

Source: Zhu, Park, Isola and Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
arXiv 1703.10593; the numbers of the presets from junyanz/pytorch-CycleGAN-and-pix2pix and eriklindernoren/Keras-GAN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sarcore.models.adversarial import generator_loss, mean_difference
from sarcore.models.cyclegan_config import CycleGANConfig
from sarcore.models.discriminator_step import train_discriminators
from sarcore.models.fused_adam import adam
from sarcore.models.image_pool import ImagePool
from sarcore.models.inversion import StructureGuard, rank_correlation
from sarcore.models.sample_sheet import SampleSheet
from sarcore.models.sar_output import SarOutput
from sarcore.models.step import Step
from sarcore.models.translation import (
    DIRECTIONS,
    Direction,
    FixedSamples,
    check_direction,
    check_images,
    evaluating,
    from_network,
    make_discriminator,
    make_generator,
    means,
    opposite,
    schedulers,
    to_network,
)
from sarcore.nn import SpeckleLayer
from sarcore.ops import Radiometry


class CycleGAN(nn.Module):
    """Two generators, two discriminators, and the pools of what was generated; all of it is in ``state_dict``.

    >>> model = CycleGAN(CycleGANConfig(width=4, depth=1, d_width=4, pool_size=32))
    >>> model.translate(torch.rand(2, 1, 30, 45), "AtoB").shape
    torch.Size([2, 3, 30, 45])

    Args:
        config: the settings; A is SAR, B is optical.
        radiometry_a: of the SAR images, for `speckle_looks`; None is amplitude with the limits 0 and 1.
        seed: of the initial weights.
    """

    def __init__(self, config: CycleGANConfig, *, radiometry_a: Radiometry | None = None, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        draws = torch.Generator().manual_seed(seed)
        self.g_ab, self.g_ba = (make_generator(config, direction, draws) for direction in DIRECTIONS)
        self.d_a, self.d_b = (make_discriminator(config, n, draws) for n in (config.channels_a, config.channels_b))
        side = config.pool_size
        self.pool_a = ImagePool((config.channels_a, side, side), config.pool)
        self.pool_b = ImagePool((config.channels_b, side, side), config.pool)
        self.sar_output = SarOutput(config, radiometry_a)
        self.guard = StructureGuard(config.structure_margin)
        self.samples = FixedSamples()

    def network(self, direction: Direction) -> nn.Module:
        """The generator of a direction, from [-1, 1] to [-1, 1]; where SAR is speckled, that of the reflectivity."""
        return self.g_ab if check_direction(direction) == "AtoB" else self.g_ba

    def speckle(self, direction: Direction) -> SpeckleLayer | None:
        """The speckle layer at the end of a direction, None where there is none."""
        return self.sar_output.layer if check_direction(direction) == "BtoA" else None

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
            ValueError: an unknown direction, images of other channels.
        """
        network = self.network(direction)
        source = self.config.channels_a if direction == "AtoB" else self.config.channels_b
        check_images(images, source, f"images to translate {direction}")
        with evaluating(network):
            painted = network(to_network(images))
            if direction == "BtoA":
                painted = self.sar_output(painted, index, seed=seed, origin=origin)
            return from_network(painted)

    def fix_samples(self, a: Tensor, b: Tensor) -> None:
        """Keep some images (n, C, H, W) in [0, 1] that the engine shows through time; no part of the state dict.

        Raises ValueError for images of other channels, or not as many of each.
        """
        check_images(a, self.config.channels_a, "SAR samples (A)")
        check_images(b, self.config.channels_b, "optical samples (B)")
        self.samples.fix(a, b)

    def sample_targets(self) -> dict[str, Tensor]:
        """The real images of the fixed samples that the translations of each direction are like; {} without samples."""
        return {direction: self.samples.of(direction)[1] for direction in DIRECTIONS} if len(self.samples) else {}

    def sample_sheet(self) -> SampleSheet:
        """The fixed samples there and back, both directions in turn: Original, Translated, Reconstructed, Label."""
        index = torch.arange(len(self.samples))
        columns: dict[Direction, tuple[Tensor, ...]] = {}
        translated: dict[str, Tensor] = {}
        for direction in DIRECTIONS:
            source, target = self.samples.of(direction)
            there = self.translate(source, direction, index=index)
            back = self.translate(there, opposite(direction), index=index)
            translated[direction] = there
            columns[direction] = source, there, back, target
        rows = [(d, [column[i] for column in columns[d]]) for i in range(len(self.samples)) for d in DIRECTIONS]
        return SampleSheet(("Original", "Translated", "Reconstructed", "Label"), rows, translated)

    def configure_optimizers(self) -> dict[str, Optimizer]:
        """Adam of the "generators" (with the looks of the speckle, if these are learnt) and of the "discriminators"."""
        looks = list(self.sar_output.parameters())
        return {
            "generators": adam(self.config, (self.g_ab, self.g_ba), looks),
            "discriminators": adam(self.config, (self.d_a, self.d_b)),
        }

    def configure_schedulers(self, optimizers: Mapping[str, Optimizer]) -> dict[str, LRScheduler]:
        """The linear decay to 0 at `total_steps`; none where that is 0."""
        return schedulers(self.config, optimizers)

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """One step on SAR and optical images (N, C, H, W) in [0, 1], in `batch` side by side but no partners.

        The generators first, then the discriminators on what these made. Returns loss_g, loss_d; the adversarial parts
        loss_g_ab, loss_g_ba and loss_d_a, loss_d_b; cycle_a, cycle_b, identity_a, identity_b (mean differences of
        images in [-1, 1], unweighted); d_real, d_fake (mean scores); correlation_ab, correlation_ba (see
        `rank_correlation`); structure (the guard), looks, lr where there are such.

        Raises ValueError for images of another shape.
        """
        a, b = self._checked(batch)
        keys = step.draw(self.sar_output.draw, a.shape[0])
        found: dict[str, list[Tensor]] = defaultdict(list)
        fakes_a, fakes_b = [], []
        self._judge(False)
        step.zero_grad("generators")
        for part_a, part_b, part_keys in step.parts(a, b, keys):
            loss, fake_a, fake_b = self._generators(part_a, part_b, part_keys, found)
            step.backward(loss)
            fakes_a.append(fake_a.detach())
            fakes_b.append(fake_b.detach())
        step.update("generators")
        self._judge(True)
        old_a, old_b = step.join(fakes_a), step.join(fakes_b)
        if self.config.pool:
            old_a = self.pool_a(old_a, step.draw(self.pool_a.sample, a.shape[0]))
            old_b = self.pool_b(old_b, step.draw(self.pool_b.sample, a.shape[0]))
        shown = {"a": (self.d_a, a, old_a), "b": (self.d_b, b, old_b)}
        judged = train_discriminators(step, shown, self.config.loss, apart=self.config.d_steps_apart)
        lr = float(step.optimizers["generators"].param_groups[0]["lr"])
        return {**means(found), **judged, **self.sar_output.scalars(), "lr": lr}

    def _generators(
        self, a: Tensor, b: Tensor, keys: Tensor, found: dict[str, list[Tensor]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of both generators on a part of the batch, and their images; the parts of the loss go to `found`."""
        config, output = self.config, self.sar_output
        fake_b, painted_a = self.g_ab(a), self.g_ba(b)
        fake_a = output(painted_a, keys)
        losses = {
            "loss_g_ab": generator_loss(self.d_b(fake_b), config.loss),
            "loss_g_ba": generator_loss(self.d_a(fake_a), config.loss),
            "cycle_a": mean_difference(output.typical(self.g_ba(fake_b)), a),
            "cycle_b": mean_difference(self.g_ab(fake_a), b),
        }
        if config.identity_weight:
            losses["identity_b"] = mean_difference(self.g_ab(b), b)
            if output.layer is None:  # else the generator would learn to paint the speckle that the layer multiplies
                losses["identity_a"] = mean_difference(self.g_ba(a), a)
        if config.structure_weight:
            losses["structure"] = self.guard(a, fake_b) + self.guard(b, painted_a)
        weights = {"loss": 1.0, "cycle": config.lambda_cycle, "identity": config.identity_weight}
        weights["structure"] = config.structure_weight
        losses["loss_g"] = torch.stack([weights[name.partition("_")[0]] * loss for name, loss in losses.items()]).sum()
        losses["correlation_ab"] = rank_correlation(a, fake_b).mean()
        losses["correlation_ba"] = rank_correlation(b, painted_a).mean()
        for name, value in losses.items():
            found[name].append(value.detach())
        return losses["loss_g"], fake_a, fake_b

    def _judge(self, learning: bool) -> None:
        # No gradient of discriminators is computed while the generators learn from them.
        self.d_a.requires_grad_(learning)
        self.d_b.requires_grad_(learning)

    def _checked(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        a, b = batch
        config = self.config
        check_images(a, config.channels_a, "SAR images (A)")
        check_images(b, config.channels_b, "optical images (B)")
        if len(a) != len(b):
            raise ValueError(f"A batch has as many SAR as optical images; {len(a)} and {len(b)} were given.")
        side = config.pool_size
        wrong = next((tuple(x.shape[-2:]) for x in (a, b) if tuple(x.shape[-2:]) != (side, side)), None)
        if config.pool and wrong is not None:
            raise ValueError(
                f"The pool keeps images of {side} x {side} pixels, {wrong[0]} x {wrong[1]} were given; set pool_size "
                "to the size of the crops, or pool to 0."
            )
        return to_network(a), to_network(b)
