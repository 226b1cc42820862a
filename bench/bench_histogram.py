"""The histogram operators beside their peers, as pytest-benchmark cases. Each case compares results first.

pytest bench/bench_histogram.py --benchmark-only        # times
pytest bench/bench_histogram.py --benchmark-disable     # only compares, on small images
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("pytest_benchmark")

import one_case
import overhead
import workloads_histogram as workloads

PEERS = {
    "soft_histogram": ("kornia", "scatter_add", "tuned Function"),
    "histogram_loss": ("kornia", "scatter_add", "tuned Function"),
    "joint_histogram": ("two dense matrices", "scatter_add"),
    "mutual_information": ("MONAI", "kornia", "scatter_add"),
}
COMPILED = ("kornia", "MONAI", "scatter_add", "two dense matrices")
CASES = [
    parameter
    for op, names in PEERS.items()
    for parameter in one_case.parameters(
        op, workloads.cases, ("sarcore", *names, *(f"{n}, compiled" for n in names if n in COMPILED), "floor")
    )
]


@pytest.mark.parametrize(("case", "small", "name"), CASES)
def test_forward_and_backward(benchmark: Any, case: Any, small: Any, name: str) -> None:
    one_case.compare_and_time(benchmark, case, small, name)


CALLS = ("torch.mul(x, x)", "torch.ops.sarcore.soft_histogram", "sarcore.ops.soft_histogram")


@pytest.mark.parametrize("name", CALLS)
def test_call_overhead(benchmark: Any, name: str) -> None:
    benchmark.group = "call on a 1 x 1 x 4 x 4 tensor"
    call = overhead.tiny_calls("cpu")[name]
    with torch.no_grad():
        result = benchmark(call)
    if name != CALLS[0]:
        assert result.sum().item() == 16.0


@pytest.mark.parametrize("image", ["noise", "zeros", "constant 0.3", "half zeros"])
def test_constant_image(benchmark: Any, image: str) -> None:
    benchmark.group = "soft_histogram forward of constant images"
    calls = overhead.constant_calls("soft_histogram", overhead.images("H2" if benchmark.enabled else "tiny", "cpu"))
    with torch.no_grad():
        torch.testing.assert_close(calls[f"sarcore/{image}"](), calls[f"scatter_add/{image}"](), rtol=1e-4, atol=1e-2)
        benchmark.pedantic(calls[f"sarcore/{image}"], rounds=50, warmup_rounds=2)
