"""Interleaved timing, peak memory, and the names of things for the record. No op is named here."""

from __future__ import annotations

import ctypes
import datetime
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import sarcore

SLOW = 0.25  # seconds a call: such a contestant takes part in a few rounds only, unless the case says otherwise
_QUEUE_CYCLES = 60_000_000  # about 30 ms of an idle GPU: calls queue up behind it


def machine(device: str) -> dict[str, Any]:
    """What a record says of where and with what it was made."""
    return {
        "name": device_name(device),
        "device": device,
        "threads": torch.get_num_threads(),
        "sarcore": sarcore.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device == "cuda" else None,
        "date": datetime.date.today().isoformat(),
    }


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def wall(call: Callable[[], Any], device: str, slow: float = SLOW, budget: float = 0.03) -> float:
    """Seconds per call: the median of five after one that warms the caches; of a slow call the first one."""
    start = time.perf_counter()
    call()
    synchronize(device)
    first = time.perf_counter() - start
    if first > slow:
        return first
    times = []
    repeats = max(1, min(10, int(budget / 5 / max(first, 1e-9))))  # of calls without a synchronisation between them
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats if device == "cuda" else 1):
            call()
        synchronize(device)
        times.append((time.perf_counter() - start) / (repeats if device == "cuda" else 1))
    return statistics.median(times)


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    slow: set[str],
    sample: Callable[[Callable[[], Any]], float],
    rounds: int,
    slow_rounds: int,
) -> dict[str, list[float | None]]:
    """Every round samples every call once; the slow ones only in `slow_rounds` evenly spaced ones (None elsewhere)."""
    slow_rounds = min(slow_rounds, rounds)
    with_slow = {round(i * (rounds - 1) / max(1, slow_rounds - 1)) for i in range(slow_rounds)}
    samples: dict[str, list[float | None]] = {name: [] for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            samples[name].append(sample(call) if name not in slow or number in with_slow else None)
    return samples


def median(samples: list[float | None]) -> float:
    return statistics.median(s for s in samples if s is not None)


def median_ratio(samples: list[float | None], base: list[float | None]) -> float:
    """Median over the rounds of how many times longer than `base`."""
    return statistics.median(s / b for s, b in zip(samples, base, strict=True) if s is not None and b is not None)


# ------ CUDA


def kernel_time(call: Callable[[], Any]) -> float:
    """Seconds of device time per call by CUDA events. The calls queue up behind a sleeping kernel: no gap counts."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    before = time.perf_counter()
    call()
    torch.cuda.synchronize()
    repeats = 10 if time.perf_counter() - before < 5e-3 else 2
    torch.cuda._sleep(_QUEUE_CYCLES)
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) * 1e-3 / repeats


def capture(call: Callable[[], Any]) -> Callable[[], Any] | None:
    """The call as a CUDA graph, to be replayed; None where it cannot be captured (it synchronises, for example)."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            kept = call()
    except RuntimeError:
        torch.cuda.synchronize()
        return None

    def replay(_: Any = kept) -> None:  # the outputs live as long as the graph
        graph.replay()

    return replay


# ------ memory


def extra_memory(call: Callable[[], Any], device: str) -> tuple[Any, int | None]:
    """The outcome, and the peak of the memory that the call took beside its inputs and its outcome, in bytes."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        outcome = call()
        torch.cuda.synchronize()
        peak: int | None = torch.cuda.max_memory_allocated() - before
    else:
        before_kb = _reset_peak()
        outcome = call()
        after_kb = status("VmHWM") if before_kb is not None else None
        peak = None if before_kb is None or after_kb is None else 1024 * (after_kb - before_kb)
    if peak is None:
        return outcome, None
    kept = sum(t.numel() * t.element_size() for t in outcome)
    return outcome, max(0, peak - kept)


def status(key: str) -> int | None:
    """A number of kB of /proc/self/status; None where there is none."""
    try:
        match = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(match.group(1)) if match else None


def _reset_peak() -> int | None:
    """Gives free memory back, and sets the peak resident set to the present one, in kB; None where that cannot be."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    return status("VmRSS")


# ------ names and files


def device_name(device: str) -> str:
    """The model of the GPU or of the CPU."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match.group(1).strip() if match else platform.machine()


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def write_record(out: Path, name: str, record: Mapping[str, Any], *, quick: bool) -> Path:
    """Write a run's numbers as JSON, whole or not at all, into a folder that is made where it is missing."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{slug(name)}{'-quick' if quick else ''}.json"
    partial = file.with_suffix(".tmp")
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, file)
    return file
