"""The packages that sarcore is measured against: here or not, and in which version."""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from types import ModuleType

PACKAGES = (
    "kornia",
    "monai",
    "scipy",
    "opencv-python-headless",
    "findpeaks",
    "deepinv",
    "torchgeo",
    "patchify",
    "tiler",
    "pytorch-toolbelt",
    "pillow",
    "rasterio",
    "tifffile",
    "numpy",
)


def load(name: str) -> ModuleType | None:
    """A peer's module, or None where it is not installed or does not import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own deprecations, at import only
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


def version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
