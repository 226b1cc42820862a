"""The task, the data and the settings of the tests of the training loop."""

import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from sarcore.engine import FitConfig, read_metrics


class Pair(nn.Module):
    """Two networks, two optimizers, BatchNorm, dropout, an equilibrium buffer, and draws from three generators."""

    def __init__(self, seed: int = 0, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.generator = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 16))
        self.discriminator = nn.Sequential(nn.Linear(16, width), nn.Dropout(0.3), nn.ELU(), nn.Linear(width, 16))
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("best", torch.tensor(math.inf))
        self.register_buffer("latent", torch.rand(16, 4))

    def configure_optimizers(self):
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), lr=1e-2),
            "discriminator": torch.optim.SGD(self.discriminator.parameters(), lr=1e-2, momentum=0.9),
        }

    def training_step(self, batch, step):
        images = batch[0].flatten(1) + 0.01 * float(np.random.rand()) + 0.01 * random.random()  # noqa: NPY002
        latent = step.draw(lambda n, generator: torch.rand(n, 4, generator=generator), len(images))
        fakes, losses_real, losses_fake, losses_g = [], [], [], []
        step.zero_grad("discriminator")
        for real, z in step.parts(images, latent):
            fakes.append(self.generator(z))
            losses_real.append(self.loss(real))
            losses_fake.append(self.loss(fakes[-1].detach()))
            step.backward(losses_real[-1] - self.k * losses_fake[-1])
        step.update("discriminator")
        step.zero_grad("generator")
        for fake in fakes:
            losses_g.append(self.loss(fake))
            step.backward(losses_g[-1])
        step.update("generator")
        loss_real, loss_fake = step.average(losses_real), step.average(losses_fake)
        loss_d = loss_real - self.k * loss_fake
        self.k.add_(0.01 * (0.5 * loss_real - loss_fake)).clamp_(0, 1)
        self.best.copy_(torch.minimum(self.best, loss_real))
        group = step.optimizers["generator"].param_groups[0]
        group["lr"] *= 0.99
        return {"loss_d": loss_d, "loss_g": step.average(losses_g), "k": self.k, "lr": group["lr"]}

    def loss(self, v):
        return (self.discriminator(v) - v).float().abs().mean()

    def sample_grid(self, n: int):
        torch.rand(3)  # a draw that must not reach the training
        was = self.training
        self.eval()
        images = self.generator(self.latent[:n]).sigmoid().reshape(-1, 1, 4, 4)
        self.train(was)
        return images


def data(n: int = 21) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    return TensorDataset(torch.rand(n, 1, 4, 4, generator=generator), torch.arange(n) % 3)


def config(steps: int = 12, **changes) -> FitConfig:
    every = {"log_every": 1, "sample_every": 4, "checkpoint_every": 4}
    return FitConfig(**{"steps": steps, "batch_size": 4, "accelerator": "cpu", **every, **changes})


def rows(run: Path) -> list[dict]:
    timed = ("images_per_second", "seconds")
    return [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(run)]


def same(a, b) -> bool:
    """Equal in every bit, whatever the containers hold."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def stop_at(step: int):
    def on_step(now, logs):
        if now == step:
            raise KeyboardInterrupt

    return on_step
