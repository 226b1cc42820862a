"""``python -m sarcore`` is the command ``sarcore``."""

import sys

from sarcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
