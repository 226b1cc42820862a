"""One contestant of one case under pytest-benchmark."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from workloads import Case

Cases = Callable[[str, str, bool], list[Case]]


def parameters(op: str, cases: Cases, names: Sequence[str]) -> list[Any]:
    """(case, its small stand-in or None, contestant): a small case stands for its name, else for all of its `about`."""
    small = {(c.about, c.name): c for c in cases(op, "cpu", True)}
    found = []
    for case in cases(op, "cpu", False):
        same = [key for key in small if key[0] == case.about]
        key = (case.about, case.name) if (case.about, case.name) in same else next(iter(same), None)
        stand_in = small.pop(key, None)
        for name in names:
            if case.not_compiled and "compiled" in name:
                continue
            text = f"{op}-{name}-{case.name}-{case.about.partition('float32')[0]}"
            identifier = text.translate(str.maketrans(" ", "_", ",'")).strip("_")
            found.append(pytest.param(case, stand_in, name, id=identifier))
    return found


def compare_and_time(benchmark: Any, case: Case, small: Case | None, name: str) -> None:
    """Compares the results and times the contestant; with timing off, compares on the small case."""
    timed = bool(benchmark.enabled)
    if not timed and (small is None or "compiled" in name):
        pytest.skip("compared on one small shape and without torch.compile unless timed")
    benchmark.group = f"{case.op} {case.name}, {case.about}"
    with warnings.catch_warnings():
        if "compiled" in name:
            warnings.simplefilter("ignore")  # what torch.compile imports
        workload = (case if timed else small).build("cpu", "compiled" in name)
        if name == "floor":
            benchmark.pedantic(workload.floor, rounds=50, warmup_rounds=2)
            return
        if all(c.name != name for c in workload.contestants):
            pytest.skip("; ".join(["not every contestant takes part in every case", *workload.left_out]))
        contestant = workload[name]
        workload.check(contestant, contestant.call(), workload["sarcore"].call())
    start = time.perf_counter()
    contestant.call()
    rounds, warmup = (case.slow_rounds, 0) if time.perf_counter() - start > case.slow else (case.rounds, 2)
    benchmark.pedantic(contestant.call, rounds=rounds, warmup_rounds=warmup)
