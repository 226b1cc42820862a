"""The table of commands, and how their failures reach the user.

The commands import what they run inside their functions, so that help and wrong usage answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import tyro

from sarcore.cli.bench_loader import bench_loader
from sarcore.cli.demo import demo
from sarcore.cli.doctor import doctor
from sarcore.cli.experiment import augmentation
from sarcore.cli.filters import despeckle, speckle
from sarcore.cli.metrics import metrics
from sarcore.cli.patches import generate, simulate
from sarcore.cli.radiometry import radiometry
from sarcore.cli.results import evaluate, report
from sarcore.cli.split import split
from sarcore.cli.tile import tile
from sarcore.cli.watch import watch
from sarcore.errors import SarcoreError

DESCRIPTION = """SAR images: add speckle, filter it, find the unit. Patches: cut from scenes, split, simulate, generate,
classify, compare.

Start with `sarcore demo`. Every command takes --debug for the full traceback of an error. A run that was
interrupted goes on when the same command is given again."""

TRAIN = "Train a network: began or classifier."


def build(train: tyro.extras.SubcommandApp | None = None) -> tyro.extras.SubcommandApp:
    """All commands by name; ``train`` has those of `sarcore train`, which take the engine and so seconds to import."""
    experiment, app = (tyro.extras.SubcommandApp() for _ in range(2))
    experiment.command(name="augmentation")(augmentation)
    app.command(demo)
    app.command(doctor)
    app.command(simulate)
    app.command(speckle)
    app.command(despeckle)
    app.command(radiometry)
    app.command(tile)
    app.command(split)
    if train is None:
        app.command(name="train", help=TRAIN)(lambda: None)
    else:
        app.command(train, name="train", help=TRAIN)
    app.command(generate)
    app.command(evaluate)
    app.command(metrics)
    app.command(experiment, name="experiment", help="Run a study: augmentation.")
    app.command(report)
    app.command(watch)
    app.command(bench_loader)
    return app


def run(argv: Sequence[str]) -> int:
    """Parse, run, and turn errors into one line on stderr and an exit code."""
    args = [a for a in argv if a != "--debug"]
    debug = len(args) < len(argv)
    if args == ["--version"]:
        import sarcore

        print(f"sarcore {sarcore.__version__}")
        return 0
    try:
        app, config = build(), (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes)
        if args[:1] == ["train"]:
            from sarcore.cli.train import commands

            words, train = commands(args[1:])
            args, app = ["train", *words], build(train)
            # Both forms of a switch: the command line may undo what the file says.
            config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
        app.cli(prog="sarcore", description=DESCRIPTION, args=args or ["--help"], config=config)
    except SystemExit as stop:  # tyro: 0 after --help, 2 for wrong usage; doctor: 1
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        print("\nsarcore: interrupted; give the same command again to continue", file=sys.stderr)
        return 130
    except (SarcoreError, ValueError, OSError, MemoryError) as error:
        if debug:
            raise
        return failed(error)
    return 0


def failed(error: Exception) -> int:
    """Say what went wrong in one line; 130 when it was Ctrl-C, 0 when SIGTERM was answered by saving, else 1."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text[:1].lower() + text[1:]}); take smaller sizes" if text else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # By name: importing the engine only to see its class would cost every failed call a second.
    stopped = type(error).__name__ == "Interrupted"
    rank = os.environ.get("RANK", "0")  # of torchrun, whose processes are all stopped together
    if rank == "0" or not stopped:
        print(f"sarcore: {'' if rank == '0' else f'process {rank}: '}{text}", file=sys.stderr)
    if not stopped:
        return 1
    return 0 if getattr(error, "signal", None) == signal.SIGTERM else 130
