"""Scores of a classifier over a whole data set: the confusion matrix as state, the functions of `classification` on it.

Where a class is absent torchmetrics' macro averages count it as 0 or not by rules of their own, and its calibration
error keeps every confidence; these agree with the tables of the studies and have constant size.
"""

from __future__ import annotations

from typing import Any

import torch

from sarcore.metrics import classification
from sarcore.metrics.streaming import Streaming
from sarcore.ops import _checks


class ConfusionMatrix(Streaming):
    """Samples by true class (row) and predicted class (column), (classes, classes) int64.

    >>> metric = ConfusionMatrix(2)
    >>> metric.update(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0, 1]))
    >>> metric.compute().tolist()
    [[1, 1], [0, 1]]

    `update` takes logits (N, classes) or predicted classes (N,), and true classes (N,). Raises ValueError for other
    shapes and for classes outside [0, classes).
    """

    higher_is_better: bool | None = None
    confusion: torch.Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = _checks.integer(classes, "classes", 2, 2**15)
        self.add_sum("confusion", self.classes, self.classes, dtype=torch.int64)

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add logits (N, classes) or predicted classes (N,), and the true classes (N,)."""
        target = _classes_of(target, self.classes, "target")
        if preds.is_floating_point():
            preds = _logits(preds, self.classes).argmax(1)
        preds = _classes_of(preds, self.classes, "preds")
        if preds.shape != target.shape:
            raise ValueError(f"preds and target must be of one length, got {len(preds)} and {len(target)}")
        counts = torch.bincount(target * self.classes + preds, minlength=self.classes**2)
        self.confusion += counts.reshape(self.classes, self.classes)

    def compute(self) -> Any:
        """The matrix, or what a subclass makes of it."""
        return self.confusion


class OverallAccuracy(ConfusionMatrix):
    """Fraction of samples predicted right: `overall_accuracy`.

    >>> metric = OverallAccuracy(2)
    >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    >>> round(metric.compute().item(), 3)
    0.667
    """

    higher_is_better = True

    def compute(self) -> torch.Tensor:
        """The accuracy; NaN without samples."""
        return _float64(classification.overall_accuracy(self.confusion.cpu()))


class BalancedAccuracy(ConfusionMatrix):
    """Mean recall over the classes that have samples: `balanced_accuracy`.

    >>> metric = BalancedAccuracy(3)
    >>> metric.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]))
    >>> metric.compute().item()
    0.75
    """

    higher_is_better = True

    def compute(self) -> torch.Tensor:
        """The accuracy; NaN without samples."""
        return _float64(classification.balanced_accuracy(self.confusion.cpu()))


class MacroF1(ConfusionMatrix):
    """Mean F1 over the classes that are present or predicted: `macro_f1`.

    >>> metric = MacroF1(2)
    >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    >>> round(metric.compute().item(), 3)
    0.667
    """

    higher_is_better = True

    def compute(self) -> torch.Tensor:
        """The mean; NaN without samples."""
        return _float64(classification.macro_f1(self.confusion.cpu()))


class PerClassRecall(ConfusionMatrix):
    """Recall of each class, (classes,): `per_class_recall`.

    >>> metric = PerClassRecall(2)
    >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
    >>> metric.compute().tolist()
    [0.5, 1.0]
    """

    higher_is_better = True

    def compute(self) -> torch.Tensor:
        """The recalls; NaN for a class without samples."""
        return _float64(classification.per_class_recall(self.confusion.cpu()))


class CalibrationError(Streaming):
    """Expected calibration error: how far the confidence of predictions is from how often they are right.

    >>> metric = CalibrationError(2)
    >>> metric.update(torch.tensor([[9.0, -9.0], [9.0, -9.0]]), torch.tensor([0, 1]))  # sure, and right half the time
    >>> round(metric.compute().item(), 3)
    0.5

    With n_b samples whose largest softmax probability lies in (b / bins, (b + 1) / bins],

        sum_b n_b / n |share of right ones in b - mean confidence in b|

    `update` takes logits (N, classes) and true classes (N,). Raises ValueError for other shapes, classes outside
    [0, classes), and probabilities, whose softmax would look unsure.

    Source: Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks, ICML 2017.
    """

    higher_is_better = False
    sums: torch.Tensor

    def __init__(self, classes: int, bins: int = 15) -> None:
        super().__init__()
        self.classes = _checks.integer(classes, "classes", 2, 2**15)
        self.bins = _checks.bin_count(bins)
        self.add_sum("sums", 3, self.bins)  # samples, right ones, confidences

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add logits (N, classes) and the true classes (N,)."""
        target = _classes_of(target, self.classes, "target")
        logits = _logits(preds, self.classes).double()
        if logits.shape[0] != target.shape[0]:
            raise ValueError(f"preds and target must be of one length, got {len(logits)} and {len(target)}")
        if len(logits) and bool(((logits >= 0).all(1) & ((logits.sum(1) - 1).abs() < 1e-3)).all()):
            raise ValueError("preds must be logits, got rows of probabilities; pass their logarithms")
        confidence, predicted = logits.softmax(1).max(1)
        index = ((confidence * self.bins).ceil().long() - 1).clamp(0, self.bins - 1)
        values = torch.stack([torch.ones_like(confidence), (predicted == target).double(), confidence])
        self.sums.index_add_(1, index, values)

    def compute(self) -> torch.Tensor:
        """The error, 0 to 1; NaN without samples."""
        samples, right, confidence = self.sums.unbind()
        return (right - confidence).abs().sum() / samples.sum()


def _logits(preds: torch.Tensor, classes: int) -> torch.Tensor:
    if not preds.is_floating_point() or preds.ndim != 2 or preds.shape[1] != classes:
        raise ValueError(f"preds must be logits (N, {classes}), got {_checks.describe(preds)}")
    if bool(preds.isnan().any()):
        raise ValueError(f"preds must not hold NaN, got {int(preds.isnan().any(1).sum())} rows with it")
    return preds.detach()


def _classes_of(index: torch.Tensor, classes: int, name: str) -> torch.Tensor:
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool or index.ndim != 1:
        raise ValueError(f"{name} must hold classes, integers (N,), got {_checks.describe(index)}")
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= classes):
        raise ValueError(f"{name} must lie in [0, {classes}), got {int(index.min())} to {int(index.max())}")
    return index.long()


def _float64(value: Any) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)
