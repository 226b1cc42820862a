"""The settings that CycleGAN and Pix2Pix have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from sarcore.models.adversarial import LossName
from sarcore.models.generators import GeneratorName
from sarcore.models.network_weights import InitName
from sarcore.models.norm import NormName
from sarcore.models.patchgan import DiscriminatorName

Config = TypeVar("Config", bound="TranslationConfig")
TranslationPreset: TypeAlias = Literal["sorabatake", "junyanz", "sarcore"]

SarUnit: TypeAlias = Literal["amplitude", "intensity", "db"]

_LEAST = {
    "channels_a": 1, "channels_b": 1, "depth": 1, "width": 1, "d_width": 1, "d_layers": 1, "total_steps": 0,
    "structure_weight": 0, "lr": 0, "eps": 0,
}  # fmt: skip
_CHOICES: dict[str, Any] = {
    "generator": GeneratorName,
    "norm": NormName,
    "discriminator": DiscriminatorName,
    "init": InitName,
    "loss": LossName,
}


@dataclass(frozen=True)
class TranslationConfig:
    """Settings of networks, losses and optimizers; A is SAR, B is optical. Use CycleGANConfig or Pix2PixConfig.

    Raises:
        ValueError: a number out of its range, or an unknown name.

    >>> TranslationConfig(channels_b=4).channels_b
    4
    """

    channels_a: int = 1
    """Channels of the SAR images."""
    channels_b: int = 3
    """Channels of the optical images."""
    generator: GeneratorName = "resnet"
    """resnet and unet of junyanz/pytorch-CycleGAN-and-pix2pix, or keras_unet of Keras-GAN."""
    depth: int = 9
    """Residual blocks of a resnet, levels of a U-Net."""
    width: int = 64
    """Filters of a generator's first layer."""
    norm: NormName = "instance"
    """Normalisation in all networks; keras_legacy is the layer norm that keras_contrib calls instance."""
    dropout: bool = False
    """Dropout in the generators while they train; translations are made without."""
    discriminator: DiscriminatorName = "patch"
    """patch and pixel of junyanz/pytorch-CycleGAN-and-pix2pix, or keras_patch of Keras-GAN."""
    d_width: int = 64
    """Filters of a discriminator's first layer."""
    d_layers: int = 3
    """Layers of a discriminator that halve the image: 3 of patch see 70 x 70 pixels, 4 of keras_patch 94 x 94."""
    init: InitName = "normal"
    """Initial weights: normal is N(0, 0.02), glorot is uniform as in Keras."""
    loss: LossName = "lsgan"
    """Adversarial loss: least squares, cross entropy or hinge."""
    d_steps_apart: bool = False
    """Step discriminators on real images and then on generated ones, each at full weight, as the Keras code did."""
    lr: float = 2e-4
    """Learning rate of all networks (Adam)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decays of the mean gradient and of its square."""
    eps: float = 1e-8
    """Adam's eps."""
    constant_share: float = 0.5
    """Share of the steps at the full rate, which then falls straight to 0; 1 keeps it."""
    total_steps: int = 0
    """Steps of the whole training, which the decay follows; 0 keeps the rate."""
    structure_weight: float = 0.0
    """Weight of the guard against inverted intensities; 0 leaves it off."""
    structure_margin: float = -0.5
    """Correlation of the block means of input and translation below which the guard acts."""
    speckle_looks: float | None = None
    """Looks of the speckle that the generator of SAR images ends in; None has no such layer."""
    learn_looks: bool = False
    """Learn the looks, beginning with the given ones."""
    unit_a: SarUnit | None = None
    """What grey values of SAR without a declared unit are, for their speckle and looks; else amplitude, below 0 db."""
    limits_a: tuple[float, float] | None = None
    """What their black and white stand for in that unit, such as -25 0 of 8-bit decibels; else their own numbers."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, {getattr(self, name)} was given.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in get_args(allowed):
                words = ", ".join(get_args(allowed))
                raise ValueError(f"{name} must be one of {words}; {getattr(self, name)!r} was given.")
        if self.unit_a not in (None, *get_args(SarUnit)):
            raise ValueError(f"unit_a must be one of {', '.join(get_args(SarUnit))}; {self.unit_a!r} was given.")
        if not 0.0 <= self.constant_share <= 1.0:
            raise ValueError(f"constant_share must lie in [0, 1], {self.constant_share} was given.")
        if not -1.0 <= self.structure_margin <= 1.0:
            raise ValueError(f"structure_margin must lie in [-1, 1], {self.structure_margin} was given.")
        if self.speckle_looks is not None and not self.speckle_looks > 0:
            raise ValueError(f"speckle_looks must be positive, or None for no speckle; {self.speckle_looks} was given.")
        if self.learn_looks and self.speckle_looks is None:
            raise ValueError("learn_looks needs speckle_looks, the looks to start from.")
        if self.limits_a is not None and self.unit_a is None:
            raise ValueError("limits_a needs unit_a, the unit that they are in.")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Rebuild the settings that ``to_dict`` gave; ValueError for a field that is not known."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}; the settings are of another version.")
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


def of_preset(presets: Mapping[str, Mapping[str, Any]], name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a named preset with some replaced; ValueError for an unknown name."""
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; {name!r} was given.")
    return {**presets[name], **overrides}
