"""CycleGAN and Pix2Pix as people write them: plain networks with the weights of ours, and bare loops of their steps.

The layers are those of junyanz/pytorch-CycleGAN-and-pix2pix (resnet, unet, PatchGAN of 70 pixels), for sizes that fit.
What our models keep record of beside the losses (scores, rank correlations) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models import CycleGAN, Pix2Pix

Batches = Iterator[tuple[Tensor, Tensor]]
Losses = dict[str, Tensor]


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(True)),
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet(channels: int, out: int, width: int, blocks: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7)]
    layers += [nn.InstanceNorm2d(width), nn.ReLU(True)]
    for n in (width, 2 * width):
        layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * n), nn.ReLU(True)]
    layers += [Residual(4 * width) for _ in range(blocks)]
    for n in (4 * width, 2 * width):
        up = nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1)
        layers += [up, nn.InstanceNorm2d(n // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, out, 7), nn.Tanh())


def patches(channels: int, width: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
    for n, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        norm = nn.BatchNorm2d(2 * n) if batch_norm else nn.InstanceNorm2d(2 * n)
        layers += [nn.Conv2d(n, 2 * n, 4, stride, padding=1, bias=not batch_norm), norm, nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))


class Skip(nn.Module):
    def __init__(self, outer: int, inner: int, below: nn.Module | None, dropout: bool) -> None:
        super().__init__()
        down = [nn.LeakyReLU(0.2, True), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=False)]
        down += [nn.BatchNorm2d(inner), below] if below is not None else []
        up = nn.ConvTranspose2d(inner if below is None else 2 * inner, outer, 4, stride=2, padding=1, bias=False)
        last = [nn.Dropout(0.5)] if dropout else []
        self.body = nn.Sequential(*down, nn.ReLU(True), up, nn.BatchNorm2d(outer), *last)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.body(x)), dim=1)


def unet(channels: int, out: int, width: int, levels: int, dropout: bool) -> nn.Sequential:
    widths = [min(2**n, 8) * width for n in range(levels)]
    below: nn.Module | None = None
    for n in range(levels - 1, 0, -1):
        below = Skip(widths[n - 1], widths[n], below, dropout=dropout and 3 < n < levels - 1)
    first = nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False)
    assert below is not None
    return nn.Sequential(first, below, nn.ReLU(True), nn.ConvTranspose2d(2 * width, out, 4, 2, 1), nn.Tanh())


def with_weights_of(network: nn.Module, plain: nn.Module) -> nn.Module:
    """The plain network with the weights, mode and device of ours; the layers are declared in the same order."""
    ours, theirs = list(network.parameters()), list(plain.parameters())
    assert [p.shape for p in ours] == [p.shape for p in theirs], "the plain network has other layers"
    with torch.no_grad():
        for mine, other in zip(ours, theirs, strict=True):
            other.copy_(mine)
    return plain.to(ours[0].device).train(network.training)


def generator_of(model: CycleGAN | Pix2Pix, network: nn.Module, channels: int, out: int) -> nn.Module:
    config = model.config
    with torch.random.fork_rng(devices=[]):  # the weights are ours; dropout must find the generator as it was
        if config.generator == "resnet":
            return with_weights_of(network, resnet(channels, out, config.width, config.depth))
        return with_weights_of(network, unet(channels, out, config.width, config.depth, config.dropout))


def judge_of(network: nn.Module, channels: int, width: int, batch_norm: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return with_weights_of(network, patches(channels, width, batch_norm))


def _adam(*networks: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam([p for net in networks for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999))


def cycle(model: CycleGAN, batches: Batches, draws: torch.Generator) -> Iterator[Losses]:
    """`junyanz`: least squares, cycle 10, identity 5, pools."""
    config = model.config
    a_count, b_count = config.channels_a, config.channels_b
    to_b = generator_of(model, model.g_ab, a_count, b_count)
    to_a = generator_of(model, model.g_ba, b_count, a_count)
    judge_a = judge_of(model.d_a, a_count, config.d_width, False)
    judge_b = judge_of(model.d_b, b_count, config.d_width, False)
    optimizer_g, optimizer_d = _adam(to_b, to_a), _adam(judge_a, judge_b)
    weight = config.lambda_cycle

    def against(scores: Tensor, target: float) -> Tensor:
        return F.mse_loss(scores, torch.full_like(scores, target))

    for a, b in batches:
        a, b = 2.0 * a - 1.0, 2.0 * b - 1.0
        judge_a.requires_grad_(False)
        judge_b.requires_grad_(False)
        optimizer_g.zero_grad()
        fake_b, fake_a = to_b(a), to_a(b)
        loss_g = against(judge_b(fake_b), 1.0) + against(judge_a(fake_a), 1.0)
        loss_g = loss_g + weight * (F.l1_loss(to_a(fake_b), a) + F.l1_loss(to_b(fake_a), b))
        loss_g = loss_g + config.identity_weight * (F.l1_loss(to_b(b), b) + F.l1_loss(to_a(a), a))
        loss_g.backward()
        optimizer_g.step()
        judge_a.requires_grad_(True)
        judge_b.requires_grad_(True)
        old_a = model.pool_a(fake_a.detach(), model.pool_a.sample(len(a), draws).to(a.device))
        old_b = model.pool_b(fake_b.detach(), model.pool_b.sample(len(b), draws).to(b.device))
        optimizer_d.zero_grad()
        loss_a = 0.5 * (against(judge_a(a), 1.0) + against(judge_a(old_a), 0.0))
        loss_b = 0.5 * (against(judge_b(b), 1.0) + against(judge_b(old_b), 0.0))
        (loss_a + loss_b).backward()
        optimizer_d.step()
        yield {"loss_g": loss_g.detach(), "loss_d_a": loss_a.detach(), "loss_d_b": loss_b.detach()}


def pix(model: Pix2Pix, batches: Batches, _draws: torch.Generator) -> Iterator[Losses]:
    """`junyanz`: cross entropy, L1 100, AtoB."""
    config = model.config
    generator = generator_of(model, model.g, config.channels_a, config.channels_b)
    judge = judge_of(model.d, config.channels_a + config.channels_b, config.d_width, True)
    optimizer_g, optimizer_d = _adam(generator), _adam(judge)

    def judged(a: Tensor, b: Tensor, target: float) -> Tensor:
        scores = judge(torch.cat((a, b), dim=1))
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))

    for a, b in batches:
        a, b = 2.0 * a - 1.0, 2.0 * b - 1.0
        fake = generator(a)
        optimizer_d.zero_grad()
        loss_d = 0.5 * (judged(a, b, 1.0) + judged(a, fake.detach(), 0.0))
        loss_d.backward()
        optimizer_d.step()
        judge.requires_grad_(False)
        optimizer_g.zero_grad()
        loss_g = judged(a, fake, 1.0) + config.lambda_l1 * F.l1_loss(fake, b)
        loss_g.backward()
        optimizer_g.step()
        judge.requires_grad_(True)
        yield {"loss_g": loss_g.detach(), "loss_d": loss_d.detach()}
