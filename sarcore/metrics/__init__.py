"""Metrics: classification scores and intervals over seeds."""

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

__all__ = [
    "Interval",
    "balanced_accuracy",
    "confusion_matrix",
    "macro_f1",
    "mean_interval",
    "overall_accuracy",
    "per_class_recall",
    "t_quantile",
]
