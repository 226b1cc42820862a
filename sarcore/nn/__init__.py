"""Losses and layers over the operators."""

from sarcore.nn.histogram import HistogramLoss, MutualInformationLoss
from sarcore.nn.speckle import SpeckleLayer

__all__ = ["HistogramLoss", "MutualInformationLoss", "SpeckleLayer"]
