"""The tutorial's commands, as they stand in its console blocks, and what it shows of their answers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the tutorial, and the lines that it shows below it."""

    command: str
    shown: tuple[str, ...]


def steps(text: str) -> Iterator[Step]:
    """Yield every command of a text's console blocks, in order, with what stands below it."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            yield Step(command, tuple(shown))


def unlike(shown: str, said: str) -> bool:
    """Tell whether a shown line is nowhere in what was said.

    Of numbers that differ from run to run (seconds, digests) any other will do, and "..." stands for
    anything.
    """
    pattern = re.escape(shown).replace(re.escape("..."), ".*")
    pattern = re.sub(r"[0-9]+(\\\.[0-9]+)?(\\ )?s\b", r"[0-9.]+\\ ?s", pattern)
    pattern = re.sub(r"declaration\\ [0-9a-f]{12}", r"declaration\\ [0-9a-f]{12}", pattern)
    return re.search(pattern, said) is None
