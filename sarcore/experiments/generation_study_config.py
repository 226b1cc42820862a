"""What decides the study of generation, and the trainings that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sarcore.engine import FitConfig
from sarcore.experiments.ablation import ABLATION
from sarcore.experiments.patches import Filter, Precision, Scenario, StudyPreset
from sarcore.experiments.pretraining import WIDTH, PretrainingCell
from sarcore.experiments.train_kinds import TrainBegan, TrainClassifier, TrainGan
from sarcore.models import BEGANConfig, ClassifierConfig, GANConfig
from sarcore.models.reflectivity import SpeckleMode


@dataclass(frozen=True)
class GenerationStudyConfig:
    """Everything that decides the result.

    >>> len(list(GenerationStudyConfig(Path("patches"), seeds=2).cells()))
    12
    """

    data: Path
    class_name: str | None = None
    unconditional: bool = False
    scenarios: tuple[Scenario, ...] = ("hard", "simple", "intermediate")
    presets: tuple[StudyPreset, ...] = ("sarcore", "marmanis")
    seeds: int = 3
    ablation: bool = False
    ablation_changes: tuple[str, ...] = ()
    ablation_scenario: Scenario = "hard"
    ablation_seeds: int = 1
    began_steps: int = 20_000
    began_width: int = 16
    began_batch_size: int = 8
    began_ema: float = 0.0
    began_speckle: SpeckleMode = "none"
    gan_steps: int = 5000
    gan_width: int = 16
    gan_batch_size: int = 8
    gan_ema: float = 0.995
    pretraining_steps: int = 500
    """Of the features of their discriminators, which all GANs share."""
    pretraining_width: int = WIDTH
    features: Path | None = None
    features_steps: int = 400
    features_width: int = 16
    features_batch_size: int = 32
    samples: int = 1000
    repeats: int = 5
    filter: Filter = "bicubic"
    test_fraction: float = 0.3
    split_seed: int = 0
    precision: Precision = "32-true"
    channels_last: bool = False

    def __post_init__(self) -> None:
        networks = ("features_steps", "features_width", "pretraining_steps", "pretraining_width")
        for name in ("seeds", "ablation_seeds", "samples", "repeats", *networks):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("scenarios", "presets"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name} must be different ones, at least one, got {given}")
        known = sorted({switch.change for switch in ABLATION})
        if unknown := set(self.ablation_changes) - set(known):
            raise ValueError(f"ablation_changes must be some of {', '.join(known)}, got {', '.join(sorted(unknown))}")
        if self.ablation and self.ablation_scenario not in self.scenarios:
            raise ValueError(
                f"ablation_scenario must be one of the scenarios, {', '.join(self.scenarios)}, where the presets "
                f"themselves are trained, got {self.ablation_scenario!r}"
            )
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")
        for cell in self._of_a_seed(0):
            self.training(cell)  # refuses what no training can have, before anything is written

    def cells(self) -> Iterator[Cell | PretrainingCell]:
        """All trainings, those of one seed after the other: what is there of a seed can be compared.

        The features that all GANs share come before the first of them.
        """
        pretrained = False
        for cell in self.generators():
            if cell.preset == "gan" and not pretrained:
                pretrained = True
                yield PretrainingCell()
            yield cell

    def generators(self) -> Iterator[Cell]:
        """The generators alone."""
        for seed in range(self.seeds):
            yield from self._of_a_seed(seed)

    def _of_a_seed(self, seed: int) -> Iterator[Cell]:
        for scenario in self.scenarios:
            yield from (Cell(scenario, preset, seed=seed) for preset in self.presets)
        if not self.ablation or seed >= self.ablation_seeds:
            return
        for switch in ABLATION:
            cell = Cell(self.ablation_scenario, switch.preset, switch.change, seed)
            chosen = not self.ablation_changes or switch.change in self.ablation_changes
            if chosen and switch.preset in self.presets and self.training(cell) != self.training(cell.base):
                yield cell

    def training(self, cell: Cell) -> TrainBegan | TrainGan:
        """The settings of one training. The last weights count: nothing is chosen on other patches."""
        if cell.preset == "gan":
            fit = self._fit(self.gan_steps, self.gan_batch_size, self.gan_ema, cell.seed)
            gan = GANConfig(speckle="fixed", width=self.gan_width)
            return TrainGan(
                self.data,
                class_name=self.class_name,
                unconditional=self.unconditional,
                scenario=cell.scenario,
                val_fraction=0.0,
                model=gan,
                fit=fit,
            )
        fit = self._fit(self.began_steps, self.began_batch_size, self.began_ema, cell.seed)
        ours = cell.preset == "sarcore"  # the other presets are as they were published
        speckle = self.began_speckle if ours else "none"
        changes = next((s.changes for s in ABLATION if (s.preset, s.change) == (cell.preset, cell.variant)), {})
        model = BEGANConfig.preset(cell.preset, **{"width": self.began_width, "speckle": speckle, **changes})
        return TrainBegan(
            self.data,
            class_name=self.class_name,
            scenario=cell.scenario,
            preset=cell.preset,
            conditional=ours and self.class_name is None and not self.unconditional,
            val_fraction=0.0,
            model=model,
            fit=fit,
        )

    def features_training(self) -> TrainClassifier:
        """That of the classifier in whose features patches are compared, on the scenes that the generators see."""
        steps = self.features_steps
        model = ClassifierConfig(depth=18, width=self.features_width, lr=2e-3, warmup_steps=min(40, steps // 10))
        fit = self._fit(steps, self.features_batch_size, 0.0, 0)
        return TrainClassifier(self.data, val_fraction=0.0, test_fraction=self.test_fraction, model=model, fit=fit)

    def _fit(self, steps: int, batch_size: int, ema: float, seed: int) -> FitConfig:
        return FitConfig(
            steps=steps,
            batch_size=batch_size,
            ema=ema,
            seed=seed,
            precision=self.precision,
            channels_last=self.channels_last,
            log_every=min(10, max(1, steps // 100)),
            sample_every=max(1, steps // 8),
            checkpoint_every=max(25, min(500, steps // 10)),
            keep_last=1,
        )


@dataclass(frozen=True)
class Cell:
    """One training of the study."""

    scenario: Scenario
    preset: StudyPreset
    variant: str = ""
    """What of the preset was changed, by its name in the ablation."""
    seed: int = 0

    @property
    def base(self) -> Cell:
        """What a changed preset is compared with."""
        return replace(self, variant="")

    @property
    def arm(self) -> str:
        """What the seeds repeat.

        >>> Cell("hard", "sarcore").arm, Cell("hard", "marmanis", "soft_histogram").arm
        ('hard/sarcore', 'hard/marmanis-soft_histogram')
        """
        return f"{self.scenario}/{self.preset}" + (f"-{self.variant}" if self.variant else "")

    @property
    def name(self) -> str:
        """Where its training lies in the folder of the study."""
        return f"{self.arm}/seed_{self.seed}"
