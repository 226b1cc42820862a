"""Data sets for the tests of the input, and how these read batches."""

import contextlib
import multiprocessing
import os
import random
import signal

import numpy as np
import torch
from torch.utils.data import Dataset

from sarcore.engine.batches import batches


def as_is(batch):
    return batch


def read(dataset, order, start=0, count=5, *, num_workers=0, **options):
    """Some batches, as lists of tensors."""
    source = batches(dataset, order, start, num_workers=num_workers, to_device=as_is, **options)
    with contextlib.closing(source):
        return [list(batch) for _, batch in zip(range(count), source, strict=False)]


class Drawn(Dataset):
    """Items that draw from every global generator, more or less often."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        numbers = [torch.rand(()).item(), np.random.rand(), random.random()]  # noqa: NPY002
        torch.rand(i)
        return torch.tensor(numbers), i


class Broken(Dataset):
    """Item 3 cannot be read."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if i == 3:
            raise self.error
        return torch.tensor(i)


class TwoWordsError(Exception):
    """An exception that pickle cannot make again."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class Slow(Dataset):
    """The first item is there at once, the others never."""

    def __len__(self):
        return 1000

    def __getitem__(self, i):
        if multiprocessing.parent_process() is not None and self.later:
            signal.pause()
        self.later = True
        return torch.tensor(os.getpid())

    later = False
