"""Times the operators against their peers; prints Markdown tables of ratios, writes JSON, one file per machine.

python bench/run.py [--device cpu|cuda] [--threads 2] [--out FOLDER] [--markdown FILE]
                        [--ops OP ...] [--quick] [--no-compile] [--scene-memory]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import overhead
import peers
import scene_memory
import tables
import timing
import torch
import workloads_despeckle
import workloads_histogram
import workloads_patches
import workloads_pipeline
import workloads_resample
import workloads_scene
import workloads_speckle
from workloads import Case

FAMILIES = (
    workloads_histogram,
    workloads_speckle,
    workloads_despeckle,
    workloads_patches,
    workloads_resample,
    workloads_pipeline,
    workloads_scene,
)
CASES = {op: family.cases for family in FAMILIES for op in family.OPS}


def main() -> None:
    arguments = parse()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda needs a GPU that torch can use, and torch sees none here; use --device cpu.")
    torch.set_num_threads(arguments.threads)
    started = time.perf_counter()
    record: dict[str, Any] = {"machine": machine(device), "workloads": []}
    left_out: dict[str, None] = {}
    for op in arguments.ops:
        cases = CASES[op](op, device, arguments.quick)
        if not cases:
            left_out[f"{op} has no case on this device or needs rasterio"] = None
        for case in cases:
            say(f"{op} {case.name}, {case.about} ...")
            entry, missing = measure(case, device, arguments)
            record["workloads"].append(entry)
            left_out.update(dict.fromkeys(missing))
    if set(arguments.ops) & set(workloads_histogram.OPS):
        say("constant image ...")
        record["constant"] = overhead.constant_image("tiny" if arguments.quick else "H2", device)
    if arguments.scene_memory:
        say("peak memory as a scene grows ...")
        record["scene_memory"] = scene_memory.measure((1024, 2048) if arguments.quick else scene_memory.SIDES)
    say("call overhead ...")
    record["overhead"] = overhead.call_overhead(device)
    record["left_out"] = list(left_out)
    record["seconds"] = round(time.perf_counter() - started)
    report(record, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time sarcore's operators against their peers.")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where torch sees a GPU, else cpu")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="CPU threads (default 2)")
    parser.add_argument("--out", type=Path, help="folder for <machine>.json; nothing is written without it")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    parser.add_argument("--ops", nargs="+", choices=CASES, default=tuple(CASES), help="default: all")
    parser.add_argument("--quick", action="store_true", help="tiny images, two rounds: does it run, are results equal?")
    parser.add_argument("--rounds", type=int, default=21, help="at most so many; half of them for what is slow")
    parser.add_argument("--scene-memory", action="store_true", help="peak memory at 2k, 8k and 20k; takes minutes")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine(device: str) -> dict[str, Any]:
    versions = {package: peers.version(package) for package in peers.PACKAGES}
    return {**timing.machine(device), **versions, "python": platform.python_version()}


def measure(case: Case, device: str, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """One workload: results compared, then everybody timed in turn."""
    torch.compiler.reset()
    workload = case.build(device, not (arguments.no_compile or arguments.quick or case.not_compiled))
    ours, left_out = workload["sarcore"].call(), list(workload.left_out)
    if case.not_compiled:
        left_out.append(f"torch.compile of {case.op} {case.name} ({case.not_compiled})")
    calls, slow, memory = {}, set(), {}
    for contestant in workload.contestants:
        try:
            contestant.call() if contestant.compiled or contestant.name == "sarcore" else None  # compile, start threads
            timing.synchronize(device)
            start = time.perf_counter()
            outcome, memory[contestant.name] = timing.extra_memory(contestant.call, device)
        except Exception as error:
            if contestant.name == "sarcore":
                raise
            reason = str(error).strip().splitlines()[0][:80] if contestant.compiled is False else type(error).__name__
            left_out.append(f"{contestant.name} failed in {case.op} {case.name}: {reason}")
            continue
        if time.perf_counter() - start > case.slow:
            slow.add(contestant.name)
        workload.check(contestant, outcome, ours)
        calls[contestant.name] = contestant.call
    calls["floor"] = workload.floor
    most = 2 if arguments.quick else arguments.rounds
    count, slow_count = min(case.rounds, most), min(case.slow_rounds, max(1, most // 2))
    seconds = timing.interleave(calls, slow, lambda c: timing.wall(c, device, case.slow), count, slow_count)
    rows = [row(n, seconds[n], seconds["sarcore"], memory.get(n)) for n in calls]
    for each in rows if case.images else ():
        each["images_per_s"] = significant(1e3 * case.images / each["ms"])
    if device == "cuda":
        add_device_times(rows, calls, count)
    entry = {"op": case.op, "name": case.name, "shape": list(case.shape), "about": case.about}
    return {**entry, "floor_bytes": workload.floor_bytes, "rows": rows}, left_out


def row(name: str, samples: list[float | None], base: list[float | None], memory: int | None) -> dict[str, Any]:
    return {
        "contestant": name,
        "ms": significant(1e3 * timing.median(samples)),
        "ratio": significant(timing.median_ratio(samples, base)),
        "rounds": sum(s is not None for s in samples),
        "extra_bytes": memory,
    }


def add_device_times(rows: list[dict[str, Any]], calls: dict[str, Any], count: int) -> None:
    """Kernel time and CUDA-graph replay, each interleaved in the same way."""
    graphs = {name: graph for name, call in calls.items() if (graph := timing.capture(call)) is not None}
    for key, subjects in (("kernel", calls), ("graph", graphs)):
        samples = timing.interleave(subjects, set(), timing.kernel_time, max(3, count // 3), 0)
        for entry in rows:
            own = samples.get(entry["contestant"])
            entry[f"{key}_ms"] = None if own is None else significant(1e3 * timing.median(own))
            comparable = own is not None and "sarcore" in samples
            entry[f"{key}_ratio"] = significant(timing.median_ratio(own, samples["sarcore"])) if comparable else None


def significant(value: float) -> float:
    return float(f"{value:.4g}")


def report(record: dict[str, Any], arguments: argparse.Namespace) -> None:
    text = tables.markdown(record)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    if arguments.out:
        # A part of the operators does not replace the record of all.
        parts = [record["machine"]["name"], *(arguments.ops if len(arguments.ops) < len(CASES) else ())]
        file = timing.write_record(arguments.out, "-".join(parts), record, quick=arguments.quick)
        say(f"wrote {file}")


if __name__ == "__main__":
    main()
