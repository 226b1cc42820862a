"""Filtered or restored radar images against their reference, over a whole data set."""

from __future__ import annotations

import torch

from sarcore.metrics.edges import edge_correlation, edge_preservation_index
from sarcore.metrics.radar import intensity_pair, ratio_of
from sarcore.metrics.streaming import PairMetric, Streaming


class RatioImage(Streaming):
    """Mean and variance of the ratio image noisy / filtered over a data set: `ratio_statistics`.

    >>> metric = RatioImage()
    >>> metric.update(torch.ones(1, 1, 2, 2), torch.tensor([[[[0.5, 1.5], [1.5, 0.5]]]]))
    >>> {name: value.item() for name, value in metric.compute().items()}
    {'mean': 1.0, 'variance': 0.25}

    `update` takes the filtered image and the noisy one, in the unit of `domain`; `left_out` counts the pixels without
    a ratio: NaN in either, and a filtered intensity of 0.
    """

    higher_is_better = None
    deviation: torch.Tensor
    square: torch.Tensor
    pixels: torch.Tensor

    def __init__(self, domain: str = "intensity") -> None:
        super().__init__()
        self.domain = domain
        self.add_sum("deviation")
        self.add_sum("square")
        self.add_sum("pixels", dtype=torch.int64)

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add filtered images (N, C, H, W) and the noisy ones that they came from."""
        above_one = ratio_of(preds, target, self.domain) - 1  # about 1, so these sums do not cancel
        self.deviation += above_one.sum()
        self.square += above_one.square().sum()
        self.pixels += above_one.numel()
        self.left_out += preds.numel() - above_one.numel()

    def compute(self) -> dict[str, torch.Tensor]:
        """``mean`` and population ``variance``; NaN without pixels."""
        mean = self.deviation / self.pixels
        return {"mean": 1 + mean, "variance": self.square / self.pixels - mean.square()}


class RadiometricBias(Streaming):
    """How much brighter the images are than their references, in decibels of the mean intensity: `radiometric_bias`.

    >>> metric, x = RadiometricBias(), torch.rand(2, 1, 8, 8)
    >>> metric.update(10 * x, x)
    >>> round(metric.compute().item(), 4)
    10.0

    The sums run over the whole data set, so bright images weigh more. Signed: 0 is best, which no `mode` of a
    validation can say.
    """

    higher_is_better = None
    image: torch.Tensor
    reference: torch.Tensor

    def __init__(self, domain: str = "intensity") -> None:
        super().__init__()
        self.domain = domain
        self.add_sum("image")
        self.add_sum("reference")

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add images (N, C, H, W) and their references, in the unit of `domain`. NaN is no-data."""
        first, second = intensity_pair(preds, target, self.domain, ("preds", "target"))
        self.image += first.sum()
        self.reference += second.sum()
        self.left_out += preds.numel() - first.numel()

    def compute(self) -> torch.Tensor:
        """Decibels; NaN without valid pixels."""
        return 10 * torch.log10(self.image / self.reference)


class EdgeCorrelation(PairMetric):
    """Mean correlation of the images' edges with those of their references: `edge_correlation`.

    >>> metric, x = EdgeCorrelation(), torch.rand(2, 1, 16, 16)
    >>> metric.update(x, x)
    >>> round(metric.compute().item(), 6)
    1.0
    """

    higher_is_better = True

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return edge_correlation(preds, target)


class EdgePreservation(PairMetric):
    """Mean strength of the images' edges against those of their references: `edge_preservation_index`.

    >>> metric, x = EdgePreservation(), torch.rand(2, 1, 16, 16)
    >>> metric.update(x / 2, x)
    >>> metric.compute().item()
    0.5
    """

    higher_is_better = None  # 1 is best

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return edge_preservation_index(preds, target)
