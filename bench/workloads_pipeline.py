"""One workload end to end: scene, patches, speckle, larger patches, histogram loss and its gradient at the patches."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import peers_patches
import peers_pipeline as peers
import torch
from workloads import Case, Contestant, Outcome, Workload, copy_of, differ
from workloads_patches import amplitudes

from sarcore import Radiometry, ops

OPS = ("end_to_end",)
ABOUT = (
    "training step on a uint16 scene, float32: patches of 80 x 80, logarithm and normalise, speckle of four looks, "
    "bicubic to 160 x 160, histogram loss, backward; batches of 64"
)
SETTINGS = peers.Settings(size=80, large=160, looks=4.0, bins=64, omega=0.001)
SHAPES = {"tiny": (160, 240), "P1": (1280, 1280), "P2": (5120, 5120)}
BATCH = 64
# Limits so wide that speckle drives hardly a pixel out of them: histograms differ in what they do with those.
DECIBELS = 200.0
RADIOMETRY = Radiometry("amplitude", 0, DECIBELS, scale="db")
FINISH = peers_patches.Finish(0.0, DECIBELS / 20 * math.log(10))


def cases(op: str, device: str, quick: bool) -> list[Case]:
    """What is timed on a device, or a small scene that only shows that everything runs and agrees."""
    name = "tiny" if quick else "P1" if device == "cpu" else "P2"
    shape = SHAPES[name]
    images = (shape[0] // SETTINGS.size) * (shape[1] // SETTINGS.size)
    build_it = functools.partial(build, shape)
    return [Case(op, name, shape, ABOUT, build_it, rounds=9, slow=1.0, slow_rounds=2, images=images)]


def check_same(contestant: Contestant, got: Outcome, ours: Outcome) -> None:
    """Everybody draws speckle of its own: the losses within 3 %, the size of the gradients within 10 %."""
    message = differ(contestant, "the histogram loss of a scene")
    for a, b in zip(got, ours, strict=True):
        assert a.shape == b.shape, message(f"shapes {tuple(a.shape)} and {tuple(b.shape)}")
    loss = (got[0].mean() / ours[0].mean()).item()
    assert abs(loss - 1) < 0.03, message(f"{loss:.3f} times our loss")
    size = (got[1].norm() / ours[1].norm()).item()
    assert abs(size - 1) < 0.1, message(f"{size:.3f} times the norm of our gradient")


def build(shape: tuple[int, int], device: str, compiled: bool) -> Workload:
    """The workload of one scene."""
    image = amplitudes(shape, device)
    count = min(BATCH, image.numel() // SETTINGS.size**2)
    side = SETTINGS.large
    targets = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    others, left_out = peers.contestants(SETTINGS, FINISH)
    if compiled:
        others += [(f"{n}, compiled", cut, torch.compile(f, dynamic=False)) for n, cut, f in others if n == "PyTorch"]
    contestants = [
        Contestant(n, _call(cut, loss, image, targets), compiled=n.endswith("compiled"))
        for n, cut, loss in [("sarcore", _cut, _loss), *others]
    ]
    moved = image.numel() * (2 + 2 * 4 * (side // SETTINGS.size) ** 2 + 4)  # scene, patches and targets, gradients
    return Workload(contestants, check_same, copy_of(moved, device), moved, left_out)


def _call(cut: peers.Cut, loss: peers.Loss, image: torch.Tensor, targets: torch.Tensor) -> Callable[[], Outcome]:
    return lambda: peers.gradients(cut, loss, image, targets)


def _cut(scene: torch.Tensor) -> torch.Tensor:
    return ops.extract_patches(scene, SETTINGS.size, radiometry=RADIOMETRY)


def _loss(x: torch.Tensor, target: torch.Tensor, first: int) -> torch.Tensor:
    index = torch.arange(first, first + len(x), device=x.device)  # speckle of its own for every patch
    speckled = ops.speckle(x, SETTINGS.looks, seed=0, index=index)
    large = ops.resample(speckled, SETTINGS.large, mode="bicubic", range=(0.0, 1.0))
    return ops.histogram_loss(large, target, SETTINGS.bins, omega=SETTINGS.omega)
