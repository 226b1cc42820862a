"""Losses and layers over the operators."""

from sarcore.nn.histogram import HistogramLoss, MutualInformationLoss

__all__ = ["HistogramLoss", "MutualInformationLoss"]
