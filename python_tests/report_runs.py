"""Run folders that look like those of real trainings, written by hand: with curves, samples, validation, notes."""

import json
import os

import numpy as np
from PIL import Image

CLASSES = ["forest", "water", "settlement", "farmland"]


def write_run(run, *, kind="began", steps=1000, every=10, state="finished", seed=0, cells=4, side=20, **config):
    """A run folder of the given kind; ``config`` changes its settings."""
    rng = np.random.default_rng(seed)
    run.mkdir(parents=True)
    write_config(run, kind, steps, config)
    done = steps if state in ("finished", "stopped early") else steps // 2
    write_metrics(run, kind, steps, done, every, rng)
    if kind == "began":
        write_samples(run, done, rng, cells, side)
    else:
        write_validation(run, done, rng)
    write_status(run, state, steps, done)
    write_checkpoints(run, kind, done)
    return run


def write_config(run, kind, steps, config):
    settings = {"kind": kind, "data": "patches/terrain", "model": {"width": 16, **config}, "fit": {"steps": steps}}
    lines = [f'kind = "{kind}"', 'data = "patches/terrain"', "", "[model]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in settings["model"].items()]
    lines += ["", "[fit]", f"steps = {steps}", "batch_size = 16", "seed = 0", 'precision = "32-true"']
    (run / "config.toml").write_text("\n".join(lines) + "\n")
    hardware = {"cpu": "Some CPU", "cores": 8, "threads": 2, "gpus": ["Some GPU"], "system": "Linux x86_64"}
    info = {"config": settings, "seeds": [0], "versions": {"sarcore": "0.1.0", "torch": "2.13"}, "hardware": hardware}
    (run / "run.json").write_text(json.dumps(info))


def write_metrics(run, kind, steps, done, every, rng):
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(every, done + 1, every):
            t = step / steps
            noise = rng.normal(1.0, 0.12)
            if kind == "began":
                real = (0.006 + 0.4 * np.exp(-14 * t)) * noise
                row = {"loss_d": real * 0.9, "loss_g": real * 0.48, "loss_real": real, "loss_fake": real * 0.5}
                row |= {"M": real * 1.1, "k": min(1.0, 0.8 * t), "balance": 0.01 * rng.normal(), "dead_fraction": 0.02}
            else:
                row = {"loss": (0.2 + 1.6 * np.exp(-4 * t)) * noise, "accuracy": min(1.0, (0.4 + 0.5 * t) * noise)}
                if step % (done // 5) == 0:
                    row |= {"val/balanced_accuracy": 0.5 + 0.4 * t - 0.35 * t**3, "val/ece": 0.1 - 0.03 * t}
            row |= {"lr": 1e-4 * (1 - t) + 1e-6, "images_per_second": 140 * noise, "seconds": step * 0.11}
            row |= {"images": 16 * step, "epoch": 16 * step / 3200}
            file.write(json.dumps({"step": step, **row}) + "\n")
        if kind == "began":
            text = "k has been at 1 for 1200 steps: the generator wins; lower --lambda-k <now>."
            file.write(json.dumps({"step": done, "note": text}) + "\n")


def picture(rng, cells, side, sharpness):
    """A grid as the engine writes it: cells x cells images of speckle, two black pixels between them."""
    period = side + 2
    grid = np.zeros((2 + cells * period, 2 + cells * period), dtype=np.uint8)
    for row in range(cells):
        for column in range(cells):
            ground = 60 + 60 * (np.add.outer(np.arange(side), np.arange(side)) % side > side / 2)
            image = ground * (1 - sharpness + sharpness * rng.gamma(4, 0.25, (side, side)))
            top, left = 2 + row * period, 2 + column * period
            grid[top : top + side, left : left + side] = image.clip(1, 255)
    return grid


def statistics(step, sharpness, rng):
    centres = (np.arange(64) + 0.5) / 64
    density = np.exp(-(((centres - 0.35) / (0.05 + 0.13 * sharpness)) ** 2))
    spectrum = -4.0 * (1.2 - sharpness) * np.linspace(0, 1, 32) + 0.05 * rng.normal(size=32)
    histogram = (density * 64 / density.sum()).tolist()
    return {"step": step, "histogram": histogram, "spectrum": spectrum.tolist(), "diversity": 0.22 * sharpness}


def write_samples(run, steps, rng, cells, side):
    folder = run / "samples"
    folder.mkdir()
    Image.fromarray(picture(rng, cells, side, 1.0)).save(folder / "real.png")
    rows = [statistics(None, 1.0, rng)]
    for step in range(steps // 5, steps + 1, steps // 5):
        Image.fromarray(picture(rng, cells, side, step / steps * 0.9)).save(folder / f"step_{step:06d}.png")
        rows.append(statistics(step, step / steps * 0.9, rng))
    (folder / "statistics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_validation(run, steps, rng):
    rows = []
    for step in range(steps // 5, steps + 1, steps // 5):
        hit = 20 + 8 * step // steps
        confusion = [[hit if i == j else int(rng.integers(0, 6)) for j in range(4)] for i in range(4)]
        recall = [row[i] / sum(row) for i, row in enumerate(confusion)]
        rows.append({"step": step, "confusion": confusion, "recall": recall})
    (run / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    test = {"patches": 120, "balanced_accuracy": 0.81, "overall_accuracy": 0.8, "confusion": rows[-1]["confusion"]}
    results = {"kind": "classifier", "classes": CLASSES, "steps": steps, "test": test}
    (run / "results.json").write_text(json.dumps(results))


def write_status(run, state, steps, done):
    status = {"state": state, "pid": os.getpid(), "step": done, "steps": steps, "started": 1.8e9, "updated": 1.8e9 + 99}
    status |= {"images_per_second": 140.0, "seconds": done * 0.11, "world_size": 1, "message": ""}
    (run / "status.json").write_text(json.dumps(status))


def write_checkpoints(run, kind, steps):
    for step, value in ((steps * 3 // 5, 0.78), (steps * 4 // 5, 0.74), (steps, 0.71)):
        folder = run / "checkpoints" / f"step_{step:06d}"
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(bytes(2000))
        meta = {"format": 2, "kind": kind, "step": step, "classes": CLASSES}
        if kind == "classifier":
            meta["score"] = {"name": "val/balanced_accuracy", "value": value, "mode": "max"}
        (folder / "meta.json").write_text(json.dumps(meta))
