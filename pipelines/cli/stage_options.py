"""Stage options: which options of `headframe run` a stage takes, and which go together."""

from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.errors import Problem, SettingsError

RANGED = ("score", "deliver", "train", "monitor")
"""Stages that run over a range of times."""

AT_ONE_TIME = ("score", "deliver")
"""Those whose range may begin at ``--as-of``; that of the others is given by ``--from`` alone."""

VERSIONED = ("evaluate", "promote", "score")
"""Stages that are about one model version."""


def refuse_idle(
    stage: str, *, as_of: str, from_: str, until: str, late: bool, version: str
) -> None:
    """Raise SettingsError for a range or a version that the stage would take no notice of.

    A stage that runs as of now in place of it may do what cannot be undone: what monitor has judged
    with all that is known now is not judged with less again.
    """
    problems = (
        *_of_range(stage, as_of=as_of, from_=from_, until=until, late=late),
        *_of_version(stage, version, late=late),
    )
    if problems:
        raise SettingsError(*problems)


def refuse_backwards(since: datetime, until: datetime, *, where: str) -> None:
    """Raise SettingsError for a range that ends where it begins, or before: it holds no time."""
    if since >= until:
        raise SettingsError(
            Problem(
                where=where,
                expected="a beginning before the end",
                found=f"{since:%Y-%m-%d %H:%M} UTC until {until:%Y-%m-%d %H:%M} UTC",
                fix="Correct the options: --until is exclusive.",
            )
        )


def refuse_to_come(asked: datetime, *, where: str, fix: str) -> None:
    """Raise SettingsError for a moment that has not come: nothing is known of it yet."""
    now = datetime.now(UTC)
    if asked > now:
        raise SettingsError(
            Problem(
                where=where,
                expected=f"a moment that has come; now is {now:%Y-%m-%d %H:%M} UTC",
                found=f"{asked:%Y-%m-%d %H:%M} UTC",
                fix=fix,
            )
        )


def _of_range(stage: str, *, as_of: str, from_: str, until: str, late: bool) -> Iterator[Problem]:
    given = " and ".join(name for name, text in (("--from", from_), ("--until", until)) if text)
    if not given:
        return
    if stage not in RANGED:
        fix = f"Leave {given} out; --as-of is the moment to run at."
        yield _about(given, _one_of(RANGED), f"stage {stage}", fix)
    elif late:
        fix = "Leave one of them out: --late finds its windows itself, of the days before --as-of."
        yield _about(given, "a range, or --late", "both", fix)
    elif not from_ and not (as_of and stage in AT_ONE_TIME):
        yield _about(given, "--from beside it", "none", "Say where the range begins.")


def _of_version(stage: str, version: str, *, late: bool) -> Iterator[Problem]:
    if not version:
        return
    if stage not in VERSIONED:
        fix = "Leave --version out: the stage finds, or makes, its version itself."
        yield _about("--version", _one_of(VERSIONED), f"stage {stage}", fix)
    elif stage == "score" and late:
        fix = "Leave one of them out: late data is scored by the champion."
        yield _about("--version", "a version, or --late", "both", fix)


def _one_of(stages: tuple[str, ...]) -> str:
    return f"stage {', '.join(stages[:-1])} or {stages[-1]}"


def _about(given: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=f"headframe run, {given}", expected=expected, found=found, fix=fix)
