"""Golden files: the texts people read, kept under tests/golden and reviewed as text."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"

REWRITE = "HEADFRAME_WRITE_GOLDEN"
"""Environment variable: 1 writes the files from what the code says now."""


def assert_golden(name: str, text: str) -> None:
    """Require that ``text`` is what tests/golden/<name>.txt holds."""
    path = FOLDER / f"{name}.txt"
    text = text.rstrip("\n") + "\n"
    if os.environ.get(REWRITE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.is_file(), f"no golden file {path.name}; {REWRITE}=1 writes it"
    assert text == path.read_text("utf-8"), f"{path.name} differs; {REWRITE}=1 rewrites it"
