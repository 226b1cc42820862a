"""What decides the augmentation experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sarcore.engine import FitConfig
from sarcore.experiments.patches import Filter, Precision, Scenario
from sarcore.experiments.train_kinds import TrainBegan, TrainClassifier
from sarcore.models import BEGANConfig, ClassifierConfig, check_depth
from sarcore.models.began_config import PresetName


@dataclass(frozen=True)
class AugmentationConfig:
    """Everything that decides the result. ``filter`` brings generated patches to patch size."""

    data: Path
    class_name: str = "settlement"
    synthetic: int = 500
    seeds: int = 3
    scenario: Scenario = "simple"
    filter: Filter = "bicubic"
    preset: PresetName = "sarcore"
    began_steps: int = 20_000
    began_width: int = 64
    began_batch_size: int = 16
    depth: int = 50
    classifier_steps: int = 2000
    classifier_batch_size: int = 32
    classifier_lr: float = 1e-3
    init: str = "random"
    test_fraction: float = 0.3
    split_seed: int = 0
    precision: Precision = "32-true"
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name in ("synthetic", "seeds", "began_steps", "began_width", "began_batch_size", "classifier_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_depth(self.depth)  # before anything is written
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must lie in (0, 1), got {self.test_fraction}")

    def classifier_training(self, seed: int) -> TrainClassifier:
        """That of one classifier. The last weights count: nothing is chosen on other patches."""
        steps = self.classifier_steps
        model = ClassifierConfig(depth=self.depth, lr=self.classifier_lr, warmup_steps=min(50, steps // 10))
        fit = FitConfig(
            steps=steps,
            batch_size=self.classifier_batch_size,
            seed=seed,
            precision=self.precision,
            channels_last=self.channels_last,
            log_every=min(10, max(1, steps // 50)),
            checkpoint_every=max(25, min(500, steps // 4)),
            keep_last=1,  # a ResNet-50 with its optimizer is 280 MB; a new one is whole before the old one goes
        )
        return TrainClassifier(self.data, None, self.init, 0.0, self.test_fraction, model, fit)

    def began_training(self) -> TrainBegan:
        """That of the generator; the last weights count here, too."""
        steps = self.began_steps
        model = BEGANConfig.preset(self.preset, width=self.began_width)
        fit = FitConfig(
            steps=steps,
            batch_size=self.began_batch_size,
            precision=self.precision,
            channels_last=self.channels_last,
            log_every=min(10, max(1, steps // 100)),
            sample_every=max(1, steps // 8),
            checkpoint_every=max(25, min(500, steps // 10)),
        )
        return TrainBegan(self.data, self.class_name, self.scenario, self.preset, 0.0, model, fit)
