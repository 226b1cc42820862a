"""Processes for tests: children of a server that has imported everything once start in a moment."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import torch
import torch.distributed as dist

# The server has no threads that a fork could harm.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lightning_fabric", "torch._dynamo", "torchmetrics", "sarcore.engine.sync_norm"])


def start(function: Callable, *args, environment: dict | None = None, **kwargs) -> BaseProcess:
    """`function(*args, **kwargs)` in a process of its own."""
    process = PROCESSES.Process(target=_work, args=(environment or {}, function, args, kwargs))
    process.start()
    return process


def _work(environment: dict, function: Callable, args: tuple, kwargs: dict) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    function(*args, **kwargs)


def start_all(count: int, function: Callable, *args, **kwargs) -> list[BaseProcess]:
    """`start` so many processes, with what torchrun would tell them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    told = [{**common, "RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": "test"} for rank in range(count)]
    return [start(function, *args, environment={n: str(v) for n, v in each.items()}, **kwargs) for each in told]


def join(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def run_group(count: int, function: Callable, *args) -> None:
    """`function(rank, *args)` in so many processes that talk over gloo; all must end well."""
    join(start_all(count, _in_group, function, *args))


def _in_group(function: Callable, *args) -> None:
    dist.init_process_group("gloo")
    function(dist.get_rank(), *args)
    dist.destroy_process_group()
