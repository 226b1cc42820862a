"""Training with the engine beside bare PyTorch loops of the same step; losses are compared first.

python bench/bench_train.py [--device cpu|cuda] [--threads 2] [--models BEGAN ...] [--quick] [--switches]
                            [--rounds 15] [--out FOLDER] [--markdown FILE]
pytest bench/bench_train.py                          # only compares, on small networks
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import tables
import timing
import torch
import train_timing
import workloads_train
from workloads_train import Training

SECONDS = 1.0  # of a sample, about
SMALL = workloads_train.trainings("cpu", quick=True)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # the networks are too small for two; conftest puts the number back


@pytest.mark.parametrize("training", SMALL, ids=lambda t: t.model)
def test_losses_of_fit_are_those_of_a_bare_loop(training: Training) -> None:
    train_timing.compare(train_timing.Subject.of(training, "cpu"))


@pytest.mark.parametrize("switch", ["bf16", "channels_last"])
@pytest.mark.parametrize("training", [t for t in SMALL if t.model in ("BEGAN", "Pix2Pix")], ids=lambda t: t.model)
def test_switches_change_the_rounding_alone(training: Training, switch: str) -> None:
    train_timing.compare_switch(train_timing.Subject.of(training, "cpu"), switch)


def main() -> None:
    arguments = parse()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(arguments.threads)
    switches = train_timing.SWITCHES if device == "cuda" or arguments.switches else {}
    record: dict[str, Any] = {"machine": timing.machine(device), "trainings": [], "left_out": []}
    for training in workloads_train.trainings(device, arguments.quick):
        if training.model not in arguments.models:
            continue
        print(f"{training.model} {training.name}, batch {training.batch} ...", file=sys.stderr, flush=True)
        record["trainings"].append(entry(training, device, switches, arguments, record["left_out"]))
    text = markdown(record)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    if arguments.out:
        name = f"{record['machine']['name']}-train"
        timing.write_record(arguments.out, name, record, quick=arguments.quick)


def parse() -> argparse.Namespace:
    models = ("BEGAN", "ResNet-50", "ResNet-18", "CycleGAN", "Pix2Pix")
    parser = argparse.ArgumentParser(description="Time training with the engine against bare PyTorch loops.")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where torch sees a GPU, else cpu")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="CPU threads (default 2)")
    parser.add_argument("--models", nargs="+", choices=models, default=models, help="default: all")
    parser.add_argument("--quick", action="store_true", help="tiny networks, two rounds: does it run, is it equal?")
    parser.add_argument("--switches", action="store_true", help="bf16, channels_last, compile; on a GPU always")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each contestant (default 15)")
    parser.add_argument("--out", type=Path, help="folder for <machine>-train.json; nothing is written without it")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    return parser.parse_args()


def entry(
    training: Training, device: str, switches: dict[str, Any], arguments: argparse.Namespace, left_out: list[str]
) -> dict[str, Any]:
    """One training: losses compared, then everybody timed in turn; each switch beside the bare loop."""
    subject = train_timing.Subject.of(training, device)
    train_timing.compare(subject)
    rounds = 2 if arguments.quick else arguments.rounds
    chunk = max(1, min(50, round(SECONDS / train_timing.seconds_per_step(subject))))
    chunk = 2 if arguments.quick else chunk - chunk % 10 if chunk > 10 else chunk
    samples = train_timing.measure(subject, rounds, chunk)
    rows = [row(name, samples[name], samples["bare loop"], training.batch) for name in samples]
    for name, switch in switches.items():
        torch.compiler.reset()
        try:
            train_timing.compare_switch(subject, name)
            samples = train_timing.measure(subject, rounds, chunk, **switch)
        except (RuntimeError, ImportError) as error:  # no compiler, no bfloat16
            left_out.append(f"{name} of {training.model} {training.name}: {type(error).__name__}")
            continue
        rows.append(row(f"sarcore, {name}", samples["sarcore"], samples["bare loop"], training.batch))
    about = {"model": training.model, "name": training.name, "batch": training.batch}
    return {**about, "steps_per_sample": chunk, "rounds": rounds, "rows": rows}


def row(name: str, samples: list[float | None], base: list[float | None], batch: int) -> dict[str, Any]:
    seconds = timing.median(samples)
    ratios = [s / b for s, b in zip(samples, base, strict=True) if s is not None and b is not None]
    quartiles = torch.tensor(ratios).quantile(torch.tensor([0.25, 0.75])).tolist()
    return {
        "contestant": name,
        "ms": float(f"{1e3 * seconds:.4g}"),
        "images_per_s": float(f"{batch / seconds:.4g}"),
        "ratio": float(f"{timing.median_ratio(samples, base):.4f}"),
        "quartiles": [float(f"{q:.4f}") for q in quartiles],
    }


def markdown(record: dict[str, Any]) -> str:
    m = record["machine"]
    where = m["name"] + (f", CUDA {m['cuda']}" if m["cuda"] else f", {m['threads']} threads")
    parts = [f"{where}; sarcore {m['sarcore']}, torch {m['torch']}; {m['date']}. Losses were compared before timing."]
    for training in record["trainings"]:
        body = [
            [tables.label(r["contestant"]), f"{r['ms']:.4g}", f"{r['images_per_s']:.4g}", _ratio(r)]
            for r in training["rows"]
        ]
        parts.append(f"**{training['model']}**, {training['name']}, batch {training['batch']}")
        parts.append(tables.table(["", "ms a step", "images/s", "time / bare loop (quartiles)"], body))
    if record["left_out"]:
        parts.append("Left out: " + "; ".join(record["left_out"]) + ".")
    return "\n\n".join(parts)


def _ratio(entry: dict[str, Any]) -> str:
    low, high = entry["quartiles"]
    return f"{entry['ratio']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
