"""`resample` beside its peers, as pytest-benchmark cases. Each case compares results first.

pytest bench/bench_resample.py --benchmark-only        # times
pytest bench/bench_resample.py --benchmark-disable     # only compares, on a few patches
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pytest_benchmark")

import one_case
import workloads_resample as workloads

NAMES = (
    "sarcore",
    "F.interpolate",
    "F.interpolate, compiled",
    "two matrix products",
    "one copy of a view",
    "F.avg_pool2d",
    "Pillow",
    "OpenCV",
    "floor",
)


@pytest.mark.parametrize(("case", "small", "name"), one_case.parameters("resample", workloads.cases, NAMES))
def test_resample(benchmark: Any, case: Any, small: Any, name: str) -> None:
    one_case.compare_and_time(benchmark, case, small, name)
