"""`speckle` beside its peers, as pytest-benchmark cases. Each case compares the statistics first.

pytest bench/bench_speckle.py --benchmark-only        # times
pytest bench/bench_speckle.py --benchmark-disable     # only compares, on small images
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pytest_benchmark")

import one_case
import workloads_speckle as workloads

NAMES = (
    "sarcore",
    "deepinv",
    "deepinv's formula",
    "torch.distributions",
    "torch._standard_gamma",
    "NumPy",
    "sum of exponentials",
    "logs of uniforms, compiled",
    "floor",
)


@pytest.mark.parametrize(("case", "small", "name"), one_case.parameters("speckle", workloads.cases, NAMES))
def test_forward(benchmark: Any, case: Any, small: Any, name: str) -> None:
    one_case.compare_and_time(benchmark, case, small, name)
