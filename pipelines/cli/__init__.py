"""The command line: `headframe`."""

import os
import sys

import typer

from pipelines.cli import (
    approval_commands,
    cost_commands,
    demo,
    docs_commands,
    incident_commands,
    lake_commands,
    ledger_commands,
    list_commands,
    model_commands,
    new_command,
    output_commands,
    platform,
    quality_commands,
    quarantine_commands,
    replay_commands,
    report_commands,
    reproduce_commands,
    retraining_commands,
    stage_runs,
    trace_commands,
    upkeep_commands,
)
from pipelines.cli.terminal import fail_on
from pipelines.errors import HeadframeError

app = typer.Typer(
    name="headframe",
    help="A self-hosted data-science and machine-learning platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
platform.register(app)
demo.register(app)
list_commands.register(app)
lake_commands.register(app)
output_commands.register(app)
stage_runs.register(app)
approval_commands.register(app)
upkeep_commands.register(app)
quality_commands.register(app)
docs_commands.register(app)
quarantine_commands.register(app)
trace_commands.register(app)
incident_commands.register(app)
report_commands.register(app)
model_commands.register(app)
reproduce_commands.register(app)
ledger_commands.register(app)
retraining_commands.register(app)
replay_commands.register(app)
cost_commands.register(app)
new_command.register(app)


def main() -> None:
    """Run the command line; the exit status is 0 only when the answer is yes."""
    status = 0
    try:
        with fail_on(HeadframeError):
            app()
    except typer.Exit as ended:
        status = ended.exit_code
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    _leave(status)


def _leave(status: int) -> None:
    """End the process; at once where GX was used, whose DuckDB objects complain when torn down."""
    if "great_expectations" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
