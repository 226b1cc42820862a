"""`extract_patches` and `merge_patches` beside their peers, as pytest-benchmark cases that compare results first.

pytest bench/bench_patches.py --benchmark-only        # times
pytest bench/bench_patches.py --benchmark-disable     # only compares, on small scenes
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pytest_benchmark")

import one_case
import workloads_patches as workloads

EXTRACT = (
    *workloads.OURS,
    "kornia",
    "unfold of the scene",
    "unfold of the scene, compiled",
    "patchify",
    "patchify's formula",
    "NumPy slices of the scene",
    "tiler",
    "pytorch-toolbelt",
    "pytorch-toolbelt's formula",
    "slices and torch.stack",
    "advanced index",
    "advanced index, compiled",
    "floor",
)
MERGE = (
    "sarcore",
    f"sarcore, in batches of {workloads.peers.BATCH}",
    "sarcore, max",
    "sarcore, median",
    "pytorch-toolbelt",
    "pytorch-toolbelt's formula",
    "F.fold",
    "F.fold, compiled",
    "kornia",
    "MONAI",
    "tiler",
    "NumPy slices",
    "floor",
)
CASES = [
    parameter
    for op, names in (("extract_patches", EXTRACT), ("merge_patches", MERGE))
    for parameter in one_case.parameters(op, workloads.cases, names)
]


@pytest.mark.parametrize(("case", "small", "name"), CASES)
def test_patches(benchmark: Any, case: Any, small: Any, name: str) -> None:
    one_case.compare_and_time(benchmark, case, small, name)
