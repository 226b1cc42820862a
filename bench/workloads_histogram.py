"""The workloads of the histogram ops: forward and backward with respect to the first image."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import peers_histogram as peers
import torch
from workloads import Case, Contestant, Outcome, Workload, copy_of, differ

from sarcore import ops

BINS = 64
OMEGA = 0.001
OPS = ("soft_histogram", "histogram_loss", "joint_histogram", "mutual_information")
SHAPES = {"tiny": (2, 1, 24, 24), "H1": (64, 1, 80, 80), "H2": (64, 1, 160, 160), "H3": (512, 1, 160, 160)}
# Bytes per float32 pixel, forward and backward: the images are read twice, the gradient of the first is written once.
TRAFFIC = {"soft_histogram": 12, "histogram_loss": 20, "joint_histogram": 20, "mutual_information": 20}


def noise(shape: Sequence[int], device: str, seed: int = 0) -> torch.Tensor:
    """Pixels inside the range and off the kinks, where all formulas agree: bin k plus 0.01 to 0.99 of a bin."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randint(0, BINS - 1, tuple(shape), generator=generator)
    share = 0.01 + 0.98 * torch.rand(tuple(shape), generator=generator)
    return ((lower + 0.5 + share) / BINS).to(device)


def correlated(x: torch.Tensor, seed: int = 1) -> torch.Tensor:
    """Another image of the same scene: x with noise of four bins."""
    generator = torch.Generator().manual_seed(seed)
    y = x.cpu() + 4 / BINS * torch.randn(x.shape, generator=generator)
    return y.clamp(0.5 / BINS, 1 - 0.5 / BINS).to(x.device)


def cases(op: str, device: str, quick: bool) -> list[Case]:
    """What is timed on a device, or a small image that only shows that everything runs and agrees."""
    about = f"forward and backward, {BINS} bins, float32"
    names = ("tiny",) if quick else ("H1", "H2") if device == "cpu" else ("H1", "H2", "H3")
    found = [Case(op, n, SHAPES[n], about, functools.partial(build, op, SHAPES[n])) for n in names]
    if device == "cpu" and op == "mutual_information":
        found[1:] = [replace(c, not_compiled="H1 stands for it") for c in found[1:]]  # several minutes
    return found


def check_same(op: str, contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    """Raises AssertionError where a contestant computes something else than sarcore."""
    message = differ(contestant, op)
    if contestant.exact and op == "mutual_information":
        # The gradient holds the logarithm of cells with hardly any mass; fixed point and float32 round them apart.
        torch.testing.assert_close(got[0], ours[0], rtol=1e-4, atol=0.0, msg=message)
    elif contestant.exact:
        for a, b in zip(got, ours, strict=True):
            scale = b.abs().max().item()
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-4 * scale, msg=message)
        return
    ratio = (got[0] / ours[0]).flatten()
    assert bool(((ratio > 0.8) & (ratio < 1.25)).all()), message(f"results are {ratio.min():.2f} to {ratio.max():.2f}x")
    least = 0.999 if contestant.exact else 0.4
    cosine = torch.nn.functional.cosine_similarity(got[1].flatten(), ours[1].flatten(), dim=0).item()
    assert cosine > least, message(f"the gradients' cosine is {cosine:.2f}")


def build(op: str, shape: tuple[int, ...], device: str, compiled: bool) -> Workload:
    """The workload of one op at one shape."""
    x = noise(shape, device).requires_grad_()
    y = correlated(x.detach()) if op in ("joint_histogram", "mutual_information") else noise(shape, device, seed=1)
    if op == "mutual_information":
        with torch.no_grad():  # kornia stretches every image to the bin centres: give it images already stretched
            for image in (x, y):
                image[..., 0, 0], image[..., 0, 1] = 0.5 / BINS, 1 - 0.5 / BINS
    functions, left_out = _functions(op, device)
    upstream = torch.randn(functions[0][1](x, y).shape, generator=torch.Generator().manual_seed(2)).to(device)
    if op in ("histogram_loss", "mutual_information"):
        upstream = torch.ones_like(upstream)
    contestants = [Contestant(name, _gradient(f, x, y, upstream), exact) for name, f, exact in functions]
    if compiled:
        for name, f, exact in functions:
            if name not in ("sarcore", "tuned Function"):
                fast = torch.compile(f, dynamic=False)
                contestants.append(Contestant(f"{name}, compiled", _gradient(fast, x, y, upstream), exact, True))
    floor_bytes = x.numel() * TRAFFIC[op]
    check = functools.partial(check_same, op)
    return Workload(contestants, check, copy_of(floor_bytes, device), floor_bytes, left_out)


def _gradient(function: Callable[..., torch.Tensor], x: torch.Tensor, y: torch.Tensor, upstream: torch.Tensor) -> Any:
    def call() -> Outcome:
        result = function(x, y)
        return result.detach(), torch.autograd.grad(result, x, upstream)[0]

    return call


Named = tuple[str, Callable[..., torch.Tensor], bool]


def _functions(op: str, device: str) -> tuple[list[Named], list[str]]:
    if op in ("soft_histogram", "histogram_loss"):
        return _histogram_functions(op)
    if op == "joint_histogram":
        return [
            ("sarcore", lambda x, y: ops.joint_histogram(x, y, BINS), True),
            ("two dense matrices", lambda x, y: peers.dense_joint(x, y, BINS), True),
            ("scatter_add", lambda x, y: peers.scatter_joint(x, y, BINS), True),
        ], []
    return _information_functions(device)


def _histogram_functions(op: str) -> tuple[list[Named], list[str]]:
    left_out = []
    kornia = peers.kornia_histogram()
    if kornia is None:
        left_out.append("kornia is not installed; its formula in plain PyTorch takes its place")
    histograms = {
        "kornia" if kornia else "kornia's formula": kornia or peers.dense_histogram,
        "scatter_add": peers.scatter_histogram,
        "tuned Function": peers.tuned_histogram,
    }
    if op == "soft_histogram":
        ours: Named = ("sarcore", lambda x, y: ops.soft_histogram(x, BINS), True)  # noqa: ARG005
        return [ours, *((n, lambda x, y, h=h: h(x, BINS), True) for n, h in histograms.items())], left_out  # noqa: ARG005
    ours = ("sarcore", lambda x, y: ops.histogram_loss(x, y, BINS, omega=OMEGA), True)
    others = [(n, lambda x, y, h=h: peers.loss_of(h, x, y, BINS, OMEGA), True) for n, h in histograms.items()]
    return [ours, *others], left_out


def _information_functions(device: str) -> tuple[list[Named], list[str]]:
    functions: list[Named] = [("sarcore", lambda x, y: ops.mutual_information(x, y, BINS), True)]
    left_out = []
    monai, kornia = peers.monai_information(BINS, device), peers.kornia_information()
    if monai:
        functions.append(("MONAI", monai, False))
    else:
        left_out.append("MONAI is not installed; its formula in plain PyTorch takes its place")
        functions.append(("MONAI's formula", lambda x, y: peers.dense_information(x, y, BINS), False))
    if kornia:
        functions.append(("kornia", lambda x, y: kornia(x, y, BINS), False))
    else:
        left_out.append("kornia.losses.mutual_information_loss_2d needs kornia >= 0.9")
    functions.append(("scatter_add", lambda x, y: peers.information_of(peers.scatter_joint(x, y, BINS)), True))
    return functions, left_out
