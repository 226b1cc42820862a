"""What generative models of SAR patches share: settings, and reflectivity that ends in the radar's own speckle."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import torch
from torch import Tensor, nn

from sarcore.nn import SpeckleLayer
from sarcore.ops import Radiometry

Domain: TypeAlias = Literal["intensity", "amplitude", "db"]
SpeckleMode: TypeAlias = Literal["none", "fixed", "learned"]
Config = TypeVar("Config", bound="GenerativeConfig")


@dataclass(frozen=True)
class GenerativeConfig:
    """Settings that BEGAN and GAN have in common: what they draw, of which classes, and how it is speckled.

    >>> GenerativeConfig(classes=3, speckle="fixed", looks=7.5, oversampling=3.2).psf
    ('gaussian', 3.2)

    Raises:
        ValueError: a number out of its range, or an unknown name.
    """

    size: int = 80
    """Height and width of the patches, pixels: base * 2**k with base 5..16."""
    channels: int = 1
    classes: int = 0
    """Number of classes that patches are asked for by; 0 draws them without."""
    latent: int = 64
    """Length of the latent vector."""
    speckle: SpeckleMode = "none"
    """fixed, learned: the generator makes reflectivity, and speckle of these looks multiplies it."""
    looks: float = 0.0
    """Looks of that speckle; of learned ones those to begin with. 0: those of the training patches, estimated."""
    oversampling: float = 0.0
    """Full width of the gaussian point spread that correlates it, pixels. 0: none; with looks 0 the estimated one."""
    domain: Domain = "amplitude"
    """What the values of the patches are linear in: where speckle is multiplied, or added in decibels."""
    limits: tuple[float, float] = (0.0, 1.0)
    """The values, in that domain, that 0 and 1 of the patches stand for."""

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("classes", 0), ("latent", 1), ("looks", 0), ("oversampling", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, {getattr(self, name)} was given.")
        if self.classes == 1:
            raise ValueError("classes must be 2 or more to choose from, or 0 for a model without; 1 was given.")
        for name, allowed in (("speckle", SpeckleMode), ("domain", Domain)):
            if getattr(self, name) not in get_args(allowed):
                words = ", ".join(get_args(allowed))
                raise ValueError(f"{name} must be one of {words}; {getattr(self, name)!r} was given.")
        if self.speckle == "none" and (self.looks or self.oversampling):
            raise ValueError(
                f"looks {self.looks:g} and oversampling {self.oversampling:g} are those of a speckle layer, and "
                "speckle is none; give speckle fixed, or leave them out."
            )
        if self.speckle == "learned" and self.oversampling:
            raise ValueError(
                f"learned speckle has no correlation between pixels: oversampling must be 0, {self.oversampling} was "
                "given; give speckle fixed."
            )
        low, high = self.limits
        if not low < high or (self.domain != "db" and low < 0):
            raise ValueError(f"limits must be low < high, and not negative for {self.domain}; {self.limits} was given.")

    @property
    def psf(self) -> tuple[str, float] | None:
        """The point spread as `sarcore.ops.speckle` takes it."""
        return ("gaussian", self.oversampling) if self.oversampling else None

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Rebuild the settings that ``to_dict`` gave; ValueError for a field that is not known.

        >>> GenerativeConfig.from_dict(GenerativeConfig(size=160).to_dict()) == GenerativeConfig(size=160)
        True
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}; the settings are of another version.")
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


def physical(radiometry: Radiometry, unit: str | None = None) -> Radiometry:
    """What encoded images stand for: what they declare; grey values without a unit those of ``unit``.

    Without that, grey values are amplitudes, as in 8-bit quicklooks, and decibels where they are negative.

    >>> physical(Radiometry("digital", 0, 255)).unit, physical(Radiometry("digital", -25, 0)).unit
    ('amplitude', 'db')
    """
    if radiometry.unit != "digital":
        return radiometry
    return Radiometry(unit or ("db" if radiometry.low < 0 else "amplitude"), radiometry.low, radiometry.high)


def domain_and_limits(radiometry: Radiometry) -> dict[str, Any]:
    """The settings ``domain`` and ``limits`` of models of patches of this radiometry.

    >>> domain_and_limits(Radiometry("digital", 0, 255))
    {'domain': 'amplitude', 'limits': (0.0, 255.0)}
    """
    known = physical(radiometry)
    return {"domain": known.scale, "limits": (known.low, known.high)}


def check_labels(config: GenerativeConfig, labels: Tensor | None, count: int) -> Tensor | None:
    """The labels (count,), int64 in 0..classes-1, that a model with classes asks for; None where it has none.

    >>> check_labels(GenerativeConfig(classes=2), torch.tensor([0, 1]), 2)
    tensor([0, 1])

    Raises:
        ValueError: they are missing, of another shape, type or class, or given to a model without classes. On a GPU,
            where looking at them would wait for the device, the classes are not checked.
    """
    if not config.classes:
        if labels is not None:
            raise ValueError("The model draws without classes, and labels were given; leave them out.")
        return None
    wanted = f"labels of the classes 0 to {config.classes - 1}, int64 of shape ({count},)"
    if labels is None:
        raise ValueError(f"The model draws patches by their class; give {wanted}.")
    if labels.shape != (count,) or labels.dtype != torch.int64:
        raise ValueError(f"The model needs {wanted}; {labels.dtype} of shape {tuple(labels.shape)} was given.")
    if labels.device.type == "cpu" and count and not 0 <= int(labels.min()) <= int(labels.max()) < config.classes:
        raise ValueError(f"The model needs {wanted}; {int(labels.min())} to {int(labels.max())} were given.")
    return labels


def grid_labels(config: GenerativeConfig, count: int, device: torch.device) -> Tensor | None:
    """Labels of a square of samples, row by row one class, the classes in turn; None of a model without.

    >>> grid_labels(GenerativeConfig(classes=2), 9, torch.device("cpu")).tolist()
    [0, 0, 0, 1, 1, 1, 0, 0, 0]
    """
    if not config.classes:
        return None
    return torch.arange(count, device=device) // math.ceil(math.sqrt(count)) % config.classes


class SpeckleOutput(nn.Module):
    """The end of a generator: reflectivity (N, C, H, W), encoded to [0, 1] and above, becomes SAR images in [0, 1].

    >>> x = torch.full((2, 1, 8, 8), 0.4)
    >>> output = SpeckleOutput.of(GenerativeConfig(speckle="fixed", looks=4))
    >>> torch.equal(output(x, torch.tensor([5, 6]))[1:], output(x[1:], torch.tensor([6])))
    True
    >>> SpeckleOutput.of(GenerativeConfig())(x) is x
    True

    Args:
        layer: the speckle; None hands images on as they are.
    """

    def __init__(self, layer: SpeckleLayer | None) -> None:
        super().__init__()
        self.layer = layer

    @classmethod
    def of(cls, config: GenerativeConfig) -> SpeckleOutput:
        """That of a model's settings; ValueError where it has speckle of 0 looks, which nobody has estimated yet."""
        if config.speckle == "none":
            return cls(None)
        if not config.looks:
            raise ValueError(f"speckle {config.speckle!r} needs looks; estimate them from the patches, or give them.")
        return cls(
            SpeckleLayer(
                config.looks,
                learned=config.speckle == "learned",
                radiometry=Radiometry(config.domain, *config.limits),
                psf=config.psf,
            )
        )

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """One key per image, from which its speckle follows."""
        if self.layer is None:
            return torch.zeros(n, dtype=torch.int64)
        return torch.randint(2**32, (n,), generator=generator)

    def forward(self, x: Tensor, index: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """The images; the speckle of each follows from the seed and its ``index`` (N,), by default 0 to N - 1."""
        if self.layer is None:
            return x
        # A linear output may paint less than nothing, which speckle cannot multiply; it takes no gradient there.
        speckled: Tensor = self.layer(
            x if self.layer.radiometry.scale == "db" else x.clamp(min=0.0), seed=seed, index=index
        )
        return speckled

    def scalars(self) -> dict[str, Tensor | float]:
        """The looks, where they are learnt."""
        return {} if self.layer is None or self.layer.log_looks is None else {"looks": self.looks()}

    def looks(self) -> Tensor:
        """The looks as they are now, without waiting for the device; ValueError where there is no speckle."""
        if self.layer is None:
            raise ValueError("There is no speckle layer; give the speckle of the model.")
        if self.layer.log_looks is None:
            return torch.tensor(self.layer.looks)
        return self.layer.log_looks.detach().exp()  # not `looks` of the layer, for which the host waits
