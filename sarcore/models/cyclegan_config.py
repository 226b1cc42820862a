"""The settings of CycleGAN and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sarcore.models.translation_config import TranslationConfig, TranslationPreset, of_preset


@dataclass(frozen=True)
class CycleGANConfig(TranslationConfig):
    """Settings of one CycleGAN; ``CycleGANConfig.preset`` gives the three that have a name.

    >>> CycleGANConfig.preset("sorabatake", channels_a=1).generator
    'keras_unet'
    """

    lambda_cycle: float = 10.0
    """Weight of the cycle loss beside an adversarial loss."""
    lambda_identity: float = 0.5
    """Weight of the identity loss as a share of that of the cycle loss; none where A and B differ in channels."""
    pool: int = 50
    """Generated images of each kind that are kept to be shown to the discriminators again; 0 keeps none."""
    pool_size: int = 256
    """Height and width of those images, pixels: those of the training crops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("lambda_cycle", 0), ("lambda_identity", 0), ("pool", 0), ("pool_size", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, {getattr(self, name)} was given.")

    @property
    def identity_weight(self) -> float:
        """Weight of the identity loss: lambda_identity * lambda_cycle, 0 where the channels differ."""
        return self.lambda_identity * self.lambda_cycle if self.channels_a == self.channels_b else 0.0

    @classmethod
    def preset(cls, name: TranslationPreset, **overrides: Any) -> CycleGANConfig:
        """Return one of the named settings, with single fields replaced.

        ``junyanz``: Zhu et al. 2017 (arXiv 1703.10593) as in their PyTorch code. ``sorabatake``: the networks and
        numbers of the Keras-GAN code, U-Nets and 94-pixel patches, no pool, no decay. ``sarcore``: networks a quarter
        as wide, which one CPU or a small set of SAR scenes can train, and the guard against inverted intensities.

        Raises ValueError for an unknown name and TypeError for an unknown field.
        """
        return cls(**of_preset(_PRESETS, name, overrides))


_PRESETS: dict[str, dict[str, Any]] = {
    "sorabatake": {
        "channels_a": 3,  # SAR was read as three equal channels
        "generator": "keras_unet",
        "depth": 4,
        "norm": "keras_legacy",
        "discriminator": "keras_patch",
        "d_layers": 4,
        "init": "glorot",
        "lambda_identity": 0.1,
        "pool": 0,
        "eps": 1e-7,
        "constant_share": 1.0,
    },
    "junyanz": {},
    "sarcore": {
        "depth": 6,
        "width": 32,
        "d_width": 32,
        "structure_weight": 1.0,
    },
}
