"""One training by several processes: who is who, what they agree upon, and the mean of their gradients."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sarcore.engine.config import FitConfig
from sarcore.errors import SarcoreError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_ENDED = re.compile(r"gloo.*(closed|reset|refused|timed out|broken pipe)", re.IGNORECASE)
BUCKET_BYTES = 64 << 20  # gradients that travel together: few messages, and little memory beside the gradients
T = TypeVar("T")


def rank() -> int:
    """Number of this process among those that torchrun started; 0 without torchrun.

    >>> rank()
    0
    """
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Number of processes that torchrun started; 1 without torchrun.

    >>> world_size()
    1
    """
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints.

    >>> is_main_process()
    True
    """
    return rank() == 0


def connect() -> None:
    """Bring the processes together, once; nothing to do for a single one.

    CPU tensors go through gloo, also where the training is on GPUs: what the processes agree upon waits for no GPU.
    """
    if world_size() == 1 or dist.is_initialized():
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(_disconnect)


def _disconnect() -> None:
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):  # another process may have died, whose error is the one to show
            dist.destroy_process_group()


def make_fabric(config: FitConfig) -> Fabric:
    """The device and the arithmetic of this process, connected with the others.

    Raises:
        SarcoreError: the accelerator is not there, or cannot do the precision.
    """
    # Here, because they take seconds to import, which all that reads checkpoints or run folders would wait for.
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    # It logs hints on stderr at level INFO; only the command line prints.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    several = world_size() > 1
    if several:
        connect()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would warn of is refused below
            fabric = Fabric(
                accelerator=config.accelerator,
                strategy=DDPStrategy() if several else "auto",
                devices=int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if several else 1,
                num_nodes=world_size() // int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if several else 1,
                precision=config.precision,
                # Named, so that Fabric does not look for schedulers by itself: within a SLURM job of several tasks a
                # single process is one all the same.
                plugins=[TorchElasticEnvironment() if several else LightningEnvironment()],
            )
            fabric.launch()
    except (ValueError, RuntimeError) as error:
        raise SarcoreError(
            f"accelerator {config.accelerator!r} cannot be used on this machine ({error}); give 'auto' or 'cpu'."
        ) from error
    if config.precision == "16-mixed" and fabric.device.type == "cpu":
        raise SarcoreError("precision '16-mixed' needs a GPU; on the CPU give '32-true' or 'bf16-mixed'.")
    return fabric


def agree(flag: bool) -> bool:
    """Whether any process says so; every process must ask, and all get the same answer.

    >>> agree(False)
    False
    """
    if world_size() == 1:
        return flag
    votes = torch.tensor([int(flag)])
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes)


def from_main(function: Callable[[], T]) -> T:
    """What `function()` gives in the main process, in every process; an error there is raised in all of them.

    >>> from_main(lambda: "read once")
    'read once'
    """
    if world_size() == 1:
        return function()
    connect()
    answer: list[Any] = [None, None]
    if is_main_process():
        try:
            answer = [function(), None]
        except Exception as error:
            answer = [None, error]
            dist.broadcast_object_list([None, _sendable(error)], src=0)
            raise
    dist.broadcast_object_list(answer, src=0)
    if answer[1] is not None:
        raise answer[1]
    result: T = answer[0]
    return result


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  # an error with arguments of its own: its sentence is what counts
        return SarcoreError(str(error))
    return error


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Within the block the end of another process, which ends this one as well, is an error that says so.

    Raises:
        SarcoreError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        words = " ".join(str(error).split())
        if world_size() == 1 or not (isinstance(error, dist.DistError) or _ENDED.search(words)):
            raise
        raise SarcoreError(
            f"Another process of this training has ended, its own message says why ({words[:200]}); "
            "start all of them again to continue from the last checkpoint."
        ) from error


def gather(value: T) -> list[T]:
    """The values of all processes in the order of their ranks, in every process."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes; a new tensor where there are several."""
    if world_size() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value.div_(world_size())


@torch.no_grad()
def broadcast_state(module: nn.Module) -> None:
    """Give the parameters and buffers of all processes the values of the main one."""
    if world_size() == 1:
        return
    for tensor in (*module.parameters(), *module.buffers()):
        plain = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(plain, src=0)
        tensor.copy_(plain)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes; nothing to do for a single one.

    Called once per update, after all backward passes: unlike the hooks of DistributedDataParallel it does not mind
    several passes over a shared network, parts of a batch, or weights that had no part in a loss. A weight without a
    gradient in every process keeps none; where only some have one, the others count as zero.
    """
    if world_size() == 1:
        return
    buckets = _buckets([p for p in parameters if p.requires_grad])
    sent = []
    for bucket in buckets:  # all are on their way before the first one is waited for
        flat = _flat(bucket)
        sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in sent:
        work.wait()
        _unpack(bucket, flat.div_(world_size()))


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    buckets: list[list[nn.Parameter]] = []
    open_ones: dict[tuple[torch.dtype, torch.device], int] = {}
    for parameter in parameters:
        kind, size = (parameter.dtype, parameter.device), parameter.numel() * parameter.element_size()
        if kind not in open_ones or open_ones[kind] + size > BUCKET_BYTES:
            buckets.append([])
            open_ones[kind] = 0
        last = next(b for b in reversed(buckets) if not b or (b[0].dtype, b[0].device) == kind)
        last.append(parameter)
        open_ones[kind] += size
    return buckets


def _flat(bucket: Sequence[nn.Parameter]) -> Tensor:
    # Behind the gradients stands for each whether there was one.
    there = bucket[0].new_tensor([float(p.grad is not None) for p in bucket])
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
    return torch.cat([*(grad.reshape(-1) for grad in grads), there])


def _unpack(bucket: Sequence[nn.Parameter], flat: Tensor) -> None:
    *means, there = flat.split([*(p.numel() for p in bucket), len(bucket)])
    mine = [(p.grad, m.view(p.shape)) for p, m in zip(bucket, means, strict=True) if p.grad is not None]
    if mine:
        torch._foreach_copy_([grad for grad, _ in mine], [values for _, values in mine])
    if len(mine) < len(bucket):  # only now the host has to look
        for parameter, values, found in zip(bucket, means, there.tolist(), strict=True):
            if parameter.grad is None and found:
                parameter.grad = values.view(parameter.shape).clone()
