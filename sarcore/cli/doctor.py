"""``sarcore doctor``: what is installed, what is compiled in, what works."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import sarcore
from sarcore import _core, ops

EXTRAS = (
    "lightning-fabric",
    "safetensors",
    "tyro",
    "rich",
    "matplotlib",
    "jinja2",
    "tensorboard",
    "pillow",
    "tifffile",
)


def doctor() -> None:
    """Show versions, the back ends that are compiled in, whether they work, and why not."""
    console = Console(highlight=False)
    versions = Table("package", "version", title="Versions", title_justify="left", box=SIMPLE_HEAD)
    versions.add_row("sarcore", sarcore.__version__)
    versions.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    versions.add_row("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    for name in ("numpy", *EXTRAS):
        versions.add_row(name, _version(name))
    console.print(versions)
    core = Table("compiled core", "", title="Build", title_justify="left", box=SIMPLE_HEAD)
    for key, value in _core.build_info().items():
        core.add_row(str(key), ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
    console.print(core)
    works = Table("back end", "state", title="Back ends", title_justify="left", box=SIMPLE_HEAD)
    checks = {"cpu": _check("cpu"), "cuda": _cuda()}
    for name, (_, text) in checks.items():
        works.add_row(name, text)
    console.print(works)
    if not checks["cpu"][0]:
        sys.exit(1)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed (pip install 'sarcore[train]')"


def _check(device: str) -> tuple[bool, str]:
    """Count 64 grey values with a real operator call; the counts must be exact."""
    try:
        counts = ops.soft_histogram(torch.arange(64.0, device=device).view(1, 1, 8, 8) / 64, bins=4, range=(0.0, 1.0))
        total = float(counts.sum())
    except Exception as error:  # noqa: BLE001  # whatever fails is what the user came to learn
        return False, f"fails: {' '.join(str(error).split())}"
    return (True, "works") if round(total, 3) == 64.0 else (False, f"wrong result: {total} of 64 values counted")


def _cuda() -> tuple[bool, str]:
    info = _core.build_info()
    if not info.get("cuda"):
        return False, f"not compiled in: {info['cuda_problem']}"
    if torch.version.cuda is None:
        return False, "compiled in, but this torch is a CPU build; install a CUDA build of torch"
    if not torch.cuda.is_available():
        problem = info["cuda_problem"] or "check the driver with nvidia-smi"
        return False, f"compiled in, but torch sees no GPU: {problem}"
    ok, text = _check("cuda")
    return ok, f"{text} on {torch.cuda.get_device_name()}"
