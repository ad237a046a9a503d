"""Imports: a process that imports what another one had imported when it was done, and ends."""

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Import the modules of the answer named by the first argument, in their order."""
    for name in json.loads(Path(sys.argv[1]).read_text())["modules"]:
        importlib.import_module(name)


if __name__ == "__main__":
    main()
