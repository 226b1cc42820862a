"""`despeckle` beside its peers, as pytest-benchmark cases. Each case compares results first.

pytest bench/bench_despeckle.py --benchmark-only        # times
pytest bench/bench_despeckle.py --benchmark-disable     # only compares, on small images
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pytest_benchmark")

import one_case
import workloads_despeckle as workloads

NAMES = (
    *workloads.OURS,
    "torchgeo",
    "torchgeo's formula",
    "torchgeo's formula, compiled",
    "scipy",
    "OpenCV",
    "findpeaks",
    "findpeaks' formula",
    "floor",
)


@pytest.mark.parametrize(("case", "small", "name"), one_case.parameters("despeckle", workloads.cases, NAMES))
def test_forward(benchmark: Any, case: Any, small: Any, name: str) -> None:
    one_case.compare_and_time(benchmark, case, small, name)
