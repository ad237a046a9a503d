"""The oracle of checks: the same suite judged by Great Expectations' pandas engine."""

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.suites.gx_suites import Suite, load_suite
from pipelines.domain import quality

COLUMNS = {
    "i": "int64",
    "j": "int64",
    "f": "double",
    "g": "double",
    "s": "string",
    "t": "string",
    "b": "bool",
    "d": "date",
    "at": "timestamp[UTC]",
}

Judged = tuple[bool, int, int]
"""Verdict, rows evaluated, rows that failed."""


def staged(folder: Path, rows: pa.Table) -> Path:
    """Write rows as a staged file, each with its name."""
    names = pa.table({"_file": ["f"] * rows.num_rows, "_row": range(rows.num_rows)})
    for name in names.column_names:
        rows = rows.append_column(name, names[name])
    path = folder / "staged.parquet"
    pq.write_table(rows, path)
    return path


def suite_of(
    folder: Path, entries: Sequence[Mapping[str, Any]], columns: Mapping[str, str] = COLUMNS
) -> Suite:
    """Write and load a suite."""
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "drawn", "expectations": entries}), "utf-8")
    return load_suite(path, columns)


def by_pandas(
    rows: pa.Table, entries: Sequence[Mapping[str, Any]], *, as_it_is: bool = False
) -> dict[str, dict[str, Any]]:
    """Return GX's own result of each rule on a data frame, with "success" and "errors".

    ``as_it_is`` leaves dates and moments as pandas has them from Arrow.
    """
    from great_expectations import ExpectationSuite
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    names = quality.rule_names(entries)
    expectations = [
        ExpectationConfiguration(
            type=entry["type"], kwargs=copy.deepcopy(entry["kwargs"]), meta={"rule": name}
        ).to_domain_obj()
        for name, entry in zip(names, entries, strict=True)
    ]
    context, definition = _context()
    project_manager.set_project(context)  # a check forgets whichever context was active
    try:
        batch = definition.get_batch(
            {"dataframe": rows.to_pandas() if as_it_is else frame_of(rows)}
        )
        suite = ExpectationSuite(name="drawn", expectations=expectations)
        counts = {"result_format": "BASIC", "partial_unexpected_count": 0}
        found = batch.validate(suite, result_format=counts)
    finally:
        project_manager.set_project(None)
    told = {}
    for result in found.results:
        error = result.exception_info or {}
        raised = [error, *(part for part in error.values() if isinstance(part, dict))]
        errors = [part["exception_message"] for part in raised if part.get("raised_exception")]
        told[result.expectation_config.meta["rule"]] = {
            "success": bool(result.success),
            "errors": errors,
            **result.result,
        }
    return told


def frame_of(rows: pa.Table) -> Any:  # noqa: ANN401 - pandas' frame
    """Return rows as pandas has them: a moment without its zone (UTC), a date as its midnight."""
    arrays = {}
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)))
            column = column.cast(pa.int64()).cast(pa.timestamp("us"))
        arrays[name] = column.to_pandas()
    import pandas as pd

    return pd.DataFrame(arrays)


@cache
def _context() -> tuple[Any, Any]:
    import great_expectations as gx
    from great_expectations.data_context.types import base as gx_types

    context = gx.get_context(
        mode="ephemeral",
        project_config=gx_types.DataContextConfig(
            store_backend_defaults=gx_types.InMemoryStoreBackendDefaults(),
            progress_bars=gx_types.ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )
    asset = context.data_sources.add_pandas("oracle").add_dataframe_asset("frame")
    return context, asset.add_batch_definition_whole_dataframe("whole")
