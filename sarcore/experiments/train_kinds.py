"""The kinds of training, one dataclass each: what decides it, as sections of the model and of the loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from sarcore.engine import FitConfig
from sarcore.experiments.patches import Scenario
from sarcore.models import BEGANConfig, ClassifierConfig, CycleGANConfig, GANConfig, Pix2PixConfig, check_depth
from sarcore.models.began_config import PresetName
from sarcore.models.contrastive import ContrastiveConfig
from sarcore.models.translation_config import TranslationPreset

_BEGAN = BEGANConfig.preset("sarcore")
_BEGAN_FIT = FitConfig(steps=20_000, sample_every=500, checkpoint_every=500)
_GAN = GANConfig(speckle="fixed")
_GAN_FIT = FitConfig(
    steps=5000,
    batch_size=8,
    ema=0.995,
    precision="bf16-mixed",
    channels_last=True,
    sample_every=500,
    checkpoint_every=500,
)
_CYCLEGAN = CycleGANConfig.preset("sarcore")
_PIX2PIX = Pix2PixConfig.preset("sarcore")
_TRANSLATION_FIT = FitConfig(steps=20_000, batch_size=1, checkpoint_every=1000)
_CLASSIFIER = ClassifierConfig()
_CLASSIFIER_FIT = FitConfig(steps=2000, batch_size=32)
_CONTRASTIVE = ContrastiveConfig()
_CONTRASTIVE_FIT = FitConfig(steps=2000, batch_size=64)


@dataclass(frozen=True)
class TrainBegan:
    """A BEGAN on the patches of a folder, or of one of its classes.

    >>> TrainBegan(Path("patches")).fit.steps
    20000
    """

    KIND: ClassVar[str] = "began"
    DERIVED: ClassVar[Mapping[str, str]] = {
        "size": "the patches and the scenario",
        "channels": "the patches",
        "classes": "the folder and --conditional",
        "domain": "the radiometry of the patches",
        "limits": "the radiometry of the patches",
    }

    data: Path
    """Folder with one sub-folder of patches per class."""
    class_name: str | None = None
    """Class to learn; all patches without it."""
    conditional: bool = field(default=False, kw_only=True)
    """Tell both networks the class of each patch, so that one model draws whichever class is asked for."""
    scenario: Scenario = "simple"
    """simple: crops of half the side; intermediate: patches at half resolution; hard: whole patches."""
    preset: PresetName = "sarcore"
    """The original network (berthelot), the paper's (marmanis), or this project's (sarcore)."""
    val_fraction: float = 0.1
    """Share of the patches to hold out, whole scenes, to choose the best checkpoint by; 0 holds out none."""
    model: BEGANConfig = _BEGAN
    fit: FitConfig = _BEGAN_FIT

    def __post_init__(self) -> None:
        check_fraction("val_fraction", self.val_fraction)
        if self.conditional and self.class_name is not None:
            raise ValueError(
                f"conditional needs several classes, and class is {self.class_name}; leave one of them out."
            )

    @classmethod
    def of_preset(cls, name: PresetName) -> dict[str, Any]:
        """The sections that a preset decides."""
        return {"model": BEGANConfig.preset(name)}


@dataclass(frozen=True)
class TrainGan:
    """A GAN for few patches, of all classes of a folder in one model, or of one of them.

    >>> TrainGan(Path("patches")).model.speckle
    'fixed'
    """

    KIND: ClassVar[str] = "gan"
    DERIVED: ClassVar[Mapping[str, str]] = {
        "size": "the patches and the scenario",
        "channels": "the patches",
        "classes": "the folder; --unconditional learns it without classes",
        "features_depth": "--features",
        "features_width": "--features",
        "domain": "the radiometry of the patches",
        "limits": "the radiometry of the patches",
    }

    data: Path
    """Folder with one sub-folder of patches per class."""
    class_name: str | None = None
    """Class to learn; all of them, told apart, without it."""
    unconditional: bool = False
    """Learn all patches without telling the networks their classes."""
    scenario: Scenario = "hard"
    """simple: crops of half the side; intermediate: patches at half resolution; hard: whole patches."""
    features: Path | None = None
    """Run of `sarcore train contrastive` or classifier, whose features the discriminator sees; one is made without."""
    features_steps: int = 500
    """Steps of the contrastive pre-training that makes them, in the folder features of the run."""
    balance: float = 0.5
    """Rare classes are shown more often, by this power of 1 / frequency; 0: as often as they are."""
    val_fraction: float = 0.1
    """Share of the patches to hold out, whole scenes, to choose the best checkpoint by; 0 holds out none."""
    model: GANConfig = _GAN
    fit: FitConfig = _GAN_FIT

    def __post_init__(self) -> None:
        check_fraction("val_fraction", self.val_fraction)
        if not 0.0 <= self.balance <= 1.0:
            raise ValueError(f"balance is {self.balance}; give a power from 0 to 1.")
        if self.features_steps < 1:
            raise ValueError(f"features_steps is {self.features_steps}; give at least 1.")


@dataclass(frozen=True)
class TrainClassifier:
    """A ResNet on the training scenes of a folder, chosen on its validation scenes, scored on its test scenes.

    >>> TrainClassifier(Path("patches")).model.depth
    50
    """

    KIND: ClassVar[str] = "classifier"
    DERIVED: ClassVar[Mapping[str, str]] = {
        "channels": "the patches",
        "classes": "the folder",
        "total_steps": "steps",
        "domain": "the radiometry of the patches",
        "limits": "the radiometry of the patches",
    }

    data: Path
    """Folder with one sub-folder of patches per class."""
    split: Path | None = None
    """File that `sarcore split` wrote for the folder; it replaces the split by scene."""
    init: str = "random"
    """"random", a file of ImageNet weights (.safetensors or .pth), or a run of `train classifier` or contrastive."""
    val_fraction: float = 0.1
    """Share of the patches to hold out, whole scenes, to choose the best checkpoint by; 0 holds out none."""
    test_fraction: float = 0.2
    """Share of the patches to hold out, whole scenes, for the scores at the end."""
    model: ClassifierConfig = _CLASSIFIER
    fit: FitConfig = _CLASSIFIER_FIT

    def __post_init__(self) -> None:
        check_depth(self.model.depth)  # before anything is written
        check_fraction("val_fraction", self.val_fraction)
        check_fraction("test_fraction", self.test_fraction)


@dataclass(frozen=True)
class TrainContrastive:
    """A ResNet on patches without labels, to start a classifier from.

    >>> TrainContrastive(Path("scenes")).size
    160
    """

    KIND: ClassVar[str] = "contrastive"
    DERIVED: ClassVar[Mapping[str, str]] = {
        "channels": "the patches",
        "total_steps": "steps",
        "domain": "the radiometry of the patches",
        "limits": "the radiometry of the patches",
    }

    data: Path
    """Folder with one sub-folder of patches per class (the labels play no part), or of scenes of any size."""
    size: int = 160
    """Side in pixels of the patches that scenes are cut into."""
    val_fraction: float = 0.1
    """Share of the patches to hold out, whole scenes, to choose the best checkpoint by; 0 holds out none."""
    model: ContrastiveConfig = _CONTRASTIVE
    fit: FitConfig = _CONTRASTIVE_FIT

    def __post_init__(self) -> None:
        check_depth(self.model.depth)  # before anything is written
        check_fraction("val_fraction", self.val_fraction)
        if self.size < 1:
            raise ValueError(f"size is {self.size}; give at least 1 pixel.")


@dataclass(frozen=True)
class _Translation:
    """What both translations between SAR (A) and optical images (B) ask for."""

    DERIVED: ClassVar[Mapping[str, str]] = {
        "channels_a": "the SAR images",
        "channels_b": "the optical images",
        "total_steps": "steps",
    }

    data: Path
    """Folder of SAR and optical images: s1_N and s2_N, trainA and trainB, or both side by side in one file."""
    manifest: Path | None = None
    """File that `sarcore split` wrote for the folder; its pairs.csv, where it has one, without this option."""
    preset: TranslationPreset = "sarcore"
    """Networks and numbers of this project (sarcore), of junyanz' (junyanz), or of the document (sorabatake)."""
    crop: int = 256
    """Side of the random crops to train on, pixels."""
    flip: bool = True
    """Mirror every second crop."""
    val_fraction: float = 0.1
    """Share of the pairs to hold out, whole scenes, to choose the best checkpoint by, where no split names them."""

    def __post_init__(self) -> None:
        check_fraction("val_fraction", self.val_fraction)
        if self.crop < 1:
            raise ValueError(f"crop is {self.crop}; give at least 1 pixel.")


@dataclass(frozen=True)
class TrainCycleGAN(_Translation):
    """A CycleGAN between SAR and optical images that need not show the same ground.

    >>> TrainCycleGAN(Path("pairs")).fit.batch_size
    1
    """

    KIND: ClassVar[str] = "cyclegan"
    DERIVED: ClassVar[Mapping[str, str]] = {**_Translation.DERIVED, "pool_size": "--crop"}

    model: CycleGANConfig = _CYCLEGAN
    fit: FitConfig = _TRANSLATION_FIT

    @classmethod
    def of_preset(cls, name: TranslationPreset) -> dict[str, Any]:
        """The sections that a preset decides."""
        return {"model": CycleGANConfig.preset(name)}


@dataclass(frozen=True)
class TrainPix2Pix(_Translation):
    """A Pix2Pix from SAR images to optical ones of the same ground, or the other way.

    >>> TrainPix2Pix(Path("pairs")).model.direction
    'AtoB'
    """

    KIND: ClassVar[str] = "pix2pix"

    model: Pix2PixConfig = _PIX2PIX
    fit: FitConfig = _TRANSLATION_FIT

    @classmethod
    def of_preset(cls, name: TranslationPreset) -> dict[str, Any]:
        """The sections that a preset decides; the document's batches are of 3 pairs."""
        fit = dataclasses.replace(_TRANSLATION_FIT, batch_size=3 if name == "sorabatake" else 1)
        return {"model": Pix2PixConfig.preset(name), "fit": fit}


TrainConfig: TypeAlias = TrainBegan | TrainGan | TrainClassifier | TrainContrastive | TrainCycleGAN | TrainPix2Pix
KINDS: dict[str, type[TrainConfig]] = {
    cls.KIND: cls for cls in (TrainBegan, TrainGan, TrainClassifier, TrainContrastive, TrainCycleGAN, TrainPix2Pix)
}
"""Every kind of training by its name, which `sarcore train`, the TOML files and the checkpoints use."""


def check_fraction(name: str, value: float) -> None:
    """Raise ValueError for a share that is not in [0, 1).

    >>> check_fraction("val_fraction", 0.1)
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} is {value}; give a share from 0 up to, not including, 1.")
