"""The workloads of `resample`: a batch of patches to twice and to half the size, forward, and forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Callable

import peers_resample as peers
import torch
import torch.nn.functional as F
from workloads import Case, Contestant, Outcome, Workload, close_in_parts, copy_of, differ

from sarcore import ops

OPS = ("resample",)
# Each mode is a column. Growing, torch has no antialiased modes; its nearest modes and area shrink by picking pixels.
MODES = {
    "up": ("nearest-exact", "bilinear", "bicubic", "lanczos"),
    "down": ("bilinear", "bicubic", "lanczos", "area"),
}
SIDES = {"up": (80, 160), "down": (160, 80)}
COUNT, FEW = 5100, 6


def cases(op: str, device: str, quick: bool) -> list[Case]:  # noqa: ARG001
    """What is timed on a device, or a few patches that only show that everything runs and agrees."""
    return [
        case(op, direction, mode, backward, FEW if quick else COUNT)
        for direction, modes in MODES.items()
        for backward in (False, True)
        for mode in modes
    ]


def case(op: str, direction: str, mode: str, backward: bool, count: int) -> Case:
    before, after = SIDES[direction]
    about = f"{before} x {before} to {after} x {after}{', antialiased' if direction == 'down' else ''}"
    about += f", float32, forward{' and backward' if backward else ''}"
    build_it = functools.partial(build, count, direction, mode, backward)
    return Case(op, mode, (count, 1, before, before), about, build_it, rounds=9)


def check_same(contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    """Exact contestants agree to 1e-5 of the range, gradients to 1e-5; OpenCV's Lanczos is another one."""
    assert got[0].dtype == ours[0].dtype, differ(contestant, "dtype")(str(got[0].dtype))
    close_in_parts(got[0], ours[0], differ(contestant, "the result"), 1e-5 if contestant.exact else 0.2)
    for a, b in zip(got[1:], ours[1:], strict=True):
        close_in_parts(a, b, differ(contestant, "gradient"), 1e-5)


def build(count: int, direction: str, mode: str, backward: bool, device: str, compiled: bool) -> Workload:
    """The workload of one mode and direction."""
    before, after = SIDES[direction]
    x = torch.rand(count, 1, before, before, generator=torch.Generator().manual_seed(0)).to(device)
    functions, left_out = _functions(mode, direction, device, backward)
    if compiled:
        functions += [(f"{n}, compiled", torch.compile(f, dynamic=False)) for n, f in functions if n == "F.interpolate"]
    moved = 4 * count * (before**2 + after**2)
    if backward:
        x.requires_grad_()
        moved *= 2
        upstream = torch.randn(count, 1, after, after, generator=torch.Generator().manual_seed(1)).to(device)
        calls = [(n, _gradient(f, x, upstream)) for n, f in functions]
    else:
        calls = [(n, _forward(f, x)) for n, f in functions]
    contestants = [
        Contestant(n, call, exact=(n, mode) != ("OpenCV", "lanczos"), compiled=n.endswith("compiled"))
        for n, call in calls
    ]
    return Workload(contestants, check_same, copy_of(moved, device), moved, left_out)


def _forward(function: peers.Resample, x: torch.Tensor) -> Callable[[], Outcome]:
    return lambda: (function(x),)


def _gradient(function: peers.Resample, x: torch.Tensor, upstream: torch.Tensor) -> Callable[[], Outcome]:
    def call() -> Outcome:
        result = function(x)
        return result.detach(), torch.autograd.grad(result, x, upstream)[0]

    return call


def _functions(
    mode: str, direction: str, device: str, backward: bool
) -> tuple[list[tuple[str, peers.Resample]], list[str]]:
    (before, after), shrinks, left_out = SIDES[direction], direction == "down", []
    functions: list[tuple[str, peers.Resample]] = [("sarcore", lambda x: ops.resample(x, after, mode=mode))]
    if mode == "lanczos" and device == "cuda":
        left_out.append("F.interpolate has Lanczos on the CPU alone")
    else:
        functions.append(("F.interpolate", peers.torch_resample(mode, after, shrinks)))
    if mode == "nearest-exact":
        functions.append(("one copy of a view", peers.doubled))
    else:
        functions.append(("two matrix products", peers.matrix_resample(mode, before, after, device)))
    if mode == "area":
        functions.append(("F.avg_pool2d", lambda x: F.avg_pool2d(x, 2)))
    if device == "cuda":
        return functions, [*left_out, "Pillow and OpenCV resample on the CPU alone"]
    if not backward:
        loops = {"Pillow": peers.pillow_resample, "OpenCV": peers.opencv_resample}
        found = {name: make(mode, after, shrinks) for name, make in loops.items()}
        functions += [(name, function) for name, function in found.items() if function]
        missing = {"Pillow": "PIL.Image", "OpenCV": "cv2"}
        left_out += [f"{name} is not installed" for name, module in missing.items() if peers.load(module) is None]
    return functions, left_out
