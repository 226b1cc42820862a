"""What decides the study of misregistration, and the trainings that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sarcore.engine import FitConfig
from sarcore.experiments.patches import Precision
from sarcore.experiments.train_kinds import TrainCycleGAN, TrainPix2Pix
from sarcore.models import CycleGANConfig, Pix2PixConfig
from sarcore.models.translation import DIRECTIONS, Direction

Method = Literal["pix2pix", "cyclegan"]


@dataclass(frozen=True)
class TranslationStudyConfig:
    """Everything that decides the result.

    >>> len(list(TranslationStudyConfig(Path("pairs"), shifts=(0, 4), seeds=1).cells()))
    5
    """

    data: Path
    manifest: Path | None = None
    shifts: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    rotations: tuple[float, ...] = ()
    seeds: int = 3
    steps: int = 2000
    crop: int = 128
    batch_size: int = 4
    width: int = 16
    pix2pix_depth: int = 5
    cyclegan_depth: int = 3
    lr: float = 5e-4
    speckle_looks: float | None = None
    classifier: Path | None = None
    test_fraction: float = 0.3
    split_seed: int = 0
    precision: Precision = "32-true"
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name in ("seeds", "steps", "crop", "batch_size", "width", "pix2pix_depth", "cyclegan_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.shifts or min(self.shifts) != 0 or len(set(self.shifts)) < len(self.shifts):
            raise ValueError(f"shifts must be different whole pixels with 0 among them, got {self.shifts}")
        if any(not 0 < degrees < 90 for degrees in self.rotations):
            raise ValueError(f"rotations must lie between 0 and 90 degrees, got {self.rotations}")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")

    def cells(self) -> Iterator[Cell]:
        """All trainings, those of one seed after the other: what is there of a seed can be compared.

        A CycleGAN draws its SAR and its optical crops apart from each other, so no shift reaches it: one training per
        seed stands beside all of them, and translates both ways.
        """
        for seed in range(self.seeds):
            for cell in self._of_a_seed():
                yield replace(cell, seed=seed)

    def _of_a_seed(self) -> Iterator[Cell]:
        yield Cell("cyclegan")
        for shift in sorted(self.shifts):
            yield from (Cell("pix2pix", direction, shift) for direction in DIRECTIONS)
        for rotation in sorted(self.rotations):
            yield from (Cell("pix2pix", direction, 0, rotation) for direction in DIRECTIONS)
        if self.speckle_looks is not None:
            yield Cell("pix2pix", "BtoA", looks=self.speckle_looks)
            yield Cell("cyclegan", looks=self.speckle_looks)

    def training(self, cell: Cell) -> TrainCycleGAN | TrainPix2Pix:
        """The settings of one training. The last weights count: nothing is chosen on other pairs."""
        steps = self.steps
        fit = FitConfig(
            steps=steps,
            batch_size=self.batch_size,
            seed=cell.seed,
            precision=self.precision,
            channels_last=self.channels_last,
            log_every=min(10, max(1, steps // 50)),
            sample_every=max(1, steps // 4),
            checkpoint_every=max(25, min(500, steps // 4)),
            keep_last=1,
        )
        width = {"width": self.width, "d_width": self.width, "lr": self.lr, "speckle_looks": cell.looks}
        if cell.method == "cyclegan":
            model = CycleGANConfig.preset("sarcore", depth=self.cyclegan_depth, **width)
            return TrainCycleGAN(self.data, self.manifest, "sarcore", self.crop, True, 0.0, model, fit)
        assert cell.direction is not None
        paired = Pix2PixConfig.preset("sarcore", depth=self.pix2pix_depth, direction=cell.direction, **width)
        return TrainPix2Pix(self.data, self.manifest, "sarcore", self.crop, True, 0.0, paired, fit)


@dataclass(frozen=True)
class Cell:
    """One training of the study."""

    method: Method
    direction: Direction | None = None
    """Of a Pix2Pix; a CycleGAN has both."""
    shift: int = 0
    """Pixels by which the optical images of the training lie off, beyond what is known of the registration."""
    rotation: float = 0.0
    """Degrees by which they are turned."""
    looks: float | None = None
    """Of the speckle layer behind the generator of SAR images, None without one."""
    seed: int = 0

    @property
    def arm(self) -> str:
        """What the seeds repeat.

        >>> Cell("pix2pix", "BtoA", 4).arm, Cell("cyclegan", looks=1.0).arm
        ('pix2pix_BtoA_shift4', 'cyclegan_speckle1')
        """
        words: list[str] = [self.method, self.direction or ""]
        words += [f"rotation{self.rotation:g}"] if self.rotation else []
        words += [f"shift{self.shift}"] if self.direction and not self.rotation and self.looks is None else []
        words += [f"speckle{self.looks:g}"] if self.looks is not None else []
        return "_".join(word for word in words if word)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which translations it learns."""
        return DIRECTIONS if self.direction is None else (self.direction,)

    @property
    def name(self) -> str:
        """Where its training lies in the folder of the study."""
        return f"{self.arm}/seed_{self.seed}"
