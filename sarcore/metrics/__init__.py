"""Metrics: classification scores and intervals over seeds, measures of radar images."""

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
from sarcore.metrics.radar import edge_correlation, estimate_looks

__all__ = [
    "Interval",
    "balanced_accuracy",
    "confusion_matrix",
    "edge_correlation",
    "estimate_looks",
    "macro_f1",
    "mean_interval",
    "overall_accuracy",
    "per_class_recall",
    "t_quantile",
]
