"""Metrics: classification scores and intervals over seeds, measures of radar images and of sets of them.

The functions need torch and NumPy alone. The classes are torchmetrics, which is imported when one is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sarcore.metrics.classification import (
    Interval,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    mean_interval,
    overall_accuracy,
    per_class_recall,
    t_quantile,
)
from sarcore.metrics.diversity import pairwise_diversity
from sarcore.metrics.edges import edge_correlation, edge_preservation_index
from sarcore.metrics.features import FeatureSet, SARFeatures
from sarcore.metrics.floor import AgainstFloor, against_floor
from sarcore.metrics.frechet import frechet_distance
from sarcore.metrics.histogram import histogram_density, histogram_emd
from sarcore.metrics.image import ergas, mean_absolute_error, ms_ssim, psnr, spectral_angle, ssim
from sarcore.metrics.kernel import kernel_distance, kernel_distance_subsets
from sarcore.metrics.manifold import density_coverage, precision_recall
from sarcore.metrics.memorisation import MemorisationScores, memorisation
from sarcore.metrics.radar import estimate_looks, log_cumulants, radiometric_bias, ratio_statistics
from sarcore.metrics.speckle_model import SpeckleEstimate, estimate_speckle
from sarcore.metrics.spectrum import autocorrelation, radial_spectrum

if TYPE_CHECKING:
    from sarcore.metrics.classification_metrics import (
        BalancedAccuracy,
        CalibrationError,
        ConfusionMatrix,
        MacroF1,
        OverallAccuracy,
        PerClassRecall,
    )
    from sarcore.metrics.feature_metrics import (
        DensityCoverage,
        FrechetDistance,
        KernelDistance,
        Memorisation,
        PrecisionRecall,
    )
    from sarcore.metrics.image_metrics import ERGAS, MAE, MSSSIM, PSNR, SAM, SSIM
    from sarcore.metrics.radar_metrics import EdgeCorrelation, EdgePreservation, RadiometricBias, RatioImage
    from sarcore.metrics.set_metrics import (
        AutocorrelationDistance,
        DiversityRatio,
        ENLError,
        HistogramEMD,
        LogCumulantError,
        SpectralDistance,
    )

# torchmetrics takes a second to import and belongs to sarcore[train]; looks and filters do without.
_METRICS = {
    "classification_metrics": (
        "BalancedAccuracy",
        "CalibrationError",
        "ConfusionMatrix",
        "MacroF1",
        "OverallAccuracy",
        "PerClassRecall",
    ),
    "feature_metrics": ("DensityCoverage", "FrechetDistance", "KernelDistance", "Memorisation", "PrecisionRecall"),
    "image_metrics": ("ERGAS", "MAE", "MSSSIM", "PSNR", "SAM", "SSIM"),
    "radar_metrics": ("EdgeCorrelation", "EdgePreservation", "RadiometricBias", "RatioImage"),
    "set_metrics": (
        "AutocorrelationDistance",
        "DiversityRatio",
        "ENLError",
        "HistogramEMD",
        "LogCumulantError",
        "SpectralDistance",
    ),
}
_MODULE_OF = {name: module for module, names in _METRICS.items() for name in names}

__all__ = [
    "ERGAS",
    "MAE",
    "MSSSIM",
    "PSNR",
    "SAM",
    "SSIM",
    "AgainstFloor",
    "AutocorrelationDistance",
    "BalancedAccuracy",
    "CalibrationError",
    "ConfusionMatrix",
    "DensityCoverage",
    "DiversityRatio",
    "ENLError",
    "EdgeCorrelation",
    "EdgePreservation",
    "FeatureSet",
    "FrechetDistance",
    "HistogramEMD",
    "Interval",
    "KernelDistance",
    "LogCumulantError",
    "MacroF1",
    "Memorisation",
    "MemorisationScores",
    "OverallAccuracy",
    "PerClassRecall",
    "PrecisionRecall",
    "RadiometricBias",
    "RatioImage",
    "SARFeatures",
    "SpeckleEstimate",
    "SpectralDistance",
    "against_floor",
    "autocorrelation",
    "balanced_accuracy",
    "confusion_matrix",
    "density_coverage",
    "edge_correlation",
    "edge_preservation_index",
    "ergas",
    "estimate_looks",
    "estimate_speckle",
    "frechet_distance",
    "histogram_density",
    "histogram_emd",
    "kernel_distance",
    "kernel_distance_subsets",
    "log_cumulants",
    "macro_f1",
    "mean_absolute_error",
    "mean_interval",
    "memorisation",
    "ms_ssim",
    "overall_accuracy",
    "pairwise_diversity",
    "per_class_recall",
    "precision_recall",
    "psnr",
    "radial_spectrum",
    "radiometric_bias",
    "ratio_statistics",
    "spectral_angle",
    "ssim",
    "t_quantile",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torchmetrics":
            raise
        raise ImportError(f"{name} needs torchmetrics: pip install 'sarcore[train]'") from error
    return getattr(module, name)
