"""Trial: what a suite's check of one file would make ingest do, rule by rule."""

from typing import Literal

from pipelines.domain.quality import ExpectationResult

Consequence = Literal["holds", "flag", "quarantine", "refuse"]
"""What becomes of the rows: nothing, a flagged publication, some set aside, none published."""


def consequence(result: ExpectationResult) -> Consequence:
    """Return what ingest does about one rule's result, as ``CheckResult.verdict`` sums it up."""
    if result.on_fail == "quarantine" and result.unexpected_count:
        return "quarantine"
    if result.success:
        return "holds"
    refuses = result.severity == "critical" and result.on_fail != "quarantine"
    return "refuse" if refuses else "flag"
