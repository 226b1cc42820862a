"""The peers of `speckle`: x times a unit-mean Gamma variable, as packages and users write it. Intensities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from peers import load

Speckle = Callable[[torch.Tensor], torch.Tensor]


def deepinv_noise(looks: float, device: str) -> Speckle | None:
    """`deepinv.physics.GammaNoise`."""
    physics = load("deepinv.physics")
    return None if physics is None else physics.GammaNoise(looks).to(device)


def gamma_noise(x: torch.Tensor, looks: float) -> torch.Tensor:
    """deepinv's formula: one rate per pixel, and a look at all pixels before."""
    if torch.any(x <= 0):
        raise ValueError("Gamma noise needs positive pixels")
    shape = torch.tensor(looks, device=x.device)
    return torch.distributions.Gamma(shape, shape / x).sample()


def gamma_distribution(x: torch.Tensor, looks: float) -> torch.Tensor:
    """`torch.distributions.Gamma` with scalar parameters, the recipe of the forums."""
    shape = torch.tensor(looks, device=x.device)
    return torch.distributions.Gamma(shape, shape).sample(x.shape) * x


def standard_gamma(x: torch.Tensor, looks: float) -> torch.Tensor:
    """The sampler under `torch.distributions.Gamma`, in place around it."""
    return torch._standard_gamma(torch.full_like(x, looks)).div_(looks).mul_(x)


def numpy_gamma(looks: float) -> Speckle:
    """NumPy's float32 sampler, one thread, in place around it."""
    generator = np.random.default_rng(0)

    def call(x: torch.Tensor) -> torch.Tensor:
        field = generator.standard_gamma(looks, x.shape, dtype=np.float32)
        field /= looks
        field *= x.numpy()
        return torch.from_numpy(field)

    return call


def exponential_mean(x: torch.Tensor, looks: int) -> torch.Tensor:
    """The mean of as many exponential variables as there are looks."""
    return torch.empty(looks, *x.shape, device=x.device).exponential_().mean(0).mul_(x)


def uniform_logs(x: torch.Tensor, looks: int) -> torch.Tensor:
    """The same with logarithms of uniforms, which torch.compile fuses into one loop."""
    uniforms = torch.rand(looks, *x.shape, device=x.device)
    return x * -(1 - uniforms).log().sum(0) / looks  # rand can return 0 and cannot return 1
