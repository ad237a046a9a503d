"""Change meanings: what a difference in each part of a declaration means for those who use it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Verdict: TypeAlias = Literal["compatible", "consent", "breaking"]
"""Nobody who uses what the use case publishes has to do anything; they must agree; they must change
something of theirs first."""

GRAVITY: tuple[Verdict, ...] = ("compatible", "consent", "breaking")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a difference means, and why."""

    verdict: Verdict
    reason: str


Judge: TypeAlias = Meaning | Callable[[Any, Any], Meaning]
"""What a field's difference means, or what finds it from the values before and after."""


def new_column(column: Mapping[str, Any]) -> Meaning:
    """Return what it means that a contract has one more column."""
    if column["nullable"]:
        return Meaning(
            "compatible", "rows of before have it empty; queries that name columns stand"
        )
    return Meaning("breaking", "rows of before cannot have it: declare it nullable")


def _emptiness(before: object, after: object) -> Meaning:
    del before
    if after:
        return Meaning("consent", "who reads it must expect empty values")
    return Meaning("compatible", "new rows without a value are set aside")


def _tier(before: object, after: object) -> Meaning:
    ranks = ("explore", "scheduled", "governed")
    if ranks.index(str(after)) > ranks.index(str(before)):
        return Meaning("compatible", "more stands between a model and its users than before")
    return Meaning("consent", "less stands between a model and its users than before")


def _ends(before: object, after: object) -> Meaning:
    if before is None or (after is not None and str(after) < str(before)):
        return Meaning("consent", "predictions end, or end earlier")
    return Meaning("compatible", "predictions go on for longer")


def _more_rescored(before: object, after: object) -> Meaning:
    if (after or 0) > (before or 0):  # type: ignore[operator]  # both are numbers of days
        return Meaning("consent", "what was delivered may change for longer")
    return Meaning("compatible", "what was delivered stands sooner")


def _late(before: object, after: object) -> Meaning:
    del before
    if after == "rescore":
        return Meaning("consent", "what was delivered may be replaced when data comes late")
    return Meaning("consent", "late data no longer corrects what was delivered")


OWN = Meaning("compatible", "it concerns this use case alone")
OTHER_PREDICTIONS = Meaning("consent", "predictions mean something else, or differ")
OTHER_TIME = Meaning("consent", "predictions come at another time")
WEAKER = Meaning("consent", "what consumers rely on is promised no more, or less of it")
GATE_CHANGED = Meaning("compatible", "approvers see what it says of each model")
GATE_GONE = Meaning("consent", "a model may reach its users that this gate would have refused")
OTHER_ROWS = Meaning("breaking", "rows are other things than before: nothing of before joins them")
RENAMED = Meaning("breaking", "the column of predictions has another name")

USE_CASE: Mapping[str, Judge] = {
    "name": Meaning("breaking", "it is another use case: its tables and models stay behind"),
    "tier": _tier,
    "ends_before": _ends,
    "owner": OWN,
    "purpose": OWN,
    "ingest_schedule": OWN,
    "roles": OWN,
    "training": OWN,
    "monitoring": OWN,
    "retraining": OWN,
    "approval_expires": OWN,
}
TABLE: Mapping[str, Judge] = {
    "key": OTHER_ROWS,
    "event_time": OTHER_ROWS,
    "known_at": Meaning("breaking", "what was known when is answered otherwise, also of the past"),
}
COLUMN: Mapping[str, Judge] = {
    "type": Meaning(
        "breaking", "a table holds one type: rows of before cannot be read as the other"
    ),
    "nullable": _emptiness,
}
ENTITY: Mapping[str, Judge] = {"entity": OTHER_ROWS}
LABEL: Mapping[str, Judge] = {
    "name": RENAMED,
    "rule": OTHER_PREDICTIONS,
    "table": OTHER_PREDICTIONS,
    "final_after": OTHER_PREDICTIONS,
    "expected_after": OWN,
}
SCORING: Mapping[str, Judge] = {
    "at": OTHER_TIME,
    "timezone": OTHER_TIME,
    "weekday": OTHER_TIME,
    "on_stale": Meaning("consent", "stale tables have another consequence for what is delivered"),
    "on_late": _late,
    "rescore_days": _more_rescored,
}
RULE: Mapping[str, Judge] = {
    "when": OTHER_PREDICTIONS,
    "then": OTHER_PREDICTIONS,
    "owner": OWN,
    "reason": OWN,
}
OUTPUT: Mapping[str, Judge] = {
    "consumer": Meaning("consent", "it is for somebody else"),
    "count": Meaning("consent", "the list has another length"),
    "by": Meaning("consent", "the list is ordered by something else"),
    "order": Meaning("consent", "the list is ordered the other way round"),
    "per": Meaning("breaking", "the list has other groups, which are part of its form"),
    "reasons": OWN,
    "byte_order_mark": Meaning("consent", "the first bytes of the file differ"),
    "connection": Meaning("breaking", "it goes to another database"),
    "table": Meaning("breaking", "it goes to another table; the old one stays as it is"),
}
