"""What the workloads of all operators have in common: cases, contestants, how they are compared, the floor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import timing
import torch

Outcome = tuple[torch.Tensor, ...]  # the result and, where a workload goes backward, the gradient


@dataclass(frozen=True)
class Contestant:
    """One way of computing the workload."""

    name: str
    call: Callable[[], Outcome]
    exact: bool = True  # False: nearly the same quantity, so only nearly the same numbers
    compiled: bool = False


@dataclass(frozen=True)
class Workload:
    """Contestants that do the same, and the copy that moves the pixels they must move."""

    contestants: list[Contestant]
    check: Callable[[Contestant, Outcome, Outcome], None]  # AssertionError where one computes something else than ours
    floor: Callable[[], Any]
    floor_bytes: int
    left_out: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Contestant:
        return next(c for c in self.contestants if c.name == name)


@dataclass(frozen=True)
class Case:
    """One op at one shape with one set of parameters: a column, or on a GPU a table."""

    op: str
    name: str  # of the shape
    shape: tuple[int, ...]
    about: str  # what is computed, under the heading of the table; cases that share it share a table
    build: Callable[[str, bool], Workload]  # (device, with torch.compile)
    rounds: int = 21
    slow: float = timing.SLOW  # seconds a call: contestants above it take part in `slow_rounds` rounds only
    slow_rounds: int = 3
    not_compiled: str = ""  # why this case goes without torch.compile
    images: int = 0  # a call's, where the table tells images per second


def copy_of(count: int, device: str) -> Callable[[], Any]:
    """A copy that moves `count` bytes, half of them read and half written."""
    source = torch.rand(count // 8, device=device)
    destination = torch.empty_like(source).copy_(source)  # written, so that its pages exist
    return functools.partial(destination.copy_, source)


def differ(contestant: Contestant, what: str) -> Callable[[str], str]:
    """The message of a failed comparison."""
    return lambda difference: f"{contestant.name} and sarcore differ in {what}: {difference}"


def close_in_parts(got: torch.Tensor, want: torch.Tensor, message: Callable[[str], str], tolerance: float) -> None:
    """Whether all values agree to an absolute tolerance; part by part, as a comparison takes several times the space.

    0 compares exactly, and the types too."""
    assert got.shape == want.shape, message(f"shapes {tuple(got.shape)} and {tuple(want.shape)}")
    assert tolerance or got.dtype == want.dtype, message(f"dtypes {got.dtype} and {want.dtype}")
    for a, b in zip(got.split(1024), want.split(1024), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance, check_dtype=False, msg=message)


def scene(shape: Sequence[int], device: str) -> torch.Tensor:
    """A smooth positive radar cross section: hills a few tens of pixels wide over a factor of about ten."""
    n, c, h, w = shape
    image = torch.arange(n * c, dtype=torch.float32).reshape(n, c, 1, 1)
    y, x = torch.arange(h, dtype=torch.float32).reshape(h, 1), torch.arange(w, dtype=torch.float32)
    hills = torch.sin(0.031 * x + image) + torch.sin(0.047 * y - 0.5 * image)
    return hills.mul_(0.6).exp_().to(device)
