"""The price of a call on a tiny tensor, and of an image that is all one value."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import peers_histogram as peers
import timing
import torch
import torch.nn.functional as F
import workloads_histogram as workloads

from sarcore import ops


def per_call(call: Callable[[], Any], repeats: int = 200) -> float:
    """Seconds per call of a short loop; on CUDA nothing is waited for, so that it is the CPU's price."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def tiny_calls(device: str) -> dict[str, Callable[[], Any]]:
    """Calls on a 1 x 1 x 4 x 4 tensor."""
    x = torch.rand(1, 1, 4, 4, device=device)
    calls: dict[str, Callable[[], Any]] = {
        "torch.mul(x, x)": lambda: torch.mul(x, x),
        "torch.histc(x, 64, 0, 1)": lambda: torch.histc(x, 64, 0.0, 1.0),
        "torch.ops.sarcore.soft_histogram": lambda: torch.ops.sarcore.soft_histogram(x, None, 64, 0.0, 1.0, "linear"),
        "sarcore.ops.soft_histogram": lambda: ops.soft_histogram(x, 64),
        "sarcore.ops.speckle": lambda: ops.speckle(x, seed=0),
        "sarcore.ops.despeckle, lee 3 x 3": lambda: ops.despeckle(x, "lee", 3),
        "sarcore.ops.extract_patches, 2 x 2": lambda: ops.extract_patches(x[0], 2),
        "sarcore.ops.resample, to 8 x 8": lambda: ops.resample(x, 8),
        "F.interpolate, to 8 x 8": lambda: F.interpolate(x, size=(8, 8), mode="bicubic", align_corners=False),
        "scatter_add composition": lambda: peers.scatter_histogram(x, 64),
    }
    kornia = peers.kornia_histogram()
    if kornia is not None:
        calls["kornia.enhance.image_histogram2d"] = lambda: kornia(x, 64)
    return calls


def call_overhead(device: str, rounds: int = 31) -> list[dict[str, Any]]:
    """Microseconds per call on a tiny tensor without gradient, in turn with `torch.mul`."""
    calls = tiny_calls(device)
    with torch.no_grad():
        for call in calls.values():
            per_call(call, 20)
        samples = timing.interleave(calls, set(), per_call, rounds, 0)
    timing.synchronize(device)
    mul = samples["torch.mul(x, x)"]
    return [
        {"call": n, "us": round(1e6 * timing.median(s), 2), "ratio": round(timing.median_ratio(s, mul), 2)}
        for n, s in samples.items()
    ]


def images(shape: str, device: str) -> dict[str, torch.Tensor]:
    """Noise, and images of which all or half the pixels have one value, as at the border of a scene."""
    noise = workloads.noise(workloads.SHAPES[shape], device)
    half = noise.clone()
    half[..., : noise.shape[-1] // 2] = 0.0
    return {
        "noise": noise,
        "zeros": torch.zeros_like(noise),
        "constant 0.3": torch.full_like(noise, 0.3),
        "half zeros": half,
    }


def constant_image(shape: str, device: str, rounds: int = 9) -> list[dict[str, Any]]:
    """How many times longer a constant image takes than noise: all its pixels fall into one bin."""
    batch = images(shape, device)
    results = []
    for op in ("soft_histogram", "joint_histogram"):
        with torch.no_grad():
            samples = timing.interleave(constant_calls(op, batch), set(), _sampler(device), rounds, 0)
        for method in ("sarcore", "scatter_add"):
            base = samples[f"{method}/noise"]
            ratios = {n: timing.median_ratio(samples[f"{method}/{n}"], base) for n in batch if n != "noise"}
            results.append({"op": op, "contestant": method, "ratios": {n: round(r, 3) for n, r in ratios.items()}})
    return results


def _sampler(device: str) -> Callable[[Callable[[], Any]], float]:
    if device == "cuda":
        return timing.kernel_time
    return lambda call: timing.wall(call, device)


def constant_calls(op: str, batch: dict[str, torch.Tensor]) -> dict[str, Callable[[], Any]]:
    calls: dict[str, Callable[[], Any]] = {}
    for name, x in batch.items():
        if op == "soft_histogram":
            calls[f"sarcore/{name}"] = lambda x=x: ops.soft_histogram(x, workloads.BINS)
            calls[f"scatter_add/{name}"] = lambda x=x: peers.scatter_histogram(x, workloads.BINS)
        else:
            calls[f"sarcore/{name}"] = lambda x=x: ops.joint_histogram(x, x, workloads.BINS)
            calls[f"scatter_add/{name}"] = lambda x=x: peers.scatter_joint(x, x, workloads.BINS)
    return calls
