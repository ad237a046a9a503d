"""Data Docs: a kept record as Great Expectations' own result, and that as a page by its renderers."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from pipelines.adapters.suites.docs_pages import PAGE_FRAME, VALUES, frame
from pipelines.domain.quality import ExpectationResult
from pipelines.domain.quality_record import QualityRecord

FromGx: TypeAlias = Any
"""A value of Great Expectations, which is untyped here."""

NUMBER = re.compile(r"observed (-?[\d,]+(?:\.\d+)?(?:e[+-]?\d+)?)$")
"""What a rule about a whole table says it saw, at the end of its text."""

DEAD_LINK = re.compile(r'<a href="(?:\.\./)+expectations/[^"]*"\s*>(.*?)</a>', re.DOTALL)
"""GX links a suite's page, which is not made: the suite is a file of the repository."""

OPENER = re.compile(r'<a data-toggle="collapse".*?</a>', re.DOTALL)
"""GX shows some parts only when a script of its own is asked to; here they are never hidden."""

STRUCTURED = ("expect_column_quantile_values_to_be_between",)
"""Expectations of which GX observes more than one number, and a record does not keep them."""


OURS = {"page.j2": PAGE_FRAME, "graph.j2": VALUES}
"""Templates of GX that load something from elsewhere, as we have them."""


def validation_result(record: QualityRecord) -> FromGx:
    """Return a record as GX's ``ExpectationSuiteValidationResult``. Imports GX, which takes seconds.

    It holds the record's counts and no row's value. ``element_count`` is the rows of the check, but
    with a row condition those it judged, for how many of the others it excludes is not kept.
    """
    import great_expectations
    from great_expectations.core import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    results = [
        ExpectationValidationResult(
            success=found.success,
            expectation_config=ExpectationConfiguration(
                type=found.expectation_type,
                kwargs=dict(record.kwargs.get(found.rule, {})),
                severity=found.severity,
                meta={"rule": found.rule, "on_fail": found.on_fail},
            ),
            result=_result(record, found),
            meta={},
            exception_info={
                "raised_exception": False,
                "exception_message": None,
                "exception_traceback": None,
            },
        )
        for found in record.results
    ]
    evaluated, failed = len(results), len(record.failed)
    return ExpectationSuiteValidationResult(
        success=not failed,
        results=results,
        suite_name=record.suite,
        statistics={
            "evaluated_expectations": evaluated,
            "successful_expectations": evaluated - failed,
            "unsuccessful_expectations": failed,
            "success_percent": 100 * (evaluated - failed) / evaluated if evaluated else None,
        },
        meta={
            "great_expectations_version": great_expectations.__version__,
            "run_id": {"run_name": record.run, "run_time": record.as_of.isoformat()},
            "batch_spec": {"data_asset_name": f"{record.use_case}.{record.table}"},
        },
    )


def page(record: QualityRecord, *, gx_json: str) -> str:
    """Return a record as an HTML page: its facts, then GX's rendering, and a link to ``gx_json``.

    It loads no other file.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    view = DefaultJinjaPageView()
    # GX's frame loads styles, fonts and scripts from seven hosts; ours holds what the page needs.
    view.env.loader = ChoiceLoader([DictLoader(OURS), view.env.loader])
    document = ValidationResultsPageRenderer().render(validation_result(_escaped(record)))
    text = str(view.render(document, **frame(record, gx_json)))
    return OPENER.sub("", DEAD_LINK.sub(r"\1", text))


def as_gx_json(record: QualityRecord) -> dict[str, Any]:
    """Return a record as GX writes its own results."""
    found: dict[str, Any] = validation_result(record).to_json_dict()
    return found


def newest_change() -> float:
    """Return when the modules that shape a page were last written, in seconds since 1970."""
    folder = Path(__file__).parent
    return max((folder / name).stat().st_mtime for name in ("data_docs.py", "docs_pages.py"))


def _escaped(record: QualityRecord) -> QualityRecord:
    """Return a record whose own texts are no markup: GX escapes keywords, and nothing else."""
    results = tuple(replace(r, observed=html.escape(r.observed)) for r in record.results)
    return replace(record, run=html.escape(record.run), results=results)


def _result(record: QualityRecord, found: ExpectationResult) -> dict[str, Any]:
    if not _judges_rows(found.expectation_type):
        if found.expectation_type in STRUCTURED:
            return {}
        told = NUMBER.search(found.observed)
        return {"observed_value": _number(told[1]) if told else found.observed}
    evaluated, failed = found.rows_evaluated, found.unexpected_count
    conditional = bool(record.kwargs.get(found.rule, {}).get("row_condition"))
    rows = evaluated if conditional else record.rows
    shares = {"unexpected_percent": 100 * failed / evaluated if evaluated else 0.0}
    counts: dict[str, Any] = {"element_count": rows, "unexpected_count": failed}
    if not found.expectation_type.endswith("_null"):
        shares |= {
            "missing_percent": 100 * (rows - evaluated) / rows if rows else 0.0,
            "unexpected_percent_total": 100 * failed / rows if rows else 0.0,
            "unexpected_percent_nonmissing": shares["unexpected_percent"],
        }
        counts["missing_count"] = rows - evaluated
    return {**counts, **shares, "partial_unexpected_list": []}


def _judges_rows(expectation_type: str) -> bool:
    from great_expectations.expectations.registry import get_expectation_impl

    return bool(getattr(get_expectation_impl(expectation_type), "map_metric", None))


def _number(text: str) -> int | float:
    plain = text.replace(",", "")
    return int(plain) if plain.lstrip("-").isdigit() else float(plain)
