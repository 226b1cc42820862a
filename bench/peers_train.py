"""The same training steps as people write them: a bare PyTorch loop for each model, without engine and without `Step`.

Each is a generator that works on the networks of a task of its own and yields the losses of a step, detached. What
the models of sarcore keep record of beside (how M develops, how many pixels are dead) is left out. CycleGAN and Pix2Pix
are in peers_translate.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

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
