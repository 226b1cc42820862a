"""The measures of two sets of features as torchmetrics: filled batch by batch, added up over processes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from sarcore.metrics.features import SARFeatures, checked_features
from sarcore.metrics.frechet import frechet_from_moments
from sarcore.metrics.kernel import kernel_distance, kernel_distance_subsets
from sarcore.metrics.manifold import density_coverage, precision_recall
from sarcore.metrics.memorisation import MemorisationScores, memorisation


class FeatureMetric(Metric):
    """What the measures below share: images become features, of one space, before they are counted.

    `features` is the `SARFeatures` that images go through, or the number of features where `update` is given
    features (N, d) itself.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, features: SARFeatures | int, **more: Any) -> None:
        super().__init__(**more)
        if not isinstance(features, SARFeatures) and (not isinstance(features, int) or features < 1):
            raise ValueError(f"features must be a SARFeatures or the number of features, got {features!r}")
        self.features = features
        self.dimension = features if isinstance(features, int) else features.dimension
        self.space = "" if isinstance(features, int) else features.space

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another such metric has counted; ValueError where its feature space is another."""
        if isinstance(incoming_state, FeatureMetric) and incoming_state.space != self.space:
            raise ValueError(
                f"features of different spaces cannot be added: '{self.space}' and '{incoming_state.space}'; "
                "take all from one network"
            )
        super().merge_state(incoming_state)

    def _rows(self, images: Tensor, name: str) -> Tensor:
        given = self.features(images) if isinstance(self.features, SARFeatures) else images
        rows = checked_features(0, **{name: given})[0]
        if rows.shape[1] != self.dimension:
            raise ValueError(f"{name} must be features (N, {self.dimension}), got {tuple(rows.shape)}")
        return rows


class FrechetDistance(FeatureMetric):
    """`frechet_distance` (FID) of everything seen; keeps sums in float64, d x d numbers and no images.

    >>> metric = FrechetDistance(4)
    >>> metric.update(torch.rand(16, 4), real=True)
    >>> metric.update(torch.rand(16, 4) + 1, real=False)
    >>> bool(metric.compute() > 1)
    True

    The sums lose digits where the mean of a feature is far above its deviation: 2 log10 of that ratio, of 16.

    Raises:
        ValueError: in `compute`, fewer than 2 real or generated images.
    """

    higher_is_better = False

    def __init__(self, features: SARFeatures | int, **more: Any) -> None:
        super().__init__(features, **more)
        d = self.dimension
        for kind in ("real", "generated"):
            self.add_state(f"{kind}_sum", torch.zeros(d, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{kind}_products", torch.zeros(d, d, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{kind}_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: Tensor, real: bool) -> None:
        """Count images (N, C, H, W), or features (N, d), as real or as generated."""
        kind = "real" if real else "generated"
        rows = self._rows(images, kind)
        for name, value in (("sum", rows.sum(0)), ("products", rows.T @ rows), ("count", len(rows))):
            setattr(self, f"{kind}_{name}", getattr(self, f"{kind}_{name}") + value)

    def compute(self) -> Tensor:
        """The distance, float64."""
        return frechet_from_moments(*self._moments("real"), *self._moments("generated"))

    def _moments(self, kind: str) -> tuple[Tensor, Tensor]:
        count = int(getattr(self, f"{kind}_count"))
        if count < 2:
            raise ValueError(f"{kind} must hold the features of at least 2 images, got {count}")
        mean = getattr(self, f"{kind}_sum") / count
        covariance = (getattr(self, f"{kind}_products") - count * torch.outer(mean, mean)) / (count - 1)
        return mean, covariance


class _KeptFeatures(FeatureMetric):
    """Keeps the features of every image, d numbers each, in sets by name."""

    kinds: tuple[str, ...] = ("real", "generated")

    def __init__(self, features: SARFeatures | int, **more: Any) -> None:
        super().__init__(features, **more)
        for kind in self.kinds:
            self.add_state(kind, [], dist_reduce_fx="cat")

    def update(self, images: Tensor, real: bool) -> None:
        """Keep the features of images (N, C, H, W), or features (N, d), as real or as generated."""
        self._keep(images, "real" if real else "generated")

    def sync(self, *args: Any, **more: Any) -> None:
        """Gather the features of all processes; one that has seen no image takes part with none."""
        for kind in self.kinds:
            if not getattr(self, kind):
                setattr(self, kind, [self._none()])
        super().sync(*args, **more)

    def _keep(self, images: Tensor, kind: str) -> None:
        getattr(self, kind).append(self._rows(images, kind))

    def _set(self, kind: str) -> Tensor:
        kept = getattr(self, kind)
        return torch.cat([self._none(), *kept]) if isinstance(kept, list) else kept

    def _none(self) -> Tensor:
        return torch.empty(0, self.dimension, dtype=torch.float64, device=self.device)


class KernelDistance(_KeptFeatures):
    """`kernel_distance` (KID) of everything seen: all pairs, or mean and deviation over random subsets.

    >>> metric = KernelDistance(4)
    >>> metric.update(torch.rand(16, 4), real=True)
    >>> metric.update(torch.rand(16, 4) + 1, real=False)
    >>> bool(metric.compute() > 1)
    True

    Args:
        subsets: 0 takes all pairs and gives a scalar; else {"mean", "std"} of `kernel_distance_subsets`.
        size: images of each kind in a subset.
    """

    higher_is_better = False

    def __init__(
        self, features: SARFeatures | int, *, subsets: int = 0, size: int = 1000, seed: int = 0, **more: Any
    ) -> None:
        super().__init__(features, **more)
        self.subsets, self.size, self.seed = subsets, size, seed

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The squared distance, or {"mean", "std"} over subsets, float64."""
        real, generated = self._set("real"), self._set("generated")
        if not self.subsets:
            return torch.tensor(kernel_distance(real, generated), dtype=torch.float64)
        found = kernel_distance_subsets(real, generated, subsets=self.subsets, size=self.size, seed=self.seed)
        return _named(("mean", "std"), found)


class PrecisionRecall(_KeptFeatures):
    """`precision_recall` of everything seen: {"precision", "recall"}.

    >>> metric = PrecisionRecall(4)
    >>> metric.update(torch.rand(16, 4), real=True)
    >>> metric.update(torch.rand(16, 4) + 9, real=False)
    >>> metric.compute()["precision"].item()
    0.0
    """

    higher_is_better = True

    def __init__(self, features: SARFeatures | int, *, neighbours: int = 3, **more: Any) -> None:
        super().__init__(features, **more)
        self.neighbours = neighbours

    def compute(self) -> dict[str, Tensor]:
        """{"precision", "recall"}, float64."""
        found = precision_recall(self._set("real"), self._set("generated"), neighbours=self.neighbours)
        return _named(("precision", "recall"), found)


class DensityCoverage(_KeptFeatures):
    """`density_coverage` of everything seen: {"density", "coverage"}.

    >>> metric = DensityCoverage(4)
    >>> metric.update(torch.rand(16, 4), real=True)
    >>> metric.update(torch.rand(16, 4) + 9, real=False)
    >>> metric.compute()["coverage"].item()
    0.0
    """

    higher_is_better = True

    def __init__(self, features: SARFeatures | int, *, neighbours: int = 5, **more: Any) -> None:
        super().__init__(features, **more)
        self.neighbours = neighbours

    def compute(self) -> dict[str, Tensor]:
        """{"density", "coverage"}, float64."""
        found = density_coverage(self._set("real"), self._set("generated"), neighbours=self.neighbours)
        return _named(("density", "coverage"), found)


class Memorisation(_KeptFeatures):
    """`memorisation` of everything seen: {"ratio", "closer_share", "p_value"}; `scores()` has the closest pairs, too.

    >>> metric, train = Memorisation(4), torch.rand(16, 4)
    >>> for kind, features in (("train", train), ("held_out", torch.rand(16, 4)), ("generated", train)):
    ...     metric.update(features, kind)
    >>> metric.compute()["ratio"].item()
    0.0

    Indices of pairs count images in the order of the processes and, in each, of the updates.
    """

    kinds = ("train", "held_out", "generated")
    higher_is_better = True

    def update(self, images: Tensor, kind: Literal["train", "held_out", "generated"]) -> None:  # type: ignore[override]
        """Keep the features of images (N, C, H, W), or features (N, d), as those of one kind."""
        if kind not in self.kinds:
            raise ValueError(f"kind must be one of {', '.join(self.kinds)}, got {kind!r}")
        self._keep(images, kind)

    def scores(self, *, pairs: int = 16) -> MemorisationScores:
        """What `memorisation` returns, of this process's images (of all inside `sync_context`)."""
        return memorisation(*(self._set(kind) for kind in self.kinds), pairs=pairs)

    def compute(self) -> dict[str, Tensor]:
        """{"ratio", "closer_share", "p_value"}, float64."""
        found = self.scores(pairs=0)
        return _named(("ratio", "closer_share", "p_value"), (found.ratio, found.closer_share, found.p_value))


def _named(names: tuple[str, ...], values: tuple[float, ...]) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in zip(names, values, strict=True)}
