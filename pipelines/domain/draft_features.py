"""Draft features: which columns of samples a first feature view selects, and why not the others."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pipelines.domain.sample_guesses import is_identifier
from pipelines.domain.sample_table import MOMENT, SampleColumn, SampleTable

MOST_LEVELS = 100
"""Distinct texts of a category; more are left out, since most levels would be rare."""

MOST_RATES = 2
"""Columns by which trailing outcomes are told apart in a first view."""

LEAST_ROWS_PER_LEVEL = 5
"""Rows of the sample per level from which a trailing rate says something about it."""

NAMES = 0.9
"""Distinct values per value from which whole numbers are taken for names (as suggestions do)."""

TAKEN = ("as_of", "event_time", "label")
"""Columns that Headframe adds to features: no feature may be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFeature:
    """A feature: its name, and the SQL that selects it over ``asked`` (a) and joined tables."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedTable:
    """A table that every asked row has at most one row of; ``key`` is among the asked columns."""

    name: str
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftView:
    """Features, the columns by which past outcomes are counted, and what was left out with why.

    ``of_entities`` names the features that say what a row of the entities holds beside its key:
    they are true as of a time only if that row was as it is now.
    """

    features: tuple[DraftFeature, ...]
    rates: tuple[str, ...]
    joined: tuple[JoinedTable, ...]
    left_out: tuple[tuple[str, str], ...]
    segment: str | None = None
    of_entities: tuple[str, ...] = ()


def draft_view(
    entities: SampleTable,
    *,
    key: Sequence[str],
    event_time: str,
    timezone: str,
    joined: Sequence[tuple[SampleTable, tuple[str, ...]]],
) -> DraftView:
    """Select what a table of entities says about a row, what others add by key, and past rates.

    Key columns are features only as categories that repeat. Of ``joined`` tables, each with its key,
    every other column is looked at the same way.
    """
    features: dict[str, str] = {}
    left_out: list[tuple[str, str]] = []
    levels = [c for c in entities.columns if _is_category(c) and c.distinct > 1]
    for column in entities.columns:
        if column.name == event_time:
            continue
        if column.name in key:
            if column in levels:  # the key itself stands beside the features and is none
                features[f"{column.name}_level"] = _category("a", column)
            continue
        name = f"{column.name}_value" if column.name in TAKEN else column.name
        _select(column, ("a", name, event_time), features, left_out)
    local = f"a.\"{event_time}\" at time zone '{timezone}'"
    for name, part in (("event_weekday", "isodow"), ("event_hour", "hour")):
        if name not in entities.names:
            features[name] = f"{part}({local})"
    of_key = {f"{name}_level" for name in key}
    if event_time in key:
        of_key |= {"event_weekday", "event_hour"} - set(entities.names)
    of_entities = [name for name in features if name not in of_key]
    for table, _ in joined:
        for column in table.columns:
            if column.name not in entities.names:
                name = f"{table.name}_{column.name}"
                place = (f"_{table.name}", name, event_time)
                _select(column, place, features, left_out)
    rates = tuple(_rates(levels, features))
    of_entities += [rate_name(name) for name in rates if name not in key]
    return DraftView(
        features=tuple(DraftFeature(name=name, sql=sql) for name, sql in features.items()),
        rates=rates,
        joined=tuple(JoinedTable(name=table.name, key=own) for table, own in joined),
        left_out=tuple(left_out),
        segment=next((c.name for c in levels if c.name in features and c.name in rates), None),
        of_entities=tuple(of_entities),
    )


def _select(
    column: SampleColumn,
    place: tuple[str, str, str],
    features: dict[str, str],
    left_out: list[tuple[str, str]],
) -> None:
    """Add a column's feature, or the reason why it has none.

    ``place`` is the relation's alias, the feature's name and the event's column.
    """
    relation, name, event_time = place
    reason = _no_feature(column)
    if not reason and name in features:
        reason = "another feature has its name"
    if reason:
        left_out.append((name, reason))
    elif column.type == MOMENT:
        # How long before the event: the moment itself would name the day.
        hours = f'epoch(a."{event_time}" - {relation}."{column.name}") / 3600'
        features[f"hours_since_{name}"] = hours
    elif _is_category(column):
        features[name] = _category(relation, column)
    else:
        features[name] = f'{relation}."{column.name}"'


def _no_feature(column: SampleColumn) -> str:
    """Return why a column says nothing a model could use; "" where it may."""
    many = column.distinct > MOST_LEVELS and column.distinct >= NAMES * column.present
    whole = column.type == "int64" and not _is_category(column)
    reasons = (
        (column.distinct == 0, "empty in the sample"),
        (column.distinct == 1 and not column.nullable, "one value only"),
        (column.type == "date", "a date names the day: derive what matters about it"),
        (
            column.type == "string" and not _is_category(column),
            f"{column.distinct:,} different texts",
        ),
        (whole and is_identifier(column), "its numbers are names"),
        (whole and many, "hardly a number twice: it may be a name"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _is_category(column: SampleColumn) -> bool:
    """Tell whether a column holds few texts, or numbers that name few things."""
    named = column.type == "string" or (column.type == "int64" and is_identifier(column))
    repeats = column.present >= 2 * column.distinct
    return named and 1 <= column.distinct <= MOST_LEVELS and repeats


def _category(relation: str, column: SampleColumn) -> str:
    sql = f'{relation}."{column.name}"'
    return sql if column.type == "string" else f"{sql}::varchar"


def _rates(levels: Sequence[SampleColumn], taken: Collection[str]) -> Iterator[str]:
    """Yield the categories with most levels that are still often enough in the sample."""
    able = [
        column
        for column in levels
        if column.distinct > 1
        and column.present >= LEAST_ROWS_PER_LEVEL * column.distinct
        and rate_name(column.name) not in taken
    ]
    able.sort(key=lambda column: -column.distinct)
    yield from (column.name for column in able[:MOST_RATES])


def rate_name(column: str) -> str:
    """Return the name of the feature that holds a category's past rate."""
    return f"past_rate_by_{column}"
