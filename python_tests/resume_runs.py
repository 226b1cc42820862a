"""The trainings of the kill-and-resume tests, run in processes of their own that may be killed at any moment."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from sarcore.engine import FitConfig, Validation, fit
from sarcore.errors import SarcoreError
from sarcore.models import BEGAN, BEGANConfig, Classifier, ClassifierConfig
from sarcore.models.image_pool import ImagePool

from . import processes


class Translator(nn.Module):
    """All that a training can hold: two networks, an image pool, BatchNorm, dropout, draws, schedulers of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.generator = nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 1, 3, padding=1)
        )
        self.discriminator = nn.Sequential(nn.Conv2d(1, 8, 4, 2), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))
        self.pool = ImagePool((1, 8, 8), capacity=6)
        self.register_buffer("shown", torch.rand(4, 2, 8, 8))

    def configure_optimizers(self):
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), lr=2e-3),
            "discriminator": torch.optim.SGD(self.discriminator.parameters(), lr=1e-2, momentum=0.9),
        }

    def configure_schedulers(self, optimizers):
        return {
            "generator": torch.optim.lr_scheduler.CosineAnnealingLR(optimizers["generator"], 40),
            "discriminator": torch.optim.lr_scheduler.LambdaLR(optimizers["discriminator"], lambda step: 0.99**step),
        }

    def training_step(self, batch, step):
        noise = step.draw(lambda n, generator: torch.rand(n, 1, 8, 8, generator=generator), len(batch[0]))
        fakes, losses_g, losses_d = [], [], []
        step.zero_grad("generator")
        for image, z in step.parts(batch[0], noise):
            fakes.append(self.generator(torch.cat((image, z), 1)))
            losses_g.append((self.discriminator(fakes[-1]) - 1).float().square().mean())
            step.backward(losses_g[-1] + (fakes[-1] - image).float().abs().mean())
        step.update("generator")
        step.zero_grad("discriminator")
        shown = self.pool(step.join([fake.detach().float() for fake in fakes]), step.draw(self.pool.sample, len(noise)))
        for image, fake in step.parts(batch[0], shown):
            loss = (self.discriminator(image) - 1).float().square().mean()
            losses_d.append(loss + self.discriminator(fake).float().square().mean())
            step.backward(losses_d[-1])
        step.update("discriminator")
        lr = step.optimizers["generator"].param_groups[0]["lr"]
        return {"loss_g": step.average(losses_g), "loss_d": step.average(losses_d), "lr": lr}

    @torch.no_grad()
    def sample_grid(self, n: int):
        self.generator.eval()  # else looking would change the running statistics
        images = self.generator(self.shown).sigmoid()
        self.generator.train()
        return images


class Drawn(Dataset):
    """Items that draw from every generator, as augmentations do."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        noise = 0.1 * (torch.rand(()) + float(np.random.rand()) + random.random())  # noqa: NPY002
        return (self.images[i] + noise).clamp(0, 1), int(self.labels[i])


def images_of(size: int, n: int = 22) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(n, 1, size, size, generator=generator), torch.arange(n) % 3


def _began():
    torch.manual_seed(0)
    return BEGAN(BEGANConfig(size=20, width=4, lr=1e-3, lambda_k=0.05)), 20, {}, None


def _classifier():
    torch.manual_seed(0)
    config = ClassifierConfig(
        depth=18, width=4, classes=3, head=(8,), total_steps=130, warmup_steps=10, augment="speckle"
    )

    def step(task, batch, metrics):
        metrics["accuracy"].update(task(batch[0]), batch[1])

    validation = Validation(
        TensorDataset(*images_of(16, 6)), {"accuracy": MulticlassAccuracy(3)}, step, "accuracy", "max"
    )
    return Classifier(config), 16, {"validate_every": 60}, validation


def _translator():
    def step(task, batch, metrics):
        metrics["l1"].update((task.generator(batch[0].expand(-1, 2, -1, -1)) - batch[0]).abs().mean())

    validation = Validation(TensorDataset(*images_of(8, 6)), {"l1": MeanMetric()}, step, "l1", "min")
    changes = {
        "validate_every": 3,
        "accumulate": 2,
        "clip_norm": 0.5,
        "ema": 0.9,
        "precision": "bf16-mixed",
        "keep_best": 2,
    }
    return Translator(), 8, changes, validation


TASKS = {"began": _began, "classifier": _classifier, "translator": _translator}


def train(kind: str, run: Path, steps: int, workers: int = 0, on_step: Callable | None = None, save: int = 3) -> None:
    """A training with a row at every step and a checkpoint at every `save`-th."""
    task, size, changes, validation = TASKS[kind]()
    every = {"log_every": 1, "sample_every": 50, "checkpoint_every": save}
    config = FitConfig(steps, batch_size=4, accelerator="cpu", num_workers=workers, **{**every, **changes})
    fit(task, Drawn(*images_of(size)), config, run, validation=validation, on_step=on_step, meta={"kind": kind})


def _in_child(said: object, kind: str, run: Path, steps: int, **kwargs) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of its data workers, as in a process started by a user
    try:
        train(kind, run, steps, **kwargs)
    except SarcoreError as error:
        said.put(f"{type(error).__name__}: {error}")


def start(*args, said=None, **kwargs) -> BaseProcess:
    """Begin or continue `train` in a process of its own, which puts the error that a user would see into `said`."""
    return processes.start(_in_child, said, *args, **kwargs)


def start_two(*args, said=None, **kwargs) -> list[BaseProcess]:
    """`start` two processes that share every batch."""
    return processes.start_all(2, _in_child, said, *args, **kwargs)


def complete(*args, **kwargs) -> None:
    processes.join([start(*args, **kwargs)])


def wait_for_step(process: BaseProcess, run: Path, step: int) -> None:
    file = run / "metrics.jsonl"
    while not (file.is_file() and f'"step": {step},' in file.read_text()):
        assert process.is_alive(), f"the training ended before step {step}"
        time.sleep(0.001)


class KillInSave:
    """kill -9 at the n-th time that something is made sure to be on the disk, after step 4."""

    def __init__(self, call: int) -> None:
        self.call = call

    def __call__(self, step: int, _logs) -> None:
        if step == 4:
            fsync, calls = os.fsync, []

            def die(handle):
                calls.append(handle)
                if len(calls) == self.call:
                    os.kill(os.getpid(), signal.SIGKILL)
                fsync(handle)

            os.fsync = die


class FullDisk:
    """No write is made sure to be on the disk any more, from step 7 on."""

    def __call__(self, step: int, _logs) -> None:
        if step == 7:

            def full(_handle):
                raise OSError(28, os.strerror(28))

            os.fsync = full


class SmallFiles:
    """No file may grow beyond so many bytes, from step 7 on: writes stop half-way, as on a disk that fills up."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, step: int, _logs) -> None:
        if step == 7:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


class ReadOnlyFolder:
    """From step 7 on nothing can be made or renamed; root may do so in any folder, so the refusal is acted."""

    def __call__(self, step: int, _logs) -> None:
        if step == 7:

            def refuse(*_args, **_kwargs):
                raise PermissionError(13, os.strerror(13))

            Path.mkdir = Path.replace = refuse
