"""The settings of Pix2Pix and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sarcore.models.adversarial import LossName
from sarcore.models.generators import GeneratorName
from sarcore.models.norm import NormName
from sarcore.models.translation import Direction, check_direction
from sarcore.models.translation_config import TranslationConfig, TranslationPreset, of_preset


@dataclass(frozen=True)
class Pix2PixConfig(TranslationConfig):
    """Settings of one Pix2Pix; ``Pix2PixConfig.preset`` gives the three that have a name.

    >>> Pix2PixConfig.preset("sarcore", direction="BtoA").source_channels
    3
    """

    direction: Direction = "AtoB"
    """AtoB makes optical images of SAR images, BtoA the other way."""
    generator: GeneratorName = "unet"
    depth: int = 8
    norm: NormName = "batch"
    dropout: bool = True
    loss: LossName = "bce"
    lambda_l1: float = 100.0
    """Weight of the mean absolute difference to the partner beside the adversarial loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_direction(self.direction)
        if not self.lambda_l1 >= 0:
            raise ValueError(f"lambda_l1 must be at least 0, {self.lambda_l1} was given.")

    @property
    def source_channels(self) -> int:
        """Channels of the images that are translated."""
        return self.channels_a if self.direction == "AtoB" else self.channels_b

    @classmethod
    def preset(cls, name: TranslationPreset, **overrides: Any) -> Pix2PixConfig:
        """Return one of the named settings, with single fields replaced.

        ``junyanz``: Isola et al. 2017 (arXiv 1611.07004) as in their PyTorch code. ``sorabatake``: the networks and
        numbers of the Keras-GAN code: least squares, no dropout, no decay. ``sarcore``: networks a quarter as wide
        that halve the image five times instead of eight, so that 80 x 80 pixels are not padded to 256, no dropout, so
        that one input has one translation, and least squares, which do not saturate on few images. The pairs
        themselves tell bright from dark: no guard. Its batch statistics are fixed in use: tiles of a scene join
        without seams.

        Raises ValueError for an unknown name and TypeError for an unknown field.
        """
        return cls(**of_preset(_PRESETS, name, overrides))


_PRESETS: dict[str, dict[str, Any]] = {
    "sorabatake": {
        "channels_a": 3,  # SAR was read as three equal channels
        "generator": "keras_unet",
        "depth": 7,
        "dropout": False,
        "discriminator": "keras_patch",
        "d_layers": 4,
        "init": "glorot",
        "loss": "lsgan",
        "eps": 1e-7,
        "constant_share": 1.0,
    },
    "junyanz": {},
    "sarcore": {
        "depth": 5,
        "width": 32,
        "dropout": False,
        "d_width": 32,
        "loss": "lsgan",
    },
}
