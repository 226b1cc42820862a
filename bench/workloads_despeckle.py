"""The workloads of `despeckle`: forward, float32, one look; the Lee filter against its peers, our others against it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import peers_despeckle as peers
import torch
from workloads import Case, Contestant, Outcome, Workload, copy_of, differ, scene

from sarcore import ops

OPS = ("despeckle",)
WINDOW, LOOKS = 7, 1.0
SHAPES = {
    "tiny": (2, 1, 40, 40),
    "D0": (1, 1, 512, 512),
    "D1": (64, 1, 160, 160),
    "D2": (1, 1, 8192, 8192),
}
OURS: dict[str, dict[str, Any]] = {
    "sarcore": {},
    "sarcore, lee 3 x 3": {"other_window": 3},
    "sarcore, lee 15 x 15": {"other_window": 15},
    **{f"sarcore, {m}": {"method": m} for m in ("boxcar", "kuan", "enhanced_lee", "gamma_map", "frost", "refined_lee")},
}
# What our own rows must equal, as (formula, window); the others are compared by their statistics.
FORMULAS: dict[str, tuple[peers.Filter, int]] = {
    "sarcore": (peers.torch_lee, WINDOW),
    "sarcore, lee 3 x 3": (peers.torch_lee, 3),
    "sarcore, lee 15 x 15": (peers.torch_lee, 15),
    "sarcore, boxcar": (lambda x, window, looks: peers.box_mean(x, window), WINDOW),  # noqa: ARG005
    "sarcore, kuan": (peers.torch_kuan, WINDOW),
}
PYTHON_LOOPS = ("findpeaks", "findpeaks' formula")


def cases(op: str, device: str, quick: bool) -> list[Case]:
    """What is timed on a device, or a small image that only shows that everything runs and agrees."""
    names = ("tiny",) if quick else ("D1", "D2") if device == "cuda" else ("D0", "D1", "D2")
    return [case(op, name, device) for name in names]


def case(op: str, name: str, device: str) -> Case:
    about = f"Lee {WINDOW} x {WINDOW} unless named, forward, float32"
    found = Case(op, name, SHAPES[name], about, functools.partial(build, name))
    if device == "cpu" and name in ("D0", "D2"):  # at D2 some ten seconds a call
        found = replace(found, not_compiled="D1 stands for it")
    return replace(found, rounds=7) if name == "D2" else replace(found, slow=0.1, slow_rounds=7)


def check_same(x: torch.Tensor, contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    """Exact peers agree off the border, which scipy reflects in another way; our other filters agree with formulas."""
    message = differ(contestant, "despeckling")
    half, y = WINDOW // 2, got[0]
    if contestant.name in FORMULAS:
        formula, window = FORMULAS[contestant.name]
        part = x[..., :96, :96].double()
        half, want = window // 2, formula(part, window, LOOKS).to(x.dtype)
        _close(_inside(y[..., :96, :96], half), _inside(want, half), message)
    elif contestant.exact:
        _close(_inside(y, half), _inside(ours[0], half), message)
    elif contestant.name.startswith("sarcore"):
        assert bool(((y >= 0) & y.isfinite()).all()), message("negative or not finite")
        mean, contrast = (y.mean() / x.mean()).item(), (y.std() / x.std()).item()
        assert abs(mean - 1) < 0.1, message(f"{mean:.3f} times the mean of x")
        assert contrast < 0.95, message(f"{contrast:.3f} times the standard deviation of x")
    else:  # findpeaks leaves a row and a column of every window out
        mean = (_inside(y, half).mean() / _inside(ours[0], half).mean()).item()
        both = torch.stack([_inside(y, half).flatten(), _inside(ours[0], half).flatten()])
        likeness = torch.corrcoef(both)[0, 1].item()
        assert abs(mean - 1) < 0.02, message(f"{mean:.3f} times our mean")
        assert likeness > 0.9, message(f"the correlation is {likeness:.3f}")


def _inside(x: torch.Tensor, border: int) -> torch.Tensor:
    return x[..., border : x.shape[-2] - border, border : x.shape[-1] - border]


def _close(a: torch.Tensor, b: torch.Tensor, message: Callable[[str], str]) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.mean().item(), msg=message)


def build(name: str, device: str, compiled: bool) -> Workload:
    """The workload of one shape: a smooth scene under speckle of one look, without zeros."""
    generator = torch.Generator().manual_seed(0)
    field = torch.empty(SHAPES[name]).exponential_(generator=generator).clamp_min_(1e-6)
    x = field.mul_(scene(SHAPES[name], "cpu")).to(device)
    contestants = [
        Contestant(label, _call(functools.partial(_ours, **options), x), label in FORMULAS)
        for label, options in OURS.items()
    ]
    functions, left_out = _peers(name, device)
    contestants += [Contestant(n, _call(f, x), n not in PYTHON_LOOPS) for n, f in functions]
    if compiled:
        fast = torch.compile(functools.partial(peers.torch_lee, window=WINDOW, looks=LOOKS), dynamic=False)
        contestants.append(Contestant("torchgeo's formula, compiled", lambda: (fast(x),), compiled=True))
    check = functools.partial(check_same, x)
    return Workload(contestants, check, copy_of(8 * x.numel(), device), 8 * x.numel(), left_out)


def _ours(x: torch.Tensor, window: int, looks: float, method: str = "lee", other_window: int = 0) -> torch.Tensor:
    return ops.despeckle(x, method, other_window or window, looks)


def _call(function: peers.Filter, x: torch.Tensor) -> Callable[[], Outcome]:
    return lambda: (function(x, WINDOW, LOOKS),)


def _peers(name: str, device: str) -> tuple[list[tuple[str, peers.Filter]], list[str]]:
    functions: list[tuple[str, peers.Filter]] = []
    left_out = []
    torchgeo = peers.torchgeo_lee()
    functions.append(("torchgeo" if torchgeo else "torchgeo's formula", torchgeo or peers.torch_lee))
    if torchgeo is None:
        left_out.append("torchgeo.transforms.sar is not installed; its formula in plain PyTorch takes its place")
    if device == "cuda":
        return functions, [*left_out, "scipy, OpenCV and findpeaks run on the CPU alone"]
    for peer, load in (("scipy", peers.scipy_lee), ("OpenCV", peers.opencv_lee)):
        function = load()
        if function:
            functions.append((peer, function))
        else:
            left_out.append(f"{peer} is not installed")
    if name in ("tiny", "D0"):  # tens of microseconds a pixel
        findpeaks = peers.findpeaks_lee()
        functions.append(("findpeaks" if findpeaks else "findpeaks' formula", findpeaks or peers.python_lee()))
        if findpeaks is None:
            left_out.append("findpeaks is not installed; its loop in Python takes its place")
    return functions, left_out
