"""The states of the global random generators, in a form that `torch.load(weights_only=True)` reads back."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

_DRAWS = 1  # tells the seed of the draws from others that are derived from the same number


def rng_state() -> dict[str, Any]:
    """States of the generators of PyTorch (CPU and every CUDA device in use), NumPy's legacy one and Python's."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  # the legacy generator is what tasks may draw from
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda else [],
        "numpy": (str(name), np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)),
        "python": random.getstate(),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the generators back to what `rng_state` saw; CUDA devices that are not here now are passed over."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        for device, saved in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(saved, device)
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])


def draw_generator(seed: int) -> torch.Generator:
    """The CPU generator of a model's draws, equal in every process; none of its numbers are those of `seed_all(seed)`.

    >>> torch.equal(torch.rand(3, generator=draw_generator(0)), torch.rand(3, generator=draw_generator(0)))
    True
    """
    derived = np.random.SeedSequence((seed, _DRAWS)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(derived) >> 1)


def seed_all(seed: int) -> None:
    """Seed every global generator."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


@contextlib.contextmanager
def preserved_rng() -> Iterator[None]:
    """Leave the generators as they were found, whatever the block draws."""
    saved = rng_state()
    try:
        yield
    finally:
        set_rng_state(saved)
