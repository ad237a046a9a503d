"""The command line: `headframe`."""

import typer

from pipelines.cli import lake_commands, stage_runs

app = typer.Typer(
    name="headframe",
    help="A self-hosted data-science and machine-learning platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
stage_runs.register(app)
lake_commands.register(app)


def main() -> None:
    """Run the command line."""
    app()
