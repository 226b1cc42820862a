"""The settings of a training in layers, preset, file and command line, and as a TOML file in the run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast, get_args, get_type_hints

from sarcore import __version__
from sarcore.errors import SarcoreError
from sarcore.experiments.config_file import checked, read_toml, write_toml
from sarcore.experiments.train_kinds import KINDS, TrainConfig

CONFIG_FILE = "config.toml"
SECTIONS = ("model", "fit")
# What may differ when a run goes on: it decides how long, how fast and how often, never the weights of a step.
MAY_CHANGE = (
    "data", "num_workers", "accelerator", "log_every", "sample_every", "validate_every",
    "patience", "checkpoint_every", "keep_last", "keep_best",
)  # fmt: skip
Config = TypeVar("Config", bound=TrainConfig)
Values: TypeAlias = dict[str, Any]
"""Settings by field, those of the sections as dictionaries of their own; fields may be missing."""


def read_config(path: Path, kind: str | None = None) -> tuple[str, Values]:
    """The kind and the settings that a TOML file gives, names and types checked.

    ``kind`` is what the file should be of; without it the file must say so itself, in a line like ``kind = "began"``.

    Raises:
        SarcoreError: the file cannot be read, is of another kind, or has fields that are unknown or of another type.

    >>> import tempfile; from sarcore.experiments.train_kinds import TrainBegan
    >>> read_config(write_config(Path(tempfile.mkdtemp()), TrainBegan(Path("patches"))))[1]["fit"]["steps"]
    20000
    """
    content = read_toml(path)
    named = content.pop("kind", kind)
    if named not in KINDS:
        lines = " or ".join(f'kind = "{name}"' for name in KINDS)
        raise SarcoreError(
            f"{path} " + ("names no kind" if named is None else f"is of kind {named!r}") + f"; give {lines}"
        )
    if kind not in (None, named):
        raise SarcoreError(f"{path} is of kind {named!r}, not {kind!r}; use `sarcore train {named}`")
    cls = KINDS[named]
    classes = section_classes(cls)
    homes = {f.name: f"[{section}]" for section, part in classes.items() for f in dataclasses.fields(part)}
    tops = {f.name: "the top of the file" for f in dataclasses.fields(cls) if f.name not in SECTIONS}
    values: Values = {}
    for section, part in classes.items():
        given = content.pop(section, {})
        if not isinstance(given, dict):
            raise SarcoreError(f"{path}: {section} is {given!r}; give a table [{section}]")
        rest = {**{name: home for name, home in homes.items() if home != f"[{section}]"}, **tops}
        values[section] = checked(part, given, where=f"{path}: [{section}]", derived=cls.DERIVED, others=rest)
    return named, {**checked(cls, content, where=f"{path}:", derived={}, others=homes), **values}


def section_classes(cls: Any) -> dict[str, type]:
    """The dataclass of each section.

    >>> from sarcore.experiments.train_kinds import TrainBegan
    >>> section_classes(TrainBegan)["model"].__name__
    'BEGANConfig'
    """
    return {f.name: type(f.default) for f in dataclasses.fields(cls) if f.name in SECTIONS}


def layered(kind: str, given: Values, *, preset: str | None = None, where: str = "the file") -> Values:
    """All settings of a run: those ``given`` over those of the preset over the defaults; ``data`` may be missing.

    ``preset`` is one that was asked for by name, over that of the given settings.

    Raises:
        SarcoreError: settings were made with one preset and another one is asked for: theirs would win over its own.

    >>> layered("began", {"fit": {"steps": 5}}, preset="berthelot")["model"]["lr"]
    0.0001
    """
    cls = KINDS[kind]
    values: Values = {f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    if "preset" in values:
        if preset and given.get("preset", preset) != preset:
            raise SarcoreError(
                f"{where} holds the settings of preset {given['preset']!r}, which would win over those of {preset!r}; "
                f"give --preset {given['preset']} or a file without them"
            )
        chosen = preset or given.get("preset", values["preset"])
        if chosen in get_args(get_type_hints(cls)["preset"]):  # an unknown one is refused with the whole command line
            values |= {"preset": chosen, **cast(Any, cls).of_preset(chosen)}
    parts = {section: {**_fields(values[section]), **given.get(section, {})} for section in SECTIONS}
    return {**values, **given, **parts}


def nested(config: TrainConfig) -> Values:
    """All settings, those of the sections as dictionaries of their own.

    >>> from sarcore.experiments.train_kinds import TrainBegan
    >>> build(TrainBegan, nested(TrainBegan(Path("patches")))) == TrainBegan(Path("patches"))
    True
    """
    values = _fields(config)
    return {**values, **{section: _fields(values[section]) for section in SECTIONS}}


def _fields(settings: Any) -> Values:
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def build(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """The dataclass of all settings; ValueError where one is out of range.

    >>> from sarcore.experiments.train_kinds import TrainBegan
    >>> build(TrainBegan, {**layered("began", {}), "data": Path("patches")}) == TrainBegan(Path("patches"))
    True
    """
    parts = {section: part(**values[section]) for section, part in section_classes(cls).items()}
    return cls(**{**values, **parts})


def write_config(run_dir: Path, config: TrainConfig) -> Path:
    """Write ``config.toml``, from which `sarcore train --from` repeats the run: all settings that are the user's."""
    values: Values = {"kind": config.KIND}
    for name, value in nested(config).items():
        if name in SECTIONS:
            value = {n: v for n, v in value.items() if n not in config.DERIVED}
        values[name] = value.resolve() if isinstance(value, Path) else value
    comment = f"sarcore {__version__}; repeat this run with: sarcore train --from {run_dir.name}"
    return write_toml(run_dir / CONFIG_FILE, values, comment=comment)


def settings(config: TrainConfig) -> dict[str, Any]:
    """All settings side by side, as ``run.json`` and the checkpoints keep them.

    >>> from sarcore.experiments.train_kinds import TrainBegan
    >>> settings(TrainBegan(Path("patches")))["width"]
    64
    """
    flat: dict[str, Any] = {}
    for name, value in nested(config).items():
        if name in SECTIONS:
            flat.update(value)
        else:
            flat[name] = str(value) if isinstance(value, Path) else value
    return flat
