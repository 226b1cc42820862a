"""The same training steps as people write them: a bare PyTorch loop for each model, without engine and without `Step`.

Each is a generator that works on the networks of a task of its own and yields the losses of a step, detached. What
the models of sarcore keep record of beside (how M develops, how many pixels are dead) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from gan_tasks import CYCLE, IDENTITY, L1, CycleShaped, PixShaped
from torch import Tensor, nn

from sarcore.models import BEGAN, Classifier

Losses = dict[str, Tensor]
Batches = Iterator[tuple[Tensor, Tensor]]
Loop = Callable[[Any, Batches, torch.Generator], Iterator[Losses]]


def began(model: BEGAN, batches: Batches, draws: torch.Generator) -> Iterator[Losses]:
    config, generator, discriminator = model.config, model.generator, model.discriminator
    adam = {"lr": config.lr, "betas": config.betas, "eps": config.eps}
    optimizers = [torch.optim.Adam(net.parameters(), **adam) for net in (generator, discriminator)]
    k: Any = None
    for images, _ in batches:
        k = torch.zeros((), device=images.device) if k is None else k
        z = 2.0 * torch.rand(len(images), config.latent, generator=draws) - 1.0
        for optimizer in optimizers:
            optimizer.zero_grad()
        fake = generator(z.to(images.device))
        loss_fake = F.l1_loss(discriminator(fake), fake)
        loss_fake.backward()
        torch._foreach_mul_([p.grad for p in discriminator.parameters()], -k)
        loss_real = F.l1_loss(discriminator(images), images)
        loss_real.backward()
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            loss_d = loss_real - k * loss_fake
            k = (k + config.lambda_k * (config.gamma * loss_real - loss_fake)).clamp(0.0, 1.0)
        yield {"loss_d": loss_d, "loss_g": loss_fake.detach()}


def classifier(model: Classifier, batches: Batches, draws: torch.Generator) -> Iterator[Losses]:
    config, network = model.config, model.backbone
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, config.lr)
    relative = lambda step: model.learning_rate(step) / config.lr  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, relative)
    for images, labels in batches:
        numbers = torch.randint(2**32, (len(images),), generator=draws).to(images.device)
        with torch.no_grad():
            images = (model.flip(images, numbers) - model.mean) / model.std
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        yield {"loss": loss.detach()}


def _adam(*networks: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam([p for net in networks for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999))


def cycle(task: CycleShaped, batches: Batches, draws: torch.Generator) -> Iterator[Losses]:
    to_b, to_a, judge_a, judge_b = task.to_b, task.to_a, task.judge_a, task.judge_b
    optimizer_g, optimizer_d = _adam(to_b, to_a), _adam(judge_a, judge_b)

    def against(scores: Tensor, target: float) -> Tensor:
        return F.mse_loss(scores, torch.full_like(scores, target))

    for a, b in batches:
        judge_a.requires_grad_(False)
        judge_b.requires_grad_(False)
        optimizer_g.zero_grad()
        fake_b, fake_a = to_b(a), to_a(b)
        loss_g = against(judge_b(fake_b), 1.0) + against(judge_a(fake_a), 1.0)
        loss_g = loss_g + CYCLE * (F.l1_loss(to_a(fake_b), a) + F.l1_loss(to_b(fake_a), b))
        loss_g = loss_g + IDENTITY * (F.l1_loss(to_b(b), b) + F.l1_loss(to_a(a), a))
        loss_g.backward()
        optimizer_g.step()
        judge_a.requires_grad_(True)
        judge_b.requires_grad_(True)
        old_a = task.pool_a(fake_a, task.pool_a.sample(len(a), draws).to(a.device))
        old_b = task.pool_b(fake_b, task.pool_b.sample(len(b), draws).to(b.device))
        optimizer_d.zero_grad()
        loss_a = 0.5 * (against(judge_a(a), 1.0) + against(judge_a(old_a), 0.0))
        loss_b = 0.5 * (against(judge_b(b), 1.0) + against(judge_b(old_b), 0.0))
        loss_d = loss_a + loss_b
        loss_d.backward()
        optimizer_d.step()
        yield {"loss_g": loss_g.detach(), "loss_d": loss_d.detach()}


def pix(task: PixShaped, batches: Batches, _draws: torch.Generator) -> Iterator[Losses]:
    generator, judge = task.generator, task.judge
    optimizer_g, optimizer_d = _adam(generator), _adam(judge)

    def judged(a: Tensor, b: Tensor, target: float) -> Tensor:
        scores = judge(torch.cat((a, b), dim=1))
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))

    for a, b in batches:
        fake = generator(a)
        optimizer_d.zero_grad()
        loss_d = 0.5 * (judged(a, fake.detach(), 0.0) + judged(a, b, 1.0))
        loss_d.backward()
        optimizer_d.step()
        judge.requires_grad_(False)
        optimizer_g.zero_grad()
        loss_g = judged(a, fake, 1.0) + L1 * F.l1_loss(fake, b)
        loss_g.backward()
        optimizer_g.step()
        judge.requires_grad_(True)
        yield {"loss_g": loss_g.detach(), "loss_d": loss_d.detach()}
