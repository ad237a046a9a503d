"""Drafting: a use case out of samples and wishes, every doubt a problem or a marked guess."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from typing import Literal

from pipelines.domain.contract_problems import NAME, near
from pipelines.domain.draft_features import DraftView, draft_view
from pipelines.domain.sample_guesses import (
    ages_of_outcomes,
    days_of,
    guess_event_time,
    guess_key,
    guess_known_after,
    guess_known_before,
    is_unique,
    label_age,
)
from pipelines.domain.sample_keys import agreed
from pipelines.domain.sample_table import MOMENT, SampleTable
from pipelines.domain.use_case_draft import Draft, DraftLabel, DraftTable
from pipelines.errors import Problem, SettingsError

NAMED_RULE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*:(?!:)\s*(\S.*)", re.DOTALL)
"""``name: rule``; a cast's two colons are none."""

A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What whoever asks for a use case decided; what is empty or None is guessed."""

    name: str
    owner: str
    tier: Literal["scheduled", "governed"] = "scheduled"
    key: tuple[str, ...] = ()
    event_time: str = ""
    known_at: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    label_after: timedelta | None = None
    at: time = time(6)
    timezone: str = "UTC"


def draft(
    wishes: Wishes,
    entities: SampleTable,
    outcomes: SampleTable | None,
    others: Sequence[SampleTable] = (),
) -> Draft:
    """Return the draft of a use case; without outcomes it is one to explore.

    Raises SettingsError with every problem that hinders it: a name that is none, no key, no moment,
    no label.
    """
    samples = [entities, *((outcomes,) if outcomes else ()), *others]
    _refuse(*_naming(wishes, samples))
    tables = [_described(wishes, entities, outcomes)]
    if outcomes is None:
        tables += [_looked_up(wishes, other, None) for other in others]
        return Draft(
            name=wishes.name,
            owner=wishes.owner,
            tier="explore",
            at=wishes.at,
            timezone=wishes.timezone,
            tables=tuple(tables),
        )
    event_time = tables[0].event_time
    assert event_time is not None  # noqa: S101 - _described refused a table of entities without one
    entities, outcomes = agreed(entities, outcomes, tables[0].key)
    tables = [replace(tables[0], sample=entities)]
    given = wishes.known_at.get(outcomes.name)
    ages = ages_of_outcomes(entities, outcomes, tables[0].key, event_time, given)
    tables.append(_happened(wishes, outcomes, tables[0].key, ages))
    tables += [_looked_up(wishes, other, entities) for other in others]
    start, days = days_of(entities.rows, event_time)
    return Draft(
        name=wishes.name,
        owner=wishes.owner,
        tier=wishes.tier,
        at=wishes.at,
        timezone=wishes.timezone,
        tables=tuple(tables),
        label=_label(wishes, outcomes, label_age(ages, tables[1].known_at)),
        view=_view(wishes, tables),
        start=start,
        days=days,
    )


def _naming(wishes: Wishes, samples: Sequence[SampleTable]) -> list[Problem]:
    tables = [sample.name for sample in samples]
    found = [
        _problem(
            f"table {name!r}", "each table once", "two files of it", "Name one of them: NAME=FILE."
        )
        for name in sorted({name for name in tables if tables.count(name) > 1})
    ]
    if not NAME.fullmatch(wishes.name):
        fix = "It becomes dags/<name>.py, folders and SQL names."
        found.append(_problem("headframe new", "a lower-case name", repr(wishes.name), fix))
    for table in sorted(set(wishes.known_at) - set(tables)):
        fix = "Write --known-at TABLE=COLUMN."
        found.append(_problem("--known-at", f"one of {', '.join(tables)}", repr(table), fix))
    return found


def _described(wishes: Wishes, sample: SampleTable, outcomes: SampleTable | None) -> DraftTable:
    """Return the table of what is predicted about; where outcomes are given it needs a moment."""
    shared = None if outcomes is None else set(sample.names) & set(outcomes.names)
    key, notes = wishes.key, {}
    problems = _unknown(sample, "--key", key)
    if outcomes is not None:
        problems += [found for found in _unknown(outcomes, "--key", key) if found not in problems]
    if not key:
        key = guess_key(sample, shared)
        notes["key"] = "guess: unique in the sample"
        if not key:
            problems.append(_no_key(sample, outcomes))
    elif not problems and not is_unique(sample, key):
        notes["key"] = "not unique in the sample: the last version of a key stands"
    event_time: str | None = wishes.event_time
    if event_time:
        problems += _no_moment_named(sample, "--event-time", event_time)
    else:
        event_time = guess_event_time(sample)
        others = [name for name in sample.moments if name != event_time]
        notes["event_time"] = (
            f"guess: the last of {', '.join(sample.moments)}"
            if others
            else "guess: the only moment that is never empty"
        )
        if event_time is None and outcomes is not None:
            problems.append(_no_moment(sample))
        if event_time is None:
            del notes["event_time"]
    _refuse(*problems)
    drafted = DraftTable(
        sample=sample, key=key, event_time=event_time, purpose="what is predicted about"
    )
    known_at = _known_at(wishes, sample)
    if known_at is None and event_time is not None:
        known_at = guess_known_before(sample, event_time)
        if known_at is not None:
            notes["known_at"] = f"guess: {_only_true(known_at)}"
    if outcomes is None:
        drafted = replace(drafted, purpose="")
    return replace(drafted, known_at=known_at, notes=tuple(notes.items()))


def _happened(
    wishes: Wishes, sample: SampleTable, key: tuple[str, ...], ages: dict[str, timedelta]
) -> DraftTable:
    notes = {}
    nullable = [name for name in key if sample.column(name).nullable]
    if nullable:
        fix = "Mend the sample, or name another key: an outcome is joined to its entity by it."
        _refuse(
            _problem(f"{sample.file}, key", "no empty cell", f"some in {', '.join(nullable)}", fix)
        )
    if not is_unique(sample, key):
        notes["key"] = "several in the sample for one key: the last version of a row stands"
    known_at = _known_at(wishes, sample)
    if known_at is None:
        known_at = guess_known_after(sample, ages)
        if known_at is not None:
            notes["known_at"] = f"guess: after the event; {_only_true(known_at)}"
    return DraftTable(
        sample=sample,
        key=key,
        known_at=known_at,
        purpose="what happened",
        notes=tuple(notes.items()),
    )


def _looked_up(wishes: Wishes, sample: SampleTable, entities: SampleTable | None) -> DraftTable:
    """Return one more table; the features look it up where ``entities`` have its key."""
    key = guess_key(sample)
    if not key:
        _refuse(_no_key(sample, None))
    notes = {"key": "guess: unique in the sample"}
    purpose = ""
    if entities is not None:
        purpose = "looked up by its key"
        if not _is_looked_up(sample, key, entities):
            purpose = "not read by the features yet"
            lack = "have no such column" if set(key) - set(entities.names) else "hold another type"
            notes["key"] += f"; {entities.name} {lack}, so the features do not read the table"
    return DraftTable(
        sample=sample,
        key=key,
        known_at=_known_at(wishes, sample),
        purpose=purpose,
        notes=tuple(notes.items()),
    )


def _is_looked_up(sample: SampleTable, key: Sequence[str], entities: SampleTable) -> bool:
    types = {column.name: column.type for column in entities.columns}
    return all(types.get(name) == sample.column(name).type for name in key)


def _known_at(wishes: Wishes, sample: SampleTable) -> str | None:
    given = wishes.known_at.get(sample.name)
    if given is not None:
        _refuse(*_no_moment_named(sample, "--known-at", given))
    return given


def _only_true(known_at: str) -> str:
    """Say what a sample cannot show: a column that is filled in later was not known then."""
    return f"only true if no column changes after {known_at}"


def _label(wishes: Wishes, outcomes: SampleTable, age: timedelta | None) -> DraftLabel:
    """Return the label: ``name: rule``, or a column of outcomes that is true or false itself."""
    wish = wishes.label.strip()
    named = NAMED_RULE.fullmatch(wish)
    name, rule = (named[1], named[2].strip()) if named else (wish, wish)
    bools = [column.name for column in outcomes.columns if column.type == "bool"]
    such = f", such as {bools[0]!r}" if bools else ""
    if not named and name not in bools:
        known = outcomes.names
        hint = near(name, known) if re.fullmatch("[a-z0-9_]+", name) else ""
        _refuse(
            _problem(
                "--label",
                f"'name: SQL condition' over {', '.join(known)}, or a bool column{such}",
                f"{name!r}{hint}" if name else "nothing",
                "Write --label 'late: minutes > 15': what is to be predicted, and when it is true.",
            )
        )
    if not NAME.fullmatch(name):
        _refuse(_problem("--label", "a lower-case name before the colon", repr(name), "Rename it."))
    if wishes.label_after is not None:
        return DraftLabel(name=name, rule=rule, expected_after=wishes.label_after)
    note = "guess: by then 19 of 20 outcomes of the sample were known"
    if age is None:
        note = "guess: the sample does not say when outcomes are known"
    return DraftLabel(name=name, rule=rule, expected_after=age or A_DAY, note=note)


def _view(wishes: Wishes, tables: Sequence[DraftTable]) -> DraftView:
    entities, _, *others = tables
    assert entities.event_time is not None  # noqa: S101 - as in draft
    joined = [
        (other.sample, other.key)
        for other in others
        if _is_looked_up(other.sample, other.key, entities.sample)
    ]
    return draft_view(
        entities.sample,
        key=entities.key,
        event_time=entities.event_time,
        timezone=wishes.timezone,
        joined=joined,
    )


def _unknown(sample: SampleTable, option: str, names: Sequence[str]) -> list[Problem]:
    """Return a problem for each name that is no column, or one with an empty cell."""
    found = []
    for name in names:
        if name not in sample.names:
            expected = f"a column of {sample.file}: {', '.join(sample.names)}"
            fix = "Correct the name; a key is in both files."
            found.append(_problem(option, expected, f"{name!r}{near(name, sample.names)}", fix))
        elif sample.column(name).nullable:
            seen = f"{sample.column(name).missing:,} in {name!r} of {sample.file}"
            found.append(_problem(option, "no empty cell in a key", seen, "Name another column."))
    return found


def _no_moment_named(sample: SampleTable, option: str, name: str) -> list[Problem]:
    if name in sample.moments:
        return []
    if name not in sample.names:
        seen = f"{name!r}{near(name, sample.names)}"
    else:
        column = sample.column(name)
        empty = f" with {column.missing:,} empty cells" if column.nullable else ""
        seen = f"{name!r} of type {column.type}{empty}{f' ({column.hint})' if column.hint else ''}"
    expected = f"a column of {sample.file} of type {MOMENT} that is never empty"
    return [_problem(option, expected, seen, "Correct the name, or deliver such a column.")]


def _no_moment(sample: SampleTable) -> Problem:
    """Say which column nearly is a moment: without an offset, a date, or with empty cells."""
    reasons = [
        f"{column.name!r} {reason}"
        for column in sample.columns
        for reason in (
            "has no offset" if column.hint.startswith("moments") else "",
            "is a date" if column.type == "date" else "",
            f"is empty in {column.missing:,} rows" if column.type == MOMENT else "",
        )
        if reason
    ]
    return _problem(
        f"{sample.file}, event time",
        f"a column of type {MOMENT} that is never empty",
        "none" + (f"; {', '.join(reasons)}" if reasons else ""),
        "Deliver when each row's event happens, in UTC, such as 2026-03-01T09:30:00Z.",
    )


def _no_key(sample: SampleTable, outcomes: SampleTable | None) -> Problem:
    among = "" if outcomes is None else f" that {outcomes.file} has too"
    return _problem(
        f"{sample.file}, key",
        f"columns{among}, never empty, that no two rows share",
        "no such set of up to four columns",
        "Name the key by --key, repeated for each column, or deliver an identifier.",
    )


def _refuse(*problems: Problem) -> None:
    if problems:
        raise SettingsError(*problems)


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
