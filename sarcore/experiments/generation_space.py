"""The feature space in which sets of patches are compared: that of a classifier, which also says what they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from sarcore.errors import SarcoreError
from sarcore.experiments.features import PenultimateLayer, classifier_features
from sarcore.experiments.patches import Filter
from sarcore.experiments.progress import Progress
from sarcore.experiments.set_scores import ImageSet
from sarcore.models import ClassifierConfig
from sarcore.ops import Radiometry, resample

BATCH = 64


class Images(Protocol):
    """Images (C, H, W) in [0, 1] and labels, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, int]: ...


class Enlarged:
    """Images brought to side ``size``, as generated patches are before they are used.

    >>> Enlarged([(torch.rand(1, 8, 8), 0)], 16, "bicubic")[0][0].shape
    torch.Size([1, 16, 16])
    """

    def __init__(self, images: Images, size: int, filter: Filter) -> None:
        self.images, self.size, self.filter = images, size, filter

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> tuple[Tensor, int]:
        image, label = self.images[index]
        return resample(image[None], self.size, mode=self.filter, range=(0.0, 1.0))[0], label


@dataclass(frozen=True)
class Known:
    """Images whose features (N, d) are known, and their classes (N,) as the data set numbers them, -1 for none."""

    images: Images
    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def part(self, numbers: Tensor) -> ImageSet:
        """Those of these numbers."""
        return ImageSet(self.features[numbers], batches(self.images, numbers.tolist()))

    def some(self, count: int, source: torch.Generator) -> ImageSet:
        """So many, drawn at random, or all where there are fewer."""
        return self.part(torch.randperm(len(self), generator=source)[:count])


class Space:
    """The features of a classifier run, for patches of one radiometry with classes of these names.

    Raises ``CheckpointError`` for a run that is no classifier, ``SarcoreError`` for one whose patches have another
    radiometry or other channels.
    """

    def __init__(self, run: Path, radiometry: Radiometry, channels: int, names: Sequence[str]) -> None:
        self.features, meta = classifier_features(run)
        self.features.to("cuda" if torch.cuda.is_available() else "cpu")
        self.config = ClassifierConfig.from_dict(meta["config"])
        # With their unit: what was scored in another one is scored again.
        self.name, self.names = f"{self.features.space}, in the root mean square of real ones", list(names)
        if Radiometry.from_dict(meta["radiometry"]) != radiometry or self.config.channels != channels:
            raise SarcoreError(
                f"{run}: was trained on patches of {self.config.channels} channels and radiometry "
                f"{meta['radiometry']}, these have {channels} and {radiometry.to_dict()}; leave out --features to "
                "train a classifier on these"
            )
        known: list[str] = meta["classes"]
        self._numbers = [self.names.index(name) if name in names else -1 for name in known]
        self.knows_classes = set(names) <= set(known)
        """Whether it has learnt all the classes."""

    def know(self, images: Images, labels: Tensor, what: str, progress: Progress) -> Known:
        """Compute the features of images."""
        progress.stage(f"features of patches ({what})", len(images))

        def counted() -> Iterator[Tensor]:
            done = 0
            for batch in batches(images, range(len(images))):
                yield batch
                done += len(batch)
                progress.step(done, {})

        return Known(images, self.features.embed(counted()).values, labels.cpu())

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor:
        """The class (N,) that the classifier puts images of these features into; -1 for one that is unknown here."""
        head = cast(PenultimateLayer, self.features.network).classifier.backbone.fc[-1]
        found = head(features.to(next(head.parameters()))).argmax(1).cpu()
        return torch.tensor(self._numbers)[found]

    def physical(self, images: Tensor) -> Tensor:
        """What images in [0, 1] stand for, in the unit of ``config.domain``."""
        low, high = self.config.limits
        return images * (high - low) + low

    def classified(self, known: Known) -> dict[str, Any] | None:
        """Shares of the classes that patches are put into, and of those that are put into the class they are of.

        ``right`` has the latter by class, and ``balanced`` is its mean over the classes; without those of no class.
        None where the classifier does not know the classes.
        """
        if not self.knows_classes:
            return None
        found = self.classify(known.features)
        shares = {name: float((found == i).double().mean()) for i, name in enumerate(self.names)}
        of = [i for i in range(len(self.names)) if bool((known.labels == i).any())]
        right = {self.names[i]: float((found[known.labels == i] == i).double().mean()) for i in of}
        return {"shares": shares, "right": right, "balanced": sum(right.values()) / len(right) if right else None}


def batches(images: Images, numbers: Sequence[int]) -> Iterator[Tensor]:
    """Images of these numbers, (n, C, H, W) at a time."""
    for start in range(0, len(numbers), BATCH):
        yield torch.stack([images[i][0] for i in numbers[start : start + BATCH]])
