"""Self-supervised pre-training of the ResNet: two views of a patch are to agree more than views of different patches.

Source: Chen et al., "A simple framework for contrastive learning of visual representations", arXiv 2002.05709.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.classifier import speckled
from sarcore.models.reflectivity import Domain
from sarcore.models.resnet import ResNet
from sarcore.models.schedule import cosine_rate, relative_rate, weight_groups
from sarcore.models.step import Step
from sarcore.transforms import RandomCrop, RandomFlip, RandomSpeckle


@dataclass(frozen=True)
class ContrastiveConfig:
    """Settings of the network and of its pre-training.

    >>> ContrastiveConfig.from_dict(ContrastiveConfig(depth=18).to_dict()) == ContrastiveConfig(depth=18)
    True
    """

    depth: int = 50
    """ResNet depth: 18, 34 or 50; the classifier that starts from it has the same."""
    width: int = 64
    """Filters of the first stage: 64 as published; the classifier that starts from it has the same."""
    channels: int = 1
    hidden: int = 256
    """Width of the hidden layer of the projection head, which is left out afterwards."""
    projection: int = 128
    """Length of the vectors that are compared."""
    temperature: float = 0.2
    """Of the softmax over all other views of a batch: the lower, the more the most similar ones count."""
    crop: float = 0.8
    """Side of a view as a share of the patch's; each is cut at a random place."""
    speckle_looks: tuple[float, float] = (4.0, 32.0)
    """Looks of the speckle that each view gets in addition."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.01
    """Applied to weights, not to biases or normalisation layers."""
    total_steps: int = 1000
    """Length of the cosine schedule, steps; the rate stays at its end afterwards."""
    warmup_steps: int = 50
    """Steps of linear rise to the peak rate, at most half of all."""
    domain: Domain = "amplitude"
    """What the values of the patches are linear in: where speckle is multiplied, or added in decibels."""
    limits: tuple[float, float] = (0.0, 1.0)
    """The values, in that domain, that 0 and 1 of the patches stand for."""

    def __post_init__(self) -> None:
        least_of = {"width": 1, "channels": 1, "hidden": 1, "projection": 2, "total_steps": 1, "warmup_steps": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, {getattr(self, name)} was given.")
        if not 0.0 < self.crop <= 1.0:
            raise ValueError(f"crop must be a share above 0 up to 1, {self.crop} was given.")
        if self.temperature <= 0.0:
            raise ValueError(f"temperature must be positive, {self.temperature} was given.")
        if self.domain not in get_args(Domain):
            raise ValueError(f"domain must be one of {', '.join(get_args(Domain))}, {self.domain!r} was given.")
        low, high = self.limits
        if not low < high or (self.domain != "db" and low < 0):
            raise ValueError(
                f"limits must be low < high, and not negative to speckle {self.domain}; {self.limits} was given."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContrastiveConfig:
        """Rebuild the settings that ``to_dict`` gave; ValueError for a field that is not known."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(
                f"ContrastiveConfig has no field {', '.join(unknown)}; the settings are of another version."
            )
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


class Contrastive(nn.Module):
    """A ResNet whose head projects views of patches onto a sphere, on which two views of one patch are to be close.

    >>> model = Contrastive(ContrastiveConfig(depth=18, width=8))
    >>> z = model(torch.rand(2, 1, 80, 80))
    >>> z.shape, bool((z.norm(dim=1) - 1).abs().max() < 1e-5)
    (torch.Size([2, 128]), True)

    Args:
        data_mean, data_std: of the training patches in [0, 1]; they are saved with the model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ContrastiveConfig, *, data_mean: float = 0.5, data_std: float = 0.25) -> None:
        super().__init__()
        if data_std <= 0.0:
            raise ValueError(f"data_std must be positive, {data_std} was given; are all patches constant?")
        self.config = config
        self.backbone = ResNet(
            config.depth,
            channels=config.channels,
            classes=config.projection,
            head=(config.hidden,),
            width=config.width,
        )
        self.flip = RandomFlip(seed=0)
        self.speckle = RandomSpeckle(config.speckle_looks, config.domain, seed=0)
        self.register_buffer("mean", torch.tensor(float(data_mean)))
        self.register_buffer("std", torch.tensor(float(data_std)))

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors (N, projection) of images (N, channels, H, W) in [0, 1]."""
        return F.normalize(self.backbone((images - self.mean) / self.std).float(), dim=1)

    @torch.no_grad()
    def view(self, images: Tensor, number: Tensor) -> Tensor:
        """Views (N, channels, h, w) of images: cut at a random place, flipped, speckled, as ``number`` (N,) says."""
        size = tuple(max(1, round(self.config.crop * side)) for side in images.shape[2:])
        cut = RandomCrop((size[0], size[1]), seed=0)(images, number)
        return speckled(self.flip(cut, number), number, self.speckle, self.config.limits)

    def compare(self, images: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and hits of two views of each image, drawn by the columns of ``numbers`` (N, 2): see `agreement`."""
        views = torch.cat([self.view(images, numbers[:, 0]), self.view(images, numbers[:, 1])])
        return agreement(self(views), self.config.temperature)

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return {"contrastive": AdamW}; vectors (biases, normalisation) take no weight decay."""
        return {
            "contrastive": torch.optim.AdamW(weight_groups(self.backbone, self.config.weight_decay), self.config.lr)
        }

    def configure_schedulers(
        self, optimizers: Mapping[str, torch.optim.Optimizer]
    ) -> dict[str, torch.optim.lr_scheduler.LRScheduler]:
        """Return {"contrastive": the schedule of `learning_rate`}, to be stepped after every training step."""
        relative = relative_rate(self.learning_rate, self.config.lr)
        return {"contrastive": torch.optim.lr_scheduler.LambdaLR(optimizers["contrastive"], relative)}

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step counted from 0: a linear rise, then half a cosine to zero."""
        config = self.config
        return cosine_rate(step, peak=config.lr, warmup_steps=config.warmup_steps, total_steps=config.total_steps)

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """Do one step on images (N, channels, H, W), whose labels play no part; return loss, top1, lr.

        The views of each part of the batch are compared among themselves.
        """
        images = batch[0]
        lr = float(step.optimizers["contrastive"].param_groups[0]["lr"])
        step.zero_grad()
        numbers = step.draw(_two_numbers, images.shape[0])
        losses, hits = [], []
        for part, number in step.parts(images, numbers):
            loss, hit = self.compare(part, number)
            step.backward(loss)
            losses.append(loss.detach())
            hits.append(hit)
        step.update()
        return {"loss": torch.stack(losses).mean(), "top1": torch.stack(hits).mean(), "lr": lr}


def agreement(z: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """NT-Xent loss of unit vectors (2 N, d), rows i and N + i being views of one image, and the share of hits.

    >>> z = torch.eye(4).repeat(2, 1)  # both views of four images agree, and with nothing else
    >>> loss, hits = agreement(z, 0.5)
    >>> round(loss.item(), 4), hits.item()  # ln(1 + 6 exp(-1 / 0.5))
    (0.5944, 1.0)

    With s(i, j) the cosine of rows i and j over the temperature and p(i) the other view of i's image,

        loss = mean over i of ln sum over j not i of exp s(i, j) - s(i, p(i))

    A hit is a row whose nearest other row is its partner.

    Source: Chen et al., arXiv 2002.05709, equation 1.
    """
    rows = torch.arange(len(z), device=z.device)
    partner = (rows + len(z) // 2) % len(z)
    with torch.autocast(z.device.type, enabled=False):  # half precision does not tell near neighbours apart
        similar = z.float() @ z.float().T / temperature
    similar = similar.masked_fill(rows[:, None] == rows, -torch.inf)
    return F.cross_entropy(similar, partner), (similar.detach().argmax(1) == partner).float().mean()


def _two_numbers(n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**32, (n, 2), generator=generator)
