"""Kept samples: a few rows of each table, which belong together, as small CSV files for tests."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.domain.use_case_draft import Draft, DraftTable

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 200
"""Rows kept of a table: tests read them often, and people read them once."""


def kept(draft: Draft) -> dict[str, str]:
    """Return, by table, the text of a CSV file with its earliest rows and what belongs to them."""
    entities = draft.entities
    rows = entities.sample.rows
    if entities.event_time is not None:
        rows = rows.sort_by([(entities.event_time, "ascending")])
    few = rows.slice(0, MOST_ROWS)
    found = {entities.name: _csv(few.select(entities.sample.names), entities)}
    for table in draft.tables[1:]:
        types = {name: table.sample.rows.schema.field(name).type for name in table.key}
        if all(
            name in few.column_names and few.schema.field(name).type == kind
            for name, kind in types.items()
        ):
            asked = few.select(list(table.key)).group_by(list(table.key)).aggregate([])
            theirs = table.sample.rows.join(asked, list(table.key), join_type="left semi")
            theirs = theirs.sort_by([(name, "ascending") for name in table.key])
        else:
            theirs = table.sample.rows
        found[table.name] = _csv(theirs.select(table.sample.names).slice(0, MOST_ROWS), table)
    return found


def _csv(rows: "pa.Table", table: DraftTable) -> str:
    """Return the rows as the strict reader takes them: an empty cell is missing, a quoted one is ""."""
    delimiter = table.sample.source.delimiter
    lines = [delimiter.join(rows.column_names)]
    lines += [
        delimiter.join(_cell(value, delimiter) for value in row.values())
        for row in rows.to_pylist()
    ]
    return "".join(f"{line}\n" for line in lines)


def _cell(value: object, delimiter: str) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not text or any(letter in text for letter in (delimiter, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text
