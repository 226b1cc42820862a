"""How fast the patches of a set come to the device, beside how fast a training takes them."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from sarcore.data import PatchFolder, patch_cache
from sarcore.data.patch_cache import MEMORY_LIMIT
from sarcore.data.shards import shard_place, stored_file
from sarcore.engine import BatchOrder
from sarcore.engine.batches import batches
from sarcore.experiments.patches import scenario_size
from sarcore.experiments.progress import Progress
from sarcore.models import BEGAN, BEGANConfig, Classifier, ClassifierConfig
from sarcore.models.step import PlainStep
from sarcore.ops import encode

Model = Literal["classifier", "began"]
_AHEAD = 1.5  # as fast as the step would be enough if both were always equally fast
_MOST_WORKERS = 16


@dataclass(frozen=True)
class LoaderSpeed:
    """Images per second by way of reading, slowest first; the last way is how a training of the set reads it."""

    rates: dict[str, float]
    step: float
    model: str
    device: str
    num_workers: int
    in_memory: bool
    in_shards: bool

    @property
    def ratio(self) -> float:
        """How many times as fast as the training step the loader is."""
        return list(self.rates.values())[-1] / self.step

    @property
    def verdict(self) -> str:
        """One sentence on what holds up a training, and what to do.

        >>> LoaderSpeed({"files": 50.0}, 100.0, "ResNet-50", "cpu", 0, False, False).verdict
        'The loader is the bottleneck, 0.5 times as fast as the training step: use --num-workers 3 or shards \
(sarcore tile --format shards).'
        """
        times = f"{self.ratio:.2g}" if self.ratio < 10 else f"{self.ratio:,.0f}"
        if self.ratio >= _AHEAD:
            return f"The loader is {times} times as fast as the training step."
        state = "is the bottleneck," if self.ratio < 1 else "hardly keeps up,"
        text = f"The loader {state} {times} times as fast as the training step"
        if self.in_memory:
            return f"{text}: the patches are in memory already; larger batches cost less per image."
        workers = min(_MOST_WORKERS, math.ceil(_AHEAD * max(self.num_workers, 1) / self.ratio))
        shards = "" if self.in_shards else " or shards (sarcore tile --format shards)"
        return f"{text}: use --num-workers {max(workers, self.num_workers + 1)}{shards}."


def measure_loader(
    data: Path,
    progress: Progress,
    *,
    model: Model = "classifier",
    depth: int = 50,
    width: int = 64,
    batch_size: int = 32,
    num_workers: int = 0,
    seconds: float = 5.0,
) -> LoaderSpeed:
    """Time the ways in which the engine reads a patch folder, and the step of a model, each for about ``seconds``.

    The step sees one batch again and again. Files are read cold first: the system is asked to forget them, which it
    does for those of local disks. Raises ``DataError`` for data that cannot be used, ``ValueError`` for numbers out of
    range.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}")
    folder = PatchFolder.open(data)
    order = BatchOrder(len(folder), batch_size, seed=0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rates = _reading(folder, order, num_workers, seconds, device, progress)
    network, images, name = _network(model, folder, order, depth, width, device)
    progress.stage(f"training step of {name}", 1)
    labels = folder.labels[order[0]].to(device)
    step = _rate(_steps(network, (images, labels)), batch_size, seconds, device)
    progress.step(1, {"images_per_second": step})
    cpu = f"cpu, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    where = torch.cuda.get_device_name() if device.type == "cuda" else cpu
    return LoaderSpeed(rates, step, name, where, num_workers, folder.nbytes <= MEMORY_LIMIT, _in_shards(folder))


def _in_shards(folder: PatchFolder) -> bool:
    return all(shard_place(path) is not None for path in folder.paths)


def _reading(
    folder: PatchFolder, order: BatchOrder, num_workers: int, seconds: float, device: torch.device, progress: Progress
) -> dict[str, float]:
    """Images per second by way of reading."""
    size, rates = order.batch_size, {}

    def time_it(title: str, patches: PatchFolder, memory_limit: int = 0, most: int | None = None) -> None:
        progress.stage(title, most or 1)
        source = batches(
            patches,
            order,
            0,
            num_workers=num_workers,
            to_device=lambda batch: apply_to_collection(batch, Tensor, Tensor.to, device, non_blocking=True),
            memory_limit=memory_limit,
        )
        with contextlib.closing(source):
            rates[title] = _rate(itertools.islice(source, most), size, seconds, device)
        progress.step(most or 1, {"images_per_second": rates[title]})

    stored = "shards" if _in_shards(folder) else "files"
    if _forget(folder):
        time_it(f"{stored}, cold", folder, most=max(2, len(folder) // size))
    time_it(f"{stored}, read before", folder)
    if folder.nbytes <= MEMORY_LIMIT:
        time_it("in memory", folder, MEMORY_LIMIT)
    elif not _in_shards(folder):
        progress.stage("decoding all patches once", len(folder))
        cached = patch_cache(folder, on_note=progress.note, on_patches=lambda done, _total: progress.step(done, {}))
        if cached is not folder:
            time_it("decoded copy", cached)
    return rates


def _rate(source: Iterator[Any], images: int, seconds: float, device: torch.device) -> float:
    """Images per second after the first batch, in which workers start and a GPU chooses its kernels."""
    begin = time.perf_counter()
    next(source)
    _wait(device)
    first = time.perf_counter() - begin
    if first >= seconds and device.type == "cpu":  # a large network on a small machine: once is enough
        return images / first
    count, begin = 0, time.perf_counter()
    for _ in source:
        count += 1
        if time.perf_counter() - begin >= seconds:
            break
    _wait(device)
    return count * images / max(time.perf_counter() - begin, 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget(folder: PatchFolder) -> bool:
    """Ask the system to drop the files from its memory; whether it could be asked."""
    advise: Callable[..., None] | None = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    for path in {stored_file(path) for path in folder.paths}:
        with open(path, "rb") as file:
            advise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def _network(
    model: Model, folder: PatchFolder, order: BatchOrder, depth: int, width: int, device: torch.device
) -> tuple[nn.Module, Tensor, str]:
    """The model, a batch of images for it, and its name."""
    images = encode(folder.native(order[0].tolist())[0], folder.radiometry)
    channels, side = folder.shape[0], folder.shape[-1]
    network: nn.Module
    if model == "began":
        size = scenario_size(side, "hard" if side % 2 else "simple")
        images = images[..., :size, :size].contiguous()
        network, name = BEGAN(BEGANConfig(size=size, channels=channels, width=width)), f"BEGAN {size} x {size}"
    else:
        classes = max(2, len(folder.classes))
        network = Classifier(ClassifierConfig(depth=depth, channels=channels, classes=classes))
        name = f"ResNet-{depth}"
    return network.to(device).train(), images.to(device), name


def _steps(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Iterator[None]:
    step = PlainStep(network.configure_optimizers())  # type: ignore[operator]  # models of ours
    while True:
        network.training_step(batch, step)  # type: ignore[operator]
        yield
