"""Images against a reference, over a whole data set: the functions of `sarcore.metrics.image`, averaged over images.

torchmetrics has these too; its states are float32, no-data pixels (NaN) would make all of them NaN, and its SSIM
averages windows beyond the border as well, where Wang et al. take whole ones.
"""

from __future__ import annotations

import torch

from sarcore.metrics.image import ergas, mean_absolute_error, ms_ssim, psnr, spectral_angle, ssim
from sarcore.metrics.streaming import PairMetric


class PSNR(PairMetric):
    """Mean peak signal-to-noise ratio of the images, in decibels: `psnr`.

    >>> metric = PSNR(data_range=1.0)
    >>> metric.update(torch.full((2, 1, 8, 8), 0.6), torch.full((2, 1, 8, 8), 0.5))
    >>> round(metric.compute().item(), 3)
    20.0
    """

    higher_is_better = True

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return psnr(preds, target, self.data_range)


class SSIM(PairMetric):
    """Mean structural similarity of the images: `ssim`.

    >>> metric, x = SSIM(), torch.rand(2, 1, 16, 16)
    >>> metric.update(x, x)
    >>> metric.compute().item()
    1.0
    """

    higher_is_better = True

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ssim(preds, target, self.data_range)


class MSSSIM(PairMetric):
    """Mean multiscale structural similarity of the images: `ms_ssim`.

    >>> metric, x = MSSSIM(scales=3), torch.rand(2, 1, 48, 48)
    >>> metric.update(x, x)
    >>> metric.compute().item()
    1.0
    """

    higher_is_better = True

    def __init__(self, data_range: float = 1.0, scales: int = 5) -> None:
        super().__init__()
        self.data_range, self.scales = data_range, scales

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ms_ssim(preds, target, self.data_range, self.scales)


class MAE(PairMetric):
    """Mean absolute error of the images, in their unit: `mean_absolute_error`.

    >>> metric = MAE()
    >>> metric.update(torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.25))
    >>> metric.compute().item()
    0.25
    """

    higher_is_better = False

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return mean_absolute_error(preds, target)


class SAM(PairMetric):
    """Mean spectral angle of the images' pixels, in radians: `spectral_angle`.

    >>> metric, x = SAM(), torch.rand(2, 3, 8, 8) + 0.1
    >>> metric.update(3 * x, x)
    >>> round(metric.compute().item(), 6)
    0.0
    """

    higher_is_better = False

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return spectral_angle(preds, target)


class ERGAS(PairMetric):
    """Mean relative global error of the images: `ergas`.

    >>> metric = ERGAS(ratio=1)
    >>> metric.update(torch.full((1, 2, 8, 8), 2.5), torch.full((1, 2, 8, 8), 2.0))
    >>> metric.compute().item()
    25.0
    """

    higher_is_better = False

    def __init__(self, ratio: float = 4.0) -> None:
        super().__init__()
        self.ratio = ratio

    def per_image(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ergas(preds, target, self.ratio)
