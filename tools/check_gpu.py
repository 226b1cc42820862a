"""Say in one sentence what `make gpu` misses on this machine, or name what it is going to use."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

REQUIRED = {name: name for name in ("torch", "numpy", "pytest", "pybind11")}
REQUIRED["scikit_build_core"] = "scikit-build-core"
PEERS = {"kornia": "kornia", "monai": "monai", "pytest_benchmark": "pytest-benchmark", "hypothesis": "hypothesis"}


def missing(modules: dict[str, str]) -> list[str]:
    return [package for module, package in modules.items() if importlib.util.find_spec(module) is None]


def main() -> None:
    absent = missing(REQUIRED)
    if shutil.which("cmake") is None and importlib.util.find_spec("cmake") is None:
        absent.append("cmake")
    if all(shutil.which(tool) is None for tool in ("ninja", "make")):
        absent.append("ninja")
    if not os.environ.get("CUDACXX") and shutil.which("nvcc") is None:
        absent.append("nvcc (the CUDA toolkit; put it on PATH or set CUDACXX)")
    if absent:
        sys.exit(f"make gpu uses what {sys.executable} has and installs nothing; missing here: {', '.join(absent)}.")
    import torch

    if not torch.cuda.is_available():
        sys.exit(f"make gpu needs a GPU that torch can use; torch {torch.__version__} of {sys.executable} sees none.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {Path(sys.executable)}")
    if left_out := missing(PEERS):
        print(f"Left out because not installed here: {', '.join(left_out)}.")


if __name__ == "__main__":
    main()
