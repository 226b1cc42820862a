"""What CycleGAN and Pix2Pix share: the two directions, the range of their networks, how a generator is used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from sarcore.models.generators import generator
from sarcore.models.network_weights import initialise_
from sarcore.models.patchgan import discriminator
from sarcore.models.translation_config import TranslationConfig

Direction: TypeAlias = Literal["AtoB", "BtoA"]
"""AtoB: from SAR (A) to optical (B); BtoA: the other way."""
DIRECTIONS: tuple[Direction, Direction] = get_args(Direction)


def opposite(direction: Direction) -> Direction:
    """The other direction.

    >>> opposite("AtoB")
    'BtoA'
    """
    return DIRECTIONS[1 - DIRECTIONS.index(check_direction(direction))]


def check_direction(direction: Direction) -> Direction:
    """The direction, if it is one; ValueError that names both otherwise."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be AtoB (SAR to optical) or BtoA (optical to SAR); {direction!r} was given.")
    return direction


def to_network(images: Tensor) -> Tensor:
    """[0, 1] to the [-1, 1] of the networks: 2 x - 1.

    >>> to_network(torch.tensor([0.0, 0.25, 1.0])).tolist()
    [-1.0, -0.5, 1.0]
    """
    return images * 2.0 - 1.0


def from_network(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], in float32 at least: (y + 1) / 2."""
    return (images.to(torch.promote_types(images.dtype, torch.float32)) + 1.0) / 2.0


def check_images(images: Any, channels: int, what: str) -> None:
    """Raise ValueError unless images are (N, channels, H, W) with at least one item, and floating."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != channels or not images.numel():
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"{what}: (N, {channels}, H, W) is expected, {given} was given.")
    if not images.is_floating_point():
        raise ValueError(f"{what}: {images.dtype} was given; encode it to floats in [0, 1] with its Radiometry.")


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within the block the network is in eval mode and no gradient is kept; each module then has its mode again."""
    modes = [(module, module.training) for module in network.modules() if module.training]
    if modes:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def decay(config: TranslationConfig) -> Callable[[int], float]:
    """The learning rate's factor after so many steps: 1, then straight down to 0 at `total_steps`.

    >>> factor = decay(TranslationConfig(total_steps=100, constant_share=0.5))
    >>> factor(0), factor(50), factor(75), factor(99)
    (1.0, 1.0, 0.5, 0.02)
    """
    total, constant = config.total_steps, round(config.constant_share * config.total_steps)

    def factor(step: int) -> float:
        if step <= constant or constant >= total:
            return 1.0
        return max(total - step, 0) / (total - constant)

    return factor


def schedulers(config: TranslationConfig, optimizers: Mapping[str, Optimizer]) -> dict[str, LRScheduler]:
    """One scheduler per optimizer that follows `decay`; none without a decay. Their state is their step."""
    if not config.total_steps or config.constant_share >= 1.0:
        return {}
    return {name: LambdaLR(optimizer, decay(config)) for name, optimizer in optimizers.items()}


def means(parts: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor | float]:
    """Mean of every scalar over the parts of a batch, without gradient; the engine averages over the processes."""
    return {name: torch.stack([value.detach() for value in values]).mean() for name, values in parts.items()}


def make_generator(config: TranslationConfig, direction: Direction, draws: torch.Generator) -> nn.Module:
    """The generator of a direction with its initial weights."""
    channels = (config.channels_a, config.channels_b) if direction == "AtoB" else (config.channels_b, config.channels_a)
    made = generator(
        config.generator, *channels, width=config.width, depth=config.depth, norm=config.norm, dropout=config.dropout
    )
    return initialise_(made, config.init, draws)


def make_discriminator(config: TranslationConfig, channels: int, draws: torch.Generator) -> nn.Module:
    """A discriminator with its initial weights."""
    made = discriminator(config.discriminator, channels, width=config.d_width, layers=config.d_layers, norm=config.norm)
    return initialise_(made, config.init, draws)


class FixedSamples(nn.Module):
    """A few images of each domain, the same throughout a training, that are no part of the state dict.

    >>> samples = FixedSamples()
    >>> samples.fix(torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8))
    >>> len(samples), samples.state_dict()
    (2, OrderedDict())
    """

    a: Tensor | None
    b: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        # As buffers they follow the model to its device.
        self.register_buffer("a", None, persistent=False)
        self.register_buffer("b", None, persistent=False)

    def fix(self, a: Tensor, b: Tensor) -> None:
        """Take images (n, C, H, W) in [0, 1], as many of each."""
        if len(a) != len(b):
            raise ValueError(f"Fixed samples are as many of A as of B; {len(a)} and {len(b)} were given.")
        self.a, self.b = a.detach().clone(), b.detach().clone()

    def __len__(self) -> int:
        return 0 if self.a is None else len(self.a)

    def of(self, direction: Direction) -> tuple[Tensor, Tensor]:
        """What a direction translates, and the real images of its target."""
        if self.a is None or self.b is None:
            raise ValueError("There are no fixed samples; call fix_samples first.")
        return (self.a, self.b) if direction == "AtoB" else (self.b, self.a)
