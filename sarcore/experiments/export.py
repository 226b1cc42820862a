"""A trained network as one file that other programs run: ONNX, or a program of `torch.export`.

What is written is compared with the network at several sizes before the file appears under its name.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

import sarcore
from sarcore.data.images import write_whole
from sarcore.errors import SarcoreError

Format: TypeAlias = Literal["onnx", "torch"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
METADATA = "sarcore.json"  # the extra file of a torch program; the metadata of an ONNX model has the key "sarcore"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it comes to the network."""

    path: Path
    format: Format
    metadata: dict[str, Any]
    difference: float
    """Largest absolute difference from the network over all compared values."""
    shapes: list[tuple[int, ...]]
    """Shapes of the inputs that were compared."""


def export_network(
    network: nn.Module,
    inputs: Sequence[Tensor],
    out: Path,
    format: Format,
    *,
    dynamic: Mapping[int, str],
    metadata: Mapping[str, Any],
) -> Exported:
    """Write `network` as one file, after it was compared with the network on all `inputs`.

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "double.pt2"
    >>> doubled = nn.Conv2d(1, 1, 1, bias=False)
    >>> inputs = [torch.rand(2, 1, 7, 9), torch.rand(1, 1, 20, 12)]
    >>> dynamic = {0: "batch", 2: "height", 3: "width"}
    >>> export_network(doubled, inputs, out, "torch", dynamic=dynamic, metadata={}).difference < 1e-4
    True

    Args:
        network: in evaluation mode; one tensor in, one out.
        inputs: examples; the graph is traced with the first, whose dynamic sides must be larger than 1.
        out: the file, ``.onnx`` or ``.pt2``; one that is there is replaced.
        format: ``onnx``, or ``torch`` for `torch.export`.
        dynamic: names of the dimensions of the input that may have any size.
        metadata: plain values for JSON, kept in the file.

    Raises:
        ValueError: the suffix of `out` is not that of the format.
        SarcoreError: packages are missing, the network cannot be exported, or the file gives other values.
    """
    out = checked_path(out, format)
    network = network.eval()
    program = _program(network, inputs[0], dynamic)
    text = json.dumps({"sarcore": sarcore.__version__, **metadata})
    found: list[float] = []

    def write(name: str) -> None:
        if format == "onnx":
            _write_onnx(program, inputs[0], dynamic, text, name)
        else:
            _write_torch(program, text, name)
        found.append(_difference(network, inputs, name, format))
        if not found[0] <= TOLERANCE:  # NaN, too
            raise SarcoreError(
                f"{out}: gives values that differ from the network by {found[0]:.2g} ({TOLERANCE:g} is allowed); "
                f"nothing was written; try the other format"
            )

    write_whole(out, write)
    return Exported(out, format, json.loads(text), found[0], [tuple(each.shape) for each in inputs])


def checked_path(out: Path, format: Format) -> Path:
    """`out`, if its suffix is that of the format and its folder exists.

    >>> checked_path(Path("a.onnx"), "torch")
    Traceback (most recent call last):
    ValueError: a.onnx: a file of the format torch ends in .pt2; name it a.pt2, or take --format onnx
    """
    if format not in SUFFIXES:
        raise ValueError(f"format is {format!r}; give one of {', '.join(SUFFIXES)}")
    if out.suffix.lower() != SUFFIXES[format]:
        other = next((f", or take --format {name}" for name, end in SUFFIXES.items() if end == out.suffix.lower()), "")
        named = out.with_suffix(SUFFIXES[format]).name
        raise ValueError(f"{out}: a file of the format {format} ends in {SUFFIXES[format]}; name it {named}{other}")
    if not out.parent.is_dir():
        raise SarcoreError(f"{out}: the folder {out.parent} does not exist; create it")
    return out


def _program(network: nn.Module, example: Tensor, dynamic: Mapping[int, str]) -> torch.export.ExportedProgram:
    shapes = dict.fromkeys(dynamic, torch.export.Dim.DYNAMIC)
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(network, (example,), dynamic_shapes=(shapes,))
    except Exception as error:  # the exporter raises classes of its own, of many modules
        raise _refused("torch.export", error) from error
    # A side of 1 at the bottom of a U-Net has other strides than longer ones. The tracer notes that ("!= 1"), but no
    # result depends on it, and the program would refuse such sizes. That none does, the comparison shows.
    if hasattr(program, "_guards_code"):
        program._guards_code = [guard for guard in program._guards_code if "!=" not in guard]
    return program


def _write_torch(program: torch.export.ExportedProgram, text: str, name: str) -> None:
    buffer = io.BytesIO()  # a program that is saved by name carries the name, and other bytes with each
    with _quiet():
        torch.export.save(program, buffer, extra_files={METADATA: text})
    Path(name).write_bytes(buffer.getvalue())


def _write_onnx(
    program: torch.export.ExportedProgram, example: Tensor, dynamic: Mapping[int, str], text: str, name: str
) -> None:
    _onnx_packages()
    names: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"], "dynamic_shapes": (dict(dynamic),)}
    try:
        with _quiet(), torch.no_grad():
            made: Any = torch.onnx.export(program, (example,), dynamo=True, verbose=False, **names)
    except Exception as error:  # as above
        raise _refused("ONNX", error) from error
    made.model.metadata_props["sarcore"] = text
    made.save(name, external_data=False)


def _onnx_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SarcoreError(f"ONNX needs a missing package ({error}): pip install 'sarcore[export]'") from error


def _refused(what: str, error: Exception) -> SarcoreError:
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return SarcoreError(
        f"the network cannot be exported by {what} of torch {torch.__version__} ({reason.strip()}); "
        "this was tested with torch 2.13"
    )


@torch.no_grad()
def _difference(network: nn.Module, inputs: Sequence[Tensor], name: str, format: Format) -> float:
    """Largest difference between the file, read again, and the network."""
    run = _onnx_runner(name) if format == "onnx" else _torch_runner(name)
    largest = 0.0
    for each in inputs:
        expected, found = network(each), run(each)
        if expected.shape != found.shape:
            raise SarcoreError(
                f"the file gives the shape {tuple(found.shape)} where the network gives {tuple(expected.shape)}; "
                f"nothing was written; try the other format"
            )
        # Not max(): a NaN must not be lost.
        difference = float((found - expected).abs().max())
        largest = difference if not difference <= largest else largest
    return largest


def _torch_runner(name: str) -> Any:
    with _quiet():
        return torch.export.load(name).module()


def _onnx_runner(name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {"input": image.numpy()})[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own insides, and of packages that nobody needs here."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
