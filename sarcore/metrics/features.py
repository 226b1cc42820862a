"""Feature spaces: a frozen network that turns images into vectors, whose distributions are then compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FeatureSet:
    """Features (N, d) of N images, and the name of the space they lie in.

    >>> FeatureSet(torch.rand(4, 2), "a").values.shape
    torch.Size([4, 2])
    """

    values: Tensor
    space: str

    def __len__(self) -> int:
        return len(self.values)


class SARFeatures(nn.Module):
    """A frozen network as a feature space: images (N, C, H, W) to features (N, dimension), float32.

    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> features = SARFeatures(network, dimension=8)
    >>> features(torch.rand(4, 1, 32, 32)).shape
    torch.Size([4, 8])

    Distances between sets of images mean nothing across feature spaces. `space` names this one: what was given as
    `name`, and the SHA-256 of the network's weights. Features of different spaces are refused.

    Args:
        network: takes images as it was trained on them, with whatever normalisation it needs inside.
        dimension: number of features per image.
        name: of what is read from the network, e.g. "resnet18 pooled"; the name of its class without it.

    Raises:
        ValueError: dimension is below 1; images are not (N, C, H, W) or hold NaN or infinity, or the network does not
            give (N, dimension).
        TypeError: images are integers, which have no unit; encode them first.
    """

    def __init__(self, network: nn.Module, dimension: int, *, name: str | None = None) -> None:
        super().__init__()
        if dimension < 1:
            raise ValueError(f"dimension must be at least 1, got {dimension}")
        self.network = network.requires_grad_(False)
        self.dimension = dimension
        self.space = f"{name or type(network).__name__} sha256:{weights_digest(network)}"
        self.train(False)

    def train(self, mode: bool = True) -> SARFeatures:  # noqa: ARG002
        """Stay in evaluation mode, whatever `mode` is: features must not depend on the rest of the batch."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            raise TypeError(f"images must be floating, encoded as the network expects them, got {images.dtype}")
        if images.ndim != 4:
            raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
        if not bool(torch.isfinite(images).all()):  # the network may hide them: ReLU turns some NaN into numbers
            raise ValueError("images hold NaN or infinity; fill pixels without data first")
        with torch.autocast(images.device.type, enabled=False):
            features: Tensor = self.network(images.float())
        if features.shape != (len(images), self.dimension):
            raise ValueError(
                f"the network must give ({len(images)}, {self.dimension}) features, got {tuple(features.shape)}; "
                "pool over the pixels, or give its dimension"
            )
        return features.float()

    def embed(self, batches: Iterable[Tensor]) -> FeatureSet:
        """The features of all batches of images, on the CPU, one batch at a time."""
        device = next((t.device for t in (*self.network.parameters(), *self.network.buffers())), None)
        parts = [self(images if device is None else images.to(device)).cpu() for images in batches]
        return FeatureSet(torch.cat(parts) if parts else torch.empty(0, self.dimension), self.space)


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of the names, types, shapes and values of a network's state, in hexadecimal.

    >>> weights_digest(nn.Flatten()) == hashlib.sha256().hexdigest()
    True
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def checked_features(least: int, **sets: Tensor | FeatureSet) -> list[Tensor]:
    """The named feature sets as float64 (N, d), or the error that says which of them cannot be compared.

    >>> first, second = checked_features(2, real=torch.rand(3, 4), generated=torch.rand(2, 4))
    >>> first.dtype, second.shape
    (torch.float64, torch.Size([2, 4]))

    Raises:
        ValueError: fewer than `least` images, NaN or infinite features, other dimensions, different feature spaces.
        TypeError: features are not floating.
    """
    spaces = {name: given.space for name, given in sets.items() if isinstance(given, FeatureSet)}
    if len(set(spaces.values())) > 1:
        words = ", ".join(f"{name} in '{space}'" for name, space in spaces.items())
        raise ValueError(f"features of different spaces cannot be compared: {words}; take all from one network")
    found = []
    for name, given in sets.items():
        values = given.values if isinstance(given, FeatureSet) else given
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(f"{name} must be a floating tensor of features, got {kind}")
        if values.ndim != 2 or not values.shape[1]:
            raise ValueError(f"{name} must be features (N, d), got {tuple(values.shape)}")
        if len(values) < least:
            raise ValueError(f"{name} must hold the features of at least {least} images, got {len(values)}")
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name} has features that are NaN or infinite; look at the images and the network")
        found.append(values.detach().double())
    dimensions = {name: tensor.shape[1] for name, tensor in zip(sets, found, strict=True)}
    if len(set(dimensions.values())) > 1:
        words = ", ".join(f"{name} has {count}" for name, count in dimensions.items())
        raise ValueError(f"features must have one dimension: {words}; take all from one network")
    return found
