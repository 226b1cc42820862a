"""What each of several processes does in test_engine_distributed.py: started by torchrun, or alone for comparison."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchmetrics import MeanMetric

from sarcore.engine import FitConfig, Interrupted, Validation, fit
from sarcore.engine.distributed import agree, average_gradients, from_main, gather, rank, world_size
from sarcore.engine.sync_norm import SyncBatchNorm
from sarcore.errors import DataError
from sarcore.models import (
    BEGAN,
    BEGANConfig,
    Classifier,
    ClassifierConfig,
    CycleGAN,
    CycleGANConfig,
    Pix2Pix,
    Pix2PixConfig,
)


def patches(size: int, n: int = 24) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    return TensorDataset(torch.rand(n, 1, size, size, generator=generator), torch.arange(n) % 3)


def task(name: str) -> tuple[nn.Module, TensorDataset]:
    torch.manual_seed(rank())  # the weights of the main process are to reach all
    if name == "began":
        return BEGAN(BEGANConfig.preset("sarcore", size=20, width=4)), patches(20)
    if name in ("cyclegan", "pix2pix"):
        return translation(name)
    config = ClassifierConfig(
        depth=18, classes=3, head=(16,), augment="speckle", optimizer="sgd", lr=0.01, warmup_steps=1, total_steps=4
    )
    # In float64: statistics of eight values make rounding grow beyond 1e-5 within three steps in any implementation.
    return Classifier(config).double(), TensorDataset(patches(16).tensors[0].double(), patches(16).tensors[1])


def translation(name: str) -> tuple[nn.Module, TensorDataset]:
    """A pool that is full after the second step, learnt looks, a rate that falls; in float64 as the classifier."""
    small: dict[str, Any] = {"width": 4, "d_width": 4, "d_layers": 2, "total_steps": 4, "structure_weight": 1.0}
    small |= {"speckle_looks": 2.0, "learn_looks": True}
    model = (
        CycleGAN(CycleGANConfig(**small, depth=1, pool=12, pool_size=24))
        if name == "cyclegan"
        else Pix2Pix(
            Pix2PixConfig(**small, depth=3, dropout=False, direction="BtoA")
        )  # batch norm, and one draw per image
    )
    a, b = patches(24).tensors[0].double(), torch.cat([patches(24, 72).tensors[0][24 * c :][:24] for c in range(3)], 1)
    model.fix_samples(a[:2], b[:2].double())
    return model.double(), TensorDataset(a, b.double())


def settings(accumulate: int, **changes: Any) -> FitConfig:
    every = {"log_every": 1, "sample_every": 2, "checkpoint_every": 4, "clip_norm": 1.0}
    return FitConfig(
        **{"steps": 4, "batch_size": 8, "accumulate": accumulate, "accelerator": "cpu", **every, **changes}
    )


def validation(data: TensorDataset) -> Validation:
    def step(model: nn.Module, batch: Any, metrics: Any) -> None:
        metrics["error"].update((model.discriminator(batch[0]) - batch[0]).abs().mean((1, 2, 3)))

    subset = TensorDataset(*(t[:13] for t in data.tensors))  # an odd number: nothing may be counted twice
    return Validation(subset, {"error": MeanMetric()}, step, "error", "min", batch_size=4)


def train(out: Path) -> None:
    """All models, in 1 and 2 parts; then a stop that only one process asks for, and a resume."""
    for name in ("began", "classifier", "cyclegan", "pix2pix"):
        for accumulate in (1, 2):
            run = out / f"{name}{accumulate}"
            model, data = task(name)
            held, ema = (validation(data), 0.9) if name == "began" else (None, 0.0)
            fit(model, data, settings(accumulate, ema=ema), run, validation=held)
            weights = torch.cat([t.double().reshape(-1) for t in model.state_dict().values()])
            sums = gather(float(weights.sum()))
            assert len(set(sums)) == 1, sums

    def stop(step: int, logs: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    model, data = task("began")
    options: dict[str, Any] = {"validation": validation(data)}
    with contextlib.suppress(Interrupted):
        fit(model, data, settings(1, ema=0.9), out / "stopped", on_step=stop, **options)
        raise AssertionError("the main process asked to stop")
    fit(task("began")[0], data, settings(1, ema=0.9), out / "stopped", **options)


def exchange() -> dict[str, Any]:
    """Votes, errors and gradients."""
    found: dict[str, Any] = {"agree": [agree(rank() == 1), agree(False)], "main": from_main(rank)}
    try:
        from_main(lambda: (_ for _ in ()).throw(DataError("no such folder")))
    except DataError as error:
        found["error"] = str(error)
    weights = [nn.Parameter(torch.zeros(2, 2)) for _ in range(3)] + [nn.Parameter(torch.zeros(3, dtype=torch.float64))]
    weights[0].grad = torch.full((2, 2), float(rank())).t()
    if rank() == 1:
        weights[1].grad = torch.ones(2, 2)
    weights[3].grad = torch.arange(3.0, dtype=torch.float64) + rank()
    average_gradients(weights)
    found["grads"] = [None if w.grad is None else w.grad.flatten().tolist() for w in weights]
    return found


def norms() -> list[float]:
    """Largest differences between the synchronised norm on a share and the plain one on the whole batch."""
    generator = torch.Generator().manual_seed(3)
    worst = []
    for shape, momentum in (((8, 3), 0.1), ((8, 3, 5, 4), None), ((4, 2, 3, 3, 3), 0.3)):
        plain = (nn.BatchNorm1d, None, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape) - 2](shape[1], momentum=momentum)
        synced = SyncBatchNorm(shape[1], momentum=momentum)
        plain, synced = plain.double(), synced.double()
        mine = slice(rank() * shape[0] // world_size(), (rank() + 1) * shape[0] // world_size())
        for _ in range(3):
            x = 100 + torch.randn(shape, generator=generator, dtype=torch.float64)  # far from zero
            factor = torch.randn(shape, generator=generator, dtype=torch.float64)
            whole, share = x.clone().requires_grad_(), x[mine].clone().requires_grad_()
            expected, got = plain(whole), synced(share)
            (expected * factor).mean().backward()
            (got * factor[mine]).mean().backward()
            average_gradients(synced.parameters())
            pairs = [(expected[mine], got), (whole.grad[mine] * world_size(), share.grad)]
            pairs += [(a.grad, b.grad) for a, b in zip(plain.parameters(), synced.parameters(), strict=True)]
            pairs += [(a, b) for a, b in zip(plain.buffers(), synced.buffers(), strict=True)]
            worst += [float((a - b).detach().abs().max()) for a, b in pairs]
            for norm in (plain, synced):
                norm.zero_grad()
    assert plain.state_dict().keys() == synced.state_dict().keys()
    return worst


def main(out: Path) -> None:
    train(out)
    if world_size() > 1:
        (out / f"rank{rank()}.json").write_text(json.dumps({**exchange(), "norms": norms()}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
