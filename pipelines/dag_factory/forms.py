"""Forms: what a person may enter when they start a run by hand."""

from typing import Any

from airflow.sdk import Param


def ingest() -> dict[str, Any]:
    """Return the form of an ingest run."""
    return {"as_of": _moment("As of", "Take in what was delivered by this time. Empty: now.")}


def train() -> dict[str, Any]:
    """Return the form of a training run."""
    return {
        "as_of": _moment(
            "As of", "Learn from what was known at this time, labels included. Empty: now."
        ),
        "reason": Param(
            "",
            type="string",
            title="Reason",
            description="Why a challenger is wanted, for whoever approves it.",
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


def _moment(title: str, description: str) -> Any:  # noqa: ANN401 - untyped library
    return Param(
        None, type=["null", "string"], format="date-time", title=title, description=description
    )
