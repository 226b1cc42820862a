"""How an experiment tells its caller where it is; the command line decides how that looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receiver of stages, training steps and remarks."""

    def stage(self, title: str, total: int) -> None:
        """A stage begins that counts to ``total`` (training steps, or patches)."""

    def step(self, step: int, logs: Mapping[str, float]) -> None:
        """The stage has reached ``step``; ``logs`` are its latest scalars."""

    def note(self, text: str) -> None:
        """One sentence worth keeping."""


class Silent:
    """A `Progress` that says nothing.

    >>> Silent().note("unheard")
    """

    def stage(self, title: str, total: int) -> None:
        """Say nothing."""

    def step(self, step: int, logs: Mapping[str, float]) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
