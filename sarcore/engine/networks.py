"""How the networks of a task lie on their device while they are trained."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from sarcore.engine.config import FitConfig
from sarcore.engine.distributed import broadcast_state, world_size


@contextlib.contextmanager
def prepared(task: nn.Module, config: FitConfig, device: torch.device) -> Iterator[None]:
    """Within the block the task is as `config` asks; the names in its state_dict stay what they are.

    It is moved to the device for good, and so are the layout of its weights, those of the main process, and batch
    statistics over all processes. It is compiled, and PyTorch deterministic, within the block only.
    """
    task.to(device)
    if config.channels_last:
        task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world_size() > 1:
        from sarcore.engine.sync_norm import synchronise_batch_norm  # loads PyTorch's compiler, which takes seconds

        synchronise_batch_norm(task)
        broadcast_state(task)
    # Network by network: a training step has several, with steps of optimizers in between.
    networks = [child for child in task.children() if any(True for _ in child.parameters())] if config.compile else []
    for network in networks:
        network.compile()
    try:
        with _deterministic() if config.deterministic else contextlib.nullcontext():
            yield
    finally:
        for network in networks:
            network._compiled_call_impl = None


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark


def channels_last(batch: Any) -> Any:
    """The images (N, C, H, W) of a batch with their channels last in memory; everything else as it is."""

    def laid_out(tensor: Tensor) -> Tensor:
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    return apply_to_collection(batch, Tensor, laid_out)
