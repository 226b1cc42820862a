"""Training steps of the shapes of CycleGAN and Pix2Pix, written for `sarcore.models.Step`, on networks of theirs.

Zhu et al., arXiv 1703.10593, and Isola et al., arXiv 1611.07004: the same layers, losses, optimizers and image pools.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models import ImagePool, Step

CYCLE, IDENTITY, L1 = 10.0, 5.0, 100.0


def _adam(*networks: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam([p for net in networks for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999))


def against(scores: Tensor, target: float) -> Tensor:
    """LSGAN: mean square of what is missing to the target."""
    return F.mse_loss(scores.float(), torch.full_like(scores, target, dtype=torch.float32))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet_generator(width: int, blocks: int, channels: int = 1) -> nn.Sequential:
    """Two strides down, residual blocks, two up."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7)]
    layers += [nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
    for n in (width, 2 * width):
        layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * n), nn.ReLU(inplace=True)]
    layers += [Residual(4 * width) for _ in range(blocks)]
    for n in (4 * width, 2 * width):
        up = nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1)
        layers += [up, nn.InstanceNorm2d(n // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())


def patch_discriminator(width: int, channels: int = 1) -> nn.Sequential:
    """Scores of overlapping patches of 70 x 70."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for n, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(n, 2 * n, 4, stride, padding=1), nn.InstanceNorm2d(2 * n), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))


class Skip(nn.Module):
    """A level of the U-Net: down, what lies below, up, beside its input."""

    def __init__(self, outer: int, inner: int, below: nn.Module | None, dropout: bool) -> None:
        super().__init__()
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, stride=2, padding=1)]
        down += [nn.BatchNorm2d(inner), below] if below is not None else []
        up = nn.ConvTranspose2d(2 * inner if below is not None else inner, outer, 4, stride=2, padding=1)
        self.body = nn.Sequential(*down, nn.ReLU(), up, nn.BatchNorm2d(outer), nn.Dropout(0.5 if dropout else 0.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.body(x)), dim=1)


def unet(width: int, size: int, channels: int = 1) -> nn.Sequential:
    """Halved down to one pixel."""
    levels = size.bit_length() - 1
    widths = [min(2**n, 8) * width for n in range(levels)]
    below: nn.Module | None = None
    for n in range(levels - 1, 0, -1):
        below = Skip(widths[n - 1], widths[n], below, dropout=3 < n < levels - 1)
    first = nn.Conv2d(channels, width, 4, stride=2, padding=1)
    assert below is not None
    return nn.Sequential(first, below, nn.ReLU(), nn.ConvTranspose2d(2 * width, channels, 4, 2, 1), nn.Tanh())


class CycleShaped(nn.Module):
    """Two generators, two discriminators with image pools, least squares, cycle and identity."""

    def __init__(self, size: int, width: int, blocks: int, pool: int = 50) -> None:
        super().__init__()
        self.to_b, self.to_a = resnet_generator(width, blocks), resnet_generator(width, blocks)
        self.judge_a, self.judge_b = patch_discriminator(width), patch_discriminator(width)
        self.pool_a, self.pool_b = ImagePool((1, size, size), pool), ImagePool((1, size, size), pool)

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generators": _adam(self.to_b, self.to_a), "discriminators": _adam(self.judge_a, self.judge_b)}

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor]:
        losses_g, losses_d, fakes_a, fakes_b = [], [], [], []
        for judge in (self.judge_a, self.judge_b):
            judge.requires_grad_(False)
        step.zero_grad("generators")
        for a, b in step.parts(*batch):
            fake_b, fake_a = self.to_b(a), self.to_a(b)
            loss = against(self.judge_b(fake_b), 1.0) + against(self.judge_a(fake_a), 1.0)
            loss = loss + CYCLE * (F.l1_loss(self.to_a(fake_b), a) + F.l1_loss(self.to_b(fake_a), b))
            loss = loss + IDENTITY * (F.l1_loss(self.to_b(b), b) + F.l1_loss(self.to_a(a), a))
            step.backward(loss)
            losses_g.append(loss)
            fakes_a.append(fake_a.detach())
            fakes_b.append(fake_b.detach())
        step.update("generators")
        for judge in (self.judge_a, self.judge_b):
            judge.requires_grad_(True)
        count = len(batch[0])
        old_a = self.pool_a(step.join(fakes_a), step.draw(self.pool_a.sample, count))
        old_b = self.pool_b(step.join(fakes_b), step.draw(self.pool_b.sample, count))
        step.zero_grad("discriminators")
        for a, b, fake_a, fake_b in step.parts(*batch, old_a, old_b):
            loss_a = 0.5 * (against(self.judge_a(a), 1.0) + against(self.judge_a(fake_a), 0.0))
            loss_b = 0.5 * (against(self.judge_b(b), 1.0) + against(self.judge_b(fake_b), 0.0))
            step.backward(loss_a + loss_b)
            losses_d.append(loss_a + loss_b)
        step.update("discriminators")
        return {"loss_g": step.average(losses_g), "loss_d": step.average(losses_d)}


class PixShaped(nn.Module):
    """A U-Net and a discriminator of input and output together, cross entropy and L1."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.generator, self.judge = unet(width, size), patch_discriminator(width, channels=2)

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": _adam(self.generator), "discriminator": _adam(self.judge)}

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor]:
        losses_g, losses_d, fakes = [], [], []
        step.zero_grad()
        for a, b in step.parts(*batch):  # the graphs of the generator are kept until the discriminator has learnt
            fake = self.generator(a)
            fakes.append(fake)
            loss = 0.5 * (self._judged(a, fake.detach(), 0.0) + self._judged(a, b, 1.0))
            step.backward(loss)
            losses_d.append(loss)
        step.update("discriminator")
        self.judge.requires_grad_(False)
        for (a, b), fake in zip(step.parts(*batch), fakes, strict=True):
            loss = self._judged(a, fake, 1.0) + L1 * F.l1_loss(fake, b)
            step.backward(loss)
            losses_g.append(loss)
        step.update("generator")
        self.judge.requires_grad_(True)
        return {"loss_g": step.average(losses_g), "loss_d": step.average(losses_d)}

    def _judged(self, a: Tensor, b: Tensor, target: float) -> Tensor:
        scores: Any = self.judge(torch.cat((a, b), dim=1)).float()
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))
