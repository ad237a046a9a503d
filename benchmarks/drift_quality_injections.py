"""Injections: what goes wrong with quiet rows, how much, and which column is to blame."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.drift_quality_rows import SCORE, Numbers, Rows

KILOMETRES_IN_A_MILE = 1.609344
Scorer = Callable[[Rows], Numbers]
"""Returns a model's prediction for each row."""
Change = Callable[[Rows, np.random.Generator], Rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One thing that goes wrong on every row from its onset on; the model scores what it is given.

    ``blame`` is the column (of a concept: nothing; of a segment: ``column=level``) that an alarm
    should name. ``of_labels`` tells that features and score stay exactly as they were.
    """

    name: str
    kind: str
    blame: str
    change: Change
    of_labels: bool = False

    def into(self, rows: Rows, scorer: Scorer, *, seed: int) -> Rows:
        """Return the rows as they would have been, on all their days."""
        changed = self.change(rows, np.random.default_rng(seed))
        if self.of_labels:
            return changed
        return changed.with_columns(numbers={SCORE: scorer(changed)})


def mean(column: str, sds: float) -> Injection:
    """Add so many standard deviations of the column."""

    def change(rows: Rows, _: np.random.Generator) -> Rows:
        values = rows.numbers[column]
        return rows.with_columns(numbers={column: values + sds * np.nanstd(values)})

    return Injection(name=f"mean {column} +{sds:g} sd", kind="mean", blame=column, change=change)


def variance(column: str, times: float) -> Injection:
    """Stretch the column about its mean, within the range it has."""

    def change(rows: Rows, _: np.random.Generator) -> Rows:
        values = rows.numbers[column]
        middle = np.nanmean(values)
        stretched = middle + times * (values - middle)
        return rows.with_columns(
            numbers={column: np.clip(stretched, np.nanmin(values), np.nanmax(values))}
        )

    return Injection(
        name=f"spread {column} x{times:g}", kind="variance", blame=column, change=change
    )


def mix(column: str, share: float, level: str) -> Injection:
    """Turn a share of the rows into one level that exists."""

    def change(rows: Rows, chosen: np.random.Generator) -> Rows:
        codes = rows.codes[column].copy()
        codes[chosen.random(len(codes)) < share] = rows.levels[column].index(level)
        return rows.with_columns(codes={column: codes})

    name = f"mix {column}, {share:.0%} to {level}"
    return Injection(name=name, kind="category mix", blame=column, change=change)


def new_category(column: str, share: float) -> Injection:
    """Turn a share of the rows into a level never seen."""

    def change(rows: Rows, chosen: np.random.Generator) -> Rows:
        codes, levels = rows.codes[column].copy(), rows.levels[column]
        codes[chosen.random(len(codes)) < share] = len(levels)
        return rows.with_columns(codes={column: codes}, levels={column: (*levels, "never seen")})

    name = f"new {column}, {share:.0%}"
    return Injection(name=name, kind="new category", blame=column, change=change)


def missing(column: str, share: float) -> Injection:
    """Lose a share of a number's values, beside those that are missing anyway."""

    def change(rows: Rows, chosen: np.random.Generator) -> Rows:
        values = rows.numbers[column].copy()
        values[chosen.random(len(values)) < share] = np.nan
        return rows.with_columns(numbers={column: values})

    return Injection(
        name=f"missing {column}, {share:.0%}", kind="missing", blame=column, change=change
    )


def kilometres(column: str) -> Injection:
    """Send kilometres where miles are expected."""

    def change(rows: Rows, _: np.random.Generator) -> Rows:
        return rows.with_columns(numbers={column: rows.numbers[column] * KILOMETRES_IN_A_MILE})

    return Injection(name=f"units {column}, mi to km", kind="units", blame=column, change=change)


def celsius(column: str) -> Injection:
    """Send degrees Celsius where Fahrenheit are expected."""

    def change(rows: Rows, _: np.random.Generator) -> Rows:
        return rows.with_columns(numbers={column: (rows.numbers[column] - 32) / 1.8})

    return Injection(name=f"units {column}, F to C", kind="units", blame=column, change=change)


def joint_break(column: str) -> Injection:
    """Give each row of a day another row's value: each column alone looks as it did."""

    def change(rows: Rows, chosen: np.random.Generator) -> Rows:
        at = np.arange(len(rows.late))
        for day in range(rows.days):
            at[rows.of_day(day)] = chosen.permutation(at[rows.of_day(day)])
        if column in rows.numbers:
            return rows.with_columns(numbers={column: rows.numbers[column][at]})
        return rows.with_columns(codes={column: rows.codes[column][at]})

    return Injection(name=f"joint break, {column}", kind="joint break", blame=column, change=change)


def concept(share: float) -> Injection:
    """Turn a share of the labels 0 into 1, whatever the features."""

    def change(rows: Rows, chosen: np.random.Generator) -> Rows:
        turned = (rows.late == 0) & (chosen.random(len(rows.late)) < share)
        return rows.with_columns(late=np.where(turned, 1, rows.late).astype(np.int8))

    name = f"concept, {share:.0%} of 0 become 1"
    return Injection(name=name, kind="concept", blame="", change=change, of_labels=True)


def segment_flip(column: str, level: str, share: float) -> Injection:
    """Turn a share of the labels of one segment around."""

    def change(rows: Rows, chosen: np.random.Generator) -> Rows:
        of_segment = rows.codes[column] == rows.levels[column].index(level)
        turned = of_segment & (chosen.random(len(rows.late)) < share)
        return rows.with_columns(late=np.where(turned, 1 - rows.late, rows.late).astype(np.int8))

    name = f"segment flip, {share:.0%} of {column} {level}"
    blame = f"{column}={level}"
    return Injection(name=name, kind="segment flip", blame=blame, change=change, of_labels=True)


OF_FLIGHTS = (
    mean("sched_elapsed", 0.1),
    mean("sched_dep", 0.1),
    variance("distance", 1.25),
    mix("dest", 0.04, "ORD"),
    new_category("dest", 0.02),
    missing("sched_elapsed", 0.04),
    missing("pressure", 0.06),
    kilometres("distance"),
    celsius("temp"),
    joint_break("distance"),
    joint_break("sched_arr"),
    joint_break("carrier"),
    concept(0.15),
    segment_flip("origin", "JFK", 0.25),
)
"""Reported on flights; no one of these columns and sizes was looked at while tests were chosen."""

OF_SIMULATION = (
    mean("x3", 0.1),
    mean("x6", 0.12),
    variance("x4", 1.25),
    mix("c2", 0.04, "c2 level 3"),
    new_category("c2", 0.02),
    missing("x7", 0.04),
    missing("gappy", 0.06),
    kilometres("miles"),
    celsius("fahrenheit"),
    joint_break("x1"),
    joint_break("x2"),
    joint_break("c1"),
    concept(0.15),
    segment_flip("c1", "c1 level 1", 0.25),
)
"""The same on simulated rows."""
