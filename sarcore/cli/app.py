"""The table of commands, and how their failures reach the user.

The commands import what they run inside their functions, so that help and wrong usage answer at once.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, TypeAlias, cast

import tyro

from sarcore.cli.bench_loader import bench_loader
from sarcore.cli.demo import demo
from sarcore.cli.doctor import doctor
from sarcore.cli.experiment import augmentation, translation
from sarcore.cli.experiment_generation import generation
from sarcore.cli.experiment_labels import curve, init
from sarcore.cli.export import export
from sarcore.cli.filters import despeckle, speckle
from sarcore.cli.looks import looks
from sarcore.cli.metrics import metrics
from sarcore.cli.pairs import pairs
from sarcore.cli.patches import generate, simulate
from sarcore.cli.prep import crop, stitch, warp
from sarcore.cli.prep_register import register
from sarcore.cli.prep_remote import download, search
from sarcore.cli.radiometry import radiometry
from sarcore.cli.results import evaluate, report
from sarcore.cli.split import split
from sarcore.cli.tile import tile
from sarcore.cli.translate import translate
from sarcore.cli.watch import watch
from sarcore.errors import SarcoreError

DESCRIPTION = """SAR images: add speckle, filter it, find the unit. Patches: cut from scenes, split, simulate, generate,
classify, compare. SAR and optical: bring onto one grid, pair, translate, export.

Start with `sarcore demo`. Every command takes --debug for the full traceback of an error. A run that was
interrupted goes on when the same command is given again."""

GROUPS = {
    "prep": "Bring two satellites' files onto one grid: search, download, crop, warp, stitch, register.",
    "train": "Train a network: began, gan, classifier, contrastive, cyclegan or pix2pix.",
    "experiment": "Run a study: augmentation, curve, generation, init or translation.",
}
Command: TypeAlias = "Callable[..., None] | Mapping[str, Command]"
COMMANDS: dict[str, Command] = {
    "demo": demo,
    "doctor": doctor,
    "simulate": simulate,
    "speckle": speckle,
    "despeckle": despeckle,
    "radiometry": radiometry,
    "looks": looks,
    "prep": {
        "search": search,
        "download": download,
        "crop": crop,
        "warp": warp,
        "stitch": stitch,
        "register": register,
    },
    "tile": tile,
    "pairs": pairs,
    "split": split,
    "train": {},  # begun by `run`: its commands take the engine, and so seconds to import
    "generate": generate,
    "translate": translate,
    "evaluate": evaluate,
    "metrics": metrics,
    "export": export,
    "experiment": {
        "augmentation": augmentation,
        "curve": curve,
        "generation": generation,
        "init": init,
        "translation": translation,
    },
    "report": report,
    "watch": watch,
    "bench-loader": bench_loader,
}


def run(argv: Sequence[str]) -> int:
    """Parse, run, and turn errors into one line on stderr and an exit code."""
    args = [a for a in argv if a != "--debug"]
    debug = len(args) < len(argv)
    if args == ["--version"]:
        import sarcore

        print(f"sarcore {sarcore.__version__}")
        return 0
    try:
        table, config = dict(COMMANDS), (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes)
        if args[:1] == ["train"]:
            from sarcore.cli.train import commands

            words, table["train"] = commands(args[1:])
            # Both forms of a switch: the command line may undo what the file says.
            args, config = ["train", *words], (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
        return _dispatch(table, args, config)
    except SystemExit as stop:  # tyro: 0 after --help, 2 for wrong usage; doctor: 1
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        print("\nsarcore: interrupted; give the same command again to continue", file=sys.stderr)
        return 130
    except (SarcoreError, ValueError, OSError, MemoryError) as error:
        if debug:
            raise
        return failed(error)


def _dispatch(table: Mapping[str, Command], args: Sequence[str], config: Sequence[Any]) -> int:
    """Find the command that the first words name, and let it alone read the others.

    So what is wrong is compared with the options of that command, and its own help is named.
    """
    words, found = list(args), cast(Command, table)
    prog = ["sarcore"]
    while isinstance(found, Mapping) and words and not words[0].startswith("-"):
        name = words.pop(0).replace("_", "-")
        if name not in found:
            return _no_command(prog, name, found)
        prog.append(name)
        found = found[name]
    if isinstance(found, Mapping) and prog[1:] and not {"-h", "--help"}.intersection(words):
        return _no_command(prog, "", found)
    if isinstance(found, Mapping):
        description = GROUPS.get(prog[-1], DESCRIPTION)
        _group(found).cli(prog=" ".join(prog), description=description, args=words or ["--help"], config=config)
    else:
        tyro.cli(found, prog=" ".join(prog), args=words, config=config)
    return 0


def _group(table: Mapping[str, Command]) -> tyro.extras.SubcommandApp:
    """The list of commands that the help shows."""
    app = tyro.extras.SubcommandApp()
    for name, command in table.items():
        if isinstance(command, Mapping):
            app.command(name=name, help=GROUPS[name])(lambda: None)
        else:
            app.command(name=name)(command)
    return app


def _no_command(prog: Sequence[str], name: str, table: Mapping[str, Command]) -> int:
    near = difflib.get_close_matches(name, table, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(table)}"
    wrong = f"has no command {name!r}" if name else "needs a command"
    print(f"sarcore: `{' '.join(prog)}` {wrong}; {advice}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def saving_once() -> Iterator[None]:
    """Once a training has answered SIGTERM, more of them change nothing, to the very end of the process.

    Schedulers send several. One that came after the state was saved would end the process by the signal, and not with
    the exit code that says that all is well.
    """

    def answered() -> bool:
        engine = sys.modules.get("sarcore.engine.interrupt")  # commands that do not train do not load it
        return engine is not None and bool(engine.asked_to_end())

    def end(number: int, _frame: FrameType | None) -> None:
        if not answered():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_IGN if answered() else before)


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
