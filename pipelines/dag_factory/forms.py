"""Forms: what a person may enter when they start a run by hand."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

from pipelines.domain.training import Training


def ingest() -> dict[str, Any]:
    """Return the form of an ingest run."""
    return {"as_of": _moment("As of", "Take in what was delivered by this time. Empty: now.")}


def train(training: Training) -> dict[str, Any]:
    """Return the form of a training run; it asks about a search where there is one to make."""
    asked = {
        "as_of": _moment(
            "As of", "Learn from what was known at this time, labels included. Empty: now."
        ),
        "reason": Param(
            "",
            type="string",
            title="Reason",
            description="Why a challenger is wanted, for whoever approves it.",
        ),
        "window_days": _number(
            "Window",
            "Learn from the last so many days, or weeks where scoring is weekly. Empty: as declared.",
        ),
        "dry_run": Param(
            False,  # noqa: FBT003 - Airflow's own signature
            type="boolean",
            title="Dry run",
            description="Only say in the log what would be trained.",
        ),
    }
    if not training.searches:
        return asked
    names = [candidate.name for candidate in training.candidates]
    return asked | {
        "candidates": Param(
            [],
            type="array",
            items={"type": "string", "enum": names},
            examples=names,
            title="Candidates",
            description="Try these alone. Empty: all of them.",
        ),
        "trials": _number(
            "Trials", f"Of the search; 0 makes none. Empty: {training.trials}, as declared."
        ),
    }


def score() -> dict[str, Any]:
    """Return the form of a scoring run."""
    return {
        "as_of": _moment(
            "As of",
            "Make the predictions of the last scoring time up to here. Empty: now. "
            "With Until: of every scoring time from here on.",
        ),
        "until": _moment("Until", "Where the window ends, itself left out. Empty: one time only."),
        "late": Param(
            False,  # noqa: FBT003 - Airflow's own signature
            type="boolean",
            title="Late data only",
            description="Score again what was scored without data that has come since, by As of.",
        ),
    }


def monitor() -> dict[str, Any]:
    """Return the form of a monitoring run."""
    return {"as_of": _moment("As of", "Measure with what was known at this time. Empty: now.")}


def checked(fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - untyped library
    """Return the fields as the form of a DAG, once each has a default that its schema allows.

    Raises Airflow's ParamValidationError for one that has not. Airflow checks so whenever it makes a
    DAG; here fields of one schema and default are checked once in a process, since to hold a schema
    against the schema of schemas takes a third of reading a use case.
    """
    for field in fields.values():
        _check(json.dumps([field.value, field.schema], sort_keys=True))
    return ParamsDict(fields)


@lru_cache(maxsize=256)
def _check(field: str) -> None:
    value, schema = json.loads(field)
    Param(value, schema=schema).resolve()


def _moment(title: str, description: str) -> Any:  # noqa: ANN401 - untyped library
    return Param(
        None, type=["null", "string"], format="date-time", title=title, description=description
    )


def _number(title: str, description: str) -> Any:  # noqa: ANN401 - untyped library
    return Param(None, type=["null", "integer"], minimum=0, title=title, description=description)
