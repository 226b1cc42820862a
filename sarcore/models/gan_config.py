"""The settings of the conditional GAN for few patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from sarcore.models.began_config import base_and_doublings
from sarcore.models.reflectivity import GenerativeConfig
from sarcore.models.resnet import check_depth

GANLossName: TypeAlias = Literal["hinge", "bce"]
_FILTERS = (3, 4, 6, 8)  # of the generator's stages from the finest on, in multiples of the width


@dataclass(frozen=True)
class GANConfig(GenerativeConfig):
    """Settings of one GAN: networks, losses, augmentation of what the discriminator sees.

    >>> GANConfig.from_dict(GANConfig(size=160, classes=6).to_dict()) == GANConfig(size=160, classes=6)
    True

    Raises:
        ValueError: a number out of its range, or an unknown name.
    """

    width: int = 16
    """Unit of the filters: the generator ends with three times that, the heads of the discriminator have four times."""
    loss: GANLossName = "hinge"
    """hinge, or bce: the non-saturating cross entropy."""
    lr: float = 7e-4
    """Learning rate of the generator (Adam)."""
    lr_d: float = 1.4e-3
    """Learning rate of the discriminator."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decays of the mean gradient and of its square."""
    eps: float = 1e-8
    """Adam's eps."""
    features_depth: int = 18
    """Depth of the ResNet whose frozen features the discriminator sees."""
    features_width: int = 16
    """Width of that ResNet."""
    ada_target: float = 0.6
    """Mean sign of D on real images that the augmentation holds; 0: no augmentation."""
    ada_steps: int = 10_000
    """Steps in which the probability of augmentation would go from 0 to 1."""
    ada_max: float = 0.8
    """Largest probability of each augmentation, below 1 so that none of them leaks into the samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        base_and_doublings(self.size)
        check_depth(self.features_depth)
        # The first number of the latent vector is the level of the patch, all others are its structure.
        for name, least in (("latent", 2), ("width", 1), ("features_width", 1), ("ada_steps", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, {getattr(self, name)} was given.")
        if self.loss not in get_args(GANLossName):
            raise ValueError(f"loss must be one of {', '.join(get_args(GANLossName))}; {self.loss!r} was given.")
        for name, most in (("ada_target", 0.99), ("ada_max", 0.9)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in [0, {most}], {getattr(self, name)} was given.")
        for name in ("lr", "lr_d"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, {getattr(self, name)} was given.")

    @property
    def coarse(self) -> bool:
        """Whether the reflectivity is made at half the side of the patches, and interpolated.

        So it is where a point spread of two pixels or more correlates the speckle: a sensor shows nothing finer than
        its resolution.
        """
        doublings = base_and_doublings(self.size)[1]
        return self.speckle == "fixed" and self.oversampling >= 2.0 and doublings > 0

    @property
    def shuffled(self) -> bool:
        """Whether the last doubling of the generator is that of a pixel shuffle, as it is where there is one left."""
        return base_and_doublings(self.size)[1] > self.coarse

    @property
    def generator_filters(self) -> tuple[int, ...]:
        """Filters of the generator's stages, from the coarsest to the finest; each has twice the side of the last.

        >>> GANConfig(size=160, speckle="fixed", looks=7.5, oversampling=3.2).generator_filters
        (96, 64, 48)
        """
        stages = 1 + base_and_doublings(self.size)[1] - self.coarse - self.shuffled
        return tuple(self.width * _FILTERS[min(k, len(_FILTERS) - 1)] for k in reversed(range(stages)))
