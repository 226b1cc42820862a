"""The settings of BEGAN and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sarcore.models.reflectivity import GenerativeConfig

OutputName = Literal["linear", "relu", "softplus"]
LossName = Literal["l1", "histogram"]
KernelName = Literal["linear", "hard"]
NormalizeName = Literal["probability", "count"]
PresetName = Literal["berthelot", "marmanis", "sarcore"]

_BASES = range(5, 17)
_CHOICES: dict[str, Any] = {
    "output": OutputName,
    "loss": LossName,
    "histogram_kernel": KernelName,
    "histogram_normalize": NormalizeName,
}


def base_and_doublings(size: int) -> tuple[int, int]:
    """Factor a patch size as base * 2**k with base in 5..16.

    Where several bases fit, one of 8..15 is taken as in the original network (80 = 10 * 2**3, not 5 * 2**4),
    and at least one doubling is kept where that is possible.

    Raises ValueError that names the nearest sizes that do fit.

    >>> base_and_doublings(80), base_and_doublings(160), base_and_doublings(64)
    ((10, 3), (10, 4), (8, 3))
    """
    found = _factor(size)
    if found is None:
        smaller = next((s for s in range(size - 1, 4, -1) if _factor(s)), None)
        larger = next(s for s in range(max(size, 4) + 1, max(2 * size, 6) + 1) if _factor(s))
        nearest = f"{larger}" if smaller is None else f"{smaller} and {larger}"
        raise ValueError(f"size {size} is not base * 2**k with base 5 to 16; the nearest that are: {nearest}.")
    return found


def _factor(size: int) -> tuple[int, int] | None:
    fits = [(size >> k, k) for k in range(max(size, 1).bit_length()) if size % (1 << k) == 0 and size >> k in _BASES]
    return max(fits, key=lambda fit: (fit[0] >= 8 and fit[1] >= 1, fit[1]), default=None)


@dataclass(frozen=True)
class BEGANConfig(GenerativeConfig):
    """Settings of one BEGAN; ``BEGANConfig.preset`` gives the three that have a name.

    >>> BEGANConfig.preset("marmanis", size=160).output
    'relu'
    """

    width: int = 64
    """Filters n of the first stage; the encoder has n, 2n, 3n, ..., the decoder n throughout."""
    extra_convs: int = 0
    """3x3 convolutions per stage beyond the original two."""
    output: OutputName = "linear"
    """Activation of the last layer of both networks."""
    output_bias: bool = False
    """Start the last layer at the mean of the data instead of 0."""
    skip_h0: bool = True
    """Concatenate the decoder's first tensor after every upsampling."""
    loss: LossName = "l1"
    """Reconstruction loss: mean absolute difference, or distance of the histograms."""
    bins: int = 64
    """Bins of the histogram loss."""
    histogram_kernel: KernelName = "linear"
    """Pixels are shared between two bins (linear), or counted in one, which gives that term no gradient (hard)."""
    histogram_normalize: NormalizeName = "probability"
    """Histograms of the share of the pixels, or of their count."""
    omega: float = 0.001
    """Weight of the mean squared pixel difference in the histogram loss."""
    l1_weight: float = 0.0
    """Weight of the mean absolute pixel difference beside the histogram loss."""
    gamma: float = 0.5
    """Diversity ratio E[L(G(z))] / E[L(x)] that the equilibrium holds."""
    lambda_k: float = 0.001
    """Step size of the control of k."""
    scale_free_k: bool = False
    """Divide the balance by a running mean of L(x), so that lambda_k does not depend on the scale of the loss."""
    k_ema: float = 0.99
    """Decay of that running mean."""
    lr: float = 1e-4
    """Learning rate of both networks (Adam)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decays of the mean gradient and of its square."""
    eps: float = 1e-8
    """Adam's eps; it must stay well below the gradients, which are small for the histogram loss."""
    lr_patience: int = 5000
    """Steps without a better M before the learning rate is halved; 0 keeps it."""
    lr_min: float = 2e-5
    """Rate below which it is not halved."""

    def __post_init__(self) -> None:
        super().__post_init__()
        base_and_doublings(self.size)
        for name, low in (("width", 1), ("bins", 1), ("extra_convs", 0), ("lr_patience", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, {getattr(self, name)} was given.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in get_args(allowed):
                words = ", ".join(get_args(allowed))
                raise ValueError(f"{name} must be one of {words}; {getattr(self, name)!r} was given.")
        if not 0.0 < self.gamma <= 1.0:
            raise ValueError(f"gamma must lie in (0, 1], {self.gamma} was given.")
        if not 0.0 <= self.k_ema < 1.0:
            raise ValueError(f"k_ema must lie in [0, 1), {self.k_ema} was given.")

    @classmethod
    def preset(cls, name: PresetName, **overrides: Any) -> BEGANConfig:
        """Return one of the named settings, with single fields replaced.

        ``berthelot``: Berthelot et al. 2017 (arXiv 1703.10717). ``marmanis``: Marmanis et al. 2017
        (arXiv 1711.02010), two more convolutions per stage, ReLU outputs, histogram loss as it is written, which has no
        gradient but that of its spatial part. ``sarcore``: the histogram loss with the changes that let it learn: a
        scale-free k, a diversity ratio of 1, an output that starts at the mean of the data and cannot die, an L1 part
        beside the histogram.

        Raises ValueError for an unknown name and TypeError for an unknown field.
        """
        if name not in _PRESETS:
            raise ValueError(f"preset must be one of {', '.join(_PRESETS)}; {name!r} was given.")
        return cls(**{**_PRESETS[name], **overrides})


# A histogram counts, and the paper names no other: that term has no gradient. How it is normalised is not said; with
# shares of the pixels, and images in [0, 1], its omega of 0.001 is a balance, and with counts it would be nothing.
_MARMANIS: dict[str, Any] = {"extra_convs": 2, "output": "relu", "loss": "histogram", "histogram_kernel": "hard"}
_PRESETS: dict[str, dict[str, Any]] = {
    "berthelot": {},
    "marmanis": _MARMANIS,
    "sarcore": {
        "output": "softplus",
        "output_bias": True,
        "loss": "histogram",
        "l1_weight": 0.1,  # with less of it patches are drawn too much alike
        # Speckle grows with brightness, and the loss with it: a ratio below 1 can be met by patches that are darker.
        "gamma": 1.0,
        "lambda_k": 0.01,
        "scale_free_k": True,
        "lr": 4e-4,
        "betas": (0.5, 0.999),
        "eps": 1e-12,
        "lr_patience": 2000,
    },
}
