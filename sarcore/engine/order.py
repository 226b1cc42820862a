"""Which items make up the batch of a step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sarcore.errors import DataError


class BatchOrder:
    """Endless shuffled order: position p is item p mod N of the seeded permutation of epoch p // N.

    The batch of a step is a pure function of (length, batch_size, seed, step), so a resumed run needs no sampler
    state, only the step. A batch may span two epochs: no item is dropped and every batch is full.

    Raises:
        DataError: the data set has fewer items than one batch.

    >>> order = BatchOrder(length=5, batch_size=2, seed=0)
    >>> sorted(i for step in range(5) for i in order[step].tolist())
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        if length < batch_size:
            raise DataError(
                f"The data set has {length} images, fewer than one batch of {batch_size}; "
                f"give more images or a batch size of at most {max(length, 1)}."
            )
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self._epochs: dict[int, Tensor] = {}

    def __getitem__(self, step: int) -> Tensor:
        """Indices (batch_size,) of the batch that leads from `step` to `step + 1`."""
        start = step * self.batch_size
        stop = start + self.batch_size
        parts = []
        for epoch in range(start // self.length, (stop - 1) // self.length + 1):
            first = epoch * self.length
            parts.append(self._permutation(epoch)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e == epoch - 1}
            permutation = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            self._epochs[epoch] = torch.from_numpy(permutation)
        return self._epochs[epoch]

    def state(self, step: int) -> dict[str, int]:
        """What a checkpoint keeps, to refuse a resume with other data; `position` counts the items drawn so far."""
        return {
            "length": self.length,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "position": step * self.batch_size,
        }
