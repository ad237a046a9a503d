"""Use-case draft: everything that a new use case's files say, guessed from samples or given."""

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Literal

from pipelines.domain.contract import Table
from pipelines.domain.draft_features import DraftView
from pipelines.domain.sample_table import SampleTable

WEEK = 7
"""Days: whole weeks hold every weekday as often."""

USUAL_HELD_OUT_DAYS = 28
MOST_HELD_OUT_DAYS = 56
"""Days held out: a third of the sample's, but four to eight weeks of them (decision). Days that depend
count as fewer, and a gate needs 20 effective ones: of exactly 28 there were 19 in the first draft."""

FEW_DAYS = 8
"""Days of a sample below which no weekday came twice."""

FEWEST_HELD_OUT_DAYS = 20
"""Blocks below which a gate can only answer "too few"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftTable:
    """A sample and what identifies and times its rows; ``notes`` say of a field why it is so."""

    sample: SampleTable
    key: tuple[str, ...]
    purpose: str
    event_time: str | None = None
    known_at: str | None = None
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The table's name."""
        return self.sample.name

    def note(self, field: str) -> str:
        """Return why a field is as it is; "" where that was given."""
        return dict(self.notes).get(field, "")

    def contract(self) -> Table:
        """Return the table as the file declares it."""
        return Table(
            name=self.name,
            source=self.sample.source,
            columns=[column.declared() for column in self.sample.columns],
            key=self.key,
            event_time=self.event_time,
            known_at=self.known_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLabel:
    """What is predicted, and when its truth is known; ``note`` says how that was learned."""

    name: str
    rule: str
    expected_after: timedelta
    note: str = ""

    @property
    def final_after(self) -> timedelta:
        """Twice ``expected_after``: what is later is no label any more."""
        return 2 * self.expected_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A use case to be written: entities first among ``tables``, then the outcomes where it has any."""

    name: str
    owner: str
    tier: Literal["explore", "scheduled", "governed"]
    at: time
    timezone: str
    tables: tuple[DraftTable, ...]
    label: DraftLabel | None = None
    view: DraftView | None = None
    start: date | None = None
    days: int = 0

    @property
    def entities(self) -> DraftTable:
        """What is predicted about."""
        return self.tables[0]

    @property
    def outcomes(self) -> DraftTable:
        """What happened; only where there is a label."""
        return self.tables[1]

    @property
    def test_days(self) -> int:
        """Days held out of training."""
        if self.days < 2 * USUAL_HELD_OUT_DAYS:
            return FEWEST_HELD_OUT_DAYS
        third = self.days // (3 * WEEK) * WEEK
        return max(USUAL_HELD_OUT_DAYS, min(MOST_HELD_OUT_DAYS, third))

    def guesses(self) -> list[str]:
        """Return every guess in words, for whoever reads the file next."""
        found = [
            f"{table.name}: learned from its first {table.sample.rows.num_rows:,} rows"
            for table in self.tables
            if table.sample.cut
        ]
        if 0 < self.days < FEW_DAYS:
            found.append(
                f"{self.entities.name}: the sample spans {self.days} days, so a key that comes again on"
                " another day was not seen: give some weeks, or --key"
            )
        for table in self.tables:
            values = {
                "key": ", ".join(table.key),
                "event_time": table.event_time,
                "known_at": table.known_at,
            }
            found += [
                f"{table.name}, {field}: {values[field]} ({note.removeprefix('guess: ')}"
                f"{self._resting_on(table, field)})"
                for field, note in table.notes
            ]
            found += [
                f"{table.name}, {column.name}: {column.type} ({column.hint})"
                for column in table.sample.columns
                if column.hint
            ]
        if self.label is not None and self.label.note:
            days = self.label.expected_after / timedelta(days=1)
            after = f"{days:g} {'day' if days == 1 else 'days'}"
            said = self.label.note.removeprefix("guess: ")
            found.append(f"{self.label.name}, expected_after: {after} ({said})")
        return found

    def _resting_on(self, table: DraftTable, field: str) -> str:
        """Return which features are wrong where a guess is; "" for none."""
        if field != "known_at" or self.view is None or table is not self.entities:
            return ""
        names = ", ".join(self.view.of_entities)
        return f"; on it rest {names}" if names else ""
