"""Call an operator of the installed sarcore: through torch where torch is installed, else on NumPy arrays."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np


def load_core() -> ModuleType:
    """The compiled module alone: `import sarcore` would need torch."""
    package = importlib.util.find_spec("sarcore")
    if package is None or not package.submodule_search_locations:
        sys.exit("sarcore is not installed in this environment.")
    (path,) = (file for place in package.submodule_search_locations for file in Path(place).glob("_core.*.so"))
    spec = importlib.util.spec_from_file_location("sarcore._core", path)
    assert spec is not None
    assert spec.loader is not None
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    return core


def main() -> None:
    image = np.random.default_rng(0).random((1, 1, 37, 41), dtype=np.float32)
    expected = np.histogram(image, bins=64, range=(0.0, 1.0))[0] / image.size
    if importlib.util.find_spec("torch") is None:
        core, route = load_core(), f"NumPy {np.__version__}, no torch"
        found = np.empty((1, 1, 64), np.float32)
        core.soft_histogram(image, None, found, None, 0.0, 1.0, "hard", 1)
    else:
        import torch

        import sarcore
        from sarcore import _core as core

        route = f"torch {torch.__version__}"
        found = sarcore.ops.soft_histogram(torch.from_numpy(image), bins=64, kernel="hard").numpy()
    found = found.reshape(-1) / found.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    info = core.build_info()
    cuda = info["cuda_version"] or "off"
    print(f"sarcore {info['version']}, Python {sys.version.split()[0]}, {route}, CUDA {cuda}: ok")


if __name__ == "__main__":
    main()
