"""Metrics: classification scores and intervals over seeds, measures of radar images and of sets of them."""

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
from sarcore.metrics.histogram import histogram_density, histogram_emd
from sarcore.metrics.radar import edge_correlation, estimate_looks
from sarcore.metrics.spectrum import radial_spectrum

__all__ = [
    "Interval",
    "balanced_accuracy",
    "confusion_matrix",
    "edge_correlation",
    "estimate_looks",
    "histogram_density",
    "histogram_emd",
    "macro_f1",
    "mean_interval",
    "overall_accuracy",
    "pairwise_diversity",
    "per_class_recall",
    "radial_spectrum",
    "t_quantile",
]
