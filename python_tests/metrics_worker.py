"""Run by test_metrics_streaming.py: every metric, its batches spread unevenly over processes, against one process."""

import socket
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def work(rank: int, world: int, port: int) -> None:
    from test_metrics_streaming import ALL, batches, close, plain, updated  # found where this runs as a script alone

    torch.set_num_threads(1)
    expected = {name: close(updated(name, batches(name)).compute()) for name in ALL}  # no group yet: one process
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    for name in ALL:
        calls = batches(name)
        mine = {0: calls[1:], 1: calls[:1]}.get(rank, [])
        metric = updated(name, mine)
        if not mine:
            metric._update_count = 1  # no warning of a compute before any update, which is what is tested
        assert plain(metric.compute()) == expected[name], (rank, name)
    dist.destroy_process_group()


if __name__ == "__main__":
    from test_metrics_streaming import ALL

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forked, so that three processes import torch once.
    mp.start_processes(work, (int(sys.argv[1]), port), nprocs=int(sys.argv[1]), start_method="fork")
    sys.stdout.write(str(len(ALL)))
