"""Outputs: in which form predictions reach the people and systems that use them."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from pipelines.domain.expected_value import EXPECTED, VALUE, RankedList
from pipelines.domain.prediction_kinds import BINARY, Kind

KEPT = (
    *("scored_for", "as_of", "event_time", "model_version", "stale_tables"),
    *("raw_prediction", "rule", "generation", "run_key"),
)
"""Columns that every row of an output can show, beside the key, the prediction and the features."""

VALUED = (VALUE, EXPECTED)
"""What a ranking's rows have beside these."""

SHOWN = ("event_time", "raw_prediction", "rule", "model_version", "scored_for", "as_of")
"""What an output shows after key and prediction where its declaration names no columns."""


@dataclass(frozen=True, slots=True)
class TopN:
    """The ``count`` rows to look at first, of all or of each group, with the reasons of each.

    ``by`` is a numeric column, usually the prediction (``p_<label>``), or ``expected_value`` where the
    label has a value; ties are broken by key.
    ``per`` names the columns that make a group; none means one list. ``reasons`` is how many
    features are told per row: those whose replacement by their usual value would change the
    model's prediction most (see ``domain.reasons``). Written as JSON.
    """

    count: int
    _: KW_ONLY
    name: str
    consumer: str
    by: str
    per: str | Sequence[str] = ()
    order: Literal["highest", "lowest"] = "highest"
    columns: Sequence[str] = ()
    reasons: int = 3

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns that make a group, as a tuple."""
        return (self.per,) if isinstance(self.per, str) else tuple(self.per)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """Every row of a window as CSV (RFC 4180, UTF-8, header), sorted by key.

    Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay
    numbers. ``byte_order_mark`` lets Excel see that it is UTF-8.
    """

    name: str
    consumer: str
    columns: Sequence[str] = ()
    byte_order_mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetFile:
    """Every row of a window as one Parquet file, sorted by key, columns typed."""

    name: str
    consumer: str
    columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresTable:
    """Every row of all windows in a table of a PostgreSQL database; key and scoring time identify it.

    ``connection`` names the database as sources do; ``table`` is ``table`` or ``schema.table``, and
    is created by the first delivery.
    """

    name: str
    consumer: str
    connection: str
    table: str
    columns: Sequence[str] = ()


Output: TypeAlias = TopN | CsvFile | ParquetFile | PostgresTable


def prediction_column(label: str, kind: Kind = BINARY) -> str:
    """Return what people call the final prediction: the label's probability, or its number.

    >>> from pipelines.domain.prediction_kinds import REGRESSION
    >>> prediction_column("late"), prediction_column("delay", REGRESSION)
    ('p_late', 'predicted_delay')
    """
    return f"p_{label}" if kind.answer == "probability" else f"predicted_{label}"


def kept_columns(kind: Kind) -> tuple[str, ...]:
    """Return what every row of an output can show beside key, prediction and features."""
    return (*KEPT, *VALUED) if kind.name == "ranking" else KEPT


def ranked_list(outputs: Sequence[Output]) -> RankedList | None:
    """Return the list that a ranking is judged by: the first declared by expected value, or None."""
    for output in outputs:
        if isinstance(output, TopN) and output.by == EXPECTED and output.order == "highest":
            return RankedList(count=output.count, per=output.groups)
    return None


def shown_columns(
    output: Output, *, key: Sequence[str], label: str, kind: Kind = BINARY
) -> tuple[str, ...]:
    """Return the columns of an output's rows, in order, each once.

    Without declared columns they are key, prediction and ``SHOWN``. A table in a database always
    begins with key and scoring time, a top list with its groups, key and prediction. In a ranking
    value and expected value come after the prediction.
    """
    prediction = prediction_column(label, kind)
    valued = VALUED if kind.name == "ranking" else ()
    usual = (*key, prediction, *valued, *SHOWN)
    if isinstance(output, TopN):
        first: tuple[str, ...] = (*output.groups, *key, prediction, *valued, output.by)
        rest = tuple(output.columns) or ("raw_prediction", "rule")
    elif isinstance(output, PostgresTable):
        first, rest = (*key, "scored_for"), tuple(output.columns) or usual
    else:
        first, rest = (), tuple(output.columns) or usual
    return tuple(dict.fromkeys((*first, *rest)))
