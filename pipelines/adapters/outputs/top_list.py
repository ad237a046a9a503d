"""Top lists: the rows to look at first, with their reasons, as JSON that people's tools read."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.outputs.output_rows import RANK, Window
from pipelines.domain.outputs import TopN
from pipelines.domain.reasons import Reason

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = "json"

WHAT_REASONS_ARE = (
    "A reason is the change of the model's own prediction, before business rules, when one feature "
    "alone is put to its usual value (the training window's median or most frequent category). It "
    "is no cause, and reasons do not add up."
)
"""Goes with every list that has reasons, for whoever reads it without this code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The reasons of each listed row, in order, and why some rows have none ("" where all do)."""

    reasons: Sequence[tuple[Reason, ...]]
    missing: str


def write(
    path: Path,
    output: TopN,
    window: Window,
    *,
    use_case: str,
    prediction: str,
    rows: "pa.Table",
    columns: Sequence[str],
    explained: Explained | None,
) -> int:
    """Write one list as a JSON document, a row a line, and return how many rows it has.

    ``rows`` are sorted by group and rank; ``columns`` are those shown, ``prediction`` is the one
    that the reasons are about. A number that is not finite, or missing, is null; times are ISO 8601.
    """
    told: Mapping[str, Any] = {
        "use_case": use_case,
        "output": output.name,
        "consumer": output.consumer,
        "scored_for": window.scored_for.isoformat(),
        "generation": window.generation,
        "run_key": window.run_key,
        "count": output.count,
        "by": output.by,
        "order": output.order,
        "per": list(output.groups),
        "prediction": prediction,
        "columns": list(columns),
    }
    if explained is not None:
        told = {**told, "about_reasons": WHAT_REASONS_ARE, "without_reasons": explained.missing}
    lines = []
    for place, row in enumerate(rows.select([RANK, *columns]).to_pylist()):
        shown = {name: _plain(value) for name, value in row.items()}
        if explained is not None:
            mine = explained.reasons[place]
            shown["reasons"] = [reason.to_plain() for reason in mine]
        lines.append(json.dumps(shown, ensure_ascii=False, allow_nan=False))
    head = json.dumps(told, ensure_ascii=False, indent=1)[:-2]
    listed = ",\n  ".join(lines)
    content = f'{head},\n "rows": [{f"{chr(10)}  {listed}{chr(10)} " if lines else ""}]\n}}\n'
    path.write_text(content, "utf-8")
    return len(lines)


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
