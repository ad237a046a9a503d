"""Replay command: `headframe replay`, the declared loop over history, policy beside policy."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from errno import EEXIST, EISDIR
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.adapters.platform import processes
from pipelines.adapters.replay_home import ReplayHome, asked_of
from pipelines.adapters.reports import replay_page
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import whole_files
from pipelines.cli import replay_tables
from pipelines.cli.declared import declared_use_case
from pipelines.cli.replay_run import replayed
from pipelines.cli.stage_options import refuse_backwards, refuse_to_come
from pipelines.cli.stage_runs import moment
from pipelines.cli.terminal import INTERRUPTED, console, errors, fail_on
from pipelines.domain.replay_steps import POLICIES, Every, RetrainPolicy
from pipelines.errors import HeadframeError, Problem, SettingsError
from pipelines.use_case import UseCase

From = Annotated[str, typer.Option("--from", help="When history begins (ISO date or time).")]
Until = Annotated[str, typer.Option(help="Up to when, exclusive (ISO date or time).")]
Retrain = Annotated[
    list[str] | None,
    typer.Option(
        "--retrain",
        help=f"{', '.join(POLICIES)}; repeat it to compare policies. Default: declared.",
    ),
]
Approve = Annotated[
    Literal["gates"],
    typer.Option(help="Who approves in a governed use case: the gates say yes to what they pass."),
]
Fixed = Annotated[bool, typer.Option("--fixed", help="No search for parameters in trainings.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Policies replayed at the same time. Default: one for each core."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Throw away what was replayed before.")]
Page = Annotated[Path | None, typer.Option(help="Write one self-contained HTML page there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("replay")(replay)


def replay(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE")],
    *,
    from_: From,
    until: Until,
    every: Annotated[Every, typer.Option(help="How often there is a monitoring.")] = "week",
    retrain: Retrain = None,
    approve: Approve = "gates",
    fixed: Fixed = False,
    jobs: Jobs = None,
    fresh: Fresh = False,
    page: Page = None,
    as_json: AsJson = False,
) -> None:
    """Replay history in simulated time with a retraining policy, or several to compare."""
    settings = Settings()
    with fail_on(HeadframeError):
        if page is not None:
            _refuse_page(page)
        declared = declared_use_case(settings, use_case)
        since, end = history_asked(from_, until, declared)
        asked = asked_of(
            settings, use_case, declared.digest(), since=since, until=end, every=every, fixed=fixed
        )
        policies = policies_asked(retrain or ["declared"])
        home = ReplayHome(settings, asked)
        lock = processes.only_one(
            home.folder.with_suffix(".lock"),
            what="the same replay",
            end="with Ctrl-C where it runs: what it has done is kept",
        )
        with lock, _interrupted(), _progress(shown=not as_json) as progress:
            if fresh:
                home.throw_away()
            at_once = jobs or len(os.sched_getaffinity(0))
            found = replayed(declared, home, policies, progress, jobs=at_once)
    if as_json:
        sys.stdout.write(json.dumps(found.as_plain()) + "\n")
    else:
        replay_tables.show(console, found)
    if page is not None:
        with fail_on(HeadframeError), _unwritable(page):
            whole_files.write_whole(page, replay_page.render(found))
        if not as_json:
            console.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _interrupted() -> Iterator[None]:
    """Say that what is done is kept when a person breaks off, and exit with INTERRUPTED."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print("Interrupted. The same command goes on from here; --fresh begins anew.")
        raise typer.Exit(INTERRUPTED) from None


def _refuse_page(page: Path) -> None:
    """Raise SettingsError where no page can be written: before a replay, which may take hours."""
    with _unwritable(page):
        page.parent.mkdir(parents=True, exist_ok=True)
        if page.exists() and not page.is_file():
            # A page takes the place of what has its name: of a folder it cannot, of a device it must not.
            reason = EISDIR if page.is_dir() else EEXIST
            raise OSError(reason, os.strerror(reason))
        # A file of nearly that name is written and gone; what the page holds now stays.
        with tempfile.NamedTemporaryFile(dir=page.parent, prefix=f".{page.name}."):
            pass


@contextmanager
def _unwritable(page: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            Problem(
                where="headframe replay, --page",
                expected="a file that can be written",
                found=f"{page.name!r} ({error.strerror})",
                fix="Name another file; what was replayed is not done again.",
            )
        ) from error


def _progress(*, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not shown or not errors.is_terminal,
    )


def history_asked(since: str, until: str, use_case: UseCase | None) -> tuple[datetime, datetime]:
    """Return beginning and end (UTC) of the history that the options name, read as by ``moment``.

    Raises SettingsError for an end that is not after the beginning, or has not come: each block up
    to it would be described before that is seen.
    """
    begins, ends = moment(since, use_case), moment(until, use_case)
    refuse_backwards(begins, ends, where="headframe replay, --from and --until")
    fix = "Correct the year or the day: a replay is of what is over."
    refuse_to_come(ends, where="headframe replay, --until", fix=fix)
    return begins, ends


def policies_asked(asked: list[str]) -> list[RetrainPolicy]:
    """Return the policies in the order asked for, each once: the first is what others are held against.

    Raises SettingsError for one that there is not.
    """
    if unknown := [name for name in asked if name not in POLICIES]:
        near = get_close_matches(unknown[0], POLICIES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise SettingsError(
            Problem(
                where="headframe replay, --retrain",
                expected=" or ".join(POLICIES),
                found=f"{unknown[0]!r}{hint}",
                fix="Correct the option; it may be repeated.",
            )
        )
    return cast("list[RetrainPolicy]", list(dict.fromkeys(asked)))
