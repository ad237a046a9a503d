"""MLflow's client: one that answers, and what its errors mean."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipelines.adapters.settings import Settings
from pipelines.errors import Problem, ServiceUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException


EMBEDDED = "sqlite:///"
"""Start of the address of a database in a file, which answers where it did before."""

_ANSWERED: set[str] = set()
"""Such databases that answered in this process, which keeps them open; a server is asked each time."""


def client(settings: Settings) -> "MlflowClient":
    """Return a client whose server answered, an embedded database once; raises ServiceUnavailable otherwise."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_DISABLE_SCHEMA_DETAILS"] = "true"
    import logging

    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # MLflow prints advice on conda and pip versions that no reader of a task log needs.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    uri = settings.mlflow_uri
    if uri.startswith(EMBEDDED):
        Path(uri.removeprefix(EMBEDDED)).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    found = MlflowClient(uri)
    if uri in _ANSWERED:
        return found
    try:
        found.search_experiments(max_results=1)
    except MlflowException as error:
        raise unavailable(error) from error
    if uri.startswith(EMBEDDED):
        _ANSWERED.add(uri)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow from telling each registration on standard error, where there are many.

    All else that is written there comes through: its own switch is turned on again by each log_model.
    """
    with redirect_stderr(_WithoutRegistrations(sys.stderr)):
        yield


class _WithoutRegistrations:
    """Standard error without the lines that MLflow prints about registered models."""

    LINES = (
        "Successfully registered model",
        "Registered model",
        "Created version",
        "Copied version",
    )

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._dropped = stream, False

    def write(self, text: str) -> int:
        """Write a text, unless it is such a line or the end of one."""
        dropped = text.startswith(self.LINES) or (self._dropped and text == "\n")
        self._dropped = dropped and text != "\n"
        return len(text) if dropped else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self._stream, name)


def missing(error: "MlflowException") -> bool:
    """Tell MLflow's "there is none" from a failure; a missing alias is an invalid parameter to it."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def gone(error: "MlflowException | OSError") -> bool:
    """Tell files that are not there from a store or a disk that fails."""
    code = getattr(error, "error_code", None)
    return isinstance(error, FileNotFoundError) or code == "RESOURCE_DOES_NOT_EXIST"


def unavailable(error: "MlflowException | OSError") -> ServiceUnavailable:
    """Return the error of a server or a store that gave no answer; waiting may help."""
    code = getattr(error, "error_code", None) or errno.errorcode.get(
        getattr(error, "errno", None) or 0, "no code"
    )
    return ServiceUnavailable(
        Problem(
            where="MLflow",
            expected="an answer from the tracking server, and the files it keeps",
            found=f"{type(error).__name__} ({code})",
            fix="Look at `headframe status` and `headframe logs mlflow`.",
        )
    )
