"""Delivered outputs: which of them carried a prediction to a consumer, as their ledger tells."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.adapters.outputs import output_ledger, placed_files
from pipelines.adapters.outputs.output_ledger import Recorded
from pipelines.adapters.settings import Settings
from pipelines.domain.trace import OutputSeen, as_json

if TYPE_CHECKING:
    import pyarrow as pa

LIST = "TopN"
"""Kind of the outputs that do not show every row of their window."""


def carrying(
    settings: Settings,
    use_case: str,
    rows: "Mapping[tuple[str, int], pa.Table]",
) -> tuple[OutputSeen, ...]:
    """Return the outputs that carried any of ``rows``: keys, by window and generation, in order.

    One that was declared anew, and delivered again, carried them twice, perhaps to other people. A
    top list counts only where one of the keys is on it. Where its file is not there any more, or
    holds another generation, nobody can tell: then ``certain`` is False.
    """
    found = []
    for item in output_ledger.read(settings, use_case):
        keys = rows.get((item.window, item.generation))
        if keys is None or not keys.num_rows:
            continue
        listed = _listed(settings, item)
        on_it = None if listed is None else _count(keys, listed)
        if on_it == 0:
            continue
        found.append(
            OutputSeen(
                output=item.output,
                kind=item.kind,
                consumer=item.consumer,
                window=item.window,
                generation=item.generation,
                place=item.place,
                delivered_at=item.delivered_at,
                rows=on_it or keys.num_rows,
                certain=on_it is not None or item.kind != LIST,
            )
        )
    return tuple(found)


def _listed(settings: Settings, item: Recorded) -> list[dict[str, Any]] | None:
    """Return the rows of a top list as it was delivered; None of other kinds, and where it is gone."""
    if item.kind != LIST:
        return None
    folder = placed_files.folder(settings, item.use_case, item.output)
    try:
        content = placed_files.read(folder, placed_files.file_name(item.scored_for, "json"))
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest() != item.sha256:
        return None
    rows: list[dict[str, Any]] = json.loads(content)["rows"]
    return rows


def _count(keys: "pa.Table", listed: Collection[Mapping[str, Any]]) -> int:
    """Return how many of the rows of a list have one of the keys."""
    shown = {tuple(str(row[name]) for name in keys.column_names) for row in listed}
    asked = zip(*(keys[name].to_pylist() for name in keys.column_names), strict=True)
    return sum(tuple(str(as_json(value)) for value in key) in shown for key in asked)
