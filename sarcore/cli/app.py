"""The table of commands, and how their failures reach the user.

The commands import what they run inside their functions, so that help and wrong usage answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from sarcore.cli.bench_loader import bench_loader
from sarcore.cli.demo import demo
from sarcore.cli.doctor import doctor
from sarcore.cli.experiment import augmentation
from sarcore.cli.filters import despeckle, speckle
from sarcore.cli.patches import generate, simulate
from sarcore.cli.radiometry import radiometry
from sarcore.cli.results import evaluate, report
from sarcore.cli.split import split
from sarcore.cli.tile import tile
from sarcore.cli.train import train_began, train_classifier
from sarcore.errors import SarcoreError

DESCRIPTION = """SAR images: add speckle, filter it, find the unit. Patches: cut from scenes, split, simulate, generate,
classify, compare.

Start with `sarcore demo`. Every command takes --debug for the full traceback of an error. A run that was
interrupted goes on when the same command is given again."""


def build() -> tyro.extras.SubcommandApp:
    """All commands by name."""
    train, experiment, app = (tyro.extras.SubcommandApp() for _ in range(3))
    train.command(name="began")(train_began)
    train.command(name="classifier")(train_classifier)
    experiment.command(name="augmentation")(augmentation)
    app.command(demo)
    app.command(doctor)
    app.command(simulate)
    app.command(speckle)
    app.command(despeckle)
    app.command(radiometry)
    app.command(tile)
    app.command(split)
    app.command(train, name="train", help="Train a network: began or classifier.")
    app.command(generate)
    app.command(evaluate)
    app.command(experiment, name="experiment", help="Run a study: augmentation.")
    app.command(report)
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
        build().cli(
            prog="sarcore",
            description=DESCRIPTION,
            args=args or ["--help"],
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
        )
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
    """Say what went wrong in one line; 130 when it was Ctrl-C, else 1."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text[:1].lower() + text[1:]}); take smaller sizes" if text else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print(f"sarcore: {text}", file=sys.stderr)
    # By name: importing the engine only to see its class would cost every failed call a second.
    return 130 if type(error).__name__ == "Interrupted" else 1
