"""What `state.pt` may hold: that which `torch.load(weights_only=True)` gives back."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, set, type(None), torch.Size, torch.dtype, torch.device)


def readable(value: Any, name: str = "state") -> Any:
    """The value as it will be read back: numbers of NumPy, as a schedule may have computed them, become Python's.

    Checked when it is saved, because a run whose checkpoints cannot be read has lost all of them.

    >>> readable({"lr": [np.float64(0.5)]})
    {'lr': [0.5]}

    Raises:
        TypeError: it holds something that could not be read back.
    """
    if isinstance(value, (np.number, np.bool_)):
        value = value.item()
    if isinstance(value, Tensor) or type(value) in _PLAIN:
        return value
    if type(value) in (list, tuple):
        return type(value)(readable(part, f"{name}[{place}]") for place, part in enumerate(value))
    if isinstance(value, dict):
        parts = {readable(key, f"a key of {name}"): readable(part, f"{name}[{key!r}]") for key, part in value.items()}
        return type(value)(parts) if type(value) in (OrderedDict, Counter) else parts
    raise TypeError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot give back; keep numbers, strings, tensors and "
        "containers of them in the state of optimizers and schedulers."
    )
