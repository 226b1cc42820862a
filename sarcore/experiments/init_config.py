"""What decides the study of first weights, and the trainings that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sarcore.experiments.arms import ArmTraining
from sarcore.experiments.label_cells import LabelCell, check_fractions
from sarcore.models.classifier import Augment

TRAINED = "trained"
"""Self-supervised weights that the study makes itself."""
NONE = "none"
_CLASSIFIER = ArmTraining()


@dataclass(frozen=True)
class InitConfig:
    """Everything that decides the result.

    >>> [cell.name for cell in InitConfig(Path("patches"), fractions=(5,), seeds=1).cells()]
    ['fraction_05/random/seed_0', 'contrastive/seed_0', 'fraction_05/contrastive/seed_0']
    """

    data: Path
    imagenet: Path | None = None
    """File of ImageNet weights (.safetensors, .pth)."""
    contrastive: str = TRAINED
    """A run of `sarcore train contrastive`, "trained" to make one here per seed, or "none"."""
    sar: Path | None = None
    """Run of a classifier of other SAR images."""
    fractions: tuple[float, ...] = (5.0, 100.0)
    """Percent of the labels of the training scenes."""
    augment: Augment = "flips"
    """Of all classifiers."""
    seeds: int = 3
    classifier: ArmTraining = _CLASSIFIER
    contrastive_steps: int = 2000
    contrastive_batch_size: int = 64
    contrastive_lr: float = 1e-3
    test_fraction: float = 0.3
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        for name, least in (("seeds", 1), ("contrastive_steps", 1), ("contrastive_batch_size", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")
        if self.classifier.init != "random":
            raise ValueError(
                f"the classifiers start from the weights that are compared, not from {self.classifier.init}"
            )

    @property
    def sources(self) -> dict[str, str]:
        """The weights that are compared: by name "random", a path, or "trained"."""
        given = {"imagenet": self.imagenet, "contrastive": self.contrastive, "sar": self.sar}
        known = {name: str(value) for name, value in given.items() if value not in (None, NONE)}
        return {"random": "random", **known}

    def cells(self) -> Iterator[LabelCell | PretrainCell]:
        """All trainings, those of one seed after the other: what is there of a seed can be compared."""
        for seed in range(self.seeds):
            for arm, source in self.sources.items():
                if source == TRAINED:
                    yield PretrainCell(seed)
                for fraction in sorted(self.fractions):
                    yield LabelCell(fraction, arm, seed)


@dataclass(frozen=True)
class PretrainCell:
    """Self-supervised training on all patches of the training scenes, whose labels play no part."""

    seed: int

    @property
    def name(self) -> str:
        """Where it lies in the folder of the study."""
        return f"contrastive/seed_{self.seed}"
