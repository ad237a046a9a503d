"""Lineage pages: a trace or an impact as one HTML file without a script or anything from elsewhere."""

from typing import TYPE_CHECKING, Any

from pipelines.adapters import page_templates
from pipelines.domain.feature_differences import CHANGED
from pipelines.domain.impact import GONE, PREDICTION, AffectedWindow, Impact
from pipelines.domain.trace import Trace, key_text
from pipelines.domain.trace_text import (
    NOT_STORED,
    SHORT,
    difference,
    file_lines,
    model_line,
    said,
    shown,
    source_line,
)

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_PREDICTIONS = 5000
"""Predictions listed on a page, which a browser still shows at once; --json has all."""


def trace_page(found: Trace) -> str:
    """Return the page of a trace. Everything that the lake holds is escaped."""
    return _environment().get_template("trace.html.j2").render(found=found, not_stored=NOT_STORED)


def impact_page(found: Impact) -> str:
    """Return the page of an impact, with at most MOST_PREDICTIONS predictions listed."""
    left, windows = MOST_PREDICTIONS, []
    for window in found.windows:
        windows.append((window, _rows(window, left)))
        left = max(0, left - window.affected.num_rows)
    return _environment().get_template("impact.html.j2").render(found=found, windows=windows)


def _rows(window: AffectedWindow, most: int) -> list[tuple[str, float, str]]:
    """Return key, prediction and what differs, as texts."""
    rows: list[dict[str, Any]] = window.affected.slice(0, most).to_pylist()
    told = []
    for row in rows:
        differs = difference(row.pop(CHANGED, None), gone=row.pop(GONE, None))
        prediction = row.pop(PREDICTION)
        told.append((key_text(row), prediction, differs))
    return told


def _short(digest: str) -> str:
    return digest[:SHORT]


def _environment() -> "Environment":
    environment = page_templates.environment()
    environment.filters |= {"key_text": key_text, "shown": shown, "said": said, "short": _short}
    environment.filters |= {"file_lines": file_lines, "source_line": source_line}
    environment.filters |= {"model_line": model_line}
    return environment
