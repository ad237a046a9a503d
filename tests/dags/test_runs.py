"""A run's as_of: the form's, else its events', else its scheduled time; and what started it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.dag_factory.runs import as_of, decided_at, is_about_late_data, is_backfill
from pipelines.errors import SettingsError

SCHEDULED = datetime(2026, 1, 3, tzinfo=UTC)
SCORED, INGESTED = "2026-01-01T05:00:00+00:00", "2026-01-02T07:00:00+01:00"


def context(given: str | None, *told: str, logical: datetime | None = SCHEDULED) -> dict[str, Any]:
    """Return what Airflow tells a task, as far as times go."""
    events = [
        SimpleNamespace(asset=SimpleNamespace(name="a"), extra={"as_of": text}) for text in told
    ]
    return {
        "params": {"as_of": given},
        "triggering_asset_events": {"a": events},
        "dag_run": SimpleNamespace(
            logical_date=logical, run_after=datetime(2026, 1, 4, tzinfo=UTC)
        ),
    }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (context("2026-02-01T06:00:00+01:00", SCORED), "2026-02-01T05:00:00+00:00"),
        (context(None, SCORED, INGESTED), "2026-01-02T06:00:00+00:00"),
        (context(None), "2026-01-03T00:00:00+00:00"),
        (context(None, logical=None), "2026-01-04T00:00:00+00:00"),
    ],
)
def test_the_first_that_is_known(told: dict[str, Any], expected: str) -> None:
    assert as_of(told).isoformat() == expected


def test_a_decision_is_of_the_moment_it_is_made_unless_the_form_simulates_another() -> None:
    now = SCHEDULED + timedelta(days=3)
    assert decided_at(context(None), now) == now
    assert decided_at(context("2026-02-01T05:00:00Z"), now) == datetime(2026, 2, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "expected"), [("backfill", True), ("scheduled", False)])
def test_a_run_of_airflows_backfill_is_known_by_its_type(kind: str, *, expected: bool) -> None:
    from airflow.sdk.api.datamodels._generated import DagRunType

    assert is_backfill({"dag_run": SimpleNamespace(run_type=DagRunType(kind))}) is expected


def test_a_time_without_offset_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected a time with its offset"):
        as_of(context("2026-02-01T06:00:00"))


@pytest.mark.parametrize(
    ("told", "late", "expected"),
    [((), None, False), ((), False, False), ((), True, True), ((SCORED,), None, True)],
)
def test_late_data_starts_a_run_by_its_event_or_by_the_form(
    *, told: tuple[str, ...], late: bool | None, expected: bool
) -> None:
    found = context(None, *told)
    found["params"]["late"] = late
    assert is_about_late_data(found) is expected
