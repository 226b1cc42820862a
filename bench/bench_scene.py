"""Scenes and patch sets in files beside their peers, as pytest-benchmark cases. Each case compares results first.

pytest bench/bench_scene.py --benchmark-only        # times
pytest bench/bench_scene.py --benchmark-disable     # only compares, on a small scene
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pytest_benchmark")

import one_case
import workloads_pipeline
import workloads_scene

NAMES = {
    "run_scene": ("sarcore", "rasterio, whole image", "rasterio, tiles with a margin", "floor"),
    "read_windows": (
        "sarcore",
        "sarcore, opened for each",
        "rasterio",
        "rasterio, opened for each",
        "tifffile.memmap",
        "floor",
    ),
    "read_patches": (
        "sarcore",
        "sarcore, a npy file each",
        "sarcore, a tiff file each",
        "sarcore, a png file each",
        "NumPy, a npy file each",
        "Pillow, a png file each",
        "floor",
    ),
    "end_to_end": (
        "sarcore",
        "kornia and torch.distributions",
        "PyTorch",
        "PyTorch, compiled",
        "PyTorch, tuned Function",
        "floor",
    ),
}
FAMILIES = (workloads_scene, workloads_pipeline)
CASES = [
    parameter
    for family in FAMILIES
    for op in family.OPS
    for parameter in one_case.parameters(op, family.cases, NAMES[op])
]


@pytest.mark.parametrize(("case", "small", "name"), CASES)
def test_scene(benchmark: Any, case: Any, small: Any, name: str) -> None:
    one_case.compare_and_time(benchmark, case, small, name)
