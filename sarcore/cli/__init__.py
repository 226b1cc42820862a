"""The command line ``sarcore``: the only place that parses arguments or prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 error, 2 wrong usage, 130 interrupted."""
    try:
        from sarcore.cli.app import run, saving_once
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sarcore"):
            raise
        print(f"sarcore: the command line needs '{error.name}': pip install 'sarcore[train]'", file=sys.stderr)
        return 1
    if argv is not None:
        return run(argv)
    with saving_once():  # this process is the command
        return run(sys.argv[1:])
