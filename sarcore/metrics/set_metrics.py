"""Generated images against real ones, set against set: grey values, spectra, neighbours, looks, diversity.

All have `update(images, real)`, sums of the two sides as state, and one number: 0 where the sets agree (a diversity
ratio of 1).
"""

from __future__ import annotations

import torch
from torchmetrics.utilities import dim_zero_cat

from sarcore.metrics import diversity, histogram, radar, spectrum
from sarcore.metrics.streaming import SetMetric
from sarcore.ops import _checks, _radar


class HistogramEMD(SetMetric):
    """Earth mover's distance of the grey values: `histogram_emd` of the two sets' histograms.

    >>> metric = HistogramEMD()
    >>> metric.update(torch.full((2, 1, 8, 8), 0.3), real=True)
    >>> metric.update(torch.full((2, 1, 8, 8), 0.5), real=False)
    >>> round(metric.compute().item(), 6)
    0.2

    In the unit of `low` and `high`; images may not be of one size, every pixel counts the same.
    """

    def __init__(self, bins: int = histogram.BINS, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.bins = _checks.bin_count(bins)
        self.low, self.high = _checks.value_range((low, high), "low and high")
        self.add_sums("counts", self.bins)

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        self.add("counts", real, histogram.histogram_counts(images, self.bins, self.low, self.high))

    def compute(self) -> torch.Tensor:
        """The distance; NaN where a side has no valid pixel."""
        return _scalar(histogram.histogram_emd(*self.sides("counts"), self.low, self.high))


class SpectralDistance(SetMetric):
    """Root mean square difference of the `radial_spectrum` of the two sets, in decibels.

    >>> metric, x = SpectralDistance(), torch.rand(4, 1, 32, 32)
    >>> metric.update(x, real=True)
    >>> metric.update(10 * x, real=False)  # ten times the amplitude is a hundred times the power
    >>> round(metric.compute().item(), 4)
    20.0

    sqrt(mean over bins of (10 (s_k - t_k))^2), s and t decimal logarithms of power; the powers are averaged over the
    set before. Sets should have images of one size: a bin that one of them cannot resolve is interpolated.
    """

    def __init__(self, bins: int = spectrum.BINS) -> None:
        super().__init__()
        self.bins = _checks.bin_count(bins)
        self.add_sums("power", self.bins)
        self.add_sums("frequencies", self.bins)

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        power, frequencies = spectrum.spectrum_sums(images, self.bins)
        self.add("power", real, power)
        self.add("frequencies", real, frequencies)

    def compute(self) -> torch.Tensor:
        """Decibels; NaN where a side has no image."""
        sides = zip(self.sides("power"), self.sides("frequencies"), strict=True)
        real, generated = (spectrum.finished_spectrum(power, frequencies) for power, frequencies in sides)
        return 10 * (real - generated).square().mean().sqrt()


class AutocorrelationDistance(SetMetric):
    """Mean absolute difference of the `autocorrelation` of the two sets, over both directions and all lags.

    >>> metric, x = AutocorrelationDistance(), torch.rand(4, 1, 32, 32)
    >>> metric.update(x, real=True)
    >>> metric.update(3 * x + 1, real=False)
    >>> round(metric.compute().item(), 6)
    0.0
    """

    def __init__(self, lags: int = spectrum.LAGS) -> None:
        super().__init__()
        self.lags = _checks.integer(lags, "lags", 1, spectrum.MOST_LAGS)
        self.add_sums("products", 2, self.lags + 1)
        self.add_sums("pairs", 2, self.lags + 1)

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        products, pairs = spectrum.lag_sums(images, self.lags)
        self.add("products", real, products)
        self.add("pairs", real, pairs)

    def compute(self) -> torch.Tensor:
        """0 to 2; NaN where a side is constant."""
        sides = zip(self.sides("products"), self.sides("pairs"), strict=True)
        real, generated = (spectrum.correlation_of_sums(products, pairs) for products, pairs in sides)
        return (real - generated).abs().mean()


class LogCumulantError(SetMetric):
    """Absolute differences of the first three `log_cumulants` of the two sets: level, contrast, asymmetry.

    >>> metric, x = LogCumulantError(), torch.rand(4, 1, 32, 32) + 0.1
    >>> metric.update(x, real=True)
    >>> metric.update(torch.e * x, real=False)
    >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
    {'first': 1.0, 'second': 0.0, 'third': 0.0}
    """

    def __init__(self, domain: str = "intensity") -> None:
        super().__init__()
        self.domain = _checks.choice(domain, _radar.DOMAINS, "domain")
        self.add_sums("powers", 4)

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        y = radar.log_intensities(images, self.domain)
        self.add("powers", real, torch.stack([y.pow(k).sum() for k in range(4)]))

    def compute(self) -> dict[str, torch.Tensor]:
        """``first``, ``second``, ``third``; NaN where a side has no valid pixel."""
        real, generated = (_cumulants(powers) for powers in self.sides("powers"))
        return dict(zip(("first", "second", "third"), (real - generated).abs(), strict=True))


class ENLError(SetMetric):
    """Relative error of the generated images' looks, by `estimate_looks`: |generated / real - 1|.

    >>> from sarcore.ops import speckle
    >>> metric = ENLError(looks=4)
    >>> metric.update(speckle(torch.ones(4, 1, 64, 64), looks=4, seed=0), real=False)
    >>> metric.compute().item() < 0.3
    True

    All blocks of a side count together, so patches need not hold 8 of them each. With `looks` declared no real images
    are needed. An estimate scatters by 10 to 20 %: smaller errors are none.
    """

    real_enl: list[torch.Tensor]
    generated_enl: list[torch.Tensor]

    def __init__(self, looks: float | None = None, domain: str = "intensity", block: int = radar.BLOCK) -> None:
        super().__init__()
        self.looks = None if looks is None else _radar.looks_of(looks, "looks")
        self.domain = _checks.choice(domain, _radar.DOMAINS, "domain")
        self.block = _checks.integer(block, "block", 2, 2**15)
        for side in ("real", "generated"):  # a number for every 256 pixels
            self.add_state(f"{side}_enl", [], dist_reduce_fx="cat")

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        enl = radar.block_looks(images, self.domain, None, self.block)
        (self.real_enl if real else self.generated_enl).append(enl)

    def compute(self) -> torch.Tensor:
        """The error; infinite where generated images are constant, NaN where a side has fewer than 8 valid blocks."""
        real = self._estimate(self.real_enl) if self.looks is None else self.looks
        return _scalar(abs(self._estimate(self.generated_enl) / real - 1))

    def _estimate(self, enl: list[torch.Tensor] | torch.Tensor) -> float:
        empty = isinstance(enl, list) and not enl
        return radar.looks_of_blocks(torch.empty(0) if empty else dim_zero_cat(enl), self.block)


class DiversityRatio(SetMetric):
    """`pairwise_diversity` of the generated images by that of the real ones: 0 where all are one image, 1 as diverse.

    >>> metric = DiversityRatio()
    >>> metric.update(torch.rand(8, 1, 16, 16), real=True)
    >>> metric.update(torch.rand(1, 1, 16, 16).expand(8, -1, -1, -1), real=False)
    >>> metric.compute().item()
    0.0

    The pairs are those within a batch: shuffle real images that lie in an order, and give both sides batches of
    two or more.
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("distances")
        self.add_sums("pairs")

    def sums_of(self, images: torch.Tensor, real: bool) -> None:
        total, pairs = diversity.pair_sums(images)
        self.add("distances", real, total)
        self.add("pairs", real, pairs)

    def compute(self) -> torch.Tensor:
        """The ratio; NaN where a side has no pair."""
        sides = zip(self.sides("distances"), self.sides("pairs"), strict=True)
        real, generated = (total / pairs for total, pairs in sides)
        return generated / real


def _scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _cumulants(powers: torch.Tensor) -> torch.Tensor:
    """Cumulants from the count and the sums of y, y^2, y^3: logarithms are small, so that float64 cancels nothing."""
    first, second, third = powers[1:] / powers[0]
    return torch.stack([first, second - first**2, third - 3 * first * second + 2 * first**3])
