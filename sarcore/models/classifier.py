"""The patch classifier: a ResNet with its normalisation, augmentation, schedule and training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.reflectivity import Domain
from sarcore.models.resnet import ResNet
from sarcore.models.schedule import cosine_rate, relative_rate, weight_groups
from sarcore.models.step import Step
from sarcore.transforms import RandomFlip, RandomSpeckle

Augment: TypeAlias = Literal["none", "flips", "speckle"]
Optimizer: TypeAlias = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of the classifier and of its training.

    >>> ClassifierConfig.from_dict(ClassifierConfig(depth=18).to_dict()) == ClassifierConfig(depth=18)
    True
    """

    depth: int = 50
    """ResNet depth: 18, 34 or 50."""
    width: int = 64
    """Filters of the first stage: 64 as published; 16 trains about ten times as fast."""
    size: int = 0
    """Longer side in pixels to which patches are reduced by area means before the network; 0 leaves them alone."""
    channels: int = 1
    classes: int = 7
    head: tuple[int, ...] = (256, 256)
    """Widths of the hidden fully connected layers."""
    optimizer: Optimizer = "adamw"
    """AdamW, or SGD with Nesterov momentum."""
    lr: float = 1e-3
    """Peak learning rate (AdamW); SGD wants about 0.05 at batch 32."""
    weight_decay: float = 0.01
    """Applied to weights, not to biases or normalisation layers."""
    momentum: float = 0.9
    """Nesterov momentum of SGD."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    total_steps: int = 1000
    """Length of the cosine schedule, steps; the rate stays at its end afterwards."""
    warmup_steps: int = 50
    """Steps of linear rise to the peak rate, at most half of all."""
    augment: Augment = "flips"
    """flips: each patch along azimuth and along range with probability 1/2; speckle: flips, and more speckle; none."""
    speckle_looks: tuple[float, float] = (8.0, 32.0)
    """Looks of the added speckle; patches of 4 looks are left with an equivalent 2.5 to 3.5."""
    speckle_p: float = 0.5
    """Probability of it: patches as they are must be met in the training, since they are what is classified later."""
    speckle_oversampling: float = 0.0
    """Width of its gaussian point spread, pixels, 1 to 10, as `sarcore looks` finds it in the patches; 0: white."""
    domain: Domain = "amplitude"
    """What the values of the patches are linear in: where speckle is multiplied, or added in decibels."""
    limits: tuple[float, float] = (0.0, 1.0)
    """The values, in that domain, that 0 and 1 of the patches stand for."""

    def __post_init__(self) -> None:
        least_of = {"width": 1, "size": 0, "channels": 1, "classes": 2, "total_steps": 1, "warmup_steps": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, {getattr(self, name)} was given.")
        for name, allowed in (("optimizer", Optimizer), ("augment", Augment), ("domain", Domain)):
            if getattr(self, name) not in get_args(allowed):
                words = ", ".join(get_args(allowed))
                raise ValueError(f"{name} must be one of {words}, {getattr(self, name)!r} was given.")
        if not 0.0 <= self.speckle_p <= 1.0:
            raise ValueError(f"speckle_p must lie in [0, 1], {self.speckle_p} was given.")
        if self.speckle_oversampling and not 1.0 <= self.speckle_oversampling <= 10.0:
            raise ValueError(
                f"speckle_oversampling must be 0 or 1 to 10 pixels, {self.speckle_oversampling} was given."
            )
        low, high = self.limits
        if not low < high or (self.augment == "speckle" and self.domain != "db" and low < 0):
            raise ValueError(
                f"limits must be low < high, and not negative to speckle {self.domain}; {self.limits} was given."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassifierConfig:
        """Rebuild the settings that ``to_dict`` gave; ValueError for a field that is not known."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(
                f"ClassifierConfig has no field {', '.join(unknown)}; the settings are of another version."
            )
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


class Classifier(nn.Module):
    """ResNet on (x - data_mean) / data_std of images (N, channels, H, W) in [0, 1].

    ``data_mean`` and ``data_std`` are those of the training patches; they are saved with the model.

    >>> Classifier(ClassifierConfig(depth=18)).predict(torch.rand(2, 1, 80, 80)).shape
    torch.Size([2, 7])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig, *, data_mean: float = 0.5, data_std: float = 0.25) -> None:
        super().__init__()
        if data_std <= 0.0:
            raise ValueError(f"data_std must be positive, {data_std} was given; are all patches constant?")
        self.config = config
        self.backbone = ResNet(
            config.depth, channels=config.channels, classes=config.classes, head=config.head, width=config.width
        )
        self.flip = RandomFlip(seed=0)
        psf = ("gaussian", config.speckle_oversampling) if config.speckle_oversampling else None
        self.speckle = RandomSpeckle(config.speckle_looks, config.domain, p=config.speckle_p, seed=0, psf=psf)
        self.register_buffer("mean", torch.tensor(float(data_mean)))
        self.register_buffer("std", torch.tensor(float(data_std)))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.backbone(self.inputs(images)))

    def inputs(self, images: Tensor) -> Tensor:
        """Return what the network sees of images: reduced as the settings say, and normalised.

        Raises ``ValueError`` for images that are smaller than ``size``.
        """
        height, width = images.shape[-2:]
        longest, size = max(height, width), self.config.size
        if size > longest:
            raise ValueError(f"size must be at most the side of the images, {longest} pixels; {size} was given.")
        if size and size < longest:
            sides = max(1, round(height * size / longest)), max(1, round(width * size / longest))
            images = F.adaptive_avg_pool2d(images, sides)  # resample's area means, which exported graphs do not have
        return (images - self.mean) / self.std

    @torch.no_grad()
    def augment(self, images: Tensor, number: Tensor) -> Tensor:
        """Return the images as a training step sees them: flipped and speckled as the settings say.

        What happens to an image depends on its ``number`` (N,) alone. Speckle acts on the values that the patches
        stand for. Nothing is clipped: bright pixels may come out above 1, as they would be without the limit of the
        encoding.
        """
        if self.config.augment == "none":
            return images
        images = self.flip(images, number)
        if self.config.augment == "flips":
            return images
        return speckled(images, number, self.speckle, self.config.limits)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return the logits (N, classes) with the running statistics of the normalisation layers."""
        training = self.training
        self.eval()
        try:
            return cast(Tensor, self(images))
        finally:
            self.train(training)

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return {"classifier": AdamW or SGD}; vectors (biases, normalisation) take no weight decay."""
        config, groups = self.config, weight_groups(self.backbone, self.config.weight_decay)
        if config.optimizer == "sgd":
            return {"classifier": torch.optim.SGD(groups, config.lr, config.momentum, nesterov=config.momentum > 0)}
        return {"classifier": torch.optim.AdamW(groups, config.lr)}

    def configure_schedulers(
        self, optimizers: Mapping[str, torch.optim.Optimizer]
    ) -> dict[str, torch.optim.lr_scheduler.LRScheduler]:
        """Return {"classifier": the schedule of `learning_rate`}, to be stepped after every training step."""
        relative = relative_rate(self.learning_rate, self.config.lr)
        return {"classifier": torch.optim.lr_scheduler.LambdaLR(optimizers["classifier"], relative)}

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """Do one step of cross entropy on images (N, channels, H, W) and labels (N,); return loss, accuracy, lr."""
        images, labels = batch
        lr = float(step.optimizers["classifier"].param_groups[0]["lr"])
        step.zero_grad()
        numbers = step.draw(_sample_numbers, images.shape[0])
        losses, hits = [], []
        for part, truth, number in step.parts(images, labels, numbers):
            logits = self(self.augment(part, number))
            loss = F.cross_entropy(logits.float(), truth, label_smoothing=self.config.label_smoothing)
            step.backward(loss)
            losses.append(loss.detach())
            hits.append((logits.detach().argmax(dim=1) == truth).float().mean())
        step.update()
        return {"loss": torch.stack(losses).mean(), "accuracy": torch.stack(hits).mean(), "lr": lr}

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step counted from 0: a linear rise, then half a cosine to zero."""
        config = self.config
        return cosine_rate(step, peak=config.lr, warmup_steps=config.warmup_steps, total_steps=config.total_steps)


def speckled(images: Tensor, number: Tensor, speckle: RandomSpeckle, limits: tuple[float, float]) -> Tensor:
    """Images in [0, 1] with more speckle, multiplied in the values that 0 and 1 stand for; nothing is clipped."""
    low, high = limits
    native: Tensor = speckle(images * (high - low) + low, number)
    return (native - low) / (high - low)


def _sample_numbers(n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**32, (n,), generator=generator)
