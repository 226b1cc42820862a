"""sarcore: SAR image operators in C++ and CUDA for PyTorch, and the generative models built on them."""

# torch first: it loads the OpenMP run time whose threads the core uses.
import torch as _torch  # noqa: F401

try:
    from sarcore import _core
except ImportError as error:
    message = (
        f"sarcore's compiled core could not be loaded ({error}). Install a wheel (pip install sarcore) or build it "
        "from the repository (pip install .); an import from inside a source tree that was not installed finds no core."
    )
    raise ImportError(message) from error

from sarcore import nn, ops, transforms
from sarcore.ops import Radiometry

__version__: str = _core.build_info()["version"]
__all__ = ["Radiometry", "__version__", "nn", "ops", "transforms"]
