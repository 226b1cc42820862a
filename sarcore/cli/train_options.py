"""The settings of the trainings as `sarcore train` offers them: those that the data decide are left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, Suppress, arg

from sarcore.engine import FitConfig
from sarcore.errors import SarcoreError
from sarcore.experiments.train_config import CONFIG_FILE, layered, read_config, section_classes
from sarcore.experiments.train_kinds import (
    KINDS,
    TrainBegan,
    TrainClassifier,
    TrainContrastive,
    TrainCycleGAN,
    TrainGan,
    TrainPix2Pix,
)
from sarcore.models import (
    BEGANConfig,
    ClassifierConfig,
    ContrastiveConfig,
    CycleGANConfig,
    GANConfig,
    Pix2PixConfig,
)

# These classes check nothing: a value of a file may be wrong until the command line has replaced another one.


@dataclass(frozen=True)
class _Fit(FitConfig):
    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class _Began(BEGANConfig):
    size: Suppress[int] = 80
    channels: Suppress[int] = 1
    classes: Suppress[int] = 0
    domain: Suppress[Any] = "amplitude"
    limits: Suppress[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class _Gan(GANConfig):
    size: Suppress[int] = 80
    channels: Suppress[int] = 1
    classes: Suppress[int] = 0
    domain: Suppress[Any] = "amplitude"
    limits: Suppress[tuple[float, float]] = (0.0, 1.0)
    features_depth: Suppress[int] = 18
    features_width: Suppress[int] = 16

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class _Classifier(ClassifierConfig):
    channels: Suppress[int] = 1
    classes: Suppress[int] = 7
    total_steps: Suppress[int] = 1000
    domain: Suppress[Any] = "amplitude"
    limits: Suppress[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class _Contrastive(ContrastiveConfig):
    channels: Suppress[int] = 1
    total_steps: Suppress[int] = 1000
    domain: Suppress[Any] = "amplitude"
    limits: Suppress[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class _CycleGAN(CycleGANConfig):
    channels_a: Suppress[int] = 1
    channels_b: Suppress[int] = 3
    total_steps: Suppress[int] = 0
    pool_size: Suppress[int] = 256

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class _Pix2Pix(Pix2PixConfig):
    channels_a: Suppress[int] = 1
    channels_b: Suppress[int] = 3
    total_steps: Suppress[int] = 0

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class BeganOptions(TrainBegan):
    """`TrainBegan` on the command line."""

    data: Positional[Path]
    class_name: Annotated[str | None, arg(name="class", aliases=("--class-name",))] = None
    model: _Began = _Began()
    fit: _Fit = _Fit(steps=1)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class GanOptions(TrainGan):
    """`TrainGan` on the command line."""

    data: Positional[Path]
    class_name: Annotated[str | None, arg(name="class", aliases=("--class-name",))] = None
    model: _Gan = _Gan()
    fit: _Fit = _Fit(steps=1)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class ClassifierOptions(TrainClassifier):
    """`TrainClassifier` on the command line."""

    data: Positional[Path]
    model: _Classifier = _Classifier()
    fit: _Fit = _Fit(steps=1)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class ContrastiveOptions(TrainContrastive):
    """`TrainContrastive` on the command line."""

    data: Positional[Path]
    model: _Contrastive = _Contrastive()
    fit: _Fit = _Fit(steps=1)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class CycleGANOptions(TrainCycleGAN):
    """`TrainCycleGAN` on the command line."""

    data: Positional[Path]
    model: _CycleGAN = _CycleGAN()
    fit: _Fit = _Fit(steps=1)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


@dataclass(frozen=True)
class Pix2PixOptions(TrainPix2Pix):
    """`TrainPix2Pix` on the command line."""

    data: Positional[Path]
    model: _Pix2Pix = _Pix2Pix()
    fit: _Fit = _Fit(steps=1)

    def __post_init__(self) -> None:
        """Leave the checks to `train_config.build`."""


OPTIONS: dict[str, Any] = {
    cls.KIND: cls
    for cls in (BeganOptions, GanOptions, ClassifierOptions, ContrastiveOptions, CycleGANOptions, Pix2PixOptions)
}


@dataclass(frozen=True)
class RunOptions:
    """Which run it is, and what its settings start from."""

    out: Path
    """Run folder; the run in it is continued. RUN-repeat with --from RUN."""
    config: Annotated[Path | None, arg(metavar="FILE.toml")] = None
    """Settings, such as the config.toml of a run."""
    source: Annotated[Path | None, arg(name="from", metavar="RUN")] = None
    """Run folder to repeat, with its data and settings."""
    resume: bool = True
    """--no-resume refuses a folder that holds a run."""


@dataclass(frozen=True)
class Start:
    """What the options of one `sarcore train` start from."""

    words: list[str]
    """The arguments, the kind of the file in front where it was left out."""
    settings: dict[str, Any]
    """The options of every kind, those of the file in the one it is of."""
    run: RunOptions
    """Its folder is `tyro.MISSING` where it must be given."""


def start(words: Sequence[str]) -> Start:
    """Read what ``--from``, ``--config`` and ``--preset`` name: the command line goes over it.

    Raises:
        SarcoreError: the file cannot be used, or a setting is given that follows from the data.
    """
    words = list(words)
    source, file, preset = (_value(words, option) for option in ("--from", "--config", "--preset"))
    if source is not None and file is not None:
        raise SarcoreError(f"--from {source} and --config {file} both give the settings; give one of the two")
    path = Path(source) / CONFIG_FILE if source is not None else Path(file) if file is not None else None
    if source is not None and not (Path(source) / CONFIG_FILE).is_file():
        what = f"holds no {CONFIG_FILE}" if Path(source).is_dir() else "there is no such run folder"
        raise SarcoreError(f"{source}: {what}; give the folder of a run of `sarcore train`")
    kind = words[0] if words and words[0] in KINDS else None
    given: dict[str, Any] = {}
    if path is not None:
        kind, given = read_config(path, kind)
        if not words or words[0].startswith("-"):
            words.insert(0, kind)
    if kind is not None:
        _check_derived(words, kind)
    settings = {
        name: _options(cls, given if kind == name else {}, preset if kind == name else None, str(path))
        for name, cls in OPTIONS.items()
    }
    out = tyro.MISSING if source is None else _repeat_of(Path(source))
    return Start(words, settings, RunOptions(out))


def _options(cls: Any, given: dict[str, Any], preset: str | None, where: str) -> Any:
    values = {"data": tyro.MISSING, **layered(cls.KIND, given, preset=preset, where=where)}
    return cls(**{**values, **{section: part(**values[section]) for section, part in section_classes(cls).items()}})


def _repeat_of(run: Path) -> Path:
    run = run.resolve()
    return run.with_name(f"{run.name}-repeat")


def _value(words: list[str], option: str) -> str | None:
    """The value of an option that is needed before all the options are known."""
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word == option and following:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _check_derived(words: list[str], kind: str) -> None:
    for name, source in KINDS[kind].DERIVED.items():
        option = "--" + name.replace("_", "-")
        if any(word.partition("=")[0].replace("_", "-") == option for word in words):
            raise SarcoreError(f"{option} follows from {source}; leave it out")
