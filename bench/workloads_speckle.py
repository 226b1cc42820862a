"""The workloads of `speckle`: forward, float32, intensities."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import peers_speckle as peers
import torch
from workloads import Case, Contestant, Outcome, Workload, copy_of, differ, scene

from sarcore import ops

OPS = ("speckle",)
LOOKS = (1.0, 4.0, 2.7)
SHAPES = {
    "tiny": (4, 1, 64, 64),
    "S1": (64, 1, 160, 160),
    "S2": (1, 1, 4096, 4096),
    "S3": (1, 1, 8192, 8192),
}


def cases(op: str, device: str, quick: bool) -> list[Case]:
    """What is timed on a device, or a small image that only shows that everything runs and agrees."""
    names = ("tiny",) if quick else ("S1", "S2") if device == "cpu" else ("S1", "S3")
    return [case(op, name, looks) for looks in LOOKS for name in names]


def case(op: str, name: str, looks: float) -> Case:
    about = f"forward, {looks:g} look{'s' if looks != 1 else ''}, float32"
    build_it = functools.partial(build, SHAPES[name], looks)
    if name == "S1":  # a sampler of one thread takes a tenth of a second even there
        return Case(op, name, SHAPES[name], about, build_it, slow=0.03, slow_rounds=7)
    return Case(op, name, SHAPES[name], about, build_it, rounds=9)


def check_same(x: torch.Tensor, looks: float, contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    """Everybody draws numbers of its own: the mean within five standard errors, the variance within six."""
    message = differ(contestant, "speckle from a Gamma variable")
    assert got[0].shape == ours[0].shape, message(f"shape {tuple(got[0].shape)}")
    assert got[0].dtype == ours[0].dtype, message(f"dtype {got[0].dtype}")
    field = (got[0] / x).double()
    mean, variance, count = field.mean().item(), field.var().item(), field.numel()
    # The standard error of the variance of a Gamma variable: its excess kurtosis is 6 / looks.
    assert abs(mean - 1) < 5 / math.sqrt(looks * count), message(f"mean {mean:.5f} instead of 1")
    error = math.sqrt((2 + 6 / looks) / count)
    assert abs(variance * looks - 1) < 6 * error, message(f"variance {variance:.5f} instead of {1 / looks:.5f}")


def build(shape: tuple[int, ...], looks: float, device: str, compiled: bool) -> Workload:
    """The workload of one shape and number of looks."""
    torch.manual_seed(0)
    x = scene(shape, device)
    functions, left_out = _functions(looks, device, compiled)
    contestants = [Contestant(name, _call(f, x), compiled=name.endswith("compiled")) for name, f in functions]
    check = functools.partial(check_same, x, looks)
    return Workload(contestants, check, copy_of(8 * x.numel(), device), 8 * x.numel(), left_out)


def _call(function: peers.Speckle, x: torch.Tensor) -> Callable[[], Outcome]:
    return lambda: (function(x),)


def _functions(looks: float, device: str, compiled: bool) -> tuple[list[tuple[str, peers.Speckle]], list[str]]:
    left_out = []
    deepinv = peers.deepinv_noise(looks, device)
    if deepinv is None:
        left_out.append("deepinv does not import here; its formula in plain PyTorch takes its place")
    functions: list[tuple[str, peers.Speckle]] = [
        ("sarcore", lambda x: ops.speckle(x, looks, seed=0)),
        ("deepinv" if deepinv else "deepinv's formula", deepinv or (lambda x: peers.gamma_noise(x, looks))),
        ("torch.distributions", lambda x: peers.gamma_distribution(x, looks)),
        ("torch._standard_gamma", lambda x: peers.standard_gamma(x, looks)),
    ]
    if device == "cpu":
        functions.append(("NumPy", peers.numpy_gamma(looks)))
    else:
        left_out.append("NumPy's sampler runs on the CPU alone")
    if looks.is_integer():
        functions.append(("sum of exponentials", lambda x: peers.exponential_mean(x, int(looks))))
        if compiled:
            logs = torch.compile(functools.partial(peers.uniform_logs, looks=int(looks)), dynamic=False)
            functions.append(("logs of uniforms, compiled", logs))
    return functions, left_out
