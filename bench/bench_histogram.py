"""The histogram operators beside their peers, as pytest-benchmark cases. Each case compares results first.

pytest bench/bench_histogram.py --benchmark-only        # times
pytest bench/bench_histogram.py --benchmark-disable     # only compares, on small images
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("pytest_benchmark")
sys.path.insert(0, str(Path(__file__).resolve().parent))  # pytest does not put the folder of a file on the path

import overhead
import workloads

PEERS = {
    "soft_histogram": ("kornia", "scatter_add", "tuned Function"),
    "histogram_loss": ("kornia", "scatter_add", "tuned Function"),
    "joint_histogram": ("two dense matrices", "scatter_add"),
    "mutual_information": ("MONAI", "kornia", "scatter_add"),
}
COMPILED = ("kornia", "MONAI", "scatter_add", "two dense matrices")
CASES = [
    pytest.param(op, name, id=f"{op}-{name}".replace(" ", "_").replace(",", ""))
    for op, names in PEERS.items()
    for name in ("sarcore", *names, *(f"{n}, compiled" for n in names if n in COMPILED), "floor")
]


@pytest.fixture(autouse=True)
def _two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    torch.compiler.reset()


@pytest.mark.parametrize("shape", ["H1", "H2"])
@pytest.mark.parametrize(("op", "name"), CASES)
def test_forward_and_backward(benchmark: Any, op: str, name: str, shape: str) -> None:
    timed = bool(benchmark.enabled)
    if not timed and (shape != "H1" or "compiled" in name):
        pytest.skip("compared on one small shape and without torch.compile unless timed")
    benchmark.group = f"{op} {shape}"
    workload = workloads.build(op, workloads.SHAPES[shape if timed else "tiny"], "cpu", "compiled" in name)
    if name == "floor":
        benchmark.pedantic(workload.floor, rounds=50, warmup_rounds=2)
        return
    if all(c.name != name for c in workload.contestants):
        pytest.skip("; ".join(workload.left_out))
    contestant = workload[name]
    ours = workload["sarcore"].call()
    workloads.check_same(contestant, contestant.call(), ours, op)
    start = time.perf_counter()
    contestant.call()
    slow = time.perf_counter() - start > 0.25
    benchmark.pedantic(contestant.call, rounds=3 if slow else 30, warmup_rounds=0 if slow else 2)


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
