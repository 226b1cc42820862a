"""The discriminator of the GAN: heads on the frozen features of a network that knows radar images already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sarcore.models.gan_config import GANConfig
from sarcore.models.resnet import ResNet, load_backbone

_GROUP = 4  # images whose deviation the discriminator sees
_LEAST = 5  # side of the maps that the heads halve down to, pixels
_STEM = 2  # halvings of the stem's maps, which are the finest
_SLOPE = 0.2


class ProjectedDiscriminator(nn.Module):
    """Score maps of images (N, channels, size, size) in [0, 1] and classes (N,) at five scales, each (N, places).

    The stem of a frozen ResNet, before it is pooled, and its four stages give features; a fixed mixture of their
    channels, which are normalised, goes to a head of its own: spectrally normalised convolutions, halved down to some 5
    pixels (those of the stem, which shows what pooling hides, twice at most), then at each place

        D(x, y) = psi(f(x)) + <e_y, f(x)>

    The deepest head sees the minibatch standard deviation as well. A label of -1 is of an image whose class nobody
    knows: it has no class term. Always in evaluation mode; `advance` makes one power iteration of the spectral norms.

    >>> discriminator = ProjectedDiscriminator(GANConfig(size=40, width=4, classes=3, features_width=8))
    >>> [tuple(scores.shape) for scores in discriminator(torch.rand(2, 1, 40, 40), torch.tensor([1, -1]))]
    [(2, 25), (2, 25), (2, 25), (2, 9), (2, 4)]

    Source: Sauer et al., Projected GANs converge faster, arXiv 2111.01007; Miyato and Koyama, arXiv 1802.05637 (class
    projection); Miyato et al., arXiv 1802.05957 (spectral norm); Karras et al., arXiv 1710.10196 (deviation).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        backbone = ResNet(config.features_depth, channels=config.channels, head=(), width=config.features_width)
        backbone.fc = nn.Sequential()  # what it was trained to say is not asked
        self.backbone = backbone.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("std", torch.tensor(0.25))
        deepest, filters = backbone.feature_count, 4 * config.width
        counts = (config.features_width, deepest >> 3, deepest >> 2, deepest >> 1, deepest)
        self.mixtures = nn.ModuleList(nn.Conv2d(count, filters, 1) for count in counts).requires_grad_(False)
        halvings = [_halvings(config.size, number) for number in range(len(counts))]
        self.heads = nn.ModuleList(
            _Head(filters, times, config.classes, deviation=number == len(counts) - 1)
            for number, times in enumerate(halvings)
        )
        self._fix_mixtures([torch.zeros(count) for count in counts], [torch.ones(count) for count in counts])
        self.train(False)

    def train(self, mode: bool = True) -> ProjectedDiscriminator:  # noqa: ARG002
        """Stay in evaluation mode: the features are those of the finished network, spectral norms move in `advance`."""
        return super().train(False)

    @torch.no_grad()
    def take_features(self, weights: Mapping[str, Tensor], images: Tensor) -> None:
        """Take over a trained network: the state of a `Classifier` or a `Contrastive`, mean and deviation included.

        ``images`` (N, channels, size, size) in [0, 1] are real ones by which the features are normalised.

        Raises CheckpointError where the weights are of another network.
        """
        load_backbone(self.backbone, weights)
        self.mean.copy_(weights["mean"])
        self.std.copy_(weights["std"])
        found = [feature.float() for feature in self.features(images)]
        self._fix_mixtures([f.mean(dim=(0, 2, 3)) for f in found], [f.std(dim=(0, 2, 3)) + 1e-3 for f in found])

    def features(self, images: Tensor) -> list[Tensor]:
        """The maps after the stem and the four stages of the frozen network."""
        net = self.backbone
        h = F.relu(net.bn1(net.conv1((images - self.mean) / self.std)))
        found, h = [h], F.max_pool2d(h, 3, stride=2, padding=1)
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            h = stage(h)
            found.append(h)
        return found

    def forward(self, images: Tensor, labels: Tensor | None) -> list[Tensor]:
        found = zip(self.heads, self.mixtures, self.features(images), strict=True)
        return [cast(Tensor, head(mixture(feature), labels)) for head, mixture, feature in found]

    @torch.no_grad()
    def advance(self) -> None:
        """One power iteration of each spectral norm; once a step, so that all parts of a batch see the same weights."""
        for module in self.heads.modules():
            if isinstance(module, nn.Conv2d) and hasattr(module, "parametrizations"):
                module.train(True)
                _ = module.weight
                module.train(False)

    @torch.no_grad()
    def _fix_mixtures(self, means: list[Tensor], deviations: list[Tensor]) -> None:
        """Orthogonal mixtures, the same for any model of a size, of features brought to mean 0 and deviation 1."""
        for layer, mean, deviation in zip(self.mixtures, means, deviations, strict=True):
            mixture = cast(nn.Conv2d, layer)
            filters, count = mixture.weight.shape[:2]
            tall = torch.randn(max(filters, count), min(filters, count), generator=_fixed(count)).to(mean.device)
            basis = torch.linalg.qr(tall)[0]
            weight = (basis if filters >= count else basis.T) / deviation * max(1.0, count / filters) ** 0.5
            mixture.weight.copy_(weight[:, :, None, None])
            cast(Tensor, mixture.bias).copy_(-(weight @ mean))


class _Head(nn.Module):
    """Convolutions down to some 5 pixels, then a score per place and its class term."""

    def __init__(self, filters: int, halvings: int, classes: int, *, deviation: bool) -> None:
        super().__init__()
        self.deviation = deviation
        layers: list[nn.Module] = []
        given = filters + deviation
        for kernel, stride in [(4, 2)] * halvings or [(3, 1)]:
            layers += [spectral_norm(nn.Conv2d(given, filters, kernel, stride, 1)), nn.LeakyReLU(_SLOPE)]
            given = filters
        self.layers = nn.Sequential(*layers)
        self.score = nn.Conv2d(filters, 1, 1)
        self.classes = nn.Embedding(classes, filters) if classes else None
        if self.classes is not None:
            nn.init.normal_(self.classes.weight, 0.0, 0.1)

    def forward(self, h: Tensor, labels: Tensor | None) -> Tensor:
        if self.deviation:
            h = torch.cat((h, minibatch_deviation(h).to(h.dtype)), dim=1)
        h = self.layers(h)
        h = h.to(torch.promote_types(h.dtype, torch.float32))
        with torch.autocast(h.device.type, enabled=False):
            scores: Tensor = self.score(h).flatten(1)
            if self.classes is None or labels is None:
                return scores
            told = self.classes(labels.clamp(min=0)) * (labels >= 0)[:, None]
            return torch.add(scores, torch.einsum("nchw,nc->nhw", h, told).flatten(1))


def minibatch_deviation(h: Tensor) -> Tensor:
    """One number per image, as a channel (N, 1, H, W): the mean deviation over the images of its group of up to 4.

    sqrt(var + 1e-6) over the images of a group, the variance by their number, then its mean over channels and pixels.
    With n groups image i is of group i mod n, so that the parts which `Step.parts` makes hold the groups of the whole
    batch where 4 divides their size; among fewer images the groups are the largest that divide their number.

    >>> minibatch_deviation(torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)).flatten()
    tensor([1.0000, 1.0000])
    """
    size = next(size for size in range(_GROUP, 0, -1) if h.shape[0] % size == 0)
    wide = h.to(torch.promote_types(h.dtype, torch.float32)).unflatten(0, (size, -1))
    variance = (wide - wide.mean(dim=0)).square().mean(dim=0)  # several times as fast as var()
    deviation: Tensor = (variance + 1e-6).sqrt().mean(dim=(1, 2, 3))
    return deviation.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, *h.shape[2:])


def _halvings(size: int, stage: int) -> int:
    """How often a head halves the maps of a stage, 0 being the stem; each has half the side of the one before."""
    for _ in range(1 + stage):
        size = (size + 1) // 2
    times = max(0, (size // _LEAST).bit_length() - 1)
    return min(times, _STEM) if stage == 0 else times


def _fixed(count: int) -> torch.Generator:
    return torch.Generator().manual_seed(count)
