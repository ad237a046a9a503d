"""Stage options: which options of `headframe run` a stage takes, and which go together."""

from collections.abc import Iterator

from pipelines.errors import Problem, SettingsError

RANGED = ("score", "deliver", "train", "monitor")
"""Stages that run over a range of times."""

AT_ONE_TIME = ("score", "deliver")
"""Those whose range may begin at ``--as-of``; that of the others is given by ``--from`` alone."""


def refuse_idle(stage: str, *, as_of: str, from_: str, until: str, late: bool) -> None:
    """Raise SettingsError for a range that the stage would take no notice of.

    A stage that runs as of now in place of it may do what cannot be undone: what monitor has judged
    with all that is known now is not judged with less again.
    """
    problems = tuple(_problems(stage, as_of=as_of, from_=from_, until=until, late=late))
    if problems:
        raise SettingsError(*problems)


def _problems(stage: str, *, as_of: str, from_: str, until: str, late: bool) -> Iterator[Problem]:
    given = " and ".join(name for name, text in (("--from", from_), ("--until", until)) if text)
    if not given:
        return
    if stage not in RANGED:
        fix = f"Leave {given} out; --as-of is the moment to run at."
        yield _about(
            given, f"stage {', '.join(RANGED[:-1])} or {RANGED[-1]}", f"stage {stage}", fix
        )
    elif late:
        fix = "Leave one of them out: --late finds its windows itself, of the days before --as-of."
        yield _about(given, "a range, or --late", "both", fix)
    elif not from_ and not (as_of and stage in AT_ONE_TIME):
        yield _about(given, "--from beside it", "none", "Say where the range begins.")


def _about(given: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=f"headframe run, {given}", expected=expected, found=found, fix=fix)
