"""What decides the learning curve, and the trainings that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sarcore.experiments.arm_names import CurveArm
from sarcore.experiments.arms import ARMS, ArmTraining
from sarcore.experiments.label_cells import LabelCell, check_fractions, fraction_name
from sarcore.experiments.patches import Filter, Scenario
from sarcore.experiments.pretraining import WIDTH, PretrainingCell
from sarcore.models.reflectivity import SpeckleMode

_CLASSIFIER = ArmTraining()


@dataclass(frozen=True)
class CurveConfig:
    """Everything that decides the result.

    >>> [cell.name for cell in CurveConfig(Path("patches"), fractions=(5,), arms=("flips", "gan"), seeds=1).cells()]
    ['fraction_05/flips/seed_0', 'pretraining', 'fraction_05/generator/seed_0', 'fraction_05/gan/seed_0']
    """

    data: Path
    fractions: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0)
    """Percent of the labels of the training scenes."""
    arms: tuple[CurveArm, ...] = ("none", "flips", "speckle", "gan", "both")
    seeds: int = 3
    classifier: ArmTraining = _CLASSIFIER
    synthetic: int = 200
    """Generated patches of every class."""
    scenario: Scenario = "hard"
    filter: Filter = "bicubic"
    """How generated patches are brought to patch size."""
    generator_speckle: SpeckleMode = "fixed"
    """fixed, learned: it makes reflectivity, which speckle as in the data, or learnt, multiplies; none: no layer."""
    generator_steps: int = 5000
    generator_width: int = 16
    generator_batch_size: int = 8
    pretraining_steps: int = 500
    """Of the features that all generators share: learnt from all training patches, without a label."""
    pretraining_width: int = WIDTH
    test_fraction: float = 0.3
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        generators = ("generator_steps", "generator_width", "generator_batch_size")
        for name in ("seeds", "synthetic", *generators, "pretraining_steps", "pretraining_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if (
            not self.arms
            or any(arm not in get_args(CurveArm) for arm in self.arms)
            or len(set(self.arms)) < len(self.arms)
        ):
            raise ValueError(f"arms must be different ones of {', '.join(get_args(CurveArm))}, got {self.arms}")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")

    def cells(self) -> Iterator[LabelCell | GeneratorCell | PretrainingCell]:
        """All trainings, those of one seed after the other: what is there of a seed can be compared.

        Arms with generated patches share the generator of their labels and seed, which comes before them, and all
        generators the features that come before the first.
        """
        pretrained = False
        for seed in range(self.seeds):
            for fraction in sorted(self.fractions):
                for generated in (False, True):
                    arms = [arm for arm in ARMS if arm in self.arms and ARMS[arm].generated is generated]
                    if arms and generated:
                        if not pretrained:
                            yield PretrainingCell()
                            pretrained = True
                        yield GeneratorCell(fraction, seed)
                    yield from (LabelCell(fraction, arm, seed) for arm in arms)


@dataclass(frozen=True)
class GeneratorCell:
    """A generator that knows the labels of a share and a seed, and the pixels of all training patches."""

    fraction: float
    seed: int

    @property
    def name(self) -> str:
        """Where it lies in the folder of the study."""
        return f"{fraction_name(self.fraction)}/generator/seed_{self.seed}"
