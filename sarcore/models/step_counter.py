"""A step counter that is part of the state and never makes the host wait for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class StepCounter(nn.Module):
    """Counts training steps in a buffer, with a copy on the host.

    The buffer is saved with the model; the host copy spares a synchronisation per step and is read again
    from the buffer after a state was loaded.

    >>> counter = StepCounter()
    >>> counter.advance(), counter.advance()
    (1, 2)
    >>> int(counter.state_dict()["value"])
    2
    """

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros((), dtype=torch.int64))
        self._host: int | None = 0

    @property
    def current(self) -> int:
        """Steps done so far."""
        if self._host is None:
            self._host = int(self.value)
        return self._host

    def advance(self) -> int:
        """Add one step and return the new count."""
        self._host = self.current + 1
        self.value.fill_(self._host)
        return self._host

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._host = None
