"""The terminal: where the command line writes, and how an error leaves it."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from pipelines.errors import HeadframeError

INTERRUPTED = 130
"""Exit status of a command that a person broke off, as a shell has it for those ended by Ctrl-C."""

console = Console()
errors = Console(stderr=True)


@contextmanager
def fail_on(kind: type[HeadframeError]) -> Iterator[None]:
    """Show a deliberate error without its stack, and exit with status 1."""
    try:
        yield
    except kind as error:
        errors.print(f"[bold red]{type(error).__name__}[/bold red]", highlight=False)
        errors.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error
