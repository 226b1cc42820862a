"""Fréchet distance of two sets of features: the arithmetic of FID, on the features of a SAR network."""

from __future__ import annotations

import torch
from torch import Tensor

from sarcore.metrics.features import FeatureSet, checked_features


def frechet_distance(real: Tensor | FeatureSet, generated: Tensor | FeatureSet) -> float:
    """Squared Fréchet distance of the normal distributions with the means and covariances of two feature sets.

    >>> real = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    >>> round(frechet_distance(real, real + 3.0), 9)
    18.0

        |m_r - m_g|^2 + tr(C_r + C_g - 2 (C_r C_g)^(1/2)),    C over N - 1

    The estimate is too high by about a constant over the number of images, more with many features: compare only
    values of equally many images, beside the floor of `against_floor`, and take at least ten times as many images
    as there are features where the value itself matters. Fewer images than features, singular covariances, are
    computed as exactly as others; `kernel_distance` has no such bias.

    Args:
        real, generated: (N, d), (M, d), of one feature space.

    Returns:
        A number of at least 0; rounding that would make it negative is cut off.

    Raises:
        ValueError: fewer than 2 images, NaN or infinite features, different dimensions or feature spaces.
        TypeError: features are not floating.

    Source: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium,
    arXiv 1706.08500.
    """
    first, second = checked_features(2, real=real, generated=generated)
    means = first.mean(0), second.mean(0)
    return float(frechet_from_moments(means[0], _covariance(first, means[0]), means[1], _covariance(second, means[1])))


def frechet_from_moments(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """The distance of `frechet_distance` from means (d,) and covariances (d, d), float64; a scalar.

    With C = V L V^T the trace of (C_r C_g)^(1/2) is the sum of the singular values of L_r^(1/2) V_r^T V_g L_g^(1/2).
    No eigenvalue of a product is rooted: where covariances are singular, rounding of 1e-16 would come out as 1e-8.

    >>> one = torch.eye(2, dtype=torch.float64)
    >>> frechet_from_moments(one[0], one, one[1], 4 * one).item()
    4.0
    """
    root = _rooted_axes(covariance).T @ _rooted_axes(other_covariance)
    traces = covariance.trace() + other_covariance.trace()
    distance: Tensor = (mean - other_mean).square().sum() + traces - 2 * torch.linalg.svdvals(root).sum()
    return distance.clamp_min(0.0)


def _rooted_axes(covariance: Tensor) -> Tensor:
    """V L^(1/2) of the directions in which the covariance is more than rounding."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1].abs() * (len(values) * torch.finfo(values.dtype).eps)
    axes: Tensor = vectors[:, kept] * values[kept].sqrt()
    return axes


def _covariance(features: Tensor, mean: Tensor) -> Tensor:
    centred = features - mean
    return centred.T @ centred / (len(features) - 1)
