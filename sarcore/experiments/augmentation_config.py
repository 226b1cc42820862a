"""What decides the augmentation study, and the trainings that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sarcore.experiments.arm_names import ArmName, GeneratorKind, Target
from sarcore.experiments.arms import ARMS, ArmTraining
from sarcore.experiments.patches import Filter, Scenario
from sarcore.experiments.pretraining import WIDTH, PretrainingCell
from sarcore.models.began_config import PresetName
from sarcore.models.reflectivity import SpeckleMode

REFERENCE = "flips"
"""The arm that all others are compared with."""
_CLASSIFIER = ArmTraining()


@dataclass(frozen=True)
class AugmentationConfig:
    """Everything that decides the result.

    >>> config = AugmentationConfig(Path("patches"), arms=("flips", "gan"), targets=("rarest",), seeds=1)
    >>> [cell.name for cell in config.cells({"forest": 20, "water": 90})]
    ['flips/seed_0', 'pretraining', 'generator/all/seed_0', 'gan_rarest/seed_0']
    """

    data: Path
    arms: tuple[ArmName, ...] = ("none", "flips", "speckle", "gan", "both", "synthetic_only")
    targets: tuple[Target, ...] = ("largest", "rarest", "all")
    """The classes that get generated patches, in arms of their own."""
    seeds: int = 3
    synthetic: int = 400
    """Generated patches of every class that gets some."""
    classifier: ArmTraining = _CLASSIFIER
    generator: GeneratorKind = "gan"
    """gan: one model of all classes; began: one of every class, as the paper has it."""
    generator_run: Path | None = None
    """A trained generator to take in place of one that the study trains."""
    generators: int = 1
    """Generators that are trained; the seeds of the classifiers take them in turn."""
    scenario: Scenario = "hard"
    filter: Filter = "bicubic"
    """How generated patches are brought to patch size."""
    preset: PresetName = "sarcore"
    """Of a BEGAN."""
    generator_speckle: SpeckleMode | None = None
    """Whether it makes reflectivity that speckle multiplies; None: as the GAN or the preset of the BEGAN has it."""
    generator_steps: int = 5000
    generator_width: int = 16
    generator_batch_size: int = 8
    pretraining_steps: int = 500
    """Of the features that all GANs share: learnt from the training patches, without their labels."""
    pretraining_width: int = WIDTH
    test_fraction: float = 0.3
    split_seed: int = 0

    def __post_init__(self) -> None:
        generators = ("generators", "generator_steps", "generator_width", "generator_batch_size")
        for name in ("seeds", "synthetic", *generators, "pretraining_steps", "pretraining_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, allowed in (("arms", get_args(ArmName)), ("targets", get_args(Target))):
            given = getattr(self, name)
            if len(set(given)) < len(given) or not set(given) <= set(allowed):
                raise ValueError(f"{name} must be different ones of {', '.join(allowed)}, got {', '.join(given)}")
        if REFERENCE not in self.arms:
            raise ValueError(f"arms must include {REFERENCE}, which the others are compared with, got {self.arms}")
        if not self.targets and {"gan", "both"} & set(self.arms):
            raise ValueError("the arms gan and both need targets: largest, rarest or all")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")

    def cells(self, counts: Mapping[str, int]) -> Iterator[ArmCell | GeneratorCell | PretrainingCell]:
        """All trainings, those of one seed after the other, a generator before the arms that need it.

        ``counts`` are the training patches of every class.
        """
        made: set[GeneratorCell] = set()
        for seed in range(self.seeds):
            for cell in self.arm_cells(seed):
                for generator in self.generators_of(cell, counts):
                    if generator not in made:
                        if not made and self.pretrains:
                            yield PretrainingCell()
                        made.add(generator)
                        yield generator
                yield cell

    @property
    def pretrains(self) -> bool:
        """Whether GANs are trained here, whose discriminators need features."""
        return self.generator_run is None and self.generator == "gan"

    def arm_cells(self, seed: int) -> Iterator[ArmCell]:
        """The classifiers of one seed."""
        for name, arm in ARMS.items():
            if name in self.arms and not arm.generated:
                yield ArmCell(name, None, seed)
        for target in get_args(Target):
            if target in self.targets:
                yield from (ArmCell(name, target, seed) for name in ("gan", "both") if name in self.arms)
        if "synthetic_only" in self.arms:
            yield ArmCell("synthetic_only", None, seed)

    def generators_of(self, cell: ArmCell, counts: Mapping[str, int]) -> list[GeneratorCell]:
        """The generators whose patches a classifier gets: one of all classes, or a BEGAN of each."""
        classes, seed = cell.classes(counts), cell.seed % self.generators
        if not classes:
            return []
        if self.pretrains:
            return [GeneratorCell(None, seed)]
        return [GeneratorCell(name, seed) for name in classes]


@dataclass(frozen=True)
class ArmCell:
    """One classifier."""

    arm: str
    target: Target | None
    """Which classes get generated patches in the arms gan and both."""
    seed: int

    @property
    def label(self) -> str:
        """What the seeds repeat.

        >>> ArmCell("gan", "rarest", 0).label, ArmCell("flips", None, 0).label
        ('gan_rarest', 'flips')
        """
        return self.arm if self.target is None else f"{self.arm}_{self.target}"

    @property
    def name(self) -> str:
        """Where it lies in the folder of the study."""
        return f"{self.label}/seed_{self.seed}"

    def classes(self, counts: Mapping[str, int]) -> list[str]:
        """The classes that get generated patches, by the numbers of training patches; of equal ones the first.

        >>> counts = {"forest": 20, "hills": 0, "water": 90}
        >>> [ArmCell("gan", target, 0).classes(counts) for target in ("largest", "rarest", "all")]
        [['water'], ['forest'], ['forest', 'water']]
        """
        if not ARMS[self.arm].generated:
            return []
        known = {name: count for name, count in counts.items() if count}
        if self.target in (None, "all"):
            return list(known)
        choose = max if self.target == "largest" else min
        return [choose(known, key=lambda name: known[name])]


@dataclass(frozen=True)
class GeneratorCell:
    """One generator and the patches that are drawn from it."""

    class_name: str | None
    """The class that it draws; None: all of them."""
    seed: int

    @property
    def name(self) -> str:
        """Where it lies in the folder of the study."""
        return f"generator/{self.class_name or 'all'}/seed_{self.seed}"
