"""Settings in TOML files: every name and type is checked against the dataclass they belong to."""

from __future__ import annotations

import difflib
import sys
import types
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import tomli_w

from sarcore.engine import write_bytes
from sarcore.errors import SarcoreError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", Path: "a path as a string"}


class _WrongTypeError(Exception):
    """A value does not have its field's type; the message says what that is."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables and values of a TOML file; ``SarcoreError`` with the path where it cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "config.toml"
    >>> read_toml(write_toml(path, {"data": "patches", "fit": {"steps": 100}}))
    {'data': 'patches', 'fit': {'steps': 100}}
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SarcoreError(f"{path}: {error.strerror}; give a TOML file of settings") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise SarcoreError(f"{path}: is no TOML file ({error}); correct it") from error


def write_toml(path: Path, values: Mapping[str, Any], *, comment: str = "") -> Path:
    """Write settings atomically, without those that are None; ``comment`` becomes the first line."""
    text = tomli_w.dumps(_plain(values))
    return write_bytes(path, ((f"# {comment}\n" if comment else "") + text).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def checked(
    cls: type, values: Mapping[str, Any], *, where: str, derived: Mapping[str, str], others: Mapping[str, str]
) -> dict[str, Any]:
    """``values`` in the types of the dataclass ``cls``: lists as tuples, whole numbers as floats where it has these.

    ``where`` opens the messages: file and section. ``derived`` says of fields that are not for the user what they
    follow from; ``others`` says of fields of other sections which one that is.

    Raises:
        SarcoreError: a field is unknown (the nearest one is named), derived, of another section, or of another type.

    >>> from sarcore.engine import FitConfig
    >>> checked(FitConfig, {"steps": 5, "ema": 0}, where="run.toml: [fit]", derived={}, others={})
    {'steps': 5, 'ema': 0.0}
    """
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls) if field.name not in derived]
    found = {}
    for name, value in values.items():
        if name in derived:
            raise SarcoreError(f"{where} gives {name}, which follows from {derived[name]}; leave it out")
        if name not in known:
            raise SarcoreError(f"{where} has no field {name!r}; {_nearest(name, known, others)}")
        try:
            found[name] = _convert(value, hints[name])
        except _WrongTypeError as error:
            raise SarcoreError(f"{where} {name} is {value!r}; give {error}") from None
    return found


def _nearest(name: str, known: Collection[str], others: Mapping[str, str]) -> str:
    if name in others:
        return f"it belongs to {others[name]}"
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    near = difflib.get_close_matches(name, list(others), n=1)
    return f"did you mean {near[0]!r} of {others[near[0]]}?" if near else f"its fields are {', '.join(known)}"


def _convert(value: Any, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # an optional value: TOML has no null, so it is the other one
        (kind,) = [argument for argument in arguments if argument is not type(None)]
        return _convert(value, kind)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise _WrongTypeError(" or ".join(repr(argument) for argument in arguments))
        return value
    if origin is tuple:
        return _tuple(value, arguments)
    given = type(value)
    if given is kind:
        return value
    if kind is float and given is int:
        return float(value)
    if kind is Path and given is str:
        return Path(value)
    raise _WrongTypeError(_WORDS[kind])


def _tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    variable = len(kinds) == 2 and kinds[1] is Ellipsis
    wanted = f"a list, each {_WORDS[kinds[0]]}" if variable else f"a list of {len(kinds)}, each {_WORDS[kinds[0]]}"
    if not isinstance(value, list) or not (variable or len(value) == len(kinds)):
        raise _WrongTypeError(wanted)
    try:
        return tuple(_convert(item, kinds[0]) for item in value)
    except _WrongTypeError:
        raise _WrongTypeError(wanted) from None
